"""Item vectors as a table: what the encoder says about every item, kept in one Parquet file."""

import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys.errors import ModelError
from recsys.schema import KNOWN_AT, TIME, Stored, misfit
from recsys.vectors.room import Room

logger = logging.getLogger(__name__)

GRID = 2.0**-11
"""Vector components are multiples of this, so that dot products are exact.

A product of two components is then a multiple of 2**-22. Vectors have length 1 within rounding, so the sum of any
subset of the products lies between -2 and 2 (Cauchy-Schwarz). Float32 holds every multiple of 2**-22 below 4 exactly:
no addition rounds, and the dot product is the same number in whatever order, blocks or library it is computed.
"""


LARGEST_APPEAL = 1e9
"""Bound of appeal, so that what is added to it stays finite in float32."""

_VECTORS = Stored(
    "arrays of numbers of 32 bits", lambda dtype: isinstance(dtype, pl.Array) and dtype.inner == pl.Float32
)
_COLUMNS = {
    "item_id": Stored("integers or text", lambda dtype: dtype.is_integer() or dtype == pl.String),
    KNOWN_AT: Stored("moments", lambda dtype: dtype == TIME, gaps=True, absent=True),
    "text_hash": Stored("text", lambda dtype: dtype == pl.String),
    "candidate": _VECTORS,
    "history": _VECTORS,
    "appeal": Stored("numbers of 32 bits", lambda dtype: dtype == pl.Float32),
}


def round_to_grid(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    """Round components to the nearest multiple of 2**-11; shape kept.

    Examples
    --------
    >>> (round_to_grid(np.array([0.6, -0.8])) * 2048).tolist()
    [1229.0, -1638.0]
    """
    return (np.round(np.asarray(vectors, np.float64) / GRID) * GRID).astype(np.float32)


def text_hashes(texts: Sequence[str]) -> list[str]:
    """Return the first 16 hexadecimal digits of each text's sha256.

    Examples
    --------
    >>> text_hashes([""])
    ['e3b0c44298fc1c14']
    """
    return [hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16] for text in texts]


class Encoded(NamedTuple):
    """What an encoder says about n texts.

    Attributes
    ----------
    candidate, history
        float32 [n, p]; the item as a candidate and as a past click, of length 1 and rounded to `GRID`.
    appeal
        float32 [n]; how much the text attracts clicks from anybody.
    """

    candidate: NDArray[np.float32]
    history: NDArray[np.float32]
    appeal: NDArray[np.float32]


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
        Where the arrays lie when rows were appended to them.
    """

    item_ids: pl.Series
    text_hashes: pl.Series
    candidate: NDArray[np.float32]
    history: NDArray[np.float32]
    appeal: NDArray[np.float32]
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

    @classmethod
    def of_nothing(cls, encoder: str, length: int) -> "ItemVectors":
        """Return the vectors, of some length, of no items."""
        no_text = pl.Series([], dtype=pl.String)
        matrix = np.empty((0, length), np.float32)
        return cls(no_text, no_text, matrix, matrix, np.empty(0, np.float32), encoder)

    @classmethod
    def of_texts(cls, items: pl.DataFrame, hashes: pl.Series, encoded: Encoded, encoder: str) -> "ItemVectors":
        """Return the vectors of texts, `item_id` and perhaps `known_at` of which are given."""
        known_at = items[KNOWN_AT] if KNOWN_AT in items.columns else None
        return cls(items["item_id"], hashes, *encoded, encoder, known_at)

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
        logger.info("%d items, %d of their texts are new", items["item_id"].n_unique(), len(new))
        if not new and hashes == self.text_hashes.to_list() and items.rows() == self.texts.rows():
            return self
        known = Encoded(self.candidate, self.history, self.appeal)
        if new:
            fresh = encode(list(new.values()))
            known = Encoded(*(np.concatenate(parts) for parts in zip(known, fresh, strict=True)))
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
        room = self.room
        if room is None or not room.fits(len(self), len(items)):
            room = Room((self.candidate, self.history, self.appeal), len(items))
        if len(self):
            items = pl.concat([self.texts, items.cast({"item_id": self.item_ids.dtype})], how="diagonal", rechunk=True)
            before = self.text_hashes
            hashes = pl.concat([before, hashes.cast(before.dtype).alias(before.name)], rechunk=True)
        appended = ItemVectors.of_texts(items, hashes, Encoded(*room.filled(encoded)), self.encoder)
        return replace(appended, room=room)

    def save(self, path: str | Path) -> None:
        """Write one Parquet file: ids, perhaps known_at, text_hash, the arrays, and the encoder's identity."""
        pl.DataFrame(
            {
                **self.texts.to_dict(),
                "text_hash": self.text_hashes,
                "candidate": _array_column(self.candidate),
                "history": _array_column(self.history),
                "appeal": self.appeal,
            }
        ).write_parquet(path, metadata={"encoder": self.encoder})

    @classmethod
    def load(cls, path: str | Path) -> "ItemVectors":
        """Read what `save` wrote.

        Raises
        ------
        ModelError
            When the file is missing, is not such a table, holds components off the grid, or vectors and appeal beyond
            what an encoder makes.
        """
        try:
            file = Path(path).absolute()  # polars would look for a path that begins with `~` or `s3:` elsewhere
            table = pl.read_parquet(file, glob=False)
            encoder = pl.read_parquet_metadata(file).get("encoder", "")
            fault = misfit(table, _COLUMNS)
            if fault is not None:
                raise ValueError(fault)
            candidate, history = _matrix(table["candidate"]), _matrix(table["history"])
            appeal = table["appeal"].to_numpy()
            if candidate.shape != history.shape:
                raise ValueError("candidate and history are of two lengths")
            if not (np.abs(appeal) <= LARGEST_APPEAL).all():
                raise ValueError(f"column appeal holds values that are not finite or beyond {LARGEST_APPEAL:g}")
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError) as error:
            raise ModelError(f"{path} is not a table of item vectors ({error}); encode the items again") from error
        for matrix in (candidate, history):
            if not (np.abs(matrix) <= 1).all() or not np.array_equal(matrix, round_to_grid(matrix)):
                raise ModelError(f"{path} holds vectors that are not multiples of 2**-11; encode the items again")
            if ((matrix * matrix).sum(axis=1) > 2).any():
                raise ModelError(f"{path} holds vectors that are longer than 1; encode the items again")
        return cls.of_texts(table, table["text_hash"], Encoded(candidate, history, appeal), encoder)


def _array_column(matrix: NDArray[np.float32]) -> pl.Series:
    return pl.Series(np.ascontiguousarray(matrix), dtype=pl.Array(pl.Float32, matrix.shape[1]))


def _matrix(column: pl.Series) -> NDArray[np.float32]:
    assert isinstance(column.dtype, pl.Array)
    return np.ascontiguousarray(column.to_numpy().reshape(len(column), column.dtype.size), dtype=np.float32)
