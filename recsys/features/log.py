"""Behaviour as streams of rows that become known over time, ready for the counting kernel."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.data.clock import TimeSettings
from recsys.features.behaviour import Behaviour
from recsys.features.counters import Counter, Ints
from recsys.features.vocabulary import Vocabulary

MICROSECONDS_PER_HOUR = 3_600_000_000

SHOWING, OUTCOME, CLICK = "showing", "outcome", "click"
"""Streams beside the event kinds: a list row at once, the same row once its label is known, and every click."""


@dataclass(frozen=True)
class Rows:
    """Candidates in codes, one element a row.

    Attributes
    ----------
    codes
        Per key column (`user`, `item`, an item attribute) the codes, -1 where unknown, each of shape [Q].
    as_of
        Moment after which nothing may be known, microseconds, shape [Q].
    timestamp
        The request's own moment, microseconds, shape [Q].
    """

    codes: dict[str, Ints]
    as_of: Ints
    timestamp: Ints


@dataclass
class Log:
    """All behaviour, encoded once; counters are built when first asked for.

    Attributes
    ----------
    behaviour
        The tables.
    time
        When rows become known.
    """

    behaviour: Behaviour
    time: TimeSettings
    _counters: dict[tuple[str, tuple[str, ...]], Counter] = field(default_factory=dict)

    @cached_property
    def users(self) -> Vocabulary:
        """Every user with behaviour."""
        return Vocabulary.of(self.behaviour.showings["user_id"], self.behaviour.events["user_id"])

    @cached_property
    def items(self) -> Vocabulary:
        """Every item of the catalogue and every item with behaviour."""
        tables = (self.behaviour.items, self.behaviour.showings, self.behaviour.events)
        return Vocabulary.of(*(table["item_id"] for table in tables))

    @cached_property
    def attributes(self) -> dict[str, Ints]:
        """Per item attribute its code for every item code, -1 where it is not known."""
        place = Vocabulary.encode(self.items, self.behaviour.items["item_id"])
        found = {}
        for name in self.behaviour.attributes:
            column = self.behaviour.items[name]
            codes = np.full(len(self.items), -1, dtype=np.int64)
            codes[place] = Vocabulary.of(column).encode(column)
            found[name] = codes
        return found

    @cached_property
    def available_at(self) -> npt.NDArray[np.float64]:
        """When every item could first be shown, microseconds, NaN where it is not known."""
        moments = np.full(len(self.items), np.nan)
        place = self.items.encode(self.behaviour.items["item_id"])
        moments[place] = self.behaviour.items["available_at"].dt.epoch("us").cast(pl.Float64).to_numpy()
        return moments

    @cached_property
    def item_rows(self) -> Ints:
        """Row in the items table of every item code; its length where the item is not in it."""
        items = self.behaviour.items["item_id"]
        rows = np.full(len(self.items), len(items), dtype=np.int64)
        rows[self.items.encode(items)] = np.arange(len(items))
        return rows

    @cached_property
    def listed(self) -> npt.NDArray[np.bool_]:
        """Whether every item code is in the items table."""
        return self.item_rows < len(self.behaviour.items)

    def rows(self, candidates: pl.DataFrame) -> Rows:
        """Encode candidates and give each the moment after which nothing may be known."""
        moments = candidates.select(
            pl.col("timestamp").dt.epoch("us").alias("timestamp"),
            self.time.as_of(pl.col("timestamp")).dt.epoch("us").alias("as_of"),
        )
        return Rows(
            codes=self._codes(self.users.encode(candidates["user_id"]), self.items.encode(candidates["item_id"])),
            as_of=moments["as_of"].to_numpy(),
            timestamp=moments["timestamp"].to_numpy(),
        )

    def combine(self, codes: dict[str, Ints], per: tuple[str, ...]) -> Ints:
        """Make one key of several code columns, -1 where one of them is unknown; no column is one key for all."""
        sizes = {"user": len(self.users), "item": len(self.items)}
        key = np.zeros(len(codes["item"]), dtype=np.int64)
        unknown = np.zeros(len(key), dtype=bool)
        for name in per:
            size = sizes[name] if name in sizes else int(self.attributes[name].max(initial=-1)) + 1
            key = key * size + codes[name]
            unknown |= codes[name] < 0
        return np.where(unknown, -1, key)

    def counter(self, of: str, per: tuple[str, ...]) -> Counter:
        """Give the sorted rows of one stream per key."""
        if (of, per) not in self._counters:
            codes, known_at, amounts = self._stream(of)
            self._counters[of, per] = Counter.build(self.combine(codes, per), known_at, amounts)
        return self._counters[of, per]

    @cached_property
    def clicks(self) -> tuple[Counter, Ints]:
        """Clicks by user: the sorted rows and the item code of each, ties in time in the order of item codes."""
        codes, known_at, _ = self._stream(CLICK)
        keys, items = codes["user"], codes["item"]
        return Counter.build(keys, known_at), items[np.lexsort((items, known_at, keys))]

    def _codes(self, users: Ints, items: Ints) -> dict[str, Ints]:
        codes = {"user": users, "item": items}
        for name, of_item in self.attributes.items():
            codes[name] = np.where(items >= 0, of_item[items], -1) if len(of_item) else np.full_like(items, -1)
        return codes

    def _stream(self, of: str) -> tuple[dict[str, Ints], Ints, Ints | None]:
        """Give codes, the moment each row became known, and the amounts of a stream."""
        showings, events = self._showings, self._events
        delay = int(self.time.feedback_delay.total_seconds() * 1_000_000)
        if of == SHOWING:
            return showings[0], showings[1], None
        if of == OUTCOME:
            clicked = (self.behaviour.showings["label"].to_numpy() > 0).astype(np.int64)
            return showings[0], showings[1] + delay, np.stack([np.ones_like(clicked), clicked])
        chosen = (self.behaviour.events["event"] == of).to_numpy()
        codes, known_at = {name: code[chosen] for name, code in events[0].items()}, events[1][chosen]
        if of == CLICK:
            rows = np.flatnonzero(self.behaviour.showings["label"].to_numpy() > 0)
            codes = {name: np.concatenate([code, showings[0][name][rows]]) for name, code in codes.items()}
            known_at = np.concatenate([known_at, showings[1][rows] + delay])
        return codes, known_at, None

    @cached_property
    def _showings(self) -> tuple[dict[str, Ints], Ints]:
        return self._encode(self.behaviour.showings, "timestamp")

    @cached_property
    def _events(self) -> tuple[dict[str, Ints], Ints]:
        return self._encode(self.behaviour.events, "known_at")

    def _encode(self, table: pl.DataFrame, moment: str) -> tuple[dict[str, Ints], Ints]:
        codes = self._codes(self.users.encode(table["user_id"]), self.items.encode(table["item_id"]))
        return codes, table[moment].dt.epoch("us").to_numpy()
