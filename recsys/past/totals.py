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
class Totals:
    """What is left of old rows: the lowest layer of a log that does not answer for moments long past.

    Attributes
    ----------
    counted
        Totals of every key that may be asked.
    read
        The last that each user read, see `Layer.read`.
    rows
        Clicks, and events of other kinds, that are kept as rows of users, items and moments alone.
    """

    counted: "Counted"
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
        """Add up the rows of a layer that became known before a moment, microseconds.

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
        counting = Counting(keys)
        for row, key in enumerate(keys):
            stream = layer.clicked if key.of == CLICK else layer.stream(key.of)
            old = stream.where((stream.moments < before) & (stream.moments >= (ALWAYS if first is None else first)))
            counting.add_totals(row, old, layer.sizes, np.argsort(old.moments, kind="stable"), days(old.moments))
        clicks = layer.click_rows.where(layer.click_rows.moments < before)
        since = ALWAYS if CLICK in keep.kinds else before - keep.clicks_for // timedelta(microseconds=1)
        rows = {CLICK: _bare(clicks.where(clicks.moments >= since))}
        for kind in (kind for kind in keep.kinds if kind != CLICK):
            of_kind = layer.stream(kind)
            rows[kind] = _bare(of_kind.where(of_kind.moments < before))
        return cls(counting.done(), _last_read(layer, before, keep.read), rows)

    def prepare(self, keys: tuple[Key, ...]) -> None:
        """Nothing is left to be counted; what is asked must be among it."""
        self.counters(keys)

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
