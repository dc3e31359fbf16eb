"""Candidates that are asked about, and their look-ups in the log; what several features share is read at once."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.past.reads import Reads
from recsys.past.streams import (
    CLICK,
    LAST,
    MICROSECONDS_PER_HOUR,
    NEVER_FIRST,
    NEVER_LAST,
    SHOWING,
    Amount,
    Ints,
    Moment,
    Per,
    Rows,
    pick,
)

if TYPE_CHECKING:
    from recsys.past.log import Log

Floats = npt.NDArray[np.float64]


EVER = (Amount(SHOWING, ("user",)), Amount(SHOWING, ("item",)), Amount(CLICK, ("item",)))
"""What is asked of every candidate, whatever its features."""


@dataclass
class Lookup:
    """Candidates and the log they are looked up in.

    Attributes
    ----------
    log
        All behaviour.
    rows
        The candidates, in codes.
    """

    log: "Log"
    rows: Rows

    @classmethod
    def of_nobody(cls, log: "Log") -> "Lookup":
        """Look up no candidate at all: what is asked of it counts what the first candidates would."""
        nobody = np.empty(0, dtype=np.int64)
        return cls(log, Rows(dict.fromkeys(log.vocabularies, nobody), nobody, nobody))

    def part(self, start: int, end: int) -> "Lookup":
        """Look up some of the candidates, one after the other."""
        part = Lookup(self.log, self.rows.part(start, end))
        part.codes = {name: of[start:end] for name, of in self.codes.items()}
        part.items, part.users = self.items[start:end], self.users[start:end]
        return part

    def read_with_ever(self, asked: Sequence[Amount | Moment]) -> Ints:
        """Read what is asked, and what `ever` tells at once."""
        found = self.read((*asked, *EVER))
        self.ever = found[len(asked) :].copy()  # a view would hold all of it
        return found[: len(asked)]

    def read(self, asked: Sequence[Amount | Moment]) -> Ints:
        """Read what is known of Q candidates, shape [A, Q]; moments are microseconds.

        Where no row of a key is known, amounts are 0, and moments as `recsys.past.kernel` says.
        """
        reads = Reads.of(asked, self.log.time.feedback_delay, self.log.horizon is not None)
        codes = self.codes if any(name.startswith(LAST) for name in reads.names) else self.rows.codes
        columns = np.empty((len(reads.names), len(self.rows.as_of)), dtype=np.int64)
        for row, name in enumerate(reads.names):
            columns[row] = codes[name]
        found = np.empty((len(asked), columns.shape[1]), dtype=np.int64)
        found[:] = reads.empty[:, None]
        bounds = reads.bounds(self.rows.as_of, self.log.edge(self.rows.as_of))
        for layer in self.log.layers:
            layer.add(reads, columns, bounds, found)
        return found

    def amount(self, of: str, per: Per, window: timedelta | None, which: int = 0) -> Ints:
        """Read one `Amount`, shape [Q]."""
        found: Ints = self.read((Amount(of, per, window, which),))[0]
        return found

    @cached_property
    def ever(self) -> Ints:
        """How often each user was shown anything, and each item was shown and clicked, shape [3, Q]."""
        return self.read(EVER)

    def hours(self, moments: Ints) -> Floats:
        """Give the hours between moments that were read and `as_of`, NaN where there is none, of the same shape."""
        known = (moments != NEVER_FIRST) & (moments != NEVER_LAST)
        hours: Floats = np.where(known, (self.rows.as_of - moments) / MICROSECONDS_PER_HOUR, np.nan)
        return hours

    def hours_since_available(self) -> Floats:
        """Hours between `available_at` of each item and the request's own time, NaN where not known, shape [Q]."""
        available_at = pick(self.log.available_at, np.where(self.items < 0, -1, self.rows.codes["item"]), np.nan)
        hours: Floats = (self.rows.timestamp - available_at) / MICROSECONDS_PER_HOUR
        return hours

    def number(self, name: str) -> Floats:
        """Give a number that the table of items holds, NaN where it is not known, shape [Q]."""
        values = self.log.behaviour.items[name].fill_null(np.nan).to_numpy()
        found: Floats = pick(values, self.items, np.nan)
        return found

    @cached_property
    def items(self) -> Ints:
        """The row of the items table that says what each item is by its request, -1 where none does, shape [Q]."""
        return self.log.register.items.at(self.rows.codes["item"], self.rows.timestamp)

    @cached_property
    def users(self) -> Ints:
        """The same of the users table and of users."""
        return self.log.register.users.at(self.rows.codes["user"], self.rows.timestamp)

    @cached_property
    def codes(self) -> Mapping[str, Ints]:
        """The key columns of the candidates, those of their users' last clicks included."""
        users, as_of = self.rows.codes["user"], self.rows.as_of
        first = np.ones(len(users), dtype=bool)  # of each run of one user at one moment
        first[1:] = (users[1:] != users[:-1]) | (as_of[1:] != as_of[:-1])
        last, _, happened = self.log.last_clicks(users[first], as_of[first], 1)
        of_row = np.cumsum(first) - 1
        found = self.log.register.last_codes(last[:, 0], happened[:, 0])
        return {**self.rows.codes, **{name: of[of_row] for name, of in found.items()}}


