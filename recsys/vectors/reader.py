"""What reads texts for the feature table: item vectors joined with the items of a log, and their text neighbours."""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.past.history import read_history
from recsys.past.register import ALWAYS, Entries
from recsys.past.streams import Ints, Rows, pick
from recsys.vectors.coded_lists import CodedLists
from recsys.vectors.item_vectors import Encoded, ItemVectors, text_hashes
from recsys.vectors.queries import QueryReader
from recsys.vectors.signals import TextSignals, text_signals
from recsys.vectors.user_tower import UserTower

if TYPE_CHECKING:
    from recsys.past.log import Log

COUNT = 10
"""How many neighbours an item has, at most."""

_PER_UNIT = 2**22
"""Dot products of item vectors are whole multiples of one over this, see `recsys.vectors.item_vectors.GRID`."""

_NUMBERS_PER_BLOCK = 4_000_000


class Neighbours:
    """The nearest older items of every item, found when first asked for; threads may share one.

    Older are items whose `available_at` is not after the item's own, so that the answer stays when newer items come.
    An item without `available_at` has no neighbours and is nobody's: nothing tells what was there before it. Of an item
    in versions the first one counts, and only items that became known no later are older.

    Parameters
    ----------
    log
        Knows `available_at`.
    vectors
        Vectors of the items.
    """

    def __init__(self, log: "Log", vectors: ItemVectors) -> None:
        self._codes = np.full(len(vectors), -1)
        first = pick(find_items(log, vectors.texts), log.register.items.firsts, -1)
        self._codes[first[first >= 0]] = np.flatnonzero(first >= 0)
        self._found = np.full((len(vectors), COUNT), -2, dtype=np.int64)
        self._similarity = np.zeros((len(vectors), COUNT), dtype=np.float32)
        self._know(log, vectors)

    def _know(self, log: "Log", vectors: ItemVectors) -> None:
        self._history = vectors.history
        self._available = pick(log.available_at, self._codes, np.nan)
        self._since = pick(log.register.items.first_since, self._codes, ALWAYS)
        self._dated = bool(np.any(self._since > ALWAYS))
        self._count = len(log.items)  # of two equally near items, the smaller id is nearer
        self._later = self._count - 1 - pick(log.items.order, self._codes, -1)
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
        known = np.flatnonzero(pick(self._codes, rows, -1) >= 0)
        places = rows[known]
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
        if self._dated:
            newer |= self._since > self._since[places][:, None]
        keys = np.rint(products * _PER_UNIT).astype(np.int64) * self._count + self._later
        keys[newer] = np.iinfo(np.int64).min
        keys[np.arange(len(places)), places] = np.iinfo(np.int64).min
        count = min(COUNT, keys.shape[1])
        nearest = np.argpartition(keys, -count, axis=1)[:, -count:]
        order = np.argsort(~np.take_along_axis(keys, nearest, 1), axis=1)
        nearest = np.take_along_axis(nearest, order, 1)
        none = np.take_along_axis(keys, nearest, 1) == np.iinfo(np.int64).min
        codes = self._codes[nearest]
        self._similarity[places, :count] = np.where(none, 0, np.take_along_axis(products, nearest, 1))
        self._found[places] = -1
        self._found[places, :count] = np.where(none, -1, codes)

    def told(self, log: "Log", vectors: ItemVectors, items: Ints, now: Ints) -> "Neighbours":
        """Know items whose vectors or dates are others now; lists that these cannot change are not looked for again.

        Parameters
        ----------
        log, vectors
            What is known now; rows of vectors were appended only.
        items
            Codes of the items, each once, shape [T].
        now
            The rows in the vectors of their first versions, -1 where they have none, shape [T].
        """
        rows, held = np.full(len(log.items), -1), np.flatnonzero(self._codes >= 0)
        rows[self._codes[held]] = held
        was = rows[items]
        before, after = pick(self._available, was, np.nan), log.available_at[items]
        moved = (was != now) | ~((before == after) | (np.isnan(before) & np.isnan(after)))
        moved |= pick(self._since, was, ALWAYS) != log.register.items.first_since[items]
        items, was, now = items[moved], was[moved], now[moved]
        told, more = copy(self), len(vectors) - len(self._codes)
        told._codes = np.append(self._codes, np.full(more, -1))
        told._codes[was[was >= 0]] = -1
        told._codes[now[now >= 0]] = items[now >= 0]
        with self._lock:
            told._found = np.concatenate([self._found, np.full((more, COUNT), -2)])
            told._similarity = np.concatenate([self._similarity, np.zeros((more, COUNT), np.float32)])
        told._know(log, vectors)
        told._forget(items[was >= 0], was[was >= 0], now[now >= 0])
        return told

    def _forget(self, items: Ints, was: Ints, now: Ints) -> None:
        """Forget the lists of some rows, those that hold some items, and those that some rows may enter."""
        self._found[was, 0] = -2
        if len(items):
            among = np.zeros(self._count + 2, dtype=bool)  # -1 and -2, which are no items, find the last elements
            among[items] = True
            self._found[among[self._found].any(axis=1), 0] = -2
        now = now[~np.isnan(self._available[now])]
        if not len(now):
            return
        lists = np.flatnonzero((self._found[:, 0] != -2) & (self._available >= self._available[now].min()))
        if len(lists) * len(now) > _NUMBERS_PER_BLOCK:
            self._found[lists, 0] = -2
            return
        farthest = np.where(self._found[lists, -1] >= 0, self._similarity[lists, -1], -np.inf)
        near = self._history[lists] @ self._history[now].T >= farthest[:, None]
        near &= self._available[lists][:, None] >= self._available[now]
        self._found[lists[near.any(axis=1)], 0] = -2


