"""Rows of numbers: in memory, or mapped from a file and checked when first read, and rows that came later."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recsys.errors import ModelError
from recsys.past.blocks import BLOCK, Blocks, Writer
from recsys.past.streams import Singles

_BLOCK = BLOCK + 1
"""A block holds `2 ** _BLOCK` of these numbers."""

_AT_ONCE = 2**16
"""Rows that are written at a time."""


@dataclass(frozen=True, eq=False)
class Matrix:
    """Rows that are read by their numbers, as those of an array are; `numpy.asarray` reads all.

    Attributes
    ----------
    first
        The rows that were there first, float32, shape [n, p].
    later
        Rows that follow, float32, shape [m, p].
    blocks
        What the first ones are mapped from; None where they lie in memory.
    """

    first: Singles
    later: Singles
    blocks: Blocks | None = None

    @classmethod
    def of(cls, rows: "Singles | Matrix") -> "Matrix":
        """Take rows that lie in memory."""
        return rows if isinstance(rows, Matrix) else cls(rows, rows[:0])

    @classmethod
    def mapped(cls, path: Path, shape: tuple[int, int], verify_all: bool = False) -> "Matrix":
        """Map so many rows of so many numbers, which `save` wrote; the other argument as of `Blocks.mapped`.

        Raises
        ------
        ModelError
            When the file holds other rows; or with those of `Blocks.mapped`.
        """
        blocks, (rows, length) = Blocks.mapped(path, verify_all), shape
        numbers = blocks.data.view(np.float32)
        if not rows * length <= len(numbers) <= rows * length + 1 or min(shape) < 0:
            raise ModelError(f"{path} does not hold {rows} rows of {length} numbers; copy the whole folder again")
        return replace(cls.of(numbers[: rows * length].reshape(rows, length)), blocks=blocks)

    def save(self, path: Path) -> None:
        """Write all rows into a new file, and the hashes of its blocks beside it."""
        writer, left = Writer(path), np.empty(0, np.float32)
        for begin in range(0, len(self), _AT_ONCE):
            rows = np.arange(begin, min(begin + _AT_ONCE, len(self)))
            numbers = np.append(left, self[rows])
            whole = len(numbers) // 2 * 2
            writer.add(numbers[:whole].view(np.int64))
            left = numbers[whole:]
        if len(left):
            writer.add(np.append(left, np.float32(0)).view(np.int64))
        writer.close()

    def __len__(self) -> int:
        """Count the rows."""
        return len(self.first) + len(self.later)

    @property
    def shape(self) -> tuple[int, int]:
        """How many rows there are, and numbers in each."""
        return len(self), self.first.shape[1]

    def __getitem__(self, rows: NDArray[np.integer]) -> Singles:
        """Read rows, of any shape; -1 reads any of them.

        Raises
        ------
        ModelError
            When one was changed after it was written.
        """
        if not len(self.later):
            return self._first(rows)
        late = rows >= len(self.first)
        found = np.empty((*rows.shape, self.shape[1]), np.float32)
        found[~late] = self._first(rows[~late]) if len(self.first) else 0
        found[late] = self.later[rows[late] - len(self.first)]
        return found

    def _first(self, rows: NDArray[np.integer]) -> Singles:
        if self.blocks is not None and rows.size:
            self._check(np.where(rows < 0, len(self.first) - 1, rows).ravel(), self.blocks)
        found: Singles = self.first.take(rows, axis=0)
        return found

    def _check(self, rows: NDArray[np.integer], blocks: Blocks) -> None:
        """Check the blocks in which some of the first rows lie."""
        size = self.first.shape[1]
        begins, ends = rows * size >> _BLOCK, ((rows + 1) * size - 1) >> _BLOCK
        if size <= 2**_BLOCK and blocks.checked[begins].all() and blocks.checked[ends].all():
            return
        for begin, end in sorted({*zip(begins.tolist(), ends.tolist(), strict=True)}):
            for block in range(begin, end + 1):
                if not blocks.checked[block]:
                    blocks.check(block)

    def __array__(self, dtype: np.dtype[np.generic] | None = None, copy: bool | None = None) -> NDArray[np.generic]:
        """Read all rows."""
        whole = self[np.arange(len(self))] if len(self.later) or self.blocks is not None else self.first
        return whole if dtype is None else whole.astype(dtype)

    def followed_by(self, later: Singles) -> "Matrix":
        """Give the first rows, and others behind them."""
        return replace(self, later=later)
