"""The counting kernel: how much happened per key before a moment, exactly, whatever the order or the batch."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import overload

import numpy as np
import numpy.typing as npt
import polars as pl

Ints = npt.NDArray[np.int64]

_LARGEST = 2**62
"""Place of a key times place of a moment stays below this, or keys are numbered anew."""

_MANY = 5_000
"""From so many look-ups on, running along the rows is faster than a binary search for each."""


def search(rows: Ints, wanted: Ints) -> Ints:
    """Count the sorted rows below each wanted number: `np.searchsorted`, faster where there are many."""
    if len(wanted) < _MANY or len(rows) == 0:
        return np.searchsorted(rows, wanted)
    if np.any(wanted[1:] < wanted[:-1]):
        order, places = np.argsort(wanted), np.empty(len(wanted), dtype=np.int64)
        places[order] = search(rows, wanted[order])
        return places
    table = pl.DataFrame({"row": rows, "count": _counts(len(rows).bit_length())[: len(rows)]})
    found = pl.DataFrame({"row": wanted}).join_asof(
        table, on="row", strategy="backward", allow_exact_matches=False, check_sortedness=False
    )["count"]
    return (found.fill_null(0) if found.null_count() else found).cast(pl.Int64).to_numpy()


@cache
def _counts(bits: int) -> pl.Series:
    """Count from 1 to `2 ** bits`."""
    return pl.int_range(1, 2**bits + 1, dtype=pl.UInt32, eager=True)


@dataclass(frozen=True)
class Timeline:
    """The distinct moments of a log; everything else knows moments by their place here.

    Attributes
    ----------
    moments
        Microseconds, ascending, shape [T].
    """

    moments: Ints

    @classmethod
    def of(cls, *moments: Ints) -> "Timeline":
        """Collect the moments of some rows."""
        every = np.sort(np.concatenate(moments))
        first = np.ones(len(every), dtype=bool)
        first[1:] = every[1:] != every[:-1]
        return cls(every[first])

    @property
    def width(self) -> int:
        """How many places there are: one for each moment and one past the last."""
        return len(self.moments) + 1

    def places(self, moments: Ints) -> Ints:
        """Give the places of moments of the log."""
        return search(self.moments, moments)

    def before(self, moments: Ints) -> Ints:
        """Count the moments of the log before each of these: the one comparison with `as_of` in the package."""
        return search(self.moments, moments)


@dataclass(frozen=True)
class Pairs:
    """Keys and moments to look up, each pair once, in order of key and then of moment.

    Attributes
    ----------
    keys
        Keys, -1 for none, shape [U].
    moments
        Which of the looked-up moments, shape [U].
    inverse
        Row to pair, shape [Q].
    """

    keys: Ints
    moments: Ints
    inverse: Ints

    @classmethod
    def of(cls, keys: Ints, moments: Ints, width: int) -> "Pairs":
        """Sort pairs; moments are places from 0 up to, not including, `width`."""
        runs = np.flatnonzero(_changes(keys, moments))
        if 2 * len(runs) < len(keys):  # keys of requests, alike in all their rows
            few = cls.of(keys[runs], moments[runs], width)
            return cls(few.keys, few.moments, np.repeat(few.inverse, np.diff(runs, append=len(keys))))
        if keys.max(initial=0) < _LARGEST // width:
            order = np.argsort(keys * width + moments)
        else:
            order = np.lexsort((moments, keys))
        keys, moments = keys[order], moments[order]
        first = _changes(keys, moments)
        inverse = np.empty(len(order), dtype=np.int64)
        inverse[order] = np.cumsum(first) - 1
        return cls(keys[first], moments[first], inverse)

    @cached_property
    def runs(self) -> Ints:
        """Where each distinct key begins, shape [K]."""
        return np.flatnonzero(_changes(self.keys))

    def first(self, counter: "Counter") -> Ints:
        """Give the place of each pair's key's first row, see `Counter.first`, shape [U]."""
        return np.repeat(counter.first(self.keys[self.runs]), np.diff(self.runs, append=len(self.keys)))


def _changes(*columns: Ints) -> npt.NDArray[np.bool_]:
    """Say which rows differ from the row before them; the first one does."""
    changed = np.zeros(len(columns[0]), dtype=bool)
    changed[:1] = True
    for column in columns:
        changed[1:] |= column[1:] != column[:-1]
    return changed


class Totals(Sequence[npt.NDArray[np.signedinteger]]):
    """Running totals of amounts, each added up when first asked for.

    Parameters
    ----------
    amounts
        What to add up, in the order of the log.
    order
        Where each sorted row stood in the log, shape [N].
    """

    def __init__(self, amounts: tuple[Ints, ...], order: Ints) -> None:
        self._amounts = amounts
        self._order = order.astype(np.uint32) if amounts and len(amounts[0]) < 2**32 else order
        self._made: dict[int, npt.NDArray[np.signedinteger]] = {}

    def __len__(self) -> int:
        """Count the amounts."""
        return len(self._amounts)

    @overload
    def __getitem__(self, place: int) -> npt.NDArray[np.signedinteger]: ...

    @overload
    def __getitem__(self, place: slice) -> "Sequence[npt.NDArray[np.signedinteger]]": ...

    def __getitem__(
        self, place: int | slice
    ) -> "npt.NDArray[np.signedinteger] | Sequence[npt.NDArray[np.signedinteger]]":
        """Give the totals of one amount before every row, shape [N + 1]."""
        if isinstance(place, slice):
            return [self[each] for each in range(len(self))[place]]
        if place not in self._made:
            amount = self._amounts[place]
            small = np.abs(amount).sum(dtype=np.int64) < 2**31  # half the memory, which is what a long log is short of
            total: npt.NDArray[np.signedinteger] = np.zeros(len(self._order) + 1, np.int32 if small else np.int64)
            np.cumsum(amount[self._order], dtype=total.dtype, out=total[1:])
            self._made[place] = total
        return self._made[place]


@dataclass(frozen=True)
class Counter:
    """Rows of a log per key, sorted by key and by the moment they became known, with running totals.

    A look-up is two binary searches and a difference, so it costs the logarithm of the log's length, does not depend on
    the order of rows or on other look-ups, and is exact.

    Attributes
    ----------
    numbers
        Distinct keys, ascending, shape [K], where keys are too large to be used as they are; else None.
    rows
        `key * width of the timeline + place of the moment` of every row, ascending, shape [N].
    totals
        Running totals of each amount before every row, each of shape [N + 1], made when first asked for.
    order
        Where each sorted row stood in the log, shape [N], when there are ties to break; else empty.
    width
        Width of the timeline.
    """

    numbers: Ints | None
    rows: Ints
    totals: Sequence[npt.NDArray[np.signedinteger]]
    order: Ints
    width: int

    @classmethod
    def build(
        cls, keys: Ints, moments: Ints, width: int, amounts: tuple[Ints, ...] = (), ties: tuple[Ints, ...] = ()
    ) -> "Counter":
        """Sort a log.

        Parameters
        ----------
        keys
            Key of every row, shape [N]; negative keys are left out.
        moments
            Place in the timeline at which the row became known, shape [N].
        width
            Width of the timeline.
        amounts
            What to add up, each of shape [N].
        ties
            What orders rows of one key and moment, each of shape [N], the first of all last; needed where single rows
            are read.
        """
        kept, numbers = np.flatnonzero(keys >= 0), None
        some = len(kept) < len(keys)
        if some:
            keys, moments, ties = keys[kept], moments[kept], tuple(each[kept] for each in ties)
        if keys.max(initial=0) >= _LARGEST // width:
            numbers, keys = np.unique(keys, return_inverse=True)
        rows = np.multiply(keys, width, dtype=np.int64)
        rows += moments
        order = np.lexsort((*ties, rows)) if ties else np.argsort(rows)
        places = kept[order] if some else order
        stood = places if ties else np.empty(0, dtype=np.int64)
        return cls(numbers, rows[order], Totals(amounts, places), stood, width)

    def before(self, keys: Ints, moments: Ints) -> Ints:
        """Give the end of the rows of each key that lie before a place in the timeline, shape [Q]."""
        return search(self.rows, self._first_place(keys) + moments)

    def first(self, keys: Ints) -> Ints:
        """Give the place of each key's first row; where a key has none, what `before` gives too; shape [Q]."""
        return search(self.rows, self._first_place(keys))

    def moment(self, places: Ints) -> Ints:
        """Give the place in the timeline of the rows at these places, shape [Q]."""
        return self.rows[places] % self.width

    def _first_place(self, keys: Ints) -> Ints:
        if self.numbers is None:
            # A key of -1 is sent before the first row, where every look-up comes back empty.
            return np.maximum(keys, -1) * self.width
        places = np.searchsorted(self.numbers, keys)
        found = np.append(self.numbers, -1)[places] == keys
        return np.where(found & (keys >= 0), places, -1) * self.width
