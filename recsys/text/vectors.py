"""Item vectors as a table: what the encoder says about every item, kept in one Parquet file."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys.errors import ModelError

GRID = 2.0**-11
"""Vector components are multiples of this, so that dot products are exact.

A product of two components is then a multiple of 2**-22. Vectors have length 1 within rounding, so the sum of any
subset of the products lies between -2 and 2 (Cauchy-Schwarz). Float32 holds every multiple of 2**-22 below 4 exactly:
no addition rounds, and the dot product is the same number in whatever order, blocks or library it is computed.
"""


def round_to_grid(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    """Round components to the nearest multiple of 2**-11; shape kept.

    Examples
    --------
    >>> (round_to_grid(np.array([0.6, -0.8])) * 2048).tolist()
    [1229.0, -1638.0]
    """
    return (np.round(np.asarray(vectors, np.float64) / GRID) * GRID).astype(np.float32)


@dataclass(frozen=True, eq=False)
class ItemVectors:
    """What the encoder says about n items; row i belongs to the item with code i.

    Attributes
    ----------
    item_ids
        [n]; ids in the type they came in.
    text_hashes
        [n] strings; hash of the text that was encoded.
    candidate, history
        float32 [n, d]; the item as a candidate and as a past click, of length 1 and rounded to `GRID`.
    appeal
        float32 [n]; how much the text attracts clicks from anybody.
    """

    item_ids: pl.Series
    text_hashes: pl.Series
    candidate: NDArray[np.float32]
    history: NDArray[np.float32]
    appeal: NDArray[np.float32]

    def __len__(self) -> int:
        """Return the number of items."""
        return len(self.item_ids)

    def covers(self, item_ids: pl.Series, text_hashes: Sequence[str]) -> bool:
        """Tell whether every item has a vector, made from the text of that hash.

        Parameters
        ----------
        item_ids
            [m]; any items.
        text_hashes
            [m]; hashes of their texts as they are now.
        """
        return not (self.rows(item_ids, text_hashes) < 0).any()

    def rows(self, item_ids: pl.Series, text_hashes: Sequence[str]) -> NDArray[np.int64]:
        """Return int64 [m]: the row of each item, -1 where it has no vector or its text was another."""
        wanted = pl.DataFrame({"item_id": item_ids, "text_hash": pl.Series(text_hashes, dtype=pl.String)})
        known = pl.DataFrame({"item_id": self.item_ids, "text_hash": self.text_hashes}).with_row_index("row")
        found = wanted.join(known, on=["item_id", "text_hash"], how="left", maintain_order="left")
        return found["row"].cast(pl.Int64).fill_null(-1).to_numpy(writable=True)

    def save(self, path: str | Path) -> None:
        """Write one Parquet file: item_id, text_hash, candidate, history, appeal."""
        pl.DataFrame(
            {
                "item_id": self.item_ids,
                "text_hash": self.text_hashes,
                "candidate": _array_column(self.candidate),
                "history": _array_column(self.history),
                "appeal": self.appeal,
            }
        ).write_parquet(path)

    @classmethod
    def load(cls, path: str | Path) -> "ItemVectors":
        """Read what `save` wrote.

        Raises
        ------
        ModelError
            When the file is missing, is not such a table, or holds components off the grid.
        """
        try:
            table = pl.read_parquet(path)
            vectors = cls(
                table["item_id"],
                table["text_hash"],
                _matrix(table["candidate"]),
                _matrix(table["history"]),
                table["appeal"].to_numpy(),
            )
        except (pl.exceptions.PolarsError, OSError, ValueError) as error:
            raise ModelError(f"{path} is not a table of item vectors ({error}); encode the items again") from error
        for matrix in (vectors.candidate, vectors.history):
            if not np.array_equal(matrix, round_to_grid(matrix)):
                raise ModelError(f"{path} holds vectors that are not multiples of 2**-11; encode the items again")
        return vectors


def _array_column(matrix: NDArray[np.float32]) -> pl.Series:
    return pl.Series(np.ascontiguousarray(matrix), dtype=pl.Array(pl.Float32, matrix.shape[1]))


def _matrix(column: pl.Series) -> NDArray[np.float32]:
    if not isinstance(column.dtype, pl.Array) or column.null_count():
        raise ValueError(f"column {column.name} is not a full array of numbers")
    return np.ascontiguousarray(column.to_numpy().reshape(len(column), column.dtype.size), dtype=np.float32)
