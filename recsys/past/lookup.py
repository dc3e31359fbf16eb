"""Look-ups of one batch of candidates in the log; what several features share is searched once."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property

import numpy as np
import numpy.typing as npt

from recsys.past.counters import Counter, Ints, Pairs
from recsys.past.log import Layer, Log
from recsys.past.streams import CLICK, LAST, MICROSECONDS_PER_HOUR, OUTCOME, SHOWING, Per, Rows

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

    log: Log
    rows: Rows
    _pairs: dict[tuple[Layer, Per], Pairs] = field(default_factory=dict)
    _places: dict[tuple[Layer, str, int], Ints] = field(default_factory=dict)
    _ends: dict[tuple[Layer, str, Per, int], Ints] = field(default_factory=dict)
    _firsts: dict[tuple[Layer, str, Per], Ints] = field(default_factory=dict)
    _amounts: dict[tuple[str, Per, timedelta | None, int], Ints] = field(default_factory=dict)

    @classmethod
    def of_nobody(cls, log: Log) -> "Lookup":
        """Look up no candidate at all: features asked of it build the counters that the first candidates would."""
        nobody = np.empty(0, dtype=np.int64)
        return cls(log, Rows(dict.fromkeys(log.vocabularies, nobody), nobody, nobody))

    def amounts(self, of: str, per: Per, window: timedelta | None) -> Ints:
        """Add up a stream per key over `[as_of - window, as_of)`.

        Returns
        -------
        Shape [A, Q]: how many rows; of lists, also how many clicks, and in `CHANCE`s the sum of 1 / list size; of
        events, also their values in `UNIT`s, and how many of them have one.
        """
        count = 1 + len(self.log.layers[0].counter(of, per).totals)
        return np.stack([self.amount(of, per, window, which) for which in range(count)])

    def amount(self, of: str, per: Per, window: timedelta | None, which: int = 0) -> Ints:
        """Give one row of `amounts`, shape [Q]; what nothing asks for is never added up."""
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
        available_at = np.append(self.log.available_at, np.nan)[self.rows.codes["item"]]
        hours: Floats = (self.rows.timestamp - available_at) / MICROSECONDS_PER_HOUR
        return hours

    def number(self, name: str) -> Floats:
        """Give a number that the table of items holds, NaN where it is not known, shape [Q]."""
        values = self.log.behaviour.items[name].fill_null(np.nan).to_numpy()
        rows = np.append(self.log.item_rows, len(values))[self.rows.codes["item"]]
        found: Floats = np.append(values, np.nan)[rows]
        return found

    @cached_property
    def codes(self) -> Mapping[str, Ints]:
        """The key columns of the candidates, those of their users' last clicks included."""
        of_user = Pairs.of(self.rows.codes["user"], self._as_of_places, len(self._moments) + 1)
        last, _ = self.log.last_clicks(of_user.keys, self._moments[of_user.moments], 1)
        return {**self.rows.codes, **self.log.last_codes(last[of_user.inverse, 0])}

    def _of_layer(self, layer: Layer, of: str, per: Per, window: timedelta | None, which: int) -> Ints:
        counter = layer.counter(of, per)
        start, end = self._end(layer, counter, of, per, window), self._end(layer, counter, of, per, None)
        if window is None:
            start = self._first(layer, counter, of, per)
        sums = end - start
        if which > 0:
            total = counter.totals[which - 1]
            sums = np.subtract(total[end], total[start], dtype=np.int64)
        return sums[self._pairs_of(layer, per).inverse]

    def _first(self, layer: Layer, counter: Counter, of: str, per: Per) -> Ints:
        """Give the place of the first row of the key, per pair."""
        of = SHOWING if of == OUTCOME else of
        if (layer, of, per) not in self._firsts:
            self._firsts[layer, of, per] = self._pairs_of(layer, per).first(counter)
        return self._firsts[layer, of, per]

    def _end(self, layer: Layer, counter: Counter, of: str, per: Per, window: timedelta | None) -> Ints:
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

    def _pairs_of(self, layer: Layer, per: Per) -> Pairs:
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
