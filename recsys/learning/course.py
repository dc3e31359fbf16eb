"""Out-of-fold reading: each block of time is read by the encoder that learnt from the blocks before it."""

import logging
import math
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.data.clock import TimeSettings
from recsys.data.tables import Dataset
from recsys.data.texts import own_texts, warn_of_empty
from recsys.data.windows import Block, Windows
from recsys.encoders.settings import TextSettings
from recsys.features.declared import values_of
from recsys.features.definitions import Rate
from recsys.learning.blocks import Outcomes
from recsys.learning.next_clicks import CLICKS_READ, Clicks
from recsys.learning.text_model import TextModel
from recsys.learning.training import TextTrainer
from recsys.past.log import Log
from recsys.past.lookup import Lookup, request_starts
from recsys.past.streams import CLICK, Rows
from recsys.vectors.coded_lists import CodedLists
from recsys.vectors.queries import QueryReader, read_queries
from recsys.vectors.reader import Reader, read_lists

logger = logging.getLogger(__name__)

Ints = npt.NDArray[np.int64]

_MOST_CLICKS = 500_000
"""Past clicks that are learnt from, so that a log of years takes no more room than one of months."""

_FIRST, _TURN = 5.0, 3.0
"""How many times as long as heads alone a block takes where the encoder learns: the first, and others."""

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
        datetime64 [R]; when each list was shown, the last of those that a made list stands for.
    query_texts
        The distinct texts that requests ask with; their codes come after those of the items.
    users
        int64 [R]; code of each request's user.
    clicks
        Clicks that are none on a list, in order of time, one candidate each, with the last few that their users had
        read before; of very many some, evenly over time.
    clicked
        datetime64 [clicks]; when each became known.
    values
        float32 [clicks]; what was recorded of those that `weigh` names, NaN elsewhere.
    """

    lists: CodedLists
    outcomes: Outcomes
    moments: npt.NDArray[np.datetime64]
    query_texts: list[str]
    users: Ints
    clicks: CodedLists
    clicked: npt.NDArray[np.datetime64]
    values: npt.NDArray[np.float32]

    @classmethod
    def of(cls, requests: pl.DataFrame, log: Log, items: pl.DataFrame, settings: TextSettings) -> "TextLog":
        """Read logged requests; codes of items are rows of the texts that `items` names, see `Register.places`.

        The text of a request is that of its first row, in order of items.
        """
        requests = requests.sort(log.time.shown, "request_id", "item_id")
        starts, rows = request_starts(requests), log.rows(requests)
        places, length = log.register.places(items), settings.history_length
        lists, texts = read_lists(log, rows, starts, places, length), list[str]()
        if settings.query:
            codes, texts = read_queries(requests[settings.query].gather(starts[:-1]))
            lists = replace(lists, queries=np.where(codes < 0, -1, codes + len(items)).astype(np.int32))
        outcomes, moments = _outcomes(requests, log, rows), _moments(requests[log.time.shown])[starts[:-1]]
        past = _past_clicks(log, settings)
        clicks = read_lists(log, log.rows(past), np.arange(len(past) + 1), places, min(length, CLICKS_READ))
        users = rows.codes["user"][starts[:-1]]
        values = past.select(pl.when(pl.col("event") == settings.weigh).then(pl.col("value")).cast(pl.Float32))
        recorded = values.to_series().fill_null(np.nan).to_numpy()
        return cls(lists, outcomes, moments, texts, users, clicks, _moments(past["timestamp"]), recorded)

    def before(self, moment: datetime) -> Ints:
        """Return the requests before a moment, int64 [at most R]."""
        return np.arange(np.searchsorted(self.moments, np.datetime64(moment.replace(tzinfo=None))))

    def clicks_between(self, start: datetime | None, end: datetime) -> Clicks:
        """Return the past clicks that became known from one moment, where there is one, until before another."""
        since, until = (
            0 if each is None else np.searchsorted(self.clicked, np.datetime64(each.replace(tzinfo=None)))
            for each in (start, end)
        )
        return self.clicks.block(int(since), int(until)), self.values[int(since) : int(until)]

    def holds_click(self, requests: Ints) -> bool:
        """Tell whether some requests hold a click on a known item."""
        places = self.lists.places(requests)
        return bool(np.any((self.outcomes.labels[places] > 0) & (self.lists.items[places] >= 0)))

    def take(self, requests: Ints) -> tuple[CodedLists, Outcomes]:
        """Return some requests."""
        return self.lists.take(requests), self.outcomes.take(self.lists.places(requests))


class Schedule:
    """Blocks of time that an encoder learns from one after the other, each after it was read.

    The encoder learns from the requests whose labels are known at the `as_of` of the block's end and that it has not
    learnt from yet, and reads a sample of older requests again. The first request of the next block so finds no label
    that it may not know. What was forgotten is measured on old requests that are never read again: those before the
    first block, or, where there are none, those on which the first block's passes were judged.

    Parameters
    ----------
    trainer
        What learns.
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

    def __init__(
        self,
        trainer: TextTrainer,
        shown: TextLog,
        blocks: list[Block],
        time: TimeSettings,
        settings: TextSettings,
        seed: int,
    ) -> None:
        self.trainer, self.blocks = trainer, blocks
        self._shown, self._time, self._settings, self._seed = shown, time, settings, seed
        self._done = 0
        self._learnt = shown.before(blocks[0].start)
        self._clicks_learnt: datetime | None = None
        self._old = self._learnt[-_OLD_REQUESTS:]

    @property
    def worth(self) -> list[float]:
        """How long each block takes against the others: longest where the encoder learns, above all first."""
        older = len(self._shown.before(self.blocks[0].start))
        ends = (self._time.labelled_until(block.end) for block in self.blocks)
        turns = self.trainer.turns([len(self._shown.before(end)) - older for end in ends])
        return [(_TURN if place else _FIRST) if turn else 1.0 for place, turn in enumerate(turns)]

    def refuse_unless_next(self, block: Block) -> None:
        """Refuse a block that was learnt from already, or whose turn has not come: what is read of it would be wrong.

        Raises
        ------
        ValueError
            Naming the block that comes next.
        """
        following = self.blocks[self._done] if self._done < len(self.blocks) else None
        if block != following:
            raise ValueError(f"the next block is {following}, not {block}; read and learn each block once, in order")

    def learn(self, block: Block) -> None:
        """Learn from what is known by the end of the next block; it can be read no more.

        Raises
        ------
        ValueError
            When another block comes next.
        """
        self.refuse_unless_next(block)
        number, shown, learnt = self._done, self._shown, self._learnt
        self._done += 1
        known = shown.before(self._time.labelled_until(block.end))
        new = known[len(learnt) :]
        if number and not shown.holds_click(new):
            logger.debug("no click on a known item is known by the end of block-%d; it waits for the next", number)
            return
        older = np.setdiff1d(learnt, self._old)
        wanted = min(len(older), round(self._settings.replay * len(new)))
        again = np.random.default_rng([self._seed, number]).choice(older, wanted, replace=False)
        read = np.concatenate([np.sort(again), new])
        judged, until = len(self._old) > 0, self._clicks_until(block, new)
        self.trainer.learn(
            f"block-{number}",
            *shown.take(read),
            old=shown.take(self._old) if judged else None,
            clicks=shown.clicks_between(self._clicks_learnt, until),
            users=shown.users[read],
            again=len(again),
        )
        self._learnt, self._clicks_learnt = known, until
        if not judged:
            self._old = new[len(new) - math.ceil(self._settings.held_out * len(new)) :][-_OLD_REQUESTS:]

    def _clicks_until(self, block: Block, new: Ints) -> datetime:
        """Say until when past clicks are learnt from: what held-out requests could not know would flatter them."""
        until = self._time.known_at(block.end)
        held_out = new[len(new) - math.ceil(self._settings.held_out * len(new)) :]
        if not len(held_out):
            return until
        first: datetime = self._shown.moments[held_out[0]].astype("datetime64[us]").item()
        return min(until, self._time.known_at(first.replace(tzinfo=UTC)))