class TextSource(Protocol):
    """What reads texts of new items, see `recsys.encoders.text_reader.LateReader`."""

    def encode(self, texts: Sequence[str]) -> Encoded:
        """Return the vectors of texts, or raise a ModelError."""

    def encode_lexically(self, texts: Sequence[str]) -> tuple[Encoded, npt.NDArray[np.bool_]]:
        """Return vectors of what is known letter by letter, and of which texts; or raise a ModelError."""


@dataclass(frozen=True)
class Reader:
    """What reads texts for the feature table.

    Attributes
    ----------
    vectors
        Vectors of the known items.
    places
        Row in `vectors` of every row of the log's items table, -1 where there is none.
    tower
        Turns vectors and past clicks into interest.
    history_length
        How many past clicks are attended to.
    neighbours
        Text neighbours of the known items.
    queries
        What reads the requests' own texts; None when they have none.
    texts
        What reads the texts of new items; None where none will come.
    guesses
        The appeal that rows of the log's items table are taken to have as long as their texts could not be read,
        float32, NaN where nothing says; None where it does of none.
    """

    vectors: ItemVectors
    places: Ints
    tower: UserTower
    history_length: int
    neighbours: Neighbours
    queries: QueryReader | None = None
    texts: TextSource | None = None
    guesses: npt.NDArray[np.float32] | None = None

    @cached_property
    def texted(self) -> npt.NDArray[np.bool_]:
        """Which of the vectors were made of a text; all items without one share a vector that says nothing."""
        found: npt.NDArray[np.bool_] = (self.vectors.text_hashes != text_hashes([""])[0]).to_numpy()
        return found

    @classmethod
    def of(
        cls,
        log: "Log",
        vectors: ItemVectors,
        tower: UserTower,
        history_length: int,
        queries: QueryReader | None = None,
        texts: TextSource | None = None,
    ) -> "Reader":
        """Join the items of a log with their vectors."""
        places = find_items(log, vectors.texts)
        return cls(vectors, places, tower, history_length, Neighbours(log, vectors), queries, texts)

    def told(
        self,
        log: "Log",
        rows: Ints,
        places: Ints,
        texts: tuple[pl.DataFrame, pl.Series, Encoded],
        guesses: npt.NDArray[np.float32],
    ) -> "Reader":
        """Know new and changed rows of items.

        Parameters
        ----------
        log
            What is known of them now.
        rows
            Which rows of the items table are new or changed, shape [T].
        places
            Their rows in the vectors, those of `texts` counted on from the last, -1 where there is none, shape [T].
        texts
            The texts that are new: `item_id` and perhaps `known_at`, hashes, and vectors, see `ItemVectors`.
        guesses
            What the rows are taken to appeal as long as they have no text, NaN where nothing says, shape [T].
        """
        items = log.register.items
        more = np.full(len(items.table) - len(self.places), -1, dtype=np.int64)
        all_places = np.concatenate([self.places, more])
        all_places[rows] = places
        all_guesses = np.full(len(items.table), np.nan, np.float32)
        all_guesses[: len(self.places)] = np.nan if self.guesses is None else self.guesses
        all_guesses[rows] = guesses
        vectors = self.vectors.followed_by(*texts) if len(texts[0]) else self.vectors
        codes = np.unique(items.keys[0][rows])
        neighbours = self.neighbours.told(log, vectors, codes, all_places[items.firsts[codes]])
        guessed = None if np.isnan(all_guesses).all() else all_guesses
        return replace(self, vectors=vectors, places=all_places, neighbours=neighbours, guesses=guessed)

    def signals(self, log: "Log", rows: Rows, starts: Ints, texts: pl.Series | None = None) -> TextSignals:
        """Compute the text signals of candidates, see `read_lists`.

        `texts` holds what each request asks with, of the column that `queries` names; None where there is none.
        """
        lists, asked = read_lists(log, rows, starts, self.places, self.history_length), None
        if self.queries is not None and texts is not None:
            codes, asked = self.queries.read(texts, self.vectors.history.shape[1])
            lists = replace(lists, queries=codes)
        found = text_signals(lists, self.vectors, self.tower, asked)
        if self.guesses is None:
            return found
        guess = pick(self.guesses, log.register.items.at(rows.codes["item"], rows.timestamp), np.float32(np.nan))
        appeal, text_score = (np.where(lists.items < 0, guess, known) for known in (found.appeal, found.text_score))
        return replace(found, appeal=appeal, text_score=text_score)

    def beside(self, log: "Log", rows: Rows) -> tuple[Ints, npt.NDArray[np.float32]]:
        """Find the text neighbours of candidates, see `Neighbours.of`; what is not known by its request has none."""
        items, codes = log.register.items, rows.codes["item"]
        first = np.where(items.at(codes, rows.timestamp) < 0, -1, pick(items.firsts, codes, -1))
        return self.neighbours.of(pick(self.places, first, -1))


