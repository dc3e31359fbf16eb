"""Train: tables and settings in, a model folder out."""

import logging
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import polars as pl

from recsys.batch.evaluating import Judgement, judge
from recsys.batch.logged import LoggedWindow, read_window
from recsys.batch.reporting import write_report
from recsys.data.checks import check_tables
from recsys.data.faults import refuse_errors
from recsys.data.labels import grade_labels
from recsys.data.tables import Dataset
from recsys.data.windows import Window, Windows, place_windows
from recsys.features.behaviour import Behaviour
from recsys.features.builder import (
    TEXT_COLUMNS,
    Reader,
    check_context,
    check_events,
    find_items,
    read_lists,
    request_starts,
)
from recsys.features.log import Log
from recsys.files import new_folder, refuse_existing
from recsys.model import Model, State, fingerprint, write_manifest
from recsys.ranking.calibration import Calibration
from recsys.ranking.contract import Contract
from recsys.ranking.ranker import Examples, TreeRanker, grow
from recsys.settings import Settings
from recsys.text.fields import item_texts
from recsys.text.model import TextModel
from recsys.text.training import fit_text

logger = logging.getLogger(__name__)

_LEARNT: tuple[Window, Window] = ("ranker", "valid")


@dataclass(frozen=True)
class _Grown:
    """A ranker grown on the ranker window alone, and the same size grown on ranker and valid together."""

    chosen: TreeRanker
    final: TreeRanker


def train(dataset: Dataset, settings: Settings, target: str | Path) -> Judgement:
    """Train both stages and write a model folder, whole or not at all.

    The encoder learns from the text window; LightGBM from the ranker window, on scores for clicks that the encoder has
    never seen, and stops early on valid, where click probabilities are calibrated as well. It is then grown once more,
    to the chosen size, on ranker and valid together, so that the newest days are not lost.

    Parameters
    ----------
    dataset
        Tables without faults, see `recsys.data.checks`.
    settings
        All settings.
    target
        Folder to write; must not hold anything.

    Returns
    -------
    The judgement on the test window, or on valid, by the ranker that has not learnt from it, when test is empty.

    Raises
    ------
    DataError
        When the tables have faults, a window is empty or the target exists.
    SettingsError
        When settings name columns or events that are not there.
    """
    target = Path(target)
    refuse_existing(target)
    refuse_errors(check_tables(dataset))
    check_context(dataset.requests, settings.features, dataset.about.recorded_after)
    check_events(dataset, settings.features)
    prints = fingerprint(dataset)
    dataset = grade_labels(dataset.with_plain_ids(), settings.labels)
    windows = place_windows(dataset.requests, settings.windows)
    log = Log(Behaviour.of(dataset, settings.features.affinity), settings.labels.clock(settings.time))
    texts = item_texts(dataset.items, settings.text.fields)
    text_model = _read_text(dataset, texts, settings, windows, log)
    vectors = text_model.encode_items(dataset.items, texts)
    reader = Reader.of(log, vectors, text_model.tower, settings.text.history_length)
    model, judgement = _learn_to_rank(dataset.requests, settings, windows, log, reader)
    with new_folder(target) as folder:
        model.save(folder)
        text_model.save(folder)
        State(log.behaviour, vectors).save(folder / "state", folder)
        write_report(folder, judgement, model, dataset)
        facts = {"settings": settings.model_dump(mode="json"), "windows": windows.to_json(), "data": prints}
        write_manifest(folder, facts)
    return judgement


def _read_text(dataset: Dataset, texts: list[str], settings: Settings, windows: Windows, log: Log) -> TextModel:
    """Fine-tune the encoder on the requests of the text window whose labels are known before its end."""
    requests = windows.of(dataset.requests, "text", log.time.feedback_delay).sort("timestamp", "request_id", "item_id")
    starts = request_starts(requests)
    places = find_items(log, dataset.items["item_id"])
    lists = read_lists(log, log.rows(requests), starts, places, settings.text.history_length)
    return fit_text(texts, lists, requests["label"].cast(pl.Float32).to_numpy(), settings.text, settings.seed)


def _learn_to_rank(
    requests: pl.DataFrame, settings: Settings, windows: Windows, log: Log, reader: Reader
) -> tuple[Model, Judgement]:
    """Grow both rankers, calibrate, and judge them on a window they have not learnt from."""

    def window(name: Window, label_delay: timedelta | None) -> LoggedWindow:
        return read_window(requests, windows, name, log, settings.features, reader, label_delay)

    ranker, valid = (window(name, log.time.feedback_delay) for name in _LEARNT)
    both = _grow(ranker.examples, valid.examples, settings)
    behaviour = _grow(ranker.examples.without(TEXT_COLUMNS), valid.examples.without(TEXT_COLUMNS), settings)
    calibration = Calibration.fit(both.chosen.score(valid.examples.table), valid.examples.labels)
    model = Model(settings, windows, both.final, behaviour.final, calibration, reader.tower)
    test = window("test", None)
    if test.requests.is_empty():
        return model, judge(valid, log, "valid", both.chosen, behaviour.chosen, settings.seed)
    return model, judge(test, log, "test", both.final, behaviour.final, settings.seed)


def _grow(ranker: Examples, valid: Examples, settings: Settings) -> _Grown:
    # One contract for both windows, so that a category of either has the same code in both growths.
    joined = ranker.joined(valid)
    contract = Contract.of(joined.table)
    chosen = grow(ranker, contract, settings.ranker, settings.seed, valid=valid)
    logger.info("%d trees on %d lists", chosen.size, len(ranker.starts) - 1)
    return _Grown(chosen, grow(joined, contract, settings.ranker, settings.seed, rounds=chosen.size))
