"""Candidates that are asked about, and their look-ups in the log; what several features share is searched once."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.past.counters import Counter, Ints, Pairs
from recsys.past.streams import CLICK, LAST, MICROSECONDS_PER_HOUR, OUTCOME, SHOWING, Per, Rows

if TYPE_CHECKING:
    from recsys.past.log import Layer, Log

Floats = npt.NDArray[np.float64]


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
    _pairs: "dict[tuple[Layer, Per], Pairs]" = field(default_factory=dict)
    _places: "dict[tuple[Layer, str, int], Ints]" = field(default_factory=dict)
    _ends: "dict[tuple[Layer, str, Per, int], Ints]" = field(default_factory=dict)
    _firsts: "dict[tuple[Layer, str, Per], Ints]" = field(default_factory=dict)
    _amounts: dict[tuple[str, Per, timedelta | None, int], Ints] = field(default_factory=dict)

    @classmethod
    def of_nobody(cls, log: "Log") -> "Lookup":
        """Look up no candidate at all: features asked of it build the counters that the first candidates would."""
        nobody = np.empty(0, dtype=np.int64)
        return cls(log, Rows(dict.fromkeys(log.vocabularies, nobody), nobody, nobody))

    def amount(self, of: str, per: Per, window: timedelta | None, which: int = 0) -> Ints:
        """Add up a stream per key over `[as_of - window, as_of)`, shape [Q].

        `which` is 0 for how many rows; of lists 1 for how many clicks, and 2 for the sum of 1 / list size in
        `CHANCE`s; of events 1 for their values in `UNIT`s, and 2 for how many of them have one.
        """
        if (of, per, window, which) not in self._amounts:
            first, *others = (self._of_layer(layer, of, per, window, which) for layer in self.log.layers)
            for other in others:
                first += other
            self._amounts[of, per, window, which] = first
        return self._amounts[of, per, window, which]

    def hours_since(self, of: str, per: Per, first: bool = False) -> Floats:
        """Hours between the last known row of each key, or the first, and `as_of`, NaN without one, shape [Q]."""
        moments = np.full(len(self.rows.as_of), np.nan)
        for layer in self.log.layers:
            counter, pairs = layer.counter(of, per), self._pairs_of(layer, per)
            start, end = self._first(layer, counter, of, per), self._end(layer, counter, of, per, None)
            known = end > start
            found = np.full(len(pairs.keys), np.nan)
            found[known] = layer.timeline.moments[counter.moment(start[known] if first else end[known] - 1)]
            moments = (np.fmin if first else np.fmax)(moments, found[pairs.inverse])
        hours: Floats = (self.rows.as_of - moments) / MICROSECONDS_PER_HOUR
        return hours

    def hours_since_available(self) -> Floats:
        """Hours between `available_at` of each item and the request's own time, NaN where not known, shape [Q]."""
        available_at = np.append(self.log.available_at, np.nan)[np.where(self.items < 0, -1, self.rows.codes["item"])]
        hours: Floats = (self.rows.timestamp - available_at) / MICROSECONDS_PER_HOUR
        return hours

    def number(self, name: str) -> Floats:
        """Give a number that the table of items holds, NaN where it is not known, shape [Q]."""
        values = self.log.behaviour.items[name].fill_null(np.nan).to_numpy()
        found: Floats = np.append(values, np.nan)[self.items]
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
        of_user = Pairs.of(self.rows.codes["user"], self._as_of_places, len(self._moments) + 1)
        last, _, happened = self.log.last_clicks(of_user.keys, self._moments[of_user.moments], 1)
        return {**self.rows.codes, **self.log.last_codes(last[of_user.inverse, 0], happened[of_user.inverse, 0])}

    def _of_layer(self, layer: "Layer", of: str, per: Per, window: timedelta | None, which: int) -> Ints:
        counter = layer.counter(of, per)
        start, end = self._end(layer, counter, of, per, window), self._end(layer, counter, of, per, None)
        if window is None:
            start = self._first(layer, counter, of, per)
        sums = end - start
        if which > 0:
            total = counter.totals[which - 1]
            sums = np.subtract(total[end], total[start], dtype=np.int64)
        return sums[self._pairs_of(layer, per).inverse]

    def _first(self, layer: "Layer", counter: Counter, of: str, per: Per) -> Ints:
        """Give the place of the first row of the key, per pair."""
        of = SHOWING if of == OUTCOME else of
        if (layer, of, per) not in self._firsts:
            self._firsts[layer, of, per] = self._pairs_of(layer, per).first(counter)
        return self._firsts[layer, of, per]

    def _end(self, layer: "Layer", counter: Counter, of: str, per: Per, window: timedelta | None) -> Ints:
        """Give the end of the rows that were known `window` before `as_of`, per pair."""
        back = 0 if window is None else int(window.total_seconds() * 1_000_000)
        if (layer, of, per, back) not in self._ends:
            stream = OUTCOME if of == OUTCOME else CLICK  # all others lie where they became known
            if (layer, stream, back) not in self._places:
                self._places[layer, stream, back] = layer.before(stream, self._moments - back)
            pairs = self._pairs_of(layer, per)
            places = self._places[layer, stream, back][pairs.moments]
            self._ends[layer, of, per, back] = counter.before(pairs.keys, places)
        return self._ends[layer, of, per, back]

    def _pairs_of(self, layer: "Layer", per: Per) -> Pairs:
        if (layer, per) not in self._pairs:
            codes = self.codes if any(name.startswith(LAST) for name in per) else self.rows.codes
            keys = np.broadcast_to(layer.combine(codes, per), self.rows.as_of.shape)
            self._pairs[layer, per] = Pairs.of(keys, self._as_of_places, len(self._moments) + 1)
        return self._pairs[layer, per]

    @cached_property
    def _moments(self) -> Ints:
        """The distinct `as_of`, ascending."""
        return np.unique(self.rows.as_of)

    @cached_property
    def _as_of_places(self) -> Ints:
        return np.searchsorted(self._moments, self.rows.as_of)


def request_starts(candidates: pl.DataFrame) -> Ints:
    """Give the first row of every request, rows of one together, and last the number of rows, shape [R + 1]."""
    lengths = candidates["request_id"].rle().struct.field("len").to_numpy()
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])


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

    @property
    def lengths(self) -> Ints:
        """How many candidates each request has, shape [R]."""
        return np.diff(self.starts)

    def unseen(self) -> Floats:
        """Give the share of each request's candidates of whose items no showing and no click is known, shape [R]."""
        if not len(self.lengths):
            return np.empty(0)
        known = self.lookup.amount(SHOWING, ("item",), None) + self.lookup.amount(CLICK, ("item",), None)
        shares: Floats = np.add.reduceat(known == 0, self.starts[:-1], dtype=np.int64) / self.lengths
        return shares

    def parts(self, rows: int) -> Iterator["Asked"]:
        """Cut into parts, see `cut_requests`."""
        for first, last in cut_requests(self.starts, rows):
            start, end = self.starts[first], self.starts[last]
            yield Asked(self.candidates[start:end], self.starts[first : last + 1] - start, self.log)
