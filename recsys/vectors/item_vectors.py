"""Item vectors as a table: what the encoder says about every item, kept in files that are mapped."""

import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys.errors import ModelError
from recsys.files import read_json, write_json
from recsys.past.blocks import map_table, write_table
from recsys.past.streams import Singles
from recsys.schema import KNOWN_AT, TIME, Stored, misfit
from recsys.vectors.encoded import Encoded
from recsys.vectors.matrix import Matrix
from recsys.vectors.room import Room

logger = logging.getLogger(__name__)

LARGEST_APPEAL = 1e9
"""Bound of appeal, so that what is added to it stays finite in float32."""

TABLE, CANDIDATE, HISTORY = "item_vectors.arrow", "candidate.numbers", "history.numbers"
"""The files: ids, moments, hashes of texts and appeal; and the vectors."""

_ABOUT = "item_vectors.json"

_COLUMNS = {
    "item_id": Stored("integers or text", lambda dtype: dtype.is_integer() or dtype == pl.String),
    KNOWN_AT: Stored("moments", lambda dtype: dtype == TIME, gaps=True, absent=True),
    "text_hash": Stored("text", lambda dtype: dtype == pl.String),
    "appeal": Stored("numbers of 32 bits", lambda dtype: dtype == pl.Float32),
}


def text_hashes(texts: Sequence[str]) -> list[str]:
    """Return the first 16 hexadecimal digits of each text's sha256.

    Examples
    --------
    >>> text_hashes([""])
    ['e3b0c44298fc1c14']
    """
    return [hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16] for text in texts]


class Vectors(NamedTuple):
    """The same where it may be mapped, see `Encoded`."""

    candidate: Matrix
    history: Matrix
    appeal: Singles


