"""Counters: how much happened per key before a moment, exactly, whatever the order or the batch."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from math import prod
from typing import NamedTuple

import numpy as np

from recsys.errors import DataError
from recsys.past import kernel
from recsys.past.streams import OUTCOME, SHOWING, Amount, Codes, Ints, Moment, Per, Stream

_FEW = 8
"""With so many times more codes than rows, only those are listed that occur."""


class Key(NamedTuple):
    """What is counted together: a stream, and the key columns."""

    of: str
    per: Per


@dataclass(frozen=True, eq=False)
class Reads:
    """What is read of counters, in the order in which the kernel does; the same for every layer and all candidates.

    Attributes
    ----------
    keys
        The counters, C of them.
    names
        The key columns of all.
    columns
        Which of them each counter has, shape [C, most].
    back
        Bounds: how long before `as_of`, microseconds, shape [B].
    spans, ends, reads
        See `recsys.past.kernel.look_up`.
    empty
        What each answer is where nothing is known, shape [A].
    """

    keys: tuple[Key, ...]
    names: tuple[str, ...]
    columns: Ints
    back: Ints
    spans: Ints
    ends: Ints
    reads: Ints
    empty: Ints

    @classmethod
    def of(cls, asked: Sequence[Amount | Moment], delay: timedelta) -> "Reads":
        """Plan how answers are found, each once.

        Parameters
        ----------
        asked
            What is asked, A of them.
        delay
            How long after its showing an outcome is known.
        """
        return _planned(tuple(asked), delay)

    def bounds(self, as_of: Ints) -> Ints:
        """Give the moments before which rows must have become known, shape [B, Q]: the one comparison with `as_of`."""
        return np.subtract(as_of, self.back[:, None])


@lru_cache(maxsize=256)
def _planned(asked: tuple[Amount | Moment, ...], delay: timedelta) -> Reads:
    keys = tuple(dict.fromkeys(_key(each) for each in asked))
    names = tuple(dict.fromkeys(name for key in keys for name in key.per))
    columns = np.zeros((len(keys), max((len(key.per) for key in keys), default=0) or 1), dtype=np.int64)
    for row, key in enumerate(keys):
        columns[row, : len(key.per)] = [names.index(name) for name in key.per]
    back = sorted({0, *(at for each in asked for at in _bounds(each, delay) if at is not None)})
    spans, ends, reads = [(0, 0)], list[int](), list[tuple[int, int, int, int]]()
    for key in keys:
        own = [(place, each) for place, each in enumerate(asked) if _key(each) == key]
        needed = sorted({at for _, each in own for at in _bounds(each, delay) if at is not None})
        place_of: dict[int | None, int] = {at: len(ends) + place for place, at in enumerate(needed)}
        place_of[None] = len(ends) + len(needed)
        ends += [*(back.index(at) for at in needed), -1]
        for place, each in own:
            start, end = _bounds(each, delay)
            what = each.which if isinstance(each, Amount) else kernel.FIRST_MOMENT if each.first else kernel.LAST_MOMENT
            reads.append((what, place_of[start], place_of[end], place))
        spans.append((len(ends), len(reads)))
    empty = [
        0 if isinstance(each, Amount) else kernel.NEVER_FIRST if each.first else kernel.NEVER_LAST for each in asked
    ]
    return Reads(
        keys,
        names,
        columns,
        np.array(back, dtype=np.int64),
        np.array(spans, dtype=np.int64),
        np.array(ends, dtype=np.int64),
        np.array(reads, dtype=np.int64).reshape(-1, 4),
        np.array(empty, dtype=np.int64),
    )


def _key(asked: Amount | Moment) -> Key:
    """Give what it is read from; an outcome lies at its showing."""
    return Key(SHOWING if asked.of == OUTCOME else asked.of, asked.per)


def _bounds(asked: Amount | Moment, delay: timedelta) -> tuple[int | None, int]:
    """Give how long before `as_of` the rows that count begin, None where that is not limited, and where they end."""
    end = _microseconds(delay) if asked.of == OUTCOME else 0
    window = asked.window if isinstance(asked, Amount) else None
    return None if window is None else end + _microseconds(window), end


def _microseconds(duration: timedelta) -> int:
    return duration // timedelta(microseconds=1)


@dataclass(frozen=True, eq=False)
class Counters:
    """Rows per key, sorted by key and by the moment they became known, with running totals of what they hold.

    A look-up is a few binary searches and a difference, so it costs the logarithm of the log's length, does not depend
    on the order of rows or on other look-ups, and is exact.

    Attributes
    ----------
    data
        The numbers of all counters, one after the other, shape [D].
    where
        Where in it each counter lies: how many key columns it has; whether only codes of the first one that occur are
        listed, where, and how many there are; where the keys of each code begin, the numbers of their other columns,
        where the rows of each key begin, the moments of rows, their first and their last ones, which are the same
        unless rows stand for several, the running totals of how many each row stands for, -1 where it is one, and of
        amounts; and the sizes of the other columns. Shape [C, fields].
    keys
        What each counts.
    """

    data: Ints
    where: Ints
    keys: tuple[Key, ...]

    def of(self, keys: tuple[Key, ...]) -> "Counters":
        """Choose some of the counters, in an order of one's own."""
        return Counters(self.data, self.where[[self.keys.index(key) for key in keys]], keys)

    def add(self, reads: Reads, codes: Ints, bounds: Ints, found: Ints) -> None:
        """Add what is known here to what is known elsewhere, see `recsys.past.kernel.look_up`."""
        kernel.look_up(self.data, self.where, codes, reads.columns, bounds, reads.spans, reads.ends, reads.reads, found)


