"""Ids and attribute values as small integers."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.errors import DataError

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Vocabulary:
    """Distinct values in ascending order; the code of a value is its place.

    Attributes
    ----------
    values
        The values, without nulls, sorted, shape [n]. Integers of any width are held as Int64.
    """

    values: pl.Series

    @classmethod
    def of(cls, *columns: pl.Series) -> "Vocabulary":
        """Collect the distinct values of columns that hold the same kind of value.

        Raises
        ------
        DataError
            When one column holds integers and another one strings.
        """
        common = [_plain(column) for column in columns if column.null_count() < len(column)]
        if not common:
            return cls(pl.Series("value", [], dtype=pl.Int64))
        name, dtype = columns[0].name, common[0].dtype
        for column in common:
            _same_kind(name, dtype, column.dtype)
        return cls(pl.concat(common).drop_nulls().unique().sort())

    def __len__(self) -> int:
        """Count the distinct values."""
        return len(self.values)

    def encode(self, column: pl.Series) -> Ints:
        """Turn values into codes, shape [len(column)]; unknown values and nulls become -1.

        Raises
        ------
        DataError
            When the column holds integers and the vocabulary strings, or the other way round.
        """
        plain = _plain(column)
        if len(self) == 0 or plain.null_count() == len(plain):
            return np.full(len(plain), -1, dtype=np.int64)
        _same_kind(column.name, self.values.dtype, plain.dtype)
        codes = pl.DataFrame({"value": self.values, "code": np.arange(len(self), dtype=np.int64)})
        joined = plain.alias("value").to_frame().join(codes, on="value", how="left", maintain_order="left")
        return joined["code"].fill_null(-1).to_numpy()


def _plain(column: pl.Series) -> pl.Series:
    """Bring a column to one of the two types that a vocabulary holds: integers or strings."""
    if column.dtype.is_integer():
        return column.cast(pl.Int64).alias("value")
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
