"""What is read of counters, planned once for all who ask the same."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np

from recsys.past.streams import (
    CLICK,
    FIRST_MOMENT,
    LAST_MOMENT,
    NEVER_FIRST,
    NEVER_LAST,
    OUTCOME,
    SHOWING,
    Amount,
    Ints,
    Moment,
    Per,
)


class Key(NamedTuple):
    """What is counted together: a stream, and the key columns."""

    of: str
    per: Per


READ = Key(CLICK, ("user",))
"""What counters of what users read are kept under: clicks, and what is read as they are."""


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
        Bounds: how long before `as_of`, microseconds, shape [B], without that of the horizon.
    limited
        Whether there is a horizon, whose bound comes after these.
    spans, ends, reads
        See `recsys.past.kernel.ReadPlan`.
    empty
        What each answer is where nothing is known, shape [A].
    """

    keys: tuple[Key, ...]
    names: tuple[str, ...]
    columns: Ints
    back: Ints
    limited: bool
    spans: Ints
    ends: Ints
    reads: Ints
    empty: Ints

    @classmethod
    def of(cls, asked: Sequence[Amount | Moment], delay: timedelta, limited: bool = False) -> "Reads":
        """ReadPlan how answers are found, each once.

        Parameters
        ----------
        asked
            What is asked, A of them.
        delay
            How long after its showing an outcome is known.
        limited
            Whether what has no window reaches back to a horizon.
        """
        return _planned(tuple(asked), delay, limited)

    def only(self, rows: Sequence[int]) -> "Reads":
        """Read some of the counters; answers stay where they are."""
        spans, ends, reads = [(0, 0)], list[Ints](), list[Ints]()
        for row in rows:
            (end, read), (next_end, next_read) = self.spans[row], self.spans[row + 1]
            shift = spans[-1][0] - end
            moved = self.reads[read:next_read].copy()
            moved[:, 1:3] += shift
            ends.append(self.ends[end:next_end])
            reads.append(moved)
            spans.append((spans[-1][0] + next_end - end, spans[-1][1] + next_read - read))
        return replace(
            self,
            keys=tuple(self.keys[row] for row in rows),
            columns=self.columns[list(rows)],
            spans=np.array(spans, dtype=np.int64),
            ends=np.concatenate([*ends, np.empty(0, dtype=np.int64)]),
            reads=np.concatenate([*reads, np.empty((0, 4), dtype=np.int64)]),
        )

    @cached_property
    def unlimited(self) -> "Reads":
        """Read only what no window limits: of rows that are older than every window the rest is 0."""
        chosen, spans, ends, reads = list[int](), [(0, 0)], list[int](), list[tuple[int, int, int, int]]()
        for row in range(len(self.keys)):
            own = self.reads[self.spans[row, 1] : self.spans[row + 1, 1]].tolist()
            own = [each for each in own if self.ends[each[1]] in (-1, len(self.back))]
            if own:
                needed = sorted({place for _, start, end, _ in own for place in (start, end)})
                reads += [
                    (what, len(ends) + needed.index(start), len(ends) + needed.index(end), answer)
                    for what, start, end, answer in own
                ]
                ends += self.ends[needed].tolist()
                spans.append((len(ends), len(reads)))
                chosen.append(row)
        return replace(
            self,
            keys=tuple(self.keys[row] for row in chosen),
            columns=self.columns[chosen],
            spans=np.array(spans, dtype=np.int64),
            ends=np.array(ends, dtype=np.int64),
            reads=np.array(reads, dtype=np.int64).reshape(-1, 4),
        )

    def bounds(self, as_of: Ints, horizon: Ints | None = None) -> Ints:
        """Give the moments before which rows must have become known: the one comparison with `as_of`.

        Parameters
        ----------
        as_of
            Microseconds, shape [Q].
        horizon
            Where there is one, the moments before which nothing counts, shape [Q].

        Returns
        -------
        Microseconds, shape [B, Q] or, with a horizon, [B + 1, Q].
        """
        found = np.empty((len(self.back) + self.limited, len(as_of)), dtype=np.int64)
        np.subtract(as_of, self.back[:, None], out=found[: len(self.back)])
        if horizon is not None:
            found[len(self.back) :] = horizon
        return found


@lru_cache(maxsize=256)
def _planned(asked: tuple[Amount | Moment, ...], delay: timedelta, limited: bool) -> Reads:
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
        ends += [*(back.index(at) for at in needed), len(back) if limited else -1]
        for place, each in own:
            start, end = _bounds(each, delay)
            what = each.which if isinstance(each, Amount) else FIRST_MOMENT if each.first else LAST_MOMENT
            reads.append((what, place_of[start], place_of[end], place))
        spans.append((len(ends), len(reads)))
    empty = [0 if isinstance(each, Amount) else NEVER_FIRST if each.first else NEVER_LAST for each in asked]
    return Reads(
        keys,
        names,
        columns,
        np.array(back, dtype=np.int64),
        limited,
        np.array(spans, dtype=np.int64),
        np.array(ends, dtype=np.int64),
        np.array(reads, dtype=np.int64).reshape(-1, 4),
        np.array(empty, dtype=np.int64),
    )


def _key(asked: Amount | Moment) -> Key:
    """Give what it is read from; an outcome lies at its showing, and users come first, for they are told apart."""
    per = tuple(sorted(asked.per, key=lambda name: name != "user"))
    return Key(SHOWING if asked.of == OUTCOME else asked.of, per)


def _bounds(asked: Amount | Moment, delay: timedelta) -> tuple[int | None, int]:
    """Give how long before `as_of` the rows that count begin, None where that is not limited, and where they end."""
    end = _microseconds(delay) if asked.of == OUTCOME else 0
    window = asked.window if isinstance(asked, Amount) else None
    return None if window is None else end + _microseconds(window), end


def _microseconds(duration: timedelta) -> int:
    return duration // timedelta(microseconds=1)
