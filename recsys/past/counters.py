"""Counters: how much happened per key before a moment, exactly, whatever the order or the batch."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import prod
from typing import NamedTuple

import numpy as np

from recsys.errors import DataError
from recsys.past import filling, kernel, layout
from recsys.past.blocks import BLOCK, Blocks
from recsys.past.reads import Key, Reads
from recsys.past.streams import Codes, Ints, Per, Stream

_PLACES = [layout.FIRST, *range(layout.OUTER, layout.COUNTS)]
"""Fields that say where something lies."""

_FEW = 8
"""With so many times more codes than rows, only those are listed that occur."""


class Decoded(NamedTuple):
    """The rows of a counter, by key and moment.

    Attributes
    ----------
    of
        What is said of the counter, a row of `Counters.where`.
    keys
        Codes of the first key column, and the number of the others, shape [2, N].
    moments, amounts
        See `recsys.past.filling.fill`, or `fill_weighted` where rows stand for several.
    """

    of: Ints
    keys: Ints
    moments: Ints
    amounts: Ints


@dataclass(frozen=True, eq=False)
class Counters:
    """Rows per key, sorted by key and by the moment they became known, with running totals of what they hold.

    A look-up is a few binary searches and a difference, so it costs the logarithm of the log's length, does not depend
    on the order of rows or on other look-ups, and is exact.

    Attributes
    ----------
    blocks
        The numbers of all counters, one after the other.
    where
        Where in it each counter lies: how many key columns it has; whether only codes of the first one that occur are
        listed, where, and how many there are; where the keys of each code begin, the numbers of their other columns,
        where the rows of each key begin, the moments of rows, their first and their last ones, which are the same
        unless rows stand for several, the running totals of how many each row stands for, -1 where it is one, and of
        amounts; and the sizes of the other columns. Shape [C, fields].
    keys
        What each counts.
    """

    blocks: Blocks
    where: Ints
    keys: tuple[Key, ...]

    def refuse_misfit(self) -> None:
        """Refuse what does not lie where it says, before anything reads it.

        Raises
        ------
        ValueError
            Naming what does not fit.
        """
        if self.where.shape != (len(self.keys), width_of(self.keys)):
            raise ValueError(f"counters of {len(self.keys)} keys have the shape {self.where.shape}")
        places = self.where[:, [*_PLACES, *range(layout.COUNTS, layout.SIZES)]]
        if self.where.min(initial=0) < -1 or places.max(initial=0) > len(self.blocks.data):
            raise ValueError("a counter lies beyond the numbers")
        if [len(key.per) for key in self.keys] != self.where[:, layout.COLUMNS].tolist():
            raise ValueError("a counter has other key columns than its key")

    def of(self, keys: tuple[Key, ...]) -> "Counters":
        """Choose some of the counters, in an order of one's own."""
        return Counters(self.blocks, self.where[[self.keys.index(key) for key in keys]], keys)

    def add(self, reads: Reads, codes: Ints, bounds: Ints, found: Ints) -> None:
        """Add what is known here to what is known elsewhere, see `recsys.past.kernel.look_up`.

        Raises
        ------
        ModelError
            When numbers are needed that were changed after they were written.
        """
        at, plan = np.zeros(3, dtype=np.int64), (reads.columns, reads.spans, reads.ends, reads.reads)
        room = kernel.room_for(self.where, reads.ends, bounds.shape[1])
        while not kernel.look_up(self._numbers, at, codes, bounds, plan, found, room):
            self.blocks.check(int(at[kernel.WAITS]))

    def last(self, users: Ints, as_of: Ints, order: Ints, found: tuple[Ints, Ints, Ints]) -> None:
        """Put what users did last here among what they did last elsewhere, see `recsys.past.kernel.last_rows`.

        Raises
        ------
        ModelError
            When numbers are needed that were changed after they were written.
        """
        at, column = np.zeros(3, dtype=np.int64), np.zeros(1, dtype=np.int64)
        while not kernel.last_rows(self._numbers, at, users[None], column, as_of, order, found):
            self.blocks.check(int(at[kernel.WAITS]))

    def release(self) -> None:
        """Let go of memory that can be mapped again."""
        self.blocks.release()

    def alone(self) -> "Counters":
        """Give the same without the numbers of others."""
        counting = Counting(self.keys)
        for row, key in enumerate(self.keys):
            told = self.decoded(key, running=True)
            listed = bool(told.of[layout.SPARSE])
            counting.add_decoded(row, told, np.arange(len(told.moments)), running=True, listed=listed)
        return counting.done()

    def decoded(self, key: Key, running: bool) -> Decoded:
        """Read the rows of a counter; `running` as it was counted."""
        data, of = self.blocks.data, self.where[self.keys.index(key)].copy()
        many = int(of[layout.MANY])
        codes = data[of[layout.FIRST] :][:many] if of[layout.SPARSE] else np.arange(many)
        inner = np.zeros(many, dtype=np.int64)
        if of[layout.COLUMNS] > 1:
            codes = np.repeat(codes, np.diff(data[of[layout.OUTER] :][: many + 1]))
            inner = data[of[layout.INNER] :][: len(codes)]
        each = np.diff(data[of[layout.BEGIN] :][: len(codes) + 1])
        rows = int(each.sum())
        weighted = of[layout.COUNTS] > 0
        totals = [at for at in of[layout.COUNTS : layout.SIZES] if at > 0]
        amounts = [np.diff(data[at:][: rows + 1]) if running else data[at:][:rows] for at in totals]
        if weighted:
            amounts += [data[of[field] :][:rows] for field in (layout.FIRSTS, layout.LASTS)]
        keys = np.stack([np.repeat(codes, each), np.repeat(inner, each)])
        return Decoded(of, keys, data[of[layout.MOMENTS] :][:rows], np.array(amounts).reshape(len(amounts), rows))

    @cached_property
    def _numbers(self) -> kernel.Numbers:
        return self.blocks.data, self.where, self.blocks.checked, BLOCK if self.blocks.careful else -1