def _moments(column: pl.Series) -> npt.NDArray[np.datetime64]:
    """Give moments as numpy has them, in UTC."""
    found: npt.NDArray[np.datetime64] = column.dt.replace_time_zone(None).to_numpy()
    return found


def _past_clicks(log: Log, settings: TextSettings) -> pl.DataFrame:
    """Give the events that users read as they read clicks, in order of time; of very many some, evenly over time."""
    kinds = [CLICK, *log.history] if settings.next_click and settings.epochs else []
    events = log.behaviour.events.filter(pl.col("event").is_in(kinds)).sort("known_at", "user_id", "item_id")
    if len(events) > _MOST_CLICKS:
        events = events[np.linspace(0, len(events) - 1, _MOST_CLICKS).astype(np.int64)]
    return events.rename({"known_at": "timestamp"})


def _outcomes(requests: pl.DataFrame, log: Log, rows: Rows) -> Outcomes:
    """Return labels and what was known of popularity, or clicks and showings where the log is aggregated."""
    if "views" in requests.columns:
        counts = (requests[name].fill_null(0).cast(pl.Float32).to_numpy() for name in ("clicks", "views"))
        return Outcomes(*counts)
    lookup = Lookup(log, rows)
    usual, own = (values_of(Rate(per), lookup) for per in ((), ("item",)))
    known = usual > 0  # something was clicked before
    popularity = np.log(np.divide(own, usual, out=np.ones(len(own)), where=known))
    return Outcomes.of(requests["label"].to_numpy(), popularity)


