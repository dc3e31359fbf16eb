"""What can be compared: a model, rankings that anything wrote, or a baseline."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import polars as pl

from recsys.data.clock import TimeSettings
from recsys.data.tables import Dataset
from recsys.errors import DataError
from recsys.evaluation.evaluation import BASELINES
from recsys.evaluation.rankings import Aligned, Rankings, read_rankings
from recsys.jobs.baselines import baseline_scores
from recsys.jobs.judging import read_logged
from recsys.jobs.sides import Opinion, System
from recsys.manifest import read_manifest
from recsys.model.ready import Ready
from recsys.past.lookup import Asked

Source = str | Path | pl.DataFrame


def open_system(source: Source, dataset: Dataset, name: str, seed: int) -> System:
    """Open one side of a comparison.

    Parameters
    ----------
    source
        A model folder; a ranking file or table (`recsys.evaluation.rankings.read_rankings`) or a folder that
        `recsys score` wrote; `"random"`, `"popularity"` or `"chosen before"`, see `recsys.jobs.baselines` (write
        `./random` for a file of that name).
    dataset
        Tables that a model reads.
    name
        What people call it.
    seed
        Seed of the random order.

    Raises
    ------
    DataError
        When it is none of these, or the tables or rankings have faults.
    ModelError
        When a model folder is damaged.
    """
    if isinstance(source, pl.DataFrame):
        return _of_rankings(name, Rankings.of(source, name))
    if source in BASELINES:
        return System(name, lambda asked: Opinion(baseline_scores(str(source), asked.lookup, seed)))
    path = Path(source)
    if (path / "rankings").is_dir():
        learnt_until, time = _learnt_until(path)
        return replace(_of_rankings(name, read_rankings(path / "rankings")), learnt_until=learnt_until, time=time)
    if (path / "manifest.json").is_file():
        return _of_model(name, path, dataset)
    if path.exists():
        return _of_rankings(name, read_rankings(path))
    raise DataError(
        f"{source} does not exist and is no baseline ({', '.join(map(repr, BASELINES))}); name a folder that "
        "`recsys train` or `recsys score` wrote, a Parquet file or a TREC run"
    )


def _of_model(name: str, folder: Path, dataset: Dataset) -> System:
    ready, prepared = Ready.today(folder, dataset)
    model = ready.model

    def answer(asked: Asked) -> Opinion:
        logged = read_logged(ready.ask(asked.candidates), model.settings.features, ready.reader)
        scores = model.ranker.score(logged.examples.table)
        return Opinion(scores, model.calibration.probability(scores, logged.examples.starts))

    learnt_until, time = model.windows.learnt_until, model.settings.time
    return System(name, answer, prepared, ready.reader.vectors, learnt_until=learnt_until, time=time)


def _learnt_until(folder: Path) -> tuple[datetime, TimeSettings]:
    """Read until when the model behind rankings had learnt, and, where lists were made for it, when."""
    written = read_manifest(folder, "written by `recsys score`")
    if "learnt_until" not in written:
        raise DataError(f"{folder} does not say until when its model had learnt; run `recsys score` again")
    return datetime.fromisoformat(written["learnt_until"]), TimeSettings.model_validate(written.get("time", {}))


def _of_rankings(name: str, rankings: Rankings) -> System:
    def answer(asked: Asked) -> Opinion:
        found = rankings.align(asked.candidates)
        return Opinion(found.scores, found.click_probabilities, tuple(_missing(name, found)))

    return System(name, answer, ranked=rankings.table["request_id"].unique())


def _missing(name: str, found: Aligned) -> Iterator[str]:
    """Say what rankings leave out and how that counts."""
    if found.unanswered_requests:
        yield (
            f"{name} does not answer {found.unanswered_requests:,} of the requests; each counts as 0, in AUC as one "
            "half."
        )
    if found.unlisted_candidates:
        yield (
            f"{name} does not list {found.unlisted_candidates:,} candidates, those of unanswered requests included; "
            "they earn nothing and stand last in AUC."
        )
    if found.outside_requests:
        yield f"{name} ranks {found.outside_requests:,} more requests, which are not compared here."
