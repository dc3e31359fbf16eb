"""New and changed rows of items and users: checked as tables are, and their texts read, before a ranker takes them."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.data.checks import check_entries
from recsys.data.faults import refuse_errors
from recsys.data.plain import plain_table
from recsys.data.texts import item_texts
from recsys.encoders.settings import TextSettings
from recsys.errors import ModelError, first_line
from recsys.features.checks import check_id_types
from recsys.model.prepared import kept_items, kept_users
from recsys.past.behaviour import Kept
from recsys.past.log import Log
from recsys.past.vocabulary import Entries
from recsys.schema import ITEMS, USERS, Table
from recsys.settings import Settings
from recsys.vectors.item_vectors import Encoded, ItemVectors, text_hashes
from recsys.vectors.reader import Reader, TextSource

logger = logging.getLogger(__name__)

BY_LETTERS = ""
"""Stands for the hash of a text that was read by its letters alone: told again, it is read again."""

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class NewTexts:
    """Items that have other vectors now.

    Attributes
    ----------
    rows
        `item_id` and `text_hash` of m items.
    encoded
        Their vectors.
    untexted
        How many texts no encoder could read, those of which the letters are read among them.
    """

    rows: pl.DataFrame
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
        The vectors of new texts.
    alike
        How many rows were told as they were known.
    """

    items: pl.DataFrame
    users: pl.DataFrame
    texts: NewTexts
    alike: int

    @classmethod
    def of(
        cls, items: pl.DataFrame | None, users: pl.DataFrame | None, settings: Settings, log: Log, reader: Reader
    ) -> "News":
        """Check rows, hold them against what is known, and read new texts.

        Where the encoder cannot be loaded, which is logged as a warning, an item keeps the vector of the text that it
        had, or else has one of what the lexicon knows of the new text, or else none.

        Parameters
        ----------
        items, users
            Rows of the tables of these names, None where none were told. Where there is no column `available_at`, the
            moments that are known stay.
        settings
            The model's.
        log, reader
            What is known.

        Raises
        ------
        DataError
            When rows have faults, names all of them; or ids or attributes are of another kind than those before.
        SettingsError
            When a column that the model uses is missing, or of a kind that it cannot use.
        """
        kept, register = settings.features.kept, log.register
        items = _typed(items, register.items, ITEMS, kept)
        users = _typed(users, register.users, USERS, kept)
        refuse_errors(check_entries(items, users))
        people, told = register.users.table.clear(), register.items.table.clear()
        texts, given = _no_texts(reader.vectors), 0
        if users is not None:
            check_id_types(users, log.behaviour, "users")
            people, given = register.users.fitted(kept_users(users, kept)), len(users)
            people = people.filter(register.users.differ(people, log.users.encode(people["user_id"])))
        if items is not None:
            check_id_types(items, log.behaviour, "items")
            told, given = register.items.fitted(kept_items(_dated(items, log), kept)), given + len(items)
            words, unread = _unread(items, settings.text, log, reader)
            fresh = unread | register.items.differ(told, log.items.encode(told["item_id"]))
            texts = _read(told["item_id"].filter(unread), words, log, reader)
            told = told.filter(fresh)
        return cls(told, people, texts, given - len(told) - len(people))

    def known_by(self, reader: Reader, log: Log) -> Reader:
        """Give a reader that has the new texts, on top of a log that knows the rows."""
        if self.items.is_empty():
            return reader.on(log)
        return reader.told(log, self.items["item_id"], self.texts.rows, self.texts.encoded)


def _typed(told: pl.DataFrame | None, known: Entries, table: Table, kept: Kept) -> pl.DataFrame | None:
    """Bring rows to the types of the package; columns without any value, as in a few rows, get those that are known."""
    if told is None:
        return None
    told = plain_table(told, table, kept.affinity if table is ITEMS else kept.users)
    nothing = [name for name in known.table.columns[1:] if told.schema.get(name) == pl.Null]
    return told.cast({name: known.table.schema[name] for name in nothing})


def _dated(items: pl.DataFrame, log: Log) -> pl.DataFrame:
    """Let the moments that are known stay where none are told."""
    if "available_at" in items.columns:
        return items
    known = log.register.items.table.select("item_id", "available_at")
    return items.join(known, on="item_id", how="left", maintain_order="left")


def _unread(items: pl.DataFrame, settings: TextSettings, log: Log, reader: Reader) -> tuple[list[str], Flags]:
    """Give the texts that are unlike those of the items' vectors, and of which rows they are."""
    texts = item_texts(items, settings.fields, settings.template)
    places = np.append(reader.places, -1)[log.items.encode(items["item_id"])]
    hashes, known = pl.Series(text_hashes(texts), dtype=pl.String), np.flatnonzero(places >= 0)
    unread = np.ones(len(texts), dtype=np.bool_)
    unread[known] = (hashes.gather(known) != reader.vectors.text_hashes.gather(places[known])).to_numpy()
    return [texts[row] for row in np.flatnonzero(unread)], unread


def _read(item_ids: pl.Series, texts: Sequence[str], log: Log, reader: Reader) -> NewTexts:
    """Read texts with the encoder, or with what there is of it."""
    vectors = reader.vectors
    if not texts or reader.texts is None:
        return _no_texts(vectors)
    rows = pl.DataFrame({"item_id": item_ids, "text_hash": pl.Series(text_hashes(texts), dtype=pl.String)})
    try:
        return NewTexts(rows, reader.texts.encode(texts))
    except ModelError as error:
        reason = first_line(error)
    places = np.append(reader.places, -1)[log.items.encode(item_ids)]
    read = np.append((vectors.text_hashes != BY_LETTERS).to_numpy(), False)[places]
    letters = np.flatnonzero(~read)
    encoded, known = _by_letters([texts[row] for row in letters.tolist()], reader.texts, vectors)
    logger.warning(
        "the texts of %d items could not be read (%s): %d are ranked by the text that they had, %d by what is known of "
        "their letters, %d without a text; tell them again when it can be read",
        *(len(texts), reason, int(read.sum()), int(known.sum()), int((~known).sum())),
    )
    rows = rows[letters].filter(known).with_columns(text_hash=pl.lit(BY_LETTERS))
    return NewTexts(rows, Encoded(*(part[known] for part in encoded)), len(texts))


def _by_letters(texts: Sequence[str], source: TextSource, vectors: ItemVectors) -> tuple[Encoded, Flags]:
    """Give vectors of the letters of texts, and of which texts anything is known."""
    try:
        return source.encode_lexically(texts)
    except ModelError:  # that there is no encoder is told already
        length = vectors.candidate.shape[1]
        matrix = np.zeros((len(texts), length), np.float32)
        return Encoded(matrix, matrix, matrix.sum(axis=1)), np.zeros(len(texts), dtype=np.bool_)


def _no_texts(vectors: ItemVectors) -> NewTexts:
    rows = pl.DataFrame(schema={"item_id": vectors.item_ids.dtype, "text_hash": pl.String})
    return NewTexts(rows, Encoded(vectors.candidate[:0], vectors.history[:0], vectors.appeal[:0]))
