"""Out-of-fold reading: each block of time is scored by the encoder that learnt from the blocks before it."""

import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.data.clock import TimeSettings
from recsys.data.tables import Dataset
from recsys.data.texts import item_texts, warn_of_empty
from recsys.data.windows import Block, Window, Windows
from recsys.encoders.settings import TextSettings
from recsys.errors import SettingsError
from recsys.features.builder import Reader, find_items, read_lists, request_starts
from recsys.features.definitions import Rate
from recsys.learning.text_model import TextModel
from recsys.learning.training import TextTrainer
from recsys.model.folder import Model
from recsys.past.log import Log
from recsys.past.lookup import Lookup
from recsys.past.streams import Rows
from recsys.settings import Settings
from recsys.vectors.coded_lists import CodedLists, Outcomes
from recsys.vectors.queries import QueryReader, read_queries

logger = logging.getLogger(__name__)

Ints = npt.NDArray[np.int64]

_READING = ("encoder", "fields", "template", "query", "max_tokens", "pooling", "layers", "lexicon", "dimension")
"""Settings that say what a text is and what becomes of it; a model can go on learning only under the same."""

_PRIOR = 20.0
"""Showings after which an item's own click rate counts as much as the usual one."""

_OLD_REQUESTS = 1_000
"""Older requests on which forgetting is measured."""


@dataclass(frozen=True)
class TextLog:
    """Logged requests as the text stage reads them, in order of time.

    Attributes
    ----------
    lists, outcomes
        What was shown, clicked before, and clicked.
    moments
        datetime64 [R]; when each list was shown.
    query_texts
        The distinct texts that requests ask with; their codes come after those of the items.
    """

    lists: CodedLists
    outcomes: Outcomes
    moments: npt.NDArray[np.datetime64]
    query_texts: list[str]

    @classmethod
    def of(cls, requests: pl.DataFrame, log: Log, items: pl.Series, settings: TextSettings) -> "TextLog":
        """Read logged requests; codes of items are rows of the catalogue `items`.

        The text of a request is that of its first row, in order of items.
        """
        requests = requests.sort("timestamp", "request_id", "item_id")
        starts, rows = request_starts(requests), log.rows(requests)
        lists = read_lists(log, rows, starts, find_items(log, items), settings.history_length)
        outcomes = _outcomes(requests, log, rows)
        moments = requests["timestamp"].dt.replace_time_zone(None).to_numpy()[starts[:-1]]
        if not settings.query:
            return cls(lists, outcomes, moments, [])
        codes, texts = read_queries(requests[settings.query].gather(starts[:-1]))
        lists = replace(lists, queries=np.where(codes < 0, -1, codes + len(items)).astype(np.int32))
        return cls(lists, outcomes, moments, texts)

    def before(self, moment: datetime) -> Ints:
        """Return the requests before a moment, int64 [at most R]."""
        return np.arange(np.searchsorted(self.moments, np.datetime64(moment.replace(tzinfo=None))))

    def clicked(self, requests: Ints) -> bool:
        """Tell whether some requests hold a click on a known item."""
        places = self.lists.places(requests)
        return bool(np.any((self.outcomes.labels[places] > 0) & (self.lists.items[places] >= 0)))

    def take(self, requests: Ints) -> tuple[CodedLists, Outcomes]:
        """Return some requests."""
        return self.lists.take(requests), self.outcomes.take(self.lists.places(requests))


def read_in_blocks(
    trainer: TextTrainer, shown: TextLog, blocks: list[Block], time: TimeSettings, settings: TextSettings, seed: int
) -> Iterator[Block]:
    """Yield each block before the trainer learns from it; then let it learn.

    The encoder learns from the requests whose labels are known at the `as_of` of the block's end and that it has not
    learnt from yet, and reads a sample of older requests again. The first request of the next block so finds no label
    that it may not know. What was forgotten is measured on old requests that are never read again: those before the
    first block, or, where there are none, those on which the first block's passes were judged.

    Parameters
    ----------
    trainer
        What learns; the caller reads a block with `trainer.model` before asking for the next.
    shown
        All requests up to the end of the last block, and older ones that may be read again if there are any.
    blocks
        In order of time.
    time
        When labels are known.
    settings
        `replay` and `held_out`.
    seed
        Draws the requests that are read again.
    """
    learnt = shown.before(blocks[0].start)
    old = learnt[-_OLD_REQUESTS:]
    for number, block in enumerate(blocks):
        yield block
        known = shown.before(time.labelled_until(block.end))
        new = known[len(learnt) :]
        if number and not shown.clicked(new):
            logger.info("no click on a known item is known by the end of block-%d; it waits for the next", number)
            continue
        older = np.setdiff1d(learnt, old)
        wanted = min(len(older), round(settings.replay * len(new)))
        again = np.random.default_rng([seed, number]).choice(older, wanted, replace=False)
        read = np.concatenate([np.sort(again), new])
        judged = len(old) > 0
        trainer.learn(f"block-{number}", *shown.take(read), old=shown.take(old) if judged else None)
        learnt = known
        if not judged:
            old = new[len(new) - math.ceil(settings.held_out * len(new)) :][-_OLD_REQUESTS:]


