"""Train: tables and settings in, a model folder out."""

import dataclasses
import logging
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from recsys.batch.evaluating import Judgement, judge
from recsys.batch.logged import LoggedWindow, read_logged
from recsys.batch.reading import Shown, open_start, read_in_blocks
from recsys.batch.reporting import write_report
from recsys.batch.work import work_folder
from recsys.data.checks import check_tables
from recsys.data.faults import refuse_errors
from recsys.data.labels import grade_labels
from recsys.data.tables import Dataset
from recsys.data.windows import WINDOWS, Window, Windows, place_windows
from recsys.features.behaviour import Behaviour
from recsys.features.builder import TEXT_COLUMNS, Reader, check_context, check_events
from recsys.features.log import Log
from recsys.files import new_folder, refuse_existing
from recsys.model import Model, State, fingerprint, identity, write_manifest
from recsys.ranking.calibration import Calibration
from recsys.ranking.contract import Contract
from recsys.ranking.ranker import Examples, TreeRanker, grow
from recsys.settings import Settings
from recsys.text.fields import item_texts, warn_of_empty
from recsys.text.model import TextModel
from recsys.text.queries import QueryReader, check_query
from recsys.text.training import TextTrainer

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Grown:
    """A ranker grown without the valid window, and the same size grown with it."""

    chosen: TreeRanker
    final: TreeRanker


@dataclass(frozen=True)
class Course:
    """What the text stage made of the logs.

    Attributes
    ----------
    trainer
        Has learnt from every block.
    reader
        Reads with what the trainer knows now.
    logged
        Features of the text, ranker and valid windows, each block read before it was learnt from.
    """

    trainer: TextTrainer
    reader: Reader
    logged: dict[Window, LoggedWindow]


def train(dataset: Dataset, settings: Settings, target: str | Path, start: str | Path | None = None) -> Judgement:
    """Train both stages and write a model folder, whole or not at all.

    The encoder learns block after block: first from the text window, then from the ranker and valid windows, of which
    each block is scored by the encoder that has learnt from the blocks before it alone. LightGBM learns from the text
    window, where text scores are missing, and from the ranker window; it stops early on valid, where click
    probabilities are calibrated as well. It is then grown once more, to the chosen size, with valid too, so that the
    newest days are not lost.

    Until the model is written its checkpoints lie in `<target>.training`; the same call, made again after a kill, goes
    on from there. Logs of the encoder's training stay there.

    Parameters
    ----------
    dataset
        Tables without faults, see `recsys.data.checks`.
    settings
        All settings.
    target
        Folder to write; must not hold anything.
    start
        Model folder, such as yesterday's, whose encoder goes on learning; its own blocks must end before the ranker
        window begins.

    Returns
    -------
    The judgement on the test window, or on valid, by the ranker that has not learnt from it, when test is empty.

    Raises
    ------
    DataError
        When the tables have faults, a window is empty or the target exists.
    SettingsError
        When settings name columns or events that are not there, or `start` has learnt from the ranker window.
    ModelError
        When `start` is no whole model or reads texts in another way.
    """
    target = Path(target)
    refuse_existing(target)
    _check(dataset, settings)
    prints = fingerprint(dataset)
    dataset = grade_labels(dataset.with_plain_ids(), settings.labels)
    windows = place_windows(dataset.requests, settings.windows)
    log = Log(Behaviour.of(dataset, settings.features.affinity), settings.labels.clock(settings.time))
    facts = {"settings": settings.model_dump(mode="json"), "windows": windows.to_json(), "data": prints}
    before = None if start is None else open_start(Path(start), settings.text, windows)
    begun = {**facts, "start": None if start is None else identity(Path(start))}
    with work_folder(target, begun) as work:
        course = read_text(dataset, settings, windows, log, before, work)
        model, judgement = _learn_to_rank(dataset.requests, settings, windows, log, course)
        with new_folder(target) as folder:
            model.save(folder)
            course.trainer.model.save(folder)
            State(log.behaviour, course.reader.vectors).save(folder / "state", folder)
            write_report(folder, judgement, model, dataset)
            lessons = [dataclasses.asdict(lesson) for lesson in course.trainer.lessons]
            write_manifest(folder, {**facts, "lessons": lessons})
    return judgement


def _check(dataset: Dataset, settings: Settings) -> None:
    """Refuse tables with faults, and settings that name what is not there or tells the outcome."""
    refuse_errors(check_tables(dataset))
    check_context(dataset.requests, settings.features, dataset.about.recorded_after)
    check_events(dataset, settings.features)
    check_query(dataset.requests, settings.text.query, dataset.about.recorded_after)


def read_text(
    dataset: Dataset, settings: Settings, windows: Windows, log: Log, before: TextModel | None, work: Path
) -> Course:
    """Let the encoder learn block after block, and compute the features of each block before it does."""
    texts = item_texts(dataset.items, settings.text.fields, settings.text.template)
    warn_of_empty(texts)
    end = pl.col("timestamp") < windows.cuts[3]
    seen = dataset.requests.filter(end if before else end & (pl.col("timestamp") >= windows.cuts[0]))
    shown = Shown.of(seen, log, dataset.items["item_id"], settings.text)
    trainer = TextTrainer(texts + shown.query_texts, settings.text, settings.seed, work, before)

    def reader() -> Reader:
        model = trainer.model
        vectors = model.vectors(dataset.items["item_id"], texts, trainer.embed()[: len(texts)])
        queries = QueryReader(settings.text.query, model.encode_query) if settings.text.query else None
        return Reader.of(log, vectors, model.tower, settings.text.history_length, queries)

    logged: dict[Window, LoggedWindow] = {}
    delay = log.time.feedback_delay
    blocks = windows.blocks(settings.text.block)
    for block in read_in_blocks(trainer, shown, blocks, delay, settings.text, settings.seed):
        inside = (pl.col("timestamp") >= block.start) & (pl.col("timestamp") < block.end)
        rows = windows.of(dataset.requests, block.window, delay).filter(inside)
        honest = reader() if trainer.lessons or before else None
        part = read_logged(rows, log, settings.features, honest)
        logged[block.window] = logged[block.window].joined(part) if block.window in logged else part
    return Course(trainer, reader(), logged)


def _learn_to_rank(
    requests: pl.DataFrame, settings: Settings, windows: Windows, log: Log, course: Course
) -> tuple[Model, Judgement]:
    """Grow both rankers, calibrate, and judge them on a window they have not learnt from."""
    text, ranker, valid = (course.logged[window] for window in WINDOWS[:3])
    shown = text.joined(ranker).examples
    both = grow_with_valid(shown, valid.examples, settings)
    behaviour = grow_with_valid(shown.without(TEXT_COLUMNS), valid.examples.without(TEXT_COLUMNS), settings)
    calibration = Calibration.fit(both.chosen.score(valid.examples.table), valid.examples.labels)
    model = Model(settings, windows, both.final, behaviour.final, calibration, course.reader.tower)
    test = read_logged(windows.of(requests, "test"), log, settings.features, course.reader)
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