class Counting:
    """Builds counters one after the other into one array.

    Parameters
    ----------
    keys
        What will be counted.
    """

    def __init__(self, keys: tuple[Key, ...]) -> None:
        self._keys = keys
        self._where = np.zeros((len(keys), width_of(keys)), dtype=np.int64)
        self._parts: list[Ints] = []
        self._room = 0

    def add(
        self, row: int, stream: Stream, sizes: dict[str, int], order: Ints, running: bool = True, listed: bool = False
    ) -> None:
        """Count the rows of a stream under the key of this number.

        Parameters
        ----------
        row
            Which of the keys.
        stream
            The rows.
        sizes
            How many codes each key column has; rows with a code that is none of them are left out.
        order
            Rows in the order in which they became known and, of those of one moment, in any that will do.
        running
            Whether amounts are added up; where they are not, they stand as they are.
        listed
            Whether only codes of the first key column that occur are listed, however few there are in all.

        Raises
        ------
        DataError
            When pairs of codes are too many to be numbered.
        """
        if self._of_nothing(row, order):
            return
        of, (keys, rows) = self._begun(row, stream.codes, sizes, order, listed)
        amounts = np.array(stream.amounts, dtype=np.int64).reshape(len(stream.amounts), len(stream.moments))
        part = self._part(of, len(rows), len(amounts) + 1)
        self._finished(of, part, filling.fill(part, of, rows, keys, stream.moments, amounts, running))

    def add_totals(
        self, row: int, stream: Stream, sizes: dict[str, int], order: Ints, days: Ints, listed: bool = False
    ) -> None:
        """Count rows of which all of one key and day stand together as one.

        Parameters
        ----------
        row, stream, sizes, order, listed
            As of `add`.
        days
            The first moment of each row's day, shape [N].
        """
        if self._of_nothing(row, order):
            return
        of, (keys, rows) = self._begun(row, stream.codes, sizes, order, listed)
        amounts = np.array(stream.amounts, dtype=np.int64).reshape(len(stream.amounts), len(stream.moments))
        numbers, totals = filling.together(rows, keys, days, stream.moments, amounts)
        each = np.arange(numbers.shape[1])
        part = self._part(of, len(each), len(totals) + 2)
        self._finished(of, part, filling.fill_weighted(part, of, each, numbers[:2].copy(), numbers[2].copy(), totals))

    def add_decoded(self, row: int, told: Decoded, rows: Ints, running: bool, listed: bool) -> None:
        """Count some rows of another counter, in their order; `listed` says whether only codes that occur are."""
        own = self._where[row]
        own[layout.COLUMNS], own[layout.SPARSE] = told.of[layout.COLUMNS], listed or not len(rows)
        own[layout.SIZES :] = told.of[layout.SIZES : layout.SIZES + len(own[layout.SIZES :])]
        if not len(rows):
            return
        own[layout.MANY] = len(rows) if listed else told.of[layout.MANY]
        part = self._part(own, len(rows), len(told.amounts) + 2)
        if told.of[layout.COUNTS] > 0:
            used = filling.fill_weighted(part, own, rows, told.keys, told.moments, told.amounts)
        else:
            used = filling.fill(part, own, rows, told.keys, told.moments, told.amounts, running)
        self._finished(own, part, used)

    def _of_nothing(self, row: int, order: Ints) -> bool:
        """Say that there are no rows, where there are none."""
        if not len(order):
            self._where[row, layout.COLUMNS] = len(self._keys[row].per)
            self._where[row, layout.SPARSE] = 1  # of no codes at all
        return not len(order)

    def _begun(
        self, row: int, codes: Codes, sizes: dict[str, int], order: Ints, listed: bool
    ) -> tuple[Ints, tuple[Ints, Ints]]:
        """Say what is known of a counter before it is written, and sort its rows."""
        per, of = self._keys[row].per, self._where[row]
        keys, rows = _keyed(codes, per, sizes, order)
        of[layout.COLUMNS], of[layout.MANY], of[layout.FIRST] = len(per), sizes[per[0]] if per else 1, 0
        of[layout.SPARSE] = int(listed or of[layout.MANY] > _FEW * (len(rows) + 1))
        of[layout.SIZES : layout.SIZES + len(per[1:])] = [sizes[name] for name in per[1:]]
        return of, (keys, rows)

    def _part(self, of: Ints, rows: int, numbers: int) -> Ints:
        """Make room for a counter of so many rows with so many numbers each, and its keys."""
        codes = min(int(of[layout.MANY]), rows) if of[layout.SPARSE] else int(of[layout.MANY])
        return np.empty(2 * codes + 8 + (numbers + 2) * (rows + 1), dtype=np.int64)

    def _finished(self, of: Ints, part: Ints, used: int) -> None:
        """Put what was written behind all else."""
        of[_PLACES] += self._room
        totals = of[layout.COUNTS : layout.SIZES]
        totals[totals > 0] += self._room
        self._parts.append(part[:used])
        self._room += used

    def done(self) -> Counters:
        """Give all of them."""
        data, begin = np.empty(self._room, dtype=np.int64), 0
        self._parts.reverse()
        while self._parts:  # what is copied does not stay in memory twice
            part = self._parts.pop()
            data[begin : begin + len(part)] = part
            begin += len(part)
        return Counters(Blocks.held(data), self._where, self._keys)


