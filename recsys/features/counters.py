"""The counting kernel: how much happened per key before a moment, exactly, whatever the order or the batch."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Counter:
    """Integer amounts per key, sorted by key and by the moment they became known, with running totals.

    A look-up is two binary searches and a difference of totals, so it costs the logarithm of the log's length, does
    not depend on the order of rows or on other look-ups, and is exact.

    Attributes
    ----------
    keys
        Distinct keys, ascending, shape [K].
    moments
        Distinct moments at which something became known, ascending, microseconds, shape [T].
    rows
        `place of the key * (T + 1) + place of the moment` of every row, ascending, shape [N].
    totals
        Running totals of each amount before every row, shape [A, N + 1].
    """

    keys: Ints
    moments: Ints
    rows: Ints
    totals: Ints

    @classmethod
    def build(cls, keys: Ints, known_at: Ints, amounts: Ints | None = None) -> "Counter":
        """Sort a log.

        Parameters
        ----------
        keys
            Key of every row, shape [N]; negative keys are left out.
        known_at
            When the row became known, microseconds, shape [N].
        amounts
            What to add up, shape [A, N]; one for every row when left out.
        """
        if amounts is None:
            amounts = np.ones((1, len(keys)), dtype=np.int64)
        if (keys < 0).any():
            kept = keys >= 0
            keys, known_at, amounts = keys[kept], known_at[kept], amounts[:, kept]
        distinct, key_places = np.unique(keys, return_inverse=True)
        moments, moment_places = np.unique(known_at, return_inverse=True)
        rows = key_places.astype(np.int64) * (len(moments) + 1) + moment_places
        order = np.argsort(rows, kind="stable")
        totals = np.zeros((len(amounts), len(keys) + 1), dtype=np.int64)
        np.cumsum(amounts[:, order], axis=1, out=totals[:, 1:])
        return cls(distinct, moments, rows[order], totals)

    def before(self, keys: Ints, as_of: Ints) -> Ints:
        """Count the sorted rows that lie before `as_of` of each key: the end of the key's known rows, shape [Q].

        For a key that never occurs, or a negative one, it equals `first(keys)`.
        """
        return np.searchsorted(self.rows, self._offsets(keys) + np.searchsorted(self.moments, as_of, side="left"))

    def first(self, keys: Ints) -> Ints:
        """Give the place of each key's first row, shape [Q]."""
        return np.searchsorted(self.rows, self._offsets(keys))

    def amounts(self, start: Ints, end: Ints) -> Ints:
        """Add up the amounts of the rows from place `start` up to place `end`, shape [A, Q]."""
        return self.totals[:, end] - self.totals[:, start]

    def moment(self, places: Ints) -> Ints:
        """Give the moment of the rows at these places, microseconds, shape [Q]."""
        return self.moments[self.rows[places] % (len(self.moments) + 1)]

    def _offsets(self, keys: Ints) -> Ints:
        places = np.searchsorted(self.keys, keys)
        found = np.zeros(len(keys), dtype=bool)
        inside = places < len(self.keys)
        found[inside] = self.keys[places[inside]] == keys[inside]
        # A key without rows is sent past the last row, where every look-up comes back empty.
        return np.where(found, places, len(self.keys)) * (len(self.moments) + 1)
