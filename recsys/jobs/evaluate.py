"""Evaluate: how well each ranker orders the lists of a window."""

import logging
from dataclasses import replace
from pathlib import Path

import polars as pl

from recsys.arranging.settings import RuleSettings
from recsys.data.tables import Dataset
from recsys.data.windows import Window
from recsys.evaluation.evaluation import PRODUCT, Evaluation
from recsys.files import new_folder, refuse_existing
from recsys.jobs.field_lists import judge_field
from recsys.jobs.gains import judged_further
from recsys.jobs.judging import judge, read_logged
from recsys.jobs.stress import stress
from recsys.model.ready import Ready
from recsys.past.lookup import Asked
from recsys.shown import counted

logger = logging.getLogger(__name__)


def evaluate(
    folder: str | Path,
    dataset: Dataset,
    window: Window = "test",
    lists: str | Path | None = None,
    stressed: bool = False,
    rules: RuleSettings | None = None,
) -> Evaluation:
    """Evaluate a model folder on a window of logged requests, or of the nightly lists made in their place.

    Parameters
    ----------
    folder
        Model folder.
    dataset
        Tables that hold the window and the behaviour before it; texts that the model has not seen are encoded.
    window
        One of the model's own windows; the ranker has learnt from all but `test`.
    lists
        Folder to write what is judged to, as `recsys score` takes it, and labels to `<lists>-labels` beside it.
    stressed
        Whether to measure bad days, too: texts are misspelt or cut and read anew, and behaviour is not told.
    rules
        What is priced; those of the model when left out.

    Returns
    -------
    Measures, paired differences and segments of the baselines and the rankers text, behaviour and both; and of both
    without ages where `available_at` is the first showing and the model is no live one. On `test` also the reliability
    of click probabilities, unless lists were drawn. What each rule costs; and who gains and who loses by `both`.

    Raises
    ------
    ModelError
        When the folder is no whole model.
    DataError
        When the tables have faults, the window holds no request, or something is where lists shall be written.
    SettingsError
        When the requests lack the model's query column.
    """
    for target in () if lists is None else (Path(lists), labels_beside(Path(lists))):
        refuse_existing(target)
    ready, prepared = Ready.today(Path(folder), dataset, rules=rules)
    model, requests = ready.model, prepared.made.lists
    later = requests.filter(pl.col("timestamp") >= model.windows.cuts[4])["request_id"].n_unique()
    if later:
        logger.warning("%s after the test window left out of the count", counted(later, "request"))
    asked = ready.ask(model.windows.of(requests, window))
    logged = read_logged(asked, model.settings.features, ready.reader)
    judgement = judge(logged, ready.log, window, model.rankers, model.settings.seed).calibrated(model.calibration)
    if lists is not None:
        _write_lists(Path(lists), asked, ready.columns)
    made = judge_field(asked.candidates, ready.finder, model.rankers, model.settings.seed)
    not_out = prepared.not_out(model.windows, window)
    judgement = replace(judgement, sampled=dataset.about.sampled, not_out=not_out, made=made)
    found = judged_further(judgement, ready, prepared.dataset).evaluation
    if stressed:
        begin, scores = model.windows.bounds(window)[0], judgement.scores[PRODUCT]
        found = replace(found, stress=stress(Path(folder), ready, asked, prepared.dataset, scores, begin))
    return found


def labels_beside(lists: Path) -> Path:
    """Give the folder that holds the labels of lists, which candidates to score do not have."""
    return lists.parent / f"{lists.name}-labels"


def _write_lists(lists: Path, asked: Asked, columns: tuple[str, ...]) -> None:
    """Write what is judged as two folders of Parquet files: what `recsys score` reads, and what came of it."""
    named = ["request_id", "user_id", "timestamp", "item_id", *columns]
    with new_folder(lists) as candidates, new_folder(labels_beside(lists)) as labels:
        asked.candidates.select(*dict.fromkeys(named)).write_parquet(candidates / "part-00000.parquet")
        asked.candidates.select("request_id", "user_id", "item_id", "label").write_parquet(
            labels / "part-00000.parquet"
        )