def count_few(
    keys: tuple[Key, ...], streams: Mapping[str, Stream], sizes: dict[str, int], running: bool = True
) -> Counters:
    """Count a few rows under many keys at once: what `Counting` gives for them, whichever codes it lists.

    Parameters
    ----------
    keys
        What is counted.
    streams
        The rows of each stream that they name; those of one moment stay in their order.
    sizes, running
        As of `Counting.add`.

    Raises
    ------
    DataError
        When pairs of codes are too many to be numbered.
    """
    plan, names, kinds = _few(keys)
    spans = np.zeros((len(kinds), 3), dtype=np.int64)
    count = sum(len(streams[kind].moments) for kind in kinds)
    codes, end = np.full((len(names), count), -1), 0
    moments, amounts = np.empty(count, dtype=np.int64), np.zeros((layout.AMOUNTS, count), dtype=np.int64)
    for place, kind in enumerate(kinds):
        stream = streams[kind]
        order = np.argsort(stream.moments, kind="stable")
        begin, end = end, end + len(order)
        spans[place] = begin, end, len(stream.amounts)
        for row, name in enumerate(names):
            if name in stream.codes:
                codes[row, begin:end] = stream.codes[name][order]
        moments[begin:end] = stream.moments[order]
        for row, amount in enumerate(stream.amounts):
            amounts[row, begin:end] = amount[order]
    many = np.array([sizes[name] for name in names], dtype=np.int64)
    for key in keys:
        _refuse_too_many(key.per, sizes)
    where = np.zeros((len(keys), width_of(keys)), dtype=np.int64)
    rows = spans[plan[:, 0], 1] - spans[plan[:, 0], 0]
    data = np.empty(int(((layout.AMOUNTS + 5) * (rows + 1) + 8).sum()), dtype=np.int64)
    used = filling.count_few(data, where, plan, spans, many, (codes, moments, amounts), running)
    return Counters(Blocks.held(data[:used]), where, keys)