@dataclass(frozen=True, eq=False)
class ItemVectors:
    """What the encoder says about n texts: one of each item, or of each of its versions that has a text of its own.

    Attributes
    ----------
    item_ids
        [n]; ids in the type they came in.
    text_hashes
        [n] strings; hash of the text that was encoded.
    candidate, history, appeal
        See `Encoded`.
    encoder
        Identity of what made them, see `TextReader`; empty when they were not made of texts.
    known_at
        [n] moments from which the texts are known, null where they always were; None where all were.
    room
        Where rows that were appended lie.
    """

    item_ids: pl.Series
    text_hashes: pl.Series
    candidate: Singles | Matrix
    history: Singles | Matrix
    appeal: Singles
    encoder: str = ""
    known_at: pl.Series | None = None
    room: Room | None = field(default=None, repr=False)

    def __len__(self) -> int:
        """Return the number of texts."""
        return len(self.item_ids)

    @property
    def texts(self) -> pl.DataFrame:
        """`item_id` and, where there are any moments, `known_at` of the texts."""
        named = [self.item_ids.alias("item_id")]
        return pl.DataFrame(named if self.known_at is None else [*named, self.known_at.alias(KNOWN_AT)])

    @cached_property
    def texted(self) -> NDArray[np.bool_]:
        """Which of them were made of a text; all items without one share a vector that says nothing."""
        found: NDArray[np.bool_] = (self.text_hashes != text_hashes([""])[0]).to_numpy()
        return found

    @classmethod
    def of_nothing(cls, encoder: str, length: int) -> "ItemVectors":
        """Return the vectors, of some length, of no items."""
        no_text = pl.Series([], dtype=pl.String)
        matrix = np.empty((0, length), np.float32)
        return cls(no_text, no_text, matrix, matrix, np.empty(0, np.float32), encoder)

    @classmethod
    def of_texts(
        cls, items: pl.DataFrame, hashes: pl.Series, encoded: "Encoded | Vectors", encoder: str
    ) -> "ItemVectors":
        """Return the vectors of texts, `item_id` and perhaps `known_at` of which are given."""
        known_at = items[KNOWN_AT] if KNOWN_AT in items.columns else None
        candidate, history, appeal = encoded
        return cls(items["item_id"], hashes, candidate, history, appeal, encoder, known_at)

    def check_encoder(self, identity: str) -> None:
        """Refuse vectors that another encoder made: they mean nothing to this one.

        Raises
        ------
        ModelError
            When the identities differ.
        """
        if self.encoder != identity:
            raise ModelError(
                f"the item vectors were made by the encoder {self.encoder[:12] or '(unknown)'}, this model has "
                f"{identity[:12]}; encode the items again with this model"
            )

    def update(
        self, items: pl.DataFrame, texts: Sequence[str], encode: Callable[[Sequence[str]], Encoded]
    ) -> "ItemVectors":
        """Return the vectors of a catalogue, encoding each text that has none yet once, under whatever ids it stands.

        Parameters
        ----------
        items
            [n]; `item_id` and perhaps `known_at` of the catalogue's texts as it is now, see `own_texts`.
        texts
            The n texts.
        encode
            Not called when every text has a vector.

        Returns
        -------
        One row per row of `items`, in their order; `self` when nothing changed.
        """
        hashes = text_hashes(texts)
        rows = {hashed: row for row, hashed in enumerate(self.text_hashes)}
        new = {hashed: text for hashed, text in zip(hashes, texts, strict=True) if hashed not in rows}
        logger.debug("%d items, %d of their texts are new", items["item_id"].n_unique(), len(new))
        if not new and hashes == self.text_hashes.to_list() and items.rows() == self.texts.rows():
            return self
        known = Vectors(Matrix.of(self.candidate), Matrix.of(self.history), self.appeal)
        if new:
            fresh = encode(list(new.values()))
            known = Vectors(
                known.candidate.followed_by(fresh.candidate),
                known.history.followed_by(fresh.history),
                np.append(known.appeal, fresh.appeal),
            )
            rows |= {hashed: len(self) + place for place, hashed in enumerate(new)}
        kept = np.array([rows[hashed] for hashed in hashes], np.int64)
        text_column = pl.Series("text_hash", hashes, pl.String)
        return ItemVectors.of_texts(items, text_column, Encoded(*(part[kept] for part in known)), self.encoder)

    def followed_by(self, items: pl.DataFrame, hashes: pl.Series, encoded: Encoded) -> "ItemVectors":
        """Append rows; those before them stay where they are, also those of the same items.

        Parameters
        ----------
        items, hashes
            [m]; `item_id` and perhaps `known_at`, and the hashes of the texts.
        encoded
            Their m vectors.
        """
        candidate, history = Matrix.of(self.candidate), Matrix.of(self.history)
        room = self.room
        if room is None or not room.fits(len(candidate.later), len(items)):
            room = Room((candidate.later, history.later), len(items))
        if len(self):
            items = pl.concat([self.texts, items.cast({"item_id": self.item_ids.dtype})], how="diagonal", rechunk=True)
            before = self.text_hashes
            hashes = pl.concat([before, hashes.cast(before.dtype).alias(before.name)], rechunk=True)
        later = room.filled((encoded.candidate, encoded.history))
        vectors = Vectors(
            candidate.followed_by(later[0]), history.followed_by(later[1]), np.append(self.appeal, encoded.appeal)
        )
        return replace(ItemVectors.of_texts(items, hashes, vectors, self.encoder), room=room)

    def save(self, folder: Path) -> None:
        """Write ids, perhaps known_at, hashes and appeal, both vectors, and what made them, into a folder."""
        write_table(folder / TABLE, self.texts.with_columns(text_hash=self.text_hashes, appeal=pl.Series(self.appeal)))
        for name, matrix in ((CANDIDATE, self.candidate), (HISTORY, self.history)):
            Matrix.of(matrix).save(folder / name)
        write_json(folder / _ABOUT, {"encoder": self.encoder, "length": self.candidate.shape[1]})

    @classmethod
    def load(cls, folder: Path, verify_all: bool = False) -> "ItemVectors":
        """Map what `save` wrote; each block of vectors is held against its hash when it is first read, or all now.

        Raises
        ------
        ModelError
            When files are missing or do not fit each other, or appeal is beyond what an encoder makes.
        """
        path, about = folder / TABLE, read_json(folder / _ABOUT, "copy the whole folder again")
        try:
            encoder, length = str(about["encoder"]), int(about["length"])
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(f"{folder / _ABOUT} is damaged ({error!r}); copy the whole folder again") from error
        table = map_table(path)
        fault, appeal = misfit(table, _COLUMNS), np.empty(0, np.float32)
        if fault is None:
            appeal = table["appeal"].to_numpy()
            if not (np.abs(appeal) <= LARGEST_APPEAL).all():
                fault = f"column appeal holds values that are not finite or beyond {LARGEST_APPEAL:g}"
        if fault is not None:
            raise ModelError(f"{path} is not a table of item vectors ({fault}); encode the items again")
        shape = (len(table), length)
        candidate, history = (Matrix.mapped(folder / name, shape, verify_all) for name in (CANDIDATE, HISTORY))
        return cls.of_texts(table, table["text_hash"], Vectors(candidate, history, appeal), encoder)