def request_starts(candidates: pl.DataFrame) -> Ints:
    """Give the first row of every request, rows of one together, and last the number of rows, shape [R + 1]."""
    lengths = candidates["request_id"].rle().struct.field("len").to_numpy()
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])


def first_of_each(column: pl.Series, starts: Ints) -> pl.Series:
    """Give the value of the first row of every request."""
    return column.head(1) if len(starts) == 2 else column.gather(starts[:-1])


def user_numbers(requests: pl.DataFrame, starts: Ints) -> Ints:
    """Give each request's user a number, from 0 on in the order of their ids, shape [R]."""
    numbers: Ints = first_of_each(requests["user_id"], starts).rank("dense").to_numpy().astype(np.int64) - 1
    return numbers


def _is_one(requests: pl.Series) -> bool:
    """Tell whether all requests are one."""
    if requests.dtype == pl.String:
        return len(set(requests.to_list())) == 1
    numbers = requests.to_numpy()
    return bool((numbers == numbers[0]).all())


def _by_item(candidates: pl.DataFrame) -> pl.DataFrame:
    """Sort the candidates of one request."""
    items = candidates.get_column("item_id")
    if not items.dtype.is_integer() or items.null_count():
        return candidates.sort("item_id")
    numbers = items.to_numpy()
    return candidates if (numbers[1:] > numbers[:-1]).all() else candidates[np.argsort(numbers, kind="stable")]


def cut_requests(starts: Ints, rows: int) -> Iterator[tuple[int, int]]:
    """Cut requests into runs of at least `rows` rows each, the last one excepted: their first, and the one after."""
    first = 0
    while first < len(starts) - 1:
        last = int(np.searchsorted(starts, min(starts[first] + rows, starts[-1])))
        yield first, last
        first = last


@dataclass(frozen=True, eq=False)
class Asked:
    """Whole requests that are asked about, put in order, started and encoded once for all that read them.

    Attributes
    ----------
    candidates
        Q rows, by request and then by item.
    starts
        First row of every request and, last, Q; shape [R + 1].
    log
        All behaviour.
    """

    candidates: pl.DataFrame
    starts: Ints
    log: "Log"

    @classmethod
    def of(cls, candidates: pl.DataFrame, log: "Log") -> "Asked":
        """Put candidates into the one order that features are computed in, and find where requests start."""
        requests = candidates.get_column("request_id")
        if len(requests) and requests.null_count() == 0 and requests[0] == requests[-1] and _is_one(requests):
            return cls(_by_item(candidates), np.array([0, len(requests)]), log)
        candidates = candidates.sort("request_id", "item_id")
        return cls(candidates, request_starts(candidates), log)

    @cached_property
    def rows(self) -> Rows:
        """The candidates in codes."""
        return self.log.rows(self.candidates)

    @cached_property
    def lookup(self) -> Lookup:
        """What is known of them before each request's `as_of`."""
        return Lookup(self.log, self.rows)

    @cached_property
    def lengths(self) -> Ints:
        """How many candidates each request has, shape [R]."""
        return np.diff(self.starts)

    def unseen(self) -> Floats:
        """Give the share of each request's candidates of whose items no showing and no click is known, shape [R]."""
        if not len(self.lengths):
            return np.empty(0)
        _, shown, clicked = self.lookup.ever
        shares: Floats = np.add.reduceat(shown + clicked == 0, self.starts[:-1], dtype=np.int64) / self.lengths
        return shares

    def parts(self, rows: int) -> Iterator["Asked"]:
        """Cut into parts, see `cut_requests`."""
        for first, last in cut_requests(self.starts, rows):
            start, end = self.starts[first], self.starts[last]
            yield Asked(self.candidates[start:end], self.starts[first : last + 1] - start, self.log)

    def some(self, first: int, last: int) -> "Asked":
        """Give the requests from `first` to, not including, `last`, with what was looked up of them."""
        start, end = int(self.starts[first]), int(self.starts[last])
        part = Asked(self.candidates[start:end], self.starts[first : last + 1] - start, self.log)
        part.__dict__["lookup"] = self.lookup.part(start, end)
        part.__dict__["rows"] = part.lookup.rows
        return part
