"""New and changed rows of items and users: checked as tables are, and their texts read, before a ranker takes them."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.data.checks import check_entries
from recsys.data.faults import refuse_errors
from recsys.data.plain import plain_table
from recsys.data.texts import item_texts
from recsys.errors import DataError, ModelError, first_line
from recsys.features.checks import check_id_types
from recsys.model.prepared import kept_items, kept_users
from recsys.past.behaviour import Kept
from recsys.past.log import Log
from recsys.past.register import ALWAYS, Entries
from recsys.past.streams import Ints, pick
from recsys.schema import ITEMS, KNOWN_AT, TIME, USERS, Table
from recsys.settings import Settings
from recsys.vectors.encoded import Encoded
from recsys.vectors.item_vectors import ItemVectors, text_hashes
from recsys.vectors.reader import Reader, TextSource

logger = logging.getLogger(__name__)

BY_LETTERS = ""
"""Stands for the hash of a text that was read by its letters alone: told again, it is read again."""

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class NewTexts:
    """Texts of items that were read.

    Attributes
    ----------
    items
        `item_id` and perhaps `known_at` of m texts.
    hashes
        Their hashes.
    encoded
        Their vectors.
    untexted
        How many texts no encoder could read, those of which the letters are read among them.
    """

    items: pl.DataFrame
    hashes: pl.Series
    encoded: Encoded
    untexted: int = 0


@dataclass(frozen=True, eq=False)
class News:
    """What was told of items and users.

    Attributes
    ----------
    items, users
        Rows that are new or unlike what was known, in the columns of `Behaviour`.
    texts
        New texts.
    places
        The rows of the items in the vectors, those of `texts` counted on from the last, -1 where they have none.
    guesses
        What those without a vector are taken to appeal: the mean of their category, float32, NaN for all others.
    alike
        How many rows were told as they were known.
    """

    items: pl.DataFrame
    users: pl.DataFrame
    texts: NewTexts
    places: Ints
    guesses: npt.NDArray[np.float32]
    alike: int

    @classmethod
    def of(
        cls,
        items: pl.DataFrame | None,
        users: pl.DataFrame | None,
        settings: Settings,
        log: Log,
        reader: Reader,
        at: datetime | None = None,
    ) -> "News":
        """Check rows, hold them against what is known, and read new texts.

        Where the encoder cannot be loaded, which is logged as a warning, an item keeps the vector of its former text,
        or has one of what the lexicon knows of the new one, or only the mean appeal of its first affinity attribute.

        Parameters
        ----------
        items, users
            Rows of the tables of these names, None where none were told, each with `known_at` a version of its own.
            Where there is no column `available_at`, the moments that are known stay.
        settings
            The model's.
        log, reader, at
            What is known; versions that were known before a moment are known from then on.

        Raises
        ------
        DataError
            When rows have faults, names all of them; ids or attributes are of another kind than those before; or a row
            does not say from when on it holds and there are versions of its id that do.
        SettingsError
            When a column that the model uses is missing, or of a kind that it cannot use.
        """
        kept, register = settings.kept, log.register
        items = _typed(items, register.items, ITEMS, kept)
        users = _typed(users, register.users, USERS, kept)
        refuse_errors(check_entries(items, users))
        people, told = register.users.table.clear(), register.items.table.clear()
        given, places, texts = 0, np.empty(0, dtype=np.int64), _no_texts(reader.vectors)
        if users is not None:
            check_id_types(users, log.behaviour, "users")
            codes, given = log.users.encode(users["user_id"]), len(users)
            _refuse_undated(users, register.users, codes)
            people = register.users.fitted(_known_from(kept_users(users, kept), at, register.users, codes))
            people = people.filter(register.users.differ(people, log.users.encode(people["user_id"])))
        if items is not None:
            check_id_types(items, log.behaviour, "items")
            codes, given = log.items.encode(items["item_id"]), given + len(items)
            _refuse_undated(items, register.items, codes)
            items = _known_from(_dated(items, log), at, register.items, codes)
            told = register.items.fitted(kept_items(items, kept))
            codes = log.items.encode(told["item_id"])
            places = pick(reader.places, register.items.by_then(told, codes), -1)
            words = item_texts(items, settings.text.fields, settings.text.template)
            unread = _unread(words, places, reader.vectors)
            fresh = unread | register.items.differ(told, codes)
            places, texts = _read(told, words, unread, places, reader)
            told, places = told.filter(fresh), places[fresh]
        guesses, alike = _appeal_of_category(told, places, kept, log, reader), given - len(told) - len(people)
        return cls(told, people, texts, places, guesses, alike)

    def known_by(self, reader: Reader, log: Log) -> Reader:
        """Give a reader that has the new texts, on top of a log that knows the rows."""
        if self.items.is_empty():
            return reader
        rows = log.register.items.rows_of(self.items, log.items.encode(self.items["item_id"]))
        texts = self.texts.items, self.texts.hashes, self.texts.encoded
        return reader.told(log, rows, self.places, texts, self.guesses)


def _typed(told: pl.DataFrame | None, known: Entries, table: Table, kept: Kept) -> pl.DataFrame | None:
    """Bring rows to the types of the package; columns without any value, as in a few rows, get those that are known."""
    if told is None:
        return None
    told = plain_table(told, table, kept.affinity if table is ITEMS else kept.users)
    nothing = [name for name in known.table.columns[1:] if told.schema.get(name) == pl.Null]
    return told.cast({name: known.table.schema[name] for name in nothing})


def _refuse_undated(told: pl.DataFrame, known: Entries, codes: Ints) -> None:
    """Refuse rows that do not say from when on they hold where others of their ids do."""
    versions = pick(known.versioned, codes, False)
    if KNOWN_AT not in told.columns and versions.any():
        kind, ids = known.table.columns[0].removesuffix("_id"), told[known.table.columns[0]]
        raise DataError(
            f"{kind} {ids[int(versions.argmax())]!r} has versions, and is told without {KNOWN_AT}; say in {KNOWN_AT} "
            "from when on the row holds"
        )


def _known_from(told: pl.DataFrame, at: datetime | None, known: Entries, codes: Ints) -> pl.DataFrame:
    """Let versions that were known before a moment be known from then on; of several of an id the last remains.

    One that a newer version, known by then, has followed already says nothing from then on, and is left out.
    """
    if at is None or KNOWN_AT not in told.columns:
        return told
    key, known_at, moment = [told.columns[0], KNOWN_AT], pl.col(KNOWN_AT), pl.lit(at, TIME)
    by_then = known.at(codes, np.full(len(codes), pl.select(moment.dt.epoch("us")).item() + 1))
    newest = pl.Series(pick(known.keys[1], by_then, ALWAYS))
    told = told.filter(newest <= told[KNOWN_AT].dt.epoch("us").fill_null(ALWAYS))
    moved = told.sort(KNOWN_AT).with_columns(pl.max_horizontal(known_at, moment))  # an empty one is always known
    return moved.unique(key, keep="last", maintain_order=True)


def _dated(items: pl.DataFrame, log: Log) -> pl.DataFrame:
    """Let the moments that are known stay where none are told."""
    if "available_at" in items.columns:
        return items
    first = log.register.items.firsts
    known = log.register.items.table.select("item_id", "available_at")[first[first >= 0]]
    return items.join(known, on="item_id", how="left", maintain_order="left")


def _unread(texts: list[str], places: Ints, vectors: ItemVectors) -> Flags:
    """Say which texts are unlike those of some rows of the vectors, -1 for none."""
    hashes, known = pl.Series(text_hashes(texts), dtype=pl.String), np.flatnonzero(places >= 0)
    unread = np.ones(len(texts), dtype=np.bool_)
    unread[known] = (hashes.gather(known) != vectors.text_hashes.gather(places[known])).to_numpy()
    return unread


def _read(told: pl.DataFrame, texts: list[str], unread: Flags, places: Ints, reader: Reader) -> tuple[Ints, NewTexts]:
    """Read texts with the encoder, or with what there is of it; and say where the vectors of all told rows stand."""
    vectors, rows = reader.vectors, np.flatnonzero(unread)
    if not len(rows) or reader.texts is None:
        return places, _no_texts(vectors)
    words, untexted = [texts[row] for row in rows], 0
    hashes = pl.Series(text_hashes(words), dtype=pl.String)
    try:
        encoded = reader.texts.encode(words)
    except ModelError as error:
        untexted, read = len(words), pick((vectors.text_hashes != BY_LETTERS).to_numpy(), places[rows], False)
        encoded, known = _by_letters([texts[row] for row in rows[~read]], reader.texts, vectors)
        logger.warning(
            "the texts of %d items could not be read (%s): %d are ranked by the text that they had, %d by what is "
            "known of their letters, %d by the appeal of their category; tell them again when it can be read",
            *(len(words), first_line(error), int(read.sum()), int(known.sum()), int((~known).sum())),
        )
        rows, encoded = rows[~read][known], Encoded(*(part[known] for part in encoded))
        hashes = pl.Series([BY_LETTERS] * len(rows), dtype=pl.String)
    places = places.copy()
    places[rows] = len(vectors) + np.arange(len(rows))
    return places, NewTexts(
        told.select(name for name in told.columns if name in ("item_id", KNOWN_AT))[rows], hashes, encoded, untexted
    )


def _appeal_of_category(
    told: pl.DataFrame, places: Ints, kept: Kept, log: Log, reader: Reader
) -> npt.NDArray[np.float32]:
    """Give the mean appeal of the texts known of the category of each row without a place, NaN where there are none."""
    means = np.full(len(told), np.nan, dtype=np.float32)
    if not kept.affinity or (places >= 0).all():
        return means
    name = kept.affinity[0]
    known = log.attributes[name]
    categories = np.where(places < 0, log.vocabularies[name].encode(told[name]), -1)
    for category in np.unique(categories[categories >= 0]):
        alike = reader.places[(known == category) & (reader.places >= 0)]
        if len(alike):
            means[categories == category] = reader.vectors.appeal[alike].mean()
    return means


def _by_letters(texts: Sequence[str], source: TextSource, vectors: ItemVectors) -> tuple[Encoded, Flags]:
    """Give vectors of the letters of texts, and of which texts anything is known."""
    try:
        return source.encode_lexically(texts)
    except ModelError:  # that there is no encoder is told already
        length = vectors.candidate.shape[1]
        matrix = np.zeros((len(texts), length), np.float32)
        return Encoded(matrix, matrix, matrix.sum(axis=1)), np.zeros(len(texts), dtype=np.bool_)


def _no_texts(vectors: ItemVectors) -> NewTexts:
    nothing = np.empty((0, vectors.candidate.shape[1]), np.float32)
    encoded = Encoded(nothing, nothing, vectors.appeal[:0])
    return NewTexts(vectors.texts.clear(), pl.Series([], dtype=pl.String), encoded)