@lru_cache(maxsize=64)
def _few(keys: tuple[Key, ...]) -> tuple[Ints, tuple[str, ...], tuple[str, ...]]:
    """Say which stream and which key columns each key has, of all names of columns and of streams."""
    names = tuple(dict.fromkeys(name for key in keys for name in key.per))
    kinds = tuple(dict.fromkeys(key.of for key in keys))
    plan = np.zeros((len(keys), 2 + max((len(key.per) for key in keys), default=0)), dtype=np.int64)
    for row, key in enumerate(keys):
        plan[row, :2] = kinds.index(key.of), len(key.per)
        plan[row, 2 : 2 + len(key.per)] = [names.index(name) for name in key.per]
    return plan, names, kinds


def _refuse_too_many(per: Per, sizes: dict[str, int]) -> None:
    """Refuse pairs of codes that no whole number tells apart."""
    if len(per) > 2 and prod(sizes[name] for name in per[1:]) >= 2**62:
        raise DataError(f"there are too many pairs of {' and '.join(per)} to number them; count per fewer columns")


def width_of(keys: tuple[Key, ...]) -> int:
    """Give how many fields say where the counter of a key lies."""
    return layout.SIZES + max(1, max((len(key.per) for key in keys), default=0))


def _keyed(codes: Codes, per: Per, sizes: dict[str, int], order: Ints) -> tuple[Ints, Ints]:
    """Give the codes of the first key column and the number of the others, of all rows, and rows sorted by both.

    Shapes are [2, M] and [N].
    """
    if not per:
        return np.zeros((2, len(order)), dtype=np.int64), order
    _refuse_too_many(per, sizes)
    known = np.ones(len(order), dtype=bool)
    for name in per:
        known &= (codes[name] >= 0) & (codes[name] < sizes[name])
    rows = order if known.all() else order[known[order]]
    keys = np.zeros((2, len(order)), dtype=np.int64)
    keys[0] = codes[per[0]]
    for name in per[1:]:
        keys[1] = keys[1] * sizes[name] + codes[name]
    for name in reversed(per):
        if sizes[name] > _FEW * (len(rows) + 1):
            rows = rows[np.argsort(codes[name][rows], kind="stable")]
        else:
            rows = filling.by_code(rows, codes[name], sizes[name])
    return keys, rows
