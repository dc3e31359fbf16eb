"""What reads texts for the feature table: item vectors joined with the items of a log, and their text neighbours."""

from dataclasses import dataclass, replace
from threading import Lock

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.past.counters import Ints
from recsys.past.history import read_history
from recsys.past.log import Log
from recsys.past.streams import Rows
from recsys.vectors.coded_lists import CodedLists
from recsys.vectors.item_vectors import ItemVectors
from recsys.vectors.queries import QueryReader
from recsys.vectors.signals import TextSignals, text_signals
from recsys.vectors.user_tower import UserTower

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
class Reader:
    """What reads texts for the feature table.

    Attributes
    ----------
    vectors
        Vectors of the known items.
    places
        Row in `vectors` of every item code of the log, -1 where there is none.
    tower
        Turns vectors and past clicks into interest.
    history_length
        How many past clicks are attended to.
    neighbours
        Text neighbours of the known items.
    queries
        What reads the requests' own texts; None when they have none.
    """

    vectors: ItemVectors
    places: Ints
    tower: UserTower
    history_length: int
    neighbours: Neighbours
    queries: QueryReader | None = None

    @classmethod
    def of(
        cls, log: Log, vectors: ItemVectors, tower: UserTower, history_length: int, queries: QueryReader | None = None
    ) -> "Reader":
        """Join the items of a log with their vectors."""
        places = find_items(log, vectors.item_ids)
        return cls(vectors, places, tower, history_length, Neighbours(log, vectors), queries)

    def on(self, log: Log) -> "Reader":
        """Read the same items on top of a tail, see `Log.with_tail`."""
        later = np.full(len(log.items) - len(self.places), -1, dtype=np.int64)
        return replace(self, places=np.concatenate([self.places, later]))

    def signals(self, log: Log, rows: Rows, starts: Ints, texts: pl.Series | None = None) -> TextSignals:
        """Compute the text signals of candidates, see `read_lists`.

        `texts` holds what each request asks with, of the column that `queries` names; None where there is none.
        """
        lists = read_lists(log, rows, starts, self.places, self.history_length)
        if self.queries is None or texts is None:
            return text_signals(lists, self.vectors, self.tower)
        codes, asked = self.queries.read(texts, self.vectors.history.shape[1])
        return text_signals(replace(lists, queries=codes), self.vectors, self.tower, asked)

    def beside(self, items: Ints) -> tuple[Ints, npt.NDArray[np.float32]]:
        """Find the text neighbours of items in codes, -1 for unknown ones, see `Neighbours.of`."""
        return self.neighbours.of(np.append(self.places, -1)[items])


def find_items(log: Log, item_ids: pl.Series) -> Ints:
    """Give for every item code of the log its row in `item_ids`, -1 where it is not there or not in the items table."""
    places = np.full(len(log.items), -1, dtype=np.int64)
    codes = log.items.encode(item_ids)
    known = codes >= 0
    known[known] = log.listed[codes[known]]
    places[codes[known]] = np.flatnonzero(known)
    return places


def read_lists(log: Log, rows: Rows, starts: Ints, places: Ints, history_length: int) -> CodedLists:
    """Turn candidates into what the text stage sees.

    Parameters
    ----------
    log
        Behaviour; only clicks known before each request's `as_of` are read.
    rows, starts
        Candidates in codes, whole requests together, and the first row of each request.
    places
        Row in the catalogue of every item code, see `find_items`.
    history_length
        How many past clicks.
    """
    padded = np.append(places, -1)  # code -1, an unknown item, finds the last element
    first = starts[:-1]
    history = read_history(log, rows.codes["user"][first], rows.as_of[first], history_length)
    return CodedLists(
        starts=starts,
        items=padded[rows.codes["item"]].astype(np.int32),
        history=padded[history.items].astype(np.int32),
        ages=history.hours,
    )
