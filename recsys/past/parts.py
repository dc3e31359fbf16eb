"""Parts of users, by a hash of their ids: what is counted of single users lies apart for each, all else is shared."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Protocol

import numpy as np
import polars as pl

from recsys.errors import DataError
from recsys.past.counters import Counters, Counting
from recsys.past.reads import Key, Reads
from recsys.past.streams import Flags, Ints, Stream, pick
from recsys.statistics.hashes import part_of

USERS = 2**16
"""Users of a part, about, where there is more than one."""


def parts_for(users: int) -> int:
    """Say how many parts there are for so many users."""
    return 1 + users // USERS


def cut_candidates(candidates: pl.DataFrame, count: int) -> Iterator[tuple[int, pl.DataFrame]]:
    """Cut whole requests by the part of their user, see `part_of`; parts without any are left out."""
    parts = pl.Series(part_of(candidates["user_id"], count))
    for part in range(count):
        own = candidates.filter(parts == part)
        if len(own):
            yield part, own


def of_users(key: Key) -> bool:
    """Tell whether what is counted under a key tells users apart."""
    return key.per[:1] == ("user",)


@dataclass(frozen=True, eq=False)
class Cut:
    """Counters of which those of single users lie apart for each part; asked as `Counters` are.

    Attributes
    ----------
    keys
        What is counted.
    shared
        Of all keys that do not tell users apart.
    own
        Of all others, those of the parts that are here.
    parts
        The part of every user, by code, shape [n].
    count
        How many parts there are.
    """

    keys: tuple[Key, ...]
    shared: Counters
    own: Mapping[int, Counters]
    parts: Ints
    count: int

    @classmethod
    def of_counters(cls, counters: Counters, parts: Ints, count: int, running: bool = True) -> "Cut":
        """Cut counters; `running` as of `recsys.past.counters.Counting.add`."""
        shared, *own = cls.pieces(counters, parts, count, running)
        return cls(counters.keys, shared, dict(enumerate(own)), parts, count)

    @staticmethod
    def pieces(counters: Counters, parts: Ints, count: int, running: bool = True) -> Iterator[Counters]:
        """Give what is shared and then what is of each part, one after the other; arguments as of `of_counters`."""
        yield counters.of(tuple(key for key in counters.keys if not of_users(key))).alone()
        keys = tuple(key for key in counters.keys if of_users(key))
        counting = [Counting(keys) for _ in range(count)]
        for row, key in enumerate(keys):
            rows_of = counters.decoded(key, running)
            order = np.argsort(parts[rows_of.keys[0]], kind="stable")
            edges = np.searchsorted(parts[rows_of.keys[0]][order], np.arange(count + 1))
            for part, each in enumerate(counting):
                each.add_decoded(row, rows_of, order[edges[part] : edges[part + 1]], running, listed=True)
        for each in counting:
            yield each.done()

    def of(self, keys: tuple[Key, ...]) -> "Cut":
        """Choose some of the counters, in an order of one's own."""
        shared = self.shared.of(tuple(key for key in keys if not of_users(key)))
        those = tuple(key for key in keys if of_users(key))
        return replace(self, keys=keys, shared=shared, own={part: each.of(those) for part, each in self.own.items()})

    def add(self, reads: Reads, codes: Ints, bounds: Ints, found: Ints) -> None:
        """Add what is known here, see `Counters.add`.

        Raises
        ------
        DataError
            When a user's part is not here.
        ModelError
            When numbers are needed that were changed after they were written.
        """
        alike, own = _split(reads)
        if alike.keys:
            self.shared.add(alike, codes, bounds, found)
        if own.keys:
            users = codes[reads.names.index("user")]
            for part, rows in self._by_part(users):
                if rows is None:
                    self.own[part].add(own, codes, bounds, found)
                else:
                    some = np.ascontiguousarray(found[:, rows])
                    those = [np.ascontiguousarray(each[:, rows]) for each in (codes, bounds)]
                    self.own[part].add(own, those[0], those[1], some)
                    found[:, rows] = some

    def release(self) -> None:
        """Let go of memory that can be mapped again."""
        for counters in (self.shared, *self.own.values()):
            counters.release()

    def last(self, users: Ints, as_of: Ints, order: Ints, found: tuple[Ints, Ints, Ints]) -> None:
        """Put what users did last here among what they did last elsewhere, see `Counters.last`; errors as of `add`."""
        for part, rows in self._by_part(users):
            if rows is None:
                self.own[part].last(users, as_of, order, found)
            else:
                items, moments, happened = (np.ascontiguousarray(each[rows]) for each in found)
                self.own[part].last(users[rows], as_of[rows], order, (items, moments, happened))
                for each, some in zip(found, (items, moments, happened), strict=True):
                    each[rows] = some

    def _by_part(self, users: Ints) -> list[tuple[int, Flags | None]]:
        """Give the parts of some users, and which of them each holds, None where it holds all."""
        parts = pick(self.parts, users, -1)
        present = [part for part in np.unique(parts).tolist() if part >= 0]
        for part in present:
            if part not in self.own:
                raise DataError(
                    f"a user of part {part} of {self.count} is asked, where only part {min(self.own)} of the state was "
                    "loaded; cut candidates by `recsys.past.parts.part_of`, or load the whole state"
                )
        if len(present) == 1 and parts.min() == parts.max():
            return [(present[0], None)]
        return [(part, parts == part) for part in present]


Counted = Counters | Cut
"""Counters, in one piece or cut."""


class Add(Protocol):
    """Counts the rows of a stream under one key of a counting; `listed` as of `recsys.past.counters.Counting.add`."""

    def __call__(self, counting: Counting, row: int, stream: Stream, listed: bool) -> None:
        """Count them."""


def in_pieces(counted: Counted, users: Ints, count: int, running: bool = True) -> Iterator[Counters]:
    """Give counters in pieces: what users share, and then what is of each part of them; all as one where that is one.

    Parameters
    ----------
    counted
        The counters; those that are cut are so by the same parts.
    users, count
        The part of every user, by code, shape [n], and how many parts there are.
    running
        As of `recsys.past.counters.Counting.add`.
    """
    if isinstance(counted, Cut):
        return iter([counted.shared, *counted.own.values()])
    return iter([counted]) if count == 1 else Cut.pieces(counted, users, count, running)


def count_pieces(
    keys: tuple[Key, ...], streams: Mapping[str, Stream], add: Add, users: Ints, count: int
) -> Iterator[Counters]:
    """Count streams in pieces; arguments as of `in_pieces`."""
    if count == 1:
        yield _counted(keys, streams, add, listed=False)
        return
    own = tuple(key for key in keys if of_users(key))
    yield _counted(tuple(key for key in keys if not of_users(key)), streams, add, listed=False)
    of_own = {key.of: streams[key.of] for key in own}
    parts = {of: pick(users, stream.codes["user"], -1) for of, stream in of_own.items()}
    for part in range(count):
        some = {of: stream.where(parts[of] == part) for of, stream in of_own.items()}
        yield _counted(own, some, add, listed=True)


def _counted(keys: tuple[Key, ...], streams: Mapping[str, Stream], add: Add, listed: bool) -> Counters:
    counting = Counting(keys)
    for row, key in enumerate(keys):
        add(counting, row, streams[key.of], listed)
    return counting.done()


@lru_cache(maxsize=256)
def _split(reads: Reads) -> tuple[Reads, Reads]:
    """Tell apart what is read of counters that are shared, and of those of single users."""
    own = [of_users(key) for key in reads.keys]
    return reads.only([row for row, user in enumerate(own) if not user]), reads.only(
        [row for row, user in enumerate(own) if user]
    )