class TextCourse:
    """The text stage on its way through the logs: each block is read, and then learnt from.

    Parameters
    ----------
    dataset
        Tables with graded labels; under nightly, `requests` are the made lists.
    settings, seed
        Of the text stage.
    windows
        What is learnt from: text, ranker and valid.
    log
        Behaviour, known under the model's clock.
    before
        Text model to go on from; None starts anew.
    work
        Working folder, see `TextTrainer`.

    Attributes
    ----------
    trainer
        What learns.
    blocks
        In order of time.
    started
        Whether it goes on from an earlier model.
    """

    def __init__(
        self,
        dataset: Dataset,
        settings: TextSettings,
        seed: int,
        windows: Windows,
        log: Log,
        before: TextModel | None,
        work: Path,
    ) -> None:
        self._dataset, self._settings, self._windows, self._time = dataset, settings, windows, log.time
        self._items, self._texts = own_texts(dataset.items, settings.fields, settings.template)
        warn_of_empty(self._texts)
        inside = pl.col("timestamp") < windows.learnt_until
        if before is None:
            inside &= pl.col("timestamp") >= windows.cuts[0]
        shown = TextLog.of(dataset.requests.filter(inside), log, self._items, settings)
        self.trainer = TextTrainer(self._texts + shown.query_texts, settings, seed, work, before)
        self.blocks = windows.blocks(settings.block)
        self._schedule = Schedule(self.trainer, shown, self.blocks, log.time, settings, seed)
        self.started = before is not None

    @property
    def knows(self) -> bool:
        """Whether the encoder has learnt anything yet."""
        return self.started or bool(self.trainer.lessons)

    def read(self, block: Block) -> pl.DataFrame:
        """Give the requests of the next block whose labels are known by the end of its window.

        Raises
        ------
        ValueError
            When the block was learnt from already, or another comes next.
        """
        self._schedule.refuse_unless_next(block)
        inside = (pl.col("timestamp") >= block.start) & (pl.col("timestamp") < block.end)
        time, window = self._time, block.window
        return self._windows.of(self._dataset.requests, window, time.feedback_delay, time.shown).filter(inside)

    def reader(self, log: Log) -> Reader:
        """Read with what is known now."""
        return self._reader(log, self.trainer.model, self.trainer.embed())

    def untuned_reader(self, log: Log) -> Reader | None:
        """Read with what heads alone learnt on the published encoder; None where nothing else reads."""
        model = self.trainer.untuned()
        return None if model is None else self._reader(log, model, self.trainer.embed_untuned())

    def _reader(self, log: Log, model: TextModel, embeddings: npt.NDArray[np.float32]) -> Reader:
        settings = self._settings
        vectors = model.vectors(self._items, self._texts, embeddings[: len(self._texts)])
        queries = QueryReader(settings.query, model.encode_query) if settings.query else None
        return Reader.of(log, vectors, model.tower, settings.history_length, queries)

    @property
    def worth(self) -> list[float]:
        """How long learning from each block takes against the others."""
        return self._schedule.worth

    def learn(self, block: Block) -> None:
        """Learn from the next block, see `Schedule.learn`."""
        self._schedule.learn(block)