class Counting:
    """Builds counters one after the other into one array.

    Parameters
    ----------
    keys
        What will be counted.
    """

    def __init__(self, keys: tuple[Key, ...]) -> None:
        self._keys = keys
        most = max((len(key.per) for key in keys), default=0)
        self._where = np.zeros((len(keys), kernel.SIZES + max(1, most)), dtype=np.int64)
        self._parts: list[Ints] = []
        self._room = 0

    def add(self, row: int, stream: Stream, sizes: dict[str, int], order: Ints, running: bool = True) -> None:
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

        Raises
        ------
        DataError
            When pairs of codes are too many to be numbered.
        """
        per = self._keys[row].per
        of = self._where[row]
        first, inner, rows = _keyed(stream.codes, per, sizes, order)
        many = sizes[per[0]] if per else 1
        of[kernel.COLUMNS], of[kernel.SPARSE] = len(per), int(many > _FEW * (len(rows) + 1))
        of[kernel.SIZES : kernel.SIZES + len(per[1:])] = [sizes[name] for name in per[1:]]
        of[kernel.MANY] = many
        amounts = np.array(stream.amounts, dtype=np.int64).reshape(len(stream.amounts), len(stream.moments))
        largest = (len(rows) if of[kernel.SPARSE] else many) * 2 + (6 + len(amounts)) * (len(rows) + 1)
        part = np.empty(largest, dtype=np.int64)
        of[kernel.FIRST] = 0
        used = kernel.fill(part, of, rows, first, inner, stream.moments, amounts, running, False)
        for field in (*range(kernel.FIRST, kernel.MANY), *range(kernel.OUTER, kernel.COUNTS)):
            of[field] += self._room
        totals = of[kernel.COUNTS : kernel.SIZES]
        totals[totals > 0] += self._room
        self._parts.append(part[:used])
        self._room += used

    def done(self) -> Counters:
        """Give all of them."""
        data = np.concatenate([*self._parts, np.empty(0, dtype=np.int64)])
        self._parts.clear()
        data.flags.writeable = False
        return Counters(data, self._where, self._keys)


def _keyed(codes: Codes, per: Per, sizes: dict[str, int], order: Ints) -> tuple[Ints, Ints, Ints]:
    """Give the codes of the first key column and the number of the others, of all rows, and rows sorted by both."""
    if not per:
        nothing = np.zeros(len(order), dtype=np.int64)
        return nothing, nothing, order
    if prod(sizes[name] for name in per[1:]) >= 2**62:
        raise DataError(f"there are too many pairs of {' and '.join(per)} to number them; count per fewer columns")
    known = np.ones(len(order), dtype=bool)
    for name in per:
        known &= (codes[name] >= 0) & (codes[name] < sizes[name])
    rows = order if known.all() else order[known[order]]
    inner = codes[per[0]]
    if len(per) > 1:
        inner = np.zeros(len(order), dtype=np.int64)
        for name in per[1:]:
            inner = inner * sizes[name] + codes[name]
    for name in reversed(per):
        if sizes[name] > _FEW * (len(rows) + 1):
            rows = rows[np.argsort(codes[name][rows], kind="stable")]
        else:
            rows = kernel.by_code(rows, codes[name], sizes[name])
    return codes[per[0]], inner, rows
