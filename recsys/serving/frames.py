"""Frames as a serving process is handed them, polars or pandas: the columns that are read, and nothing is lost."""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from itertools import islice
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa

from recsys.data.clock import utc
from recsys.errors import DataError
from recsys.schema import Table
from recsys.shown import counted

_UNREADABLE = (
    pa.ArrowException,
    pl.exceptions.PolarsError,
    pl.exceptions.PanicException,  # decimals of more than 38 digits
    ValueError,
    TypeError,
    ArithmeticError,  # integers that are too large, and decimals that signal
)


def past_moment(at: datetime | str) -> datetime:
    """Read a moment that is no later than now.

    Raises
    ------
    DataError
        When it is none.
    """
    try:
        moment = utc(at)
    except ValueError as error:
        raise DataError(f"at: {error}") from error
    if moment > datetime.now(UTC):
        raise DataError(f"at: {moment.isoformat()} lies in the future; give the moment from which the rows are known")
    return moment


def told(frame: pl.DataFrame | pd.DataFrame | None, table: Table, further: Sequence[str] = ()) -> pl.DataFrame | None:
    """Take what is told, None where that is nothing."""
    if frame is None or (isinstance(frame, pl.DataFrame | pd.DataFrame) and not len(frame)):
        return None
    return read(frame, table, further)


def read(frame: pl.DataFrame | pd.DataFrame, table: Table, further: Sequence[str] = ()) -> pl.DataFrame:
    """Take the columns that are read; all of them where one is missing, so that the error can say which there are."""
    if not isinstance(frame, pl.DataFrame | pd.DataFrame):
        raise DataError(f"{table.name} are a {type(frame).__name__}; pass a polars or pandas DataFrame")
    if isinstance(frame.columns, pd.MultiIndex):
        raise DataError(
            f"the pandas frame of {table.name} has columns in {counted(frame.columns.nlevels, 'level')}, such as "
            f"{next(iter(frame.columns), ())}; give each column one name, such as {table.required[0]!r}"
        )
    names = [column.name for column in table.columns] + [name for name in further if name]
    needed = [name for name in table.required if name != "label"] + names[len(table.columns) :]
    whole = set(needed) <= set(frame.columns)
    read = [name for name in dict.fromkeys(frame.columns) if name in names or (isinstance(name, str) and not whole)]
    if isinstance(frame, pl.DataFrame) and len(read) == frame.width:
        return frame
    return pl.DataFrame([_column(frame, name, table.name) for name in read])


def _column(frame: pl.DataFrame | pd.DataFrame, name: str, called: str) -> pl.Series:
    if isinstance(frame, pl.DataFrame):
        return frame.get_column(name)
    values = frame[name]
    if isinstance(values, pd.DataFrame):
        raise DataError(f"the pandas frame of {called} holds {name!r} {values.shape[1]} times; keep one of them")
    try:
        return pl.Series(name, pl.from_pandas(_for_polars(values)))
    except _UNREADABLE as error:
        filled = (
            value
            for value in values
            if isinstance(value, Decimal) or not pd.api.types.is_scalar(value) or pd.notna(value)
        )
        kinds = sorted({type(value).__name__ for value in islice(filled, 1000)})
        raise DataError(
            f"{called}.{name}: the pandas column of {values.dtype} cannot be read ({type(error).__name__}; it holds "
            f"{', '.join(kinds)}); give it one type, integers within 64 bits"
        ) from error


def _for_polars(values: "pd.Series[Any]") -> "pd.Series[Any]":
    """Write a column so that polars reads it: it knows zones by their names, and neither offsets nor sparse columns."""
    if isinstance(values.dtype, pd.SparseDtype):
        return values.sparse.to_dense()
    if values.dtype == object and pd.api.types.infer_dtype(values) == "datetime":
        moments = pa.array(values, from_pandas=True)
        values = pd.Series(moments, dtype=pd.ArrowDtype(moments.type))
    dtype = values.dtype.pyarrow_dtype if isinstance(values.dtype, pd.ArrowDtype) else values.dtype
    return values if getattr(dtype, "tz", None) is None else values.dt.tz_convert("UTC")
