"""Ids and attribute values as small integers."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from recsys.errors import DataError
from recsys.past.streams import Ints, pick

FEW = 10_000
"""Up to so many strings are searched one by one; for more of them, a join over the whole vocabulary is faster.

A vocabulary of fewer is a dictionary.
"""

SPARSE = 16
"""Integers are looked up in a table of all numbers between them unless it were so many times as long as they are."""

_WHOLE = (pl.Int64, pl.Int32, pl.UInt32, pl.Int16, pl.UInt16, pl.Int8, pl.UInt8)
"""Types of whole numbers that all fit into 64 bits."""


@dataclass(frozen=True)
class Vocabulary:
    """Distinct values in ascending order; the code of a value is its place, unless `codes` says another one.

    Attributes
    ----------
    values
        The values, without nulls, sorted, shape [n]. Integers of any width are held as Int64.
    later
        Values that came later, whose codes come after those of `values`; None when there are none.
    codes
        Code of each of `values`, shape [n], where they came in several steps; None where it is the place.
    """

    values: pl.Series
    later: "Vocabulary | None" = None
    codes: Ints | None = None

    @classmethod
    def of(cls, *columns: pl.Series) -> "Vocabulary":
        """Collect the distinct values of columns that hold the same kind of value.

        Raises
        ------
        DataError
            When one column holds integers and another one strings.
        """
        common = [in_one_type(column) for column in columns if column.null_count() < len(column)]
        if not common:
            return cls(pl.Series("value", [], dtype=pl.Int64))
        name, dtype = columns[0].name, common[0].dtype
        for column in common:
            _same_kind(name, dtype, column.dtype)
        return cls(pl.concat(common).drop_nulls().unique().sort())

    def __len__(self) -> int:
        """Count the distinct values."""
        return len(self.values) + (0 if self.later is None else len(self.later))

    def extended(self, *columns: pl.Series) -> "Vocabulary":
        """Add the values of columns that are not known yet; the codes of all others stay.

        Raises
        ------
        DataError
            When one column holds integers and another one strings.
        """
        if all(np.count_nonzero(self.encode(each) >= 0) == len(each) - each.null_count() for each in columns):
            return self
        new = Vocabulary.of(*columns).values.alias(columns[0].name)
        new = new.filter(pl.Series(self.encode(new) < 0))
        return self._followed_by(Vocabulary(new.alias("value"))) if len(new) else self

    def _followed_by(self, new: "Vocabulary") -> "Vocabulary":
        return Vocabulary(self.values, new if self.later is None else self.later._grown(new), self.codes)

    def _grown(self, new: "Vocabulary") -> "Vocabulary":
        """Append values; what was appended before is merged so that each part is more than twice as large as the next.

        Thousands of steps so leave a few parts to look in.
        """
        grown = self._followed_by(new)
        rest = grown.later
        assert rest is not None
        if rest.later is not None or len(self.values) > 2 * len(rest.values):
            return grown
        values = pl.concat([self.values, rest.values])
        order = values.arg_sort().to_numpy()
        return Vocabulary(values.gather(order), codes=np.concatenate([part for _, part in grown._parts()])[order])

    @cached_property
    def order(self) -> Ints:
        """Place of every code in the ascending order of all values, shape [n]."""
        places = np.arange(len(self))
        parts = [part for part in self._parts() if len(part[0])]  # values of no kind cannot stand beside others
        if parts:
            values, codes = pl.concat([values for values, _ in parts]), np.concatenate([codes for _, codes in parts])
            places[codes[values.arg_sort().to_numpy()]] = np.arange(len(self))
        return places

    def _parts(self, start: int = 0) -> list[tuple[pl.Series, Ints]]:
        """Give the values of every part with their codes, those of this one counted from `start`."""
        own = (self.values, start + (np.arange(len(self.values)) if self.codes is None else self.codes))
        return [own] if self.later is None else [own, *self.later._parts(start + len(self.values))]

    @cached_property
    def by_code(self) -> pl.Series:
        """The value of every code, shape [n]."""
        if self.later is None and self.codes is None:
            return self.values
        parts = [part for part in self._parts() if len(part[0])] or [self._parts()[0]]
        codes = np.concatenate([codes for _, codes in parts])
        return pl.concat([values for values, _ in parts]).gather(np.argsort(codes))

    def encode(self, column: pl.Series) -> Ints:
        """Turn values into codes, shape [len(column)]; unknown values and nulls become -1.

        Raises
        ------
        DataError
            When the column holds integers and the vocabulary strings, or the other way round.
        """
        codes = self._places(column)
        if self.codes is not None:
            codes = pick(self.codes, codes, -1)
        if self.later is None:
            return codes
        newer = self.later.encode(column)
        return np.where(newer >= 0, newer + len(self.values), codes)

    def _places(self, column: pl.Series) -> Ints:
        """Find values among `values`, -1 where they are not."""
        if column.dtype in _WHOLE and self.values.dtype == pl.Int64 and len(self.values) and not column.null_count():
            return self._numbered(column.to_numpy().astype(np.int64, copy=False))
        plain = in_one_type(column)
        if len(self.values) == 0 or plain.null_count() == len(plain):
            return np.full(len(plain), -1, dtype=np.int64)
        _same_kind(column.name, self.values.dtype, plain.dtype)
        if plain.dtype == pl.Int64:
            return np.where(plain.is_null(), -1, self._numbered(plain.fill_null(0).to_numpy()))
        if len(plain) < FEW and len(self.values) < FEW:
            return np.array([self._codes_of.get(value, -1) for value in plain.to_list()], dtype=np.int64)
        if len(plain) < FEW:
            filled = plain.fill_null("") if plain.null_count() else plain
            places = np.minimum(self.values.search_sorted(filled).to_numpy(), len(self.values) - 1)
            same = (self.values.gather(places) == filled).to_numpy()
            if filled is not plain:
                same = same & plain.is_not_null().to_numpy()
            return np.where(same, places.astype(np.int64), -1)
        table = pl.DataFrame({"value": self.values, "code": np.arange(len(self.values), dtype=np.int64)})
        joined = plain.to_frame().join(table, on="value", how="left", maintain_order="left")
        return joined["code"].fill_null(-1).to_numpy()

    @cached_property
    def _codes_of(self) -> dict[str | None, int]:
        """The code of each of a few strings."""
        return {value: code for code, value in enumerate(self.values.to_list())}

    def _numbered(self, wanted: Ints) -> Ints:
        """Find whole numbers among `values`, -1 where they are not."""
        if self._table is not None:
            inside = (wanted >= self._numbers[0]) & (wanted <= self._numbers[-1])
            return pick(self._table, np.where(inside, wanted - self._numbers[0], -1), -1)
        places = np.minimum(np.searchsorted(self._numbers, wanted), len(self.values) - 1)
        return np.where(self._numbers[places] == wanted, places, -1)

    @cached_property
    def _numbers(self) -> Ints:
        return self.values.to_numpy()

    @cached_property
    def _table(self) -> Ints | None:
        """Code of every number from the smallest to the largest, -1 where there is none; None where most have none."""
        span = int(self._numbers[-1]) - int(self._numbers[0]) + 1
        if span > SPARSE * len(self._numbers):
            return None
        table = np.full(span, -1, dtype=np.int64)
        table[self._numbers - self._numbers[0]] = np.arange(len(self._numbers))
        return table


Vocabularies = Mapping[str, Vocabulary]


def in_one_type(column: pl.Series) -> pl.Series:
    """Bring a column to one of the two types that a vocabulary holds: integers or strings."""
    if column.dtype.is_integer():
        return column.cast(pl.Int64, strict=False).alias("value")  # beyond 63 bits nothing is known
    if column.dtype in (pl.Boolean, pl.Categorical, pl.Enum) or column.dtype == pl.String:
        return column.cast(pl.String).alias("value")
    if column.dtype == pl.Null:
        return column.cast(pl.Int64).alias("value")
    raise DataError(
        f"column {column.name} holds {column.dtype} values; ids and attributes are integers or strings: cast it first"
    )


def _same_kind(name: str, known: pl.DataType, given: pl.DataType) -> None:
    if known != given:
        raise DataError(
            f"column {name} holds {given} values here and {known} values elsewhere; "
            "write the same ids as integers or as strings in every table"
        )
