"""Totals that stand for old rows: by key, and by day where there is a horizon, with their first and last moments."""

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from recsys.past.counters import Counters, Counting
from recsys.past.field import marks
from recsys.past.reads import READ, Key, Reads
from recsys.past.register import ALWAYS, Changed, Register
from recsys.past.streams import CLICK, Ints, Stream

if TYPE_CHECKING:
    from recsys.past.layer import Layer
    from recsys.past.parts import Counted


@dataclass(frozen=True)
class Keeping:
    """How much of the past is kept as rows.

    Attributes
    ----------
    rows_for
        So long before the first moment that may be asked everything is: as long as rows may come late, and windows and
        delays reach.
    read
        So many of what each user read last before that.
    clicks_for
        So long before it all clicks, for what is counted of all items; nothing where that is not asked.
    kinds
        Events of these kinds are kept for ever, by user and item alone; of `click` all clicks are.
    """

    rows_for: timedelta
    read: int
    clicks_for: timedelta = timedelta(0)
    kinds: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Old:
    """Old rows of a layer, of which totals are to be made.

    Attributes
    ----------
    layer
        All its rows.
    keys
        What is counted.
    since, before
        Only rows that became known within count, microseconds.
    days
        Gives the day of moments; totals tell days apart.
    """

    layer: "Layer"
    keys: tuple[Key, ...]
    since: int
    before: int
    days: Callable[[Ints], Ints]

    def streams(self) -> dict[str, Stream]:
        """Give the rows of each stream that is counted, in the order in which they became known."""
        return {of: self._old(stream).by_moment for of, stream in self.layer.streams(self.keys).items()}

    def add(self, counting: Counting, row: int, stream: Stream, listed: bool) -> None:
        """Add up the rows of a stream; arguments as of `recsys.past.counters.Counting.add`."""
        order = np.arange(len(stream.moments))
        counting.add_totals(row, stream, self.layer.sizes, order, self.days(stream.moments), listed)

    def _old(self, stream: Stream) -> Stream:
        return stream.where((stream.moments < self.before) & (stream.moments >= self.since))


@dataclass(frozen=True, eq=False)
class Totals:
    """What is left of old rows: the lowest layer of a log that does not answer for moments long past.

    Attributes
    ----------
    made
        Totals of every key that may be asked, or the rows of which they are made when they are asked for.
    read
        The last that each user read, see `Layer.read`.
    rows
        Clicks, and events of other kinds, that are kept as rows of users, items and moments alone.
    """

    made: "Counted | Old"
    read: "Counted"
    rows: Mapping[str, Stream]
    _chosen: "dict[tuple[Key, ...], Counted]" = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        layer: "Layer",
        before: int,
        keep: Keeping,
        keys: tuple[Key, ...],
        days: Callable[[Ints], Ints],
        first: int | None = None,
    ) -> "Totals":
        """Let totals stand for the rows of a layer that became known before a moment, microseconds.

        Parameters
        ----------
        layer
            All rows.
        before
            The moment.
        keep
            What is kept of single rows.
        keys
            What is counted.
        days
            Gives the day of moments; totals tell days apart.
        first
            What became known before, microseconds, counts for nobody who may ask; None where all counts.
        """
        clicks = layer.click_rows.where(layer.click_rows.moments < before)
        since = ALWAYS if CLICK in keep.kinds else before - keep.clicks_for // timedelta(microseconds=1)
        rows = {CLICK: _bare(clicks.where(clicks.moments >= since))}
        for kind in (kind for kind in keep.kinds if kind != CLICK):
            of_kind = layer.stream(kind)
            rows[kind] = _bare(of_kind.where(of_kind.moments < before))
        old = Old(layer, keys, ALWAYS if first is None else first, before, days)
        return cls(old, _last_read(layer, before, keep.read), rows)

    @cached_property
    def counted(self) -> "Counted":
        """Totals of every key that may be asked."""
        if not isinstance(self.made, Old):
            return self.made
        counting, streams = Counting(self.made.keys), self.made.streams()
        for row, key in enumerate(self.made.keys):
            self.made.add(counting, row, streams[key.of], listed=False)
        return counting.done()

    def prepare(self, keys: tuple[Key, ...]) -> None:
        """Nothing is left to be counted; what is asked must be among it."""
        self.counters(keys)

    def release(self) -> None:
        """Let go of memory of counters that can be mapped again."""
        for counted in (self.counted, self.read):
            counted.release()

    def counters(self, keys: tuple[Key, ...]) -> "Counted":
        """Give the counters of some keys; threads may ask."""
        found = self._chosen.get(keys)
        if found is None:
            found = self._chosen[keys] = self.counted.of(keys)
        return found

    def add(self, reads: Reads, codes: Ints, bounds: Ints, found: Ints) -> None:
        """Add what is known here, see `recsys.past.counters.Counters.add`: windows never reach back to these rows."""
        unlimited = reads.unlimited
        self.counters(unlimited.keys).add(unlimited, codes, bounds, found)

    def stream(self, of: str) -> Stream:
        """Give what is kept of the events of a kind as rows."""
        return self.rows[of]

    @property
    def click_rows(self) -> Stream:
        """What is kept of clicks as rows."""
        return self.rows[CLICK]

    @cached_property
    def click_marks(self) -> tuple[Ints, npt.NDArray[np.uint64]]:
        """As of `Layer.click_marks`."""
        return marks(self.click_rows)

    def touched(self, changed: Mapping[str, Changed]) -> set[str]:
        """Name no attribute: totals stay under what was known when they were added up."""
        return set()

    def recoded(self, register: Register, names: Set[str], below: tuple[object, ...]) -> "Totals":
        """Give the same totals."""
        return self


def _bare(stream: Stream) -> Stream:
    """Keep users, items and moments of rows alone."""
    return replace(stream, codes={name: stream.codes[name] for name in ("user", "item")}, amounts=())


def _last_read(layer: "Layer", before: int, many: int) -> Counters:
    """Give the last that each user read before a moment."""
    rows, order = layer.history_rows, layer.register.vocabularies["item"].order
    rows = rows.where(rows.moments < before)
    users, items = rows.codes["user"], rows.codes["item"]
    sorted_rows = np.lexsort((rows.happened, order[items], rows.moments, users))
    ends = np.searchsorted(users[sorted_rows], users[sorted_rows], side="right")
    last = np.sort(sorted_rows[ends - np.arange(len(ends)) <= many])
    rows = rows.where(np.isin(np.arange(len(users)), last))
    items = rows.codes["item"]
    counting = Counting((READ,))
    by_moment = np.lexsort((rows.happened, order[items], rows.moments))
    counting.add(0, replace(rows, amounts=(items, rows.happened)), layer.sizes, by_moment, running=False)
    return counting.done()
