"""Text neighbours: what became of the items that were out before and whose texts are nearest."""

from dataclasses import dataclass
from datetime import timedelta
from threading import Lock

import numpy as np
import numpy.typing as npt

from recsys.features.within_list import divide
from recsys.past.counters import Ints
from recsys.past.log import Log
from recsys.past.lookup import Lookup
from recsys.past.streams import OUTCOME, Rows
from recsys.vectors.item_vectors import ItemVectors

Floats = npt.NDArray[np.float64]

COUNT = 10
"""How many neighbours an item has, at most."""

_PER_UNIT = 2**22
"""Dot products of item vectors are whole multiples of one over this, see `recsys.vectors.item_vectors.GRID`."""

_NUMBERS_PER_BLOCK = 4_000_000


class Neighbours:
    """The nearest older items of every item, found when first asked for; threads may share one.

    Older are items whose `available_at` is not after the item's own, so that the answer stays when newer items come.
    An item without `available_at` has no neighbours and is nobody's: nothing tells what was there before it.

    Parameters
    ----------
    log
        Knows `available_at`.
    vectors
        Vectors of the items.
    """

    def __init__(self, log: Log, vectors: ItemVectors) -> None:
        codes = log.items.encode(vectors.item_ids)
        listed = np.append(log.listed, False)[codes]
        self._codes = np.where(listed, codes, -1)
        self._history = vectors.history[listed]
        self._rows = np.flatnonzero(listed)
        self._place = np.cumsum(listed) - 1
        order = log.items.order[codes[listed]]
        self._later = len(order) - 1 - np.argsort(np.argsort(order))  # of two equally near, the smaller id is nearer
        self._available = log.available_at[codes[listed]]
        self._found = np.full((len(order), COUNT), -2, dtype=np.int64)
        self._similarity = np.zeros((len(order), COUNT), dtype=np.float32)
        self._lock = Lock()

    def of(self, rows: Ints) -> tuple[Ints, npt.NDArray[np.float32]]:
        """Find neighbours.

        Parameters
        ----------
        rows
            Rows of the vectors, -1 for unknown items, shape [U].

        Returns
        -------
        Item codes in the log, nearest first, -1 where there is none, and dot products, 0 there, each [U, `COUNT`].
        """
        items, similarity = np.full((len(rows), COUNT), -1), np.zeros((len(rows), COUNT), np.float32)
        known = np.flatnonzero((rows >= 0) & (np.append(self._codes, -1)[rows] >= 0))
        places = self._place[rows[known]]
        with self._lock:
            new = np.unique(places[self._found[places, 0] == -2])
            block = max(1, _NUMBERS_PER_BLOCK // max(1, len(self._history)))
            for start in range(0, len(new), block):
                self._find(new[start : start + block])
        items[known], similarity[known] = self._found[places], self._similarity[places]
        return items, similarity

    def _find(self, places: Ints) -> None:
        products = self._history[places] @ self._history.T
        newer = ~(self._available <= self._available[places][:, None])  # what is not known (NaN) is not older
        keys = np.rint(products * _PER_UNIT).astype(np.int64) * len(self._history) + self._later
        keys[newer] = np.iinfo(np.int64).min
        keys[np.arange(len(places)), places] = np.iinfo(np.int64).min
        count = min(COUNT, keys.shape[1])
        nearest = np.argpartition(keys, -count, axis=1)[:, -count:]
        order = np.argsort(~np.take_along_axis(keys, nearest, 1), axis=1)
        nearest = np.take_along_axis(nearest, order, 1)
        none = np.take_along_axis(keys, nearest, 1) == np.iinfo(np.int64).min
        codes = self._codes[self._rows[nearest]]
        self._similarity[places, :count] = np.where(none, 0, np.take_along_axis(products, nearest, 1))
        self._found[places] = -1
        self._found[places, :count] = np.where(none, -1, codes)


@dataclass(frozen=True)
class NeighbourSignals:
    """What neighbours say about each of Q candidates.

    Attributes
    ----------
    neighbour_click_rate, neighbour_click_rate_recent
        Smoothed click rate of the neighbours together, ever and in the longest window; NaN as long as nothing was
        shown.
    neighbour_similarity
        Dot product with the nearest neighbour, about -1 to 1, NaN without one.
    """

    neighbour_click_rate: Floats
    neighbour_click_rate_recent: Floats
    neighbour_similarity: Floats


def neighbour_signals(
    neighbours: Neighbours, places: Ints, log: Log, rows: Rows, window: timedelta | None, prior: float
) -> NeighbourSignals:
    """Add up what is known of the neighbours of candidates.

    Parameters
    ----------
    neighbours
        Who they are.
    places
        Row in the vectors of every candidate, -1 for unknown items, shape [Q].
    log, rows
        Behaviour, and the candidates in codes.
    window
        How far back the recent rate looks.
    prior
        Strength of the overall click rate, in showings.
    """
    items, similarity = neighbours.of(places)
    beside = Lookup(log, Rows({"item": items.ravel()}, np.repeat(rows.as_of, COUNT), np.repeat(rows.timestamp, COUNT)))
    shown, clicked = (beside.amount(OUTCOME, (), None, which)[::COUNT] for which in (0, 1))
    usual = divide(clicked, shown)
    rates = []
    for each in (None, window):
        of_each = (beside.amount(OUTCOME, ("item",), each, which) for which in (0, 1))
        shown, clicked = (of.reshape(-1, COUNT).sum(axis=1) for of in of_each)
        rates.append((clicked + prior * usual) / (shown + prior))
    nearest = np.where(items[:, 0] >= 0, similarity[:, 0], np.nan).astype(np.float64)
    return NeighbourSignals(rates[0], rates[1], nearest)
