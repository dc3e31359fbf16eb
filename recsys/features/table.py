"""The feature table: numbers in one array, and categories in codes."""

from dataclasses import dataclass

import polars as pl

from recsys.past.streams import Ints, Singles
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