def find_items(log: "Log", texts: pl.DataFrame) -> Ints:
    """Give for every row of the log's items table the row of its text, -1 where there is none.

    Texts are rows of `item_id` and perhaps `known_at`, see `recsys.data.texts.own_texts`.
    """
    known = np.flatnonzero(log.items.encode(texts["item_id"]) >= 0)
    found = Entries.of(texts[known], (), "item", log.vocabularies)
    items, since = log.register.items.keys
    return pick(known, found.at(items, since + 1), -1)


def read_lists(log: "Log", rows: Rows, starts: Ints, places: Ints, history_length: int) -> CodedLists:
    """Turn candidates into what the text stage sees.

    Parameters
    ----------
    log
        Behaviour; only clicks known before each request's `as_of` are read.
    rows, starts
        Candidates in codes, whole requests together, and the first row of each request.
    places
        Row in the vectors of every row of the items table, see `find_items`.
    history_length
        How many past clicks.
    """
    first, items = starts[:-1], log.register.items.at(rows.codes["item"], rows.timestamp)
    history = read_history(log, rows.codes["user"][first], rows.as_of[first], history_length)
    return CodedLists(
        starts=starts,
        items=pick(places, items, -1).astype(np.int32),
        history=pick(places, history.versions, -1).astype(np.int32),
        ages=history.hours,
    )
