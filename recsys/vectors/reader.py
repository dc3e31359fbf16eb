"""What reads texts for the feature table: item vectors joined with the items of a log, and their text neighbours."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.past.history import read_history
from recsys.past.lookup import Lookup
from recsys.past.streams import OUTCOME, Amount, Ints, Rows, distinct, pick
from recsys.statistics.numbers import Floats, divide
from recsys.vectors.coded_lists import CodedLists
from recsys.vectors.neighbours import COUNT, Neighbours
from recsys.vectors.queries import QueryReader
from recsys.vectors.signals import TextSignals, text_signals
from recsys.vectors.user_tower import UserTower

if TYPE_CHECKING:
    from recsys.past.log import Log
    from recsys.vectors.encoded import Encoded
    from recsys.vectors.item_vectors import ItemVectors

_MANY = 1_000
"""Of more candidates of one moment than these each item is looked up once."""


class TextSource(Protocol):
    """What reads texts of new items, see `recsys.encoders.text_reader.LateReader`."""

    def encode(self, texts: Sequence[str]) -> "Encoded":
        """Return the vectors of texts, or raise a ModelError."""

    def encode_lexically(self, texts: Sequence[str]) -> tuple["Encoded", npt.NDArray[np.bool_]]:
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

    vectors: "ItemVectors"
    places: Ints
    tower: UserTower
    history_length: int
    neighbours: Neighbours
    queries: QueryReader | None = None
    texts: TextSource | None = None
    guesses: npt.NDArray[np.float32] | None = None

    @classmethod
    def of(
        cls,
        log: "Log",
        vectors: "ItemVectors",
        tower: UserTower,
        history_length: int,
        queries: QueryReader | None = None,
        texts: TextSource | None = None,
        neighbours: Neighbours | None = None,
    ) -> "Reader":
        """Join the items of a log with their vectors; neighbours are looked for anew where none are given."""
        beside = Neighbours.of(log, vectors) if neighbours is None else neighbours
        return cls(vectors, beside.places, tower, history_length, beside, queries, texts)

    def told(
        self,
        log: "Log",
        rows: Ints,
        places: Ints,
        texts: tuple[pl.DataFrame, pl.Series, "Encoded"],
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
        neighbours = self.neighbours.told(log, vectors, all_places)
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

    def texts_of(self, versions: Ints) -> Ints:
        """Give the rows in the vectors of rows of the items table, -1 where there is none, of the same shape."""
        return pick(self.places, versions, -1)

    def beside(self, log: "Log", rows: Rows) -> tuple[Ints, npt.NDArray[np.float32]]:
        """Give the text neighbours of candidates, see `Neighbours.items`; what is not known by its request has none."""
        items, codes = log.register.items, rows.codes["item"]
        first = np.where(items.at(codes, rows.timestamp) < 0, -1, pick(items.firsts, codes, -1))
        places = self.texts_of(first)
        self.neighbours.find(places)
        return self.neighbours.items(places)


def read_lists(log: "Log", rows: Rows, starts: Ints, places: Ints, history_length: int) -> CodedLists:
    """Turn candidates into what the text stage sees.

    Parameters
    ----------
    log
        Behaviour; only clicks known before each request's `as_of` are read.
    rows, starts
        Candidates in codes, whole requests together, and the first row of each request.
    places
        Row in the vectors of every row of the items table, see `recsys.past.register.Register.places`.
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


def neighbour_signals(
    reader: Reader, rows: Rows, log: "Log", window: tuple[timedelta, ...], prior: float
) -> tuple[Floats, Floats, Floats]:
    """Add up what is known of the text neighbours of Q candidates.

    Parameters
    ----------
    reader
        Knows who they are.
    rows, log
        The candidates in codes, and behaviour.
    window
        How far back the recent rate looks; none is without limit.
    prior
        Strength of the overall click rate, in showings.

    Returns
    -------
    Smoothed click rate of the neighbours together, ever and in the window, NaN as long as nothing was shown; and the
    dot product with the nearest neighbour, about -1 to 1, NaN without one. Each of shape [Q].
    """
    if len(rows.as_of) > _MANY and (rows.as_of == rows.as_of[0]).all() and (rows.timestamp == rows.timestamp[0]).all():
        own, of_row = distinct(rows.codes["item"], len(log.items))  # lists of one night: each item once
        if len(own) < len(of_row):
            once = Rows({"item": own}, rows.as_of[: len(own)], rows.timestamp[: len(own)])
            ever, recent, nearest = neighbour_signals(reader, once, log, window, prior)
            return ever[of_row], recent[of_row], nearest[of_row]
    items, similarity = reader.beside(log, rows)
    keys = [((), None), *((("item",), back) for back in (None, *window))]
    asked = [Amount(OUTCOME, per, back, which) for per, back in keys for which in (0, 1)]
    if len(items) and (rows.as_of == rows.as_of[0]).all():  # one list, or those of one night: each item is read once
        own, of_row = distinct(items.ravel(), len(log.items))
        found = Lookup(log, Rows({"item": own}, rows.as_of[:1].repeat(len(own)), own)).read(asked)[:, of_row]
    else:
        found = Lookup(log, Rows({"item": items.ravel()}, np.repeat(rows.as_of, COUNT), items.ravel())).read(asked)
    usual = divide(found[1, ::COUNT], found[0, ::COUNT])
    together = found[2:].reshape(len(found) - 2, -1, COUNT).sum(axis=2)
    rates = [
        (clicked + prior * usual) / (shown + prior)
        for shown, clicked in zip(together[::2], together[1::2], strict=True)
    ]
    nearest = np.where(items[:, 0] >= 0, similarity[:, 0], np.nan).astype(np.float64)
    return rates[0], rates[-1], nearest
