"""What happened, as rows of codes: the streams that are counted, and the candidates that are asked about."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Singles = npt.NDArray[np.float32]

MICROSECONDS_PER_HOUR = 3_600_000_000

SHOWING, OUTCOME, CLICK = "showing", "outcome", "click"
"""Streams beside the event kinds: a list row at once, the same row once its label is known, and every click."""

LAST = "last_"
"""What begins the name of a key column that belongs to the user's last click: `last_item`, `last_category`."""

UNIT = 2**-10
"""Values of events are added up in whole multiples of this, so that sums are exact in any order."""

CHANCE = 2**-32
"""The part of a list that a candidate is, 1 / its size, is added up in whole multiples of this."""

FIRST_MOMENT, LAST_MOMENT = -2, -1
"""What is read beside amounts: the first and the last moment; amounts are 0, the number of rows, and from 1 on."""

NEVER_FIRST, NEVER_LAST = int(np.iinfo(np.int64).max), int(np.iinfo(np.int64).min)
"""What these are where there is no row."""

Codes = Mapping[str, Ints]
Per = tuple[str, ...]


class Amount(NamedTuple):
    """How much of a stream a key had over `[as_of - window, as_of)`, without limit where there is no window.

    `which` is 0 for how many rows; of lists 1 for how many clicks, and 2 for the sum of 1 / list size in `CHANCE`s; of
    events 1 for their values in `UNIT`s, and 2 for how many of them have one.
    """

    of: str
    per: Per
    window: timedelta | None = None
    which: int = 0


class Moment(NamedTuple):
    """When the last row of a key became known, or the first one."""

    of: str
    per: Per
    first: bool = False


@dataclass(frozen=True)
class Rows:
    """Candidates in codes, one element a row.

    Attributes
    ----------
    codes
        Per key column (`user`, `item`, an attribute, a context category) the codes, -1 where unknown, each of shape
        [Q].
    as_of
        Moment after which no behaviour may be known, microseconds, shape [Q].
    timestamp
        The request's own moment, or that of its making, after which nothing may be known of items and users either,
        microseconds, shape [Q].
    """

    codes: Codes
    as_of: Ints
    timestamp: Ints

    def part(self, start: int, end: int) -> "Rows":
        """Give some of them, one after the other."""
        codes = {name: of[start:end] for name, of in self.codes.items()}
        return Rows(codes, self.as_of[start:end], self.timestamp[start:end])


@dataclass(frozen=True)
class Stream:
    """Rows of one kind.

    Attributes
    ----------
    codes
        Per key column the codes, each of shape [N].
    moments
        Microseconds at which the rows became known, shape [N].
    happened
        Microseconds at which they happened, as far as the log says, shape [N]: a click on a list when that was shown.
        Under what was known of their items and users before it they count for ever.
    amounts
        What to add up, each of shape [N].
    """

    codes: Codes
    moments: Ints
    happened: Ints
    amounts: tuple[Ints, ...] = ()

    def where(self, rows: Flags | Ints) -> "Stream":
        """Keep some rows, or give them in another order."""
        codes = {name: of[rows] for name, of in self.codes.items()}
        return Stream(codes, self.moments[rows], self.happened[rows], tuple(amount[rows] for amount in self.amounts))

    @property
    def by_moment(self) -> "Stream":
        """The rows in the order in which they became known; those of one moment stay as they stand."""
        if (self.moments[1:] >= self.moments[:-1]).all():
            return self
        return self.where(np.argsort(self.moments, kind="stable"))

    def joined(self, other: "Stream") -> "Stream":
        """Append the rows of another stream with the same key columns and amounts."""
        return Stream(
            {name: np.concatenate([of, other.codes[name]]) for name, of in self.codes.items()},
            np.concatenate([self.moments, other.moments]),
            np.concatenate([self.happened, other.happened]),
            tuple(np.concatenate(pair) for pair in zip(self.amounts, other.amounts, strict=True)),
        )


def distinct(codes: Ints, count: int) -> tuple[Ints, Ints]:
    """Give the distinct codes, -1 for unknown ones among them, ascending, and the place there of each, shape [N].

    Parameters
    ----------
    codes
        At least -1 and less than `count`, shape [N].
    count
        Where they are few beside it they are sorted, else counted.

    Examples
    --------
    >>> [each.tolist() for each in distinct(np.array([4, -1, 4]), 5)]
    [[-1, 4], [1, 0, 1]]
    """
    if 8 * len(codes) < count:
        found, places = np.unique(codes, return_inverse=True)
        return found, places
    found = np.flatnonzero(np.bincount(codes + 1, minlength=count + 1)) - 1
    at = np.empty(count + 1, dtype=np.int64)
    at[found + 1] = np.arange(len(found))
    return found, at[codes + 1]


Values = TypeVar("Values", bound=np.generic)


def pick(values: npt.NDArray[Values], places: Ints, missing: float | np.floating) -> npt.NDArray[Values]:
    """Read values at places, `missing` where there is no such place, in the shape of the places.

    Examples
    --------
    >>> pick(np.array([7, 8]), np.array([1, -1, 2]), 0).tolist()
    [8, 0, 0]
    """
    if not len(values):
        return np.full(places.shape, missing, dtype=values.dtype)
    found: npt.NDArray[Values] = values.take(places, mode="clip")
    found[(places < 0) | (places >= len(values))] = missing
    return found
