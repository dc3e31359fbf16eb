"""Train: tables and settings in, a model folder out."""

import dataclasses
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from recsys.data.checks import check_tables
from recsys.data.faults import CheckReport, refuse_errors
from recsys.data.labels import grade_labels
from recsys.data.tables import Dataset
from recsys.data.windows import WINDOWS, Window, Windows, place_windows
from recsys.encoders.backends.backend import check_extra
from recsys.encoders.sources import encoder_hash
from recsys.features.builder import TEXT_COLUMNS, check_context, check_events
from recsys.files import new_folder, refuse_existing
from recsys.jobs.evaluate import Judgement, judge
from recsys.jobs.leaks import refuse_leaks
from recsys.jobs.logged import LoggedWindow, read_logged
from recsys.jobs.report import write_report
from recsys.jobs.work import work_folder
from recsys.learning.course import TextCourse, open_start
from recsys.model.folder import Model, State, fingerprint, identity, write_manifest
from recsys.past.behaviour import Behaviour
from recsys.past.log import Log
from recsys.ranking.calibration import Calibration
from recsys.ranking.contract import Contract
from recsys.ranking.trees import Examples, TreeRanker, grow, refuse_without_click
from recsys.settings import Settings
from recsys.vectors.queries import check_query
from recsys.vectors.user_tower import UserTower

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Grown:
    """A ranker grown without the valid window, and the same size grown with it."""

    chosen: TreeRanker
    final: TreeRanker


def train(dataset: Dataset, settings: Settings, target: str | Path, start: str | Path | None = None) -> Judgement:
    """Train both stages and write a model folder, whole or not at all.

    The encoder learns block after block, from text, ranker and valid; each block is scored by what had learnt from the
    blocks before it alone. LightGBM learns from ranker; it stops early on valid, where click probabilities are
    calibrated, and is grown once more, to that size, with valid too. Checkpoints lie in `<target>.training`: the same
    call, made again after a kill, goes on from there; only its logs stay.

    Parameters
    ----------
    dataset
        Tables without faults, see `recsys.data.checks`.
    settings
        All settings.
    target
        Folder to write; must not hold anything.
    start
        Model folder whose encoder goes on learning; its valid window must end before the text window begins.

    Returns
    -------
    The judgement on the test window, or on valid, by the ranker that has not learnt from it, when test is empty.

    Raises
    ------
    DataError
        When the tables have faults, a feature is a leak, a window is empty or the target exists.
    SettingsError
        When settings name columns or events that are not there, or `start` has learnt from the ranker window.
    ModelError
        When `start` is no whole model or reads texts in another way.
    """
    target = Path(target)
    refuse_existing(target)
    checked = _check(dataset, settings)
    prints = fingerprint(dataset)
    dataset = grade_labels(dataset.with_plain_ids(), settings.labels)
    windows = place_windows(dataset.requests, settings.windows)
    _check_clicks(dataset, windows, settings)
    log = Log(Behaviour.of(dataset, settings.features.kept), settings.labels.clock(settings.time))
    refuse_leaks(checked, dataset, settings, windows, log)
    facts = {"settings": settings.model_dump(mode="json"), "windows": windows.to_json(), "data": prints}
    before = None if start is None else open_start(Path(start), settings.text, windows)
    encoder = encoder_hash(settings.text.encoder) if start is None else identity(Path(start))
    with work_folder(target, {**facts, "encoder": encoder, "versions": _versions()}) as work:
        course = TextCourse(dataset, settings, windows, log, before, work)
        logged = _read(course, log, settings)
        reader = course.reader(log)
        logged["test"] = read_logged(windows.of(dataset.requests, "test"), log, settings.features, reader)
        model, judgement = _learn_to_rank(settings, windows, logged, log, reader.tower)
        judgement = dataclasses.replace(judgement, sampled=dataset.about.sampled)
        lessons = [dataclasses.asdict(lesson) for lesson in course.trainer.lessons]
        with new_folder(target) as folder:
            model.save(folder)
            course.trainer.model.save(folder)
            State(log.behaviour, reader.vectors).save(folder / "state", folder)
            write_report(folder, judgement, model, dataset)
            write_manifest(folder, {**facts, "lessons": lessons})
    return judgement


def _versions() -> dict[str, str]:
    """Name the libraries that decide what comes of a training."""
    return {name: version(name) for name in ("recsys", "torch", "transformers", "lightgbm", "polars", "numpy")}


def _check(dataset: Dataset, settings: Settings) -> CheckReport:
    """Refuse tables with faults, and settings that name what is not there or was recorded with the outcome."""
    checked = check_tables(dataset)
    refuse_errors(checked)
    warnings = sum(fault.severity == "warning" for fault in checked.faults)
    if warnings:
        logger.warning("the table check has %d warnings; `recsys check` says which", warnings)
    check_context(dataset.requests, settings.features, dataset.about.recorded_after)
    check_events(dataset, settings.features)
    check_query(dataset.requests, settings.text.query, dataset.about.recorded_after)
    check_extra(settings.text.backend)
    return checked


def _check_clicks(dataset: Dataset, windows: Windows, settings: Settings) -> None:
    """Refuse windows that LightGBM could not learn from, before the encoder has learnt for hours."""
    delay = settings.labels.clock(settings.time).feedback_delay
    for window in WINDOWS[1:3]:
        refuse_without_click(windows.of(dataset.requests, window, delay)["label"].to_numpy(), window)


def _read(course: TextCourse, log: Log, settings: Settings) -> dict[Window, LoggedWindow]:
    """Compute the features of each block of the ranker and valid windows before the encoder learns from it."""
    logged: dict[Window, LoggedWindow] = {}
    for window, rows, _ in course.blocks():
        if window == "text":
            continue
        part = read_logged(rows, log, settings.features, course.reader(log))
        logged[window] = logged[window].joined(part) if window in logged else part
    return logged


def _learn_to_rank(
    settings: Settings, windows: Windows, logged: Mapping[Window, LoggedWindow], log: Log, tower: UserTower
) -> tuple[Model, Judgement]:
    """Grow both rankers, calibrate, and judge them on a window they have not learnt from."""
    ranker, valid, test = (logged[window] for window in WINDOWS[1:])
    both = grow_with_valid(ranker.examples, valid.examples, settings)
    behaviour = grow_with_valid(ranker.examples.without(TEXT_COLUMNS), valid.examples.without(TEXT_COLUMNS), settings)
    calibration = Calibration.fit(both.chosen.score(valid.examples.table), valid.examples.labels)
    model = Model(settings, windows, both.final, behaviour.final, calibration, tower)
    if test.requests.is_empty():
        return model, judge(valid, log, "valid", both.chosen, behaviour.chosen, settings.seed)
    return model, judge(test, log, "test", both.final, behaviour.final, settings.seed)


def grow_with_valid(ranker: Examples, valid: Examples, settings: Settings) -> Grown:
    """Grow a ranker to the size that valid chooses, and once more with valid."""
    # One contract for both windows, so that a category of either has the same code in both growths.
    joined = ranker.joined(valid)
    contract = Contract.of(joined.table)
    chosen = grow(ranker, contract, settings.ranker, settings.seed, valid=valid)
    logger.info("%d trees on %d lists", chosen.size, len(ranker.starts) - 1)
    return Grown(chosen, grow(joined, contract, settings.ranker, settings.seed, rounds=chosen.size))
