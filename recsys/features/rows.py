"""Features row by row, as they are learnt from: in memory, or in files of which what is asked for is read."""

import os
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from recsys.features.table import Category, FeatureTable
from recsys.past.streams import Flags, Ints, Singles
from recsys.past.vocabulary import Vocabulary

_AT_ONCE = 100_000
"""So many candidates are read at once for one column."""


class StoredRows:
    """Rows of numbers in a file without a name, which is gone with the last who reads it, even by a kill.

    Parameters
    ----------
    folder
        Where there is room for it.
    rows
        The rows, shape [rows, numbers].
    """

    def __init__(self, folder: Path, rows: Singles) -> None:
        self.shape = rows.shape[0], rows.shape[1]
        self._file, path = tempfile.mkstemp(dir=folder)
        weakref.finalize(self, os.close, self._file)
        os.unlink(path)
        with open(self._file, "wb", closefd=False) as file:
            file.write(np.ascontiguousarray(rows).data.cast("B") if rows.size else b"")

    def __getitem__(self, rows: slice) -> Singles:
        """Read rows that follow each other; threads may."""
        count, width = rows.stop - rows.start, self.shape[1]
        found = np.empty((count, width), np.float32)
        if found.size:
            read = os.preadv(self._file, [found.data.cast("B")], 4 * rows.start * width)
            while read < found.nbytes:  # the system gives 2 GiB at once
                read += os.preadv(self._file, [found.data.cast("B")[read:]], 4 * rows.start * width + read)
        return found


@dataclass(frozen=True, eq=False)
class FeatureRows:
    """Features of Q candidates, see `FeatureTable`.

    Attributes
    ----------
    names
        Names of the numbers, K of them.
    places
        Which numbers of a row they are, shape [K].
    categories
        The categories of all candidates.
    parts
        The numbers, part by part, each of shape [rows, numbers].
    rows
        Which of all rows of the parts these are, ascending, shape [Q].
    """

    names: tuple[str, ...]
    places: Ints
    categories: tuple[Category, ...]
    parts: tuple[Singles | StoredRows, ...]
    rows: Ints

    @classmethod
    def of(cls, table: FeatureTable, folder: Path | None = None) -> "FeatureRows":
        """Keep a table row by row, in a file of a folder where one is given."""
        rows: Singles = np.ascontiguousarray(table.numbers.T)
        kept = rows if folder is None else StoredRows(folder, rows)
        places = np.arange(len(table.names))
        return cls(table.names, places, table.categories, (kept,), np.arange(table.numbers.shape[1]))

    @classmethod
    def joined_of(cls, parts: "Sequence[FeatureRows]") -> "FeatureRows":
        """Put rows of the same columns below each other, at least one part."""
        first = parts[0]
        begins = np.cumsum([0, *(sum(each.shape[0] for each in part.parts) for part in parts)])
        return replace(
            first,
            categories=tuple(map(_joined, zip(*(part.categories for part in parts), strict=True))),
            parts=tuple(each for part in parts for each in part.parts),
            rows=np.concatenate([part.rows + begin for part, begin in zip(parts, begins, strict=False)]),
        )

    def __len__(self) -> int:
        """Count the candidates."""
        return len(self.rows)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of all columns."""
        return (*self.names, *(category.name for category in self.categories))

    def table(self, start: int, stop: int) -> FeatureTable:
        """Read the candidates from `start` to, not including, `stop`."""
        rows, begin, found = self.rows[start:stop], 0, [np.empty((0, len(self.places)), np.float32)]
        for part in self.parts:
            first, last = np.searchsorted(rows, (begin, begin + part.shape[0]))
            if last > first:
                own = rows[first:last] - begin
                read = part[int(own[0]) : int(own[-1]) + 1]
                found.append(read[np.ix_(own - own[0], self.places)])
            begin += part.shape[0]
        numbers = found[1] if len(found) == 2 else np.concatenate(found)
        return FeatureTable(self.names, numbers.T, tuple(each.part(start, stop) for each in self.categories))

    def tables(self, rows: int) -> Iterator[FeatureTable]:
        """Read all, so many candidates at a time; one table without any where there are none."""
        for start in range(0, max(1, len(self)), rows):
            yield self.table(start, start + rows)

    def where(self, rows: Flags) -> "FeatureRows":
        """Keep some candidates."""
        return replace(self, rows=self.rows[rows], categories=tuple(each.where(rows) for each in self.categories))

    def without(self, names: Sequence[str]) -> "FeatureRows":
        """Leave columns out."""
        kept = [place for place, name in enumerate(self.names) if name not in names]
        categories = tuple(each for each in self.categories if each.name not in names)
        return replace(
            self, names=tuple(self.names[place] for place in kept), places=self.places[kept], categories=categories
        )

    def column(self, name: str) -> Singles:
        """Read a column of numbers, shape [Q]."""
        alone = self.without([each for each in self.columns if each != name])
        return np.concatenate([table.numbers[0] for table in alone.tables(_AT_ONCE)])

    def frame(self) -> pl.DataFrame:
        """Read all: numbers as Float32, categories as strings or integers."""
        return self.table(0, len(self)).frame()


def _joined(parts: Sequence[Category]) -> Category:
    """Put the values of a category below each other, in codes of one vocabulary."""
    first, codes = parts[0].vocabulary, [part.codes for part in parts]
    if any(part.vocabulary is not first for part in parts):
        first = Vocabulary.of(*(part.vocabulary.by_code for part in parts))
        own = [np.append(first.encode(part.vocabulary.by_code), -1) for part in parts]  # the last stands for none
        codes = [of[part.codes] for of, part in zip(own, parts, strict=True)]
    return Category(parts[0].name, np.concatenate(codes), first)
