"""Look-ups of one batch of candidates in the log; what several features share is searched once."""

from dataclasses import dataclass, field
from datetime import timedelta

import numpy as np
import numpy.typing as npt

from recsys.features.counters import Ints
from recsys.features.log import MICROSECONDS_PER_HOUR, Log, Rows

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
    _ends: dict[tuple[str, tuple[str, ...]], tuple[Ints, Ints]] = field(default_factory=dict)

    def amounts(self, of: str, per: tuple[str, ...], window: timedelta | None) -> Ints:
        """Add up a stream's amounts per key over `[as_of - window, as_of)`, shape [A, Q]."""
        counter = self.log.counter(of, per)
        keys, ends = self._search(of, per)
        if window is None:
            return counter.amounts(counter.first(keys), ends)
        width = int(window.total_seconds() * 1_000_000)
        return counter.amounts(counter.before(keys, self.rows.as_of - width), ends)

    def hours_since(self, of: str, per: tuple[str, ...]) -> Floats:
        """Hours between the last known row of each key and `as_of`, NaN when there is none, shape [Q]."""
        counter = self.log.counter(of, per)
        keys, ends = self._search(of, per)
        hours = np.full(len(keys), np.nan)
        known = ends > counter.first(keys)
        hours[known] = (self.rows.as_of[known] - counter.moment(ends[known] - 1)) / MICROSECONDS_PER_HOUR
        return hours

    def hours_since_available(self) -> Floats:
        """Hours between `available_at` of each item and the request's own time, NaN where not known, shape [Q]."""
        items = self.rows.codes["item"]
        hours = np.full(len(items), np.nan)
        known = items >= 0
        hours[known] = (self.rows.timestamp[known] - self.log.available_at[items[known]]) / MICROSECONDS_PER_HOUR
        return hours

    @classmethod
    def of_nobody(cls, log: Log) -> "Lookup":
        """Look up no candidate at all: features asked of it build the counters that the first candidates would."""
        nobody = np.empty(0, dtype=np.int64)
        names = ("user", "item", *log.behaviour.attributes)
        return cls(log, Rows(dict.fromkeys(names, nobody), nobody, nobody))

    def _search(self, of: str, per: tuple[str, ...]) -> tuple[Ints, Ints]:
        if (of, per) not in self._ends:
            keys = self.log.combine(self.rows.codes, per)
            self._ends[of, per] = keys, self.log.counter(of, per).before(keys, self.rows.as_of)
        return self._ends[of, per]