def _outcomes(requests: pl.DataFrame, log: Log, rows: Rows) -> Outcomes:
    """Return labels and what was known of popularity, or clicks and showings where the log is aggregated."""
    if "views" in requests.columns:
        counts = (requests[name].fill_null(0).cast(pl.Float32).to_numpy() for name in ("clicks", "views"))
        return Outcomes(*counts)
    lookup = Lookup(log, rows)
    usual, own = (Rate(per, None, _PRIOR).values(lookup) for per in ((), ("item",)))
    known = usual > 0  # something was clicked before
    popularity = np.log(np.divide(own, usual, out=np.ones(len(own)), where=known))
    return Outcomes.of(requests["label"].to_numpy(), popularity)


class TextCourse:
    """The text stage on its way through the logs: reads each block before it learns from it.

    Parameters
    ----------
    dataset
        Tables with graded labels.
    settings
        All settings.
    windows
        What is learnt from: text, ranker and valid.
    log
        Behaviour, known under the model's clock.
    before
        Model to go on from, see `open_start`; None starts anew.
    work
        Working folder, see `TextTrainer`.

    Attributes
    ----------
    trainer
        What learns.
    """

    def __init__(
        self, dataset: Dataset, settings: Settings, windows: Windows, log: Log, before: TextModel | None, work: Path
    ) -> None:
        self._dataset = dataset
        self._settings = settings
        self._windows = windows
        self._time = log.time
        self._texts = item_texts(dataset.items, settings.text.fields, settings.text.template)
        warn_of_empty(self._texts)
        inside = pl.col("timestamp") < windows.cuts[3]
        if before is None:
            inside &= pl.col("timestamp") >= windows.cuts[0]
        self._shown = TextLog.of(dataset.requests.filter(inside), log, dataset.items["item_id"], settings.text)
        texts = self._texts + self._shown.query_texts
        self.trainer = TextTrainer(texts, settings.text, settings.seed, work, before)
        self._honest = before is not None

    def blocks(self) -> Iterator[tuple[Window, pl.DataFrame, bool]]:
        """Yield each block's window, its requests, and whether `reader` knows anything yet; then learn from it."""
        settings = self._settings
        blocks = self._windows.blocks(settings.text.block)
        for block in read_in_blocks(self.trainer, self._shown, blocks, self._time, settings.text, settings.seed):
            inside = (pl.col("timestamp") >= block.start) & (pl.col("timestamp") < block.end)
            rows = self._windows.of(self._dataset.requests, block.window, self._time.feedback_delay).filter(inside)
            yield block.window, rows, self._honest or bool(self.trainer.lessons)

    def reader(self, log: Log) -> Reader:
        """Read with what is known now."""
        model, settings = self.trainer.model, self._settings.text
        embeddings = self.trainer.embed()[: len(self._texts)]
        vectors = model.vectors(self._dataset.items["item_id"], self._texts, embeddings)
        queries = QueryReader(settings.query, model.encode_query) if settings.query else None
        return Reader.of(log, vectors, model.tower, settings.history_length, queries)


def open_start(folder: Path, settings: TextSettings, windows: Windows) -> TextModel:
    """Load the encoder of an earlier model to go on from.

    Raises
    ------
    ModelError
        When the folder is no whole model.
    SettingsError
        When the model has learnt from later requests than the new text window's first, or reads texts in another way.
    """
    before = Model.load(folder)
    learnt, begins = before.windows.cuts[3], windows.cuts[0]
    if learnt > begins:
        raise SettingsError(
            f"{folder} has learnt from requests up to {learnt.isoformat()}, after the text window's begin at "
            f"{begins.isoformat()}; its scores would know the answers. Move [windows] or start from an older model"
        )
    for name in _READING:
        old, new = getattr(before.settings.text, name), getattr(settings, name)
        if old != new:
            raise SettingsError(f"[text] {name} is {new!r} but {folder} was trained with {old!r}; set it to that")
    return TextModel.load(folder)
