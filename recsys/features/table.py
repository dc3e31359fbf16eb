"""The feature table: numbers in one array, and categories in codes."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from recsys.past.streams import Flags, Ints, Singles
from recsys.past.vocabulary import FEW, Vocabulary, in_one_type


@dataclass(frozen=True, eq=False)
class Category:
    """A category of Q candidates.

    Attributes
    ----------
    name
        Name of the column.
    codes
        Codes, -1 where there is none, shape [Q].
    vocabulary
        What they stand for.
    """

    name: str
    codes: Ints
    vocabulary: Vocabulary

    def part(self, start: int, stop: int) -> "Category":
        """Keep the candidates from `start` to, not including, `stop`."""
        return Category(self.name, self.codes[start:stop], self.vocabulary)

    def where(self, rows: Flags) -> "Category":
        """Keep some candidates."""
        return Category(self.name, self.codes[rows], self.vocabulary)

    def occurring(self) -> list[int] | list[str]:
        """Give the values that occur, ascending."""
        codes = np.unique(self.codes)
        found: list[int] | list[str] = self.vocabulary.by_code.gather(codes[codes >= 0]).sort().to_list()
        return found

    def values(self) -> pl.Series:
        """Give strings or integers, null where there is none."""
        known = self.vocabulary.by_code
        places = pl.Series(self.codes, dtype=pl.Int64)
        return known.gather(places.set(places < 0, None)).alias(self.name)


@dataclass(frozen=True, eq=False)
class FeatureTable:
    """Features of Q candidates.

    Attributes
    ----------
    names
        Names of the numbers, K of them.
    numbers
        NaN = not known, shape [K, Q].
    categories
        What comes after the numbers.
    """

    names: tuple[str, ...]
    numbers: Singles
    categories: tuple[Category, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of all columns."""
        return (*self.names, *(category.name for category in self.categories))

    @classmethod
    def of(cls, frame: pl.DataFrame) -> "FeatureTable":
        """Take floats as numbers, and the columns after them as categories."""
        numbers = [values for values in frame.get_columns() if values.dtype.is_float()]
        rows = np.array([values.to_numpy() for values in numbers], np.float32).reshape(len(numbers), len(frame))
        others = [values for values in frame.get_columns() if not values.dtype.is_float()]
        categories = tuple(category_of(values.name, values) for values in others)
        return cls(tuple(values.name for values in numbers), rows, categories)

    def frame(self) -> pl.DataFrame:
        """Give one row per candidate: numbers as Float32, categories as strings or integers."""
        rows = self.numbers.shape[1]
        whole = pl.Series(self.numbers.ravel())  # one series cut into columns is made faster than many
        cut = [whole.slice(place * rows, rows).alias(name) for place, name in enumerate(self.names)]
        return pl.DataFrame([*cut, *(category.values() for category in self.categories)])


def category_of(name: str, values: pl.Series) -> Category:
    """Take a column of the candidates as it is: what is known of other lists says nothing of its values."""
    plain = in_one_type(values)
    distinct = sorted({*plain.to_list()} - {None}) if len(plain) < FEW else plain.drop_nulls().unique().sort()
    vocabulary = Vocabulary(pl.Series("value", distinct, dtype=plain.dtype))
    return Category(name, vocabulary.encode(plain), vocabulary)
