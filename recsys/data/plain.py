"""Rows as people hand them over, in the types of the package; what would lose something on the way stays as it is."""

from collections.abc import Collection
from datetime import UTC, datetime

import polars as pl

from recsys.errors import DataError
from recsys.schema import CANDIDATES, LARGEST_NUMBER, TIME, Kind, Table

_PER_SECOND = {"ms": 10**3, "us": 10**6, "ns": 10**9}
_CALENDAR = tuple(int(end.replace(tzinfo=UTC).timestamp()) for end in (datetime.min, datetime.max))
"""The first and the last second of the years 1 to 9999, since 1970."""

EXACT = 2**53
"""Up to here every whole number has a float of its own; beyond it two ids may be one."""

_OF_NOTHING: dict[Kind, pl.DataType] = {
    "time": TIME,
    "text": pl.String(),
    "number": pl.Float64(),
    "probability": pl.Float64(),
    "grade": pl.Int64(),
    "count": pl.Int64(),
    "position": pl.Int64(),
    "flag": pl.Boolean(),
}
"""Types of columns without any value, which say nothing of their own."""


def plain_table(
    frame: pl.DataFrame, table: Table, categories: Collection[str] = (), others: Collection[str] = ()
) -> pl.DataFrame:
    """Bring the columns that have a meaning to the types of the package; all others stay as they are.

    Columns that polars cannot name, see `is_pattern`, are left out; the table check says so.

    Whatever cannot be brought there exactly stays as it is, too, for `recsys.data.rules` to refuse by name: so a column
    is either read as it was meant, or named.

    - moments: UTC microseconds; those without a zone are UTC;
    - ids: Int64 or String; whole floats up to 2**53 (as pandas writes integers beside gaps) are integers; candidates,
      whose ids are given back, keep integers of another width;
    - whole numbers: floats without a fraction are integers; NaN, as pandas writes what is missing, is null;
    - numbers: decimals are floats;
    - a column without any value has the type of its meaning.

    Raises
    ------
    DataError
        When a moment lies outside the years 1 to 9999.

    Parameters
    ----------
    frame
        The rows.
    table
        Whose columns have a fixed meaning.
    categories, others
        Further columns that are read: those of which categories are made, and the rest.
    """
    named = [values for values in frame.get_columns() if not is_pattern(values.name)]
    frame, columns = in_utc(frame if len(named) == frame.width else pl.DataFrame(named)), list[pl.Series]()
    for name, values in zip(frame.columns, frame.get_columns(), strict=True):
        known = table.column(name)
        if known is not None:
            width = known.kind == "id" and table is CANDIDATES and values.dtype.is_integer()
            columns.append(values if width else _plain(values, known.kind))
        elif name in categories or name in others:
            read = _whole(values) if name in categories else values
            columns.append(pl.Series(name, [None] * len(read), pl.Null) if read.null_count() == len(read) else read)
    return frame.with_columns(columns)


def is_pattern(name: str) -> bool:
    """Tell whether polars would take the name of a column for a pattern, under which it finds others, or none."""
    return name == "*" or (name.startswith("^") and name.endswith("$"))


def in_utc(frame: pl.DataFrame) -> pl.DataFrame:
    """Bring every datetime column to UTC microseconds; naive datetimes are taken as UTC.

    Raises
    ------
    DataError
        When a moment lies outside the years 1 to 9999, as where its unit was mistaken.
    """
    moved = []
    for column in frame.get_columns():
        if not isinstance(column.dtype, pl.Datetime):
            continue
        _refuse_beyond_calendar(column, column.dtype)
        if column.dtype != TIME:
            naive, moments = column.dtype.time_zone is None, column.dt.cast_time_unit("us")
            moved.append(moments.dt.replace_time_zone("UTC") if naive else moments.dt.convert_time_zone("UTC"))
    return frame.with_columns(moved)


def _refuse_beyond_calendar(moments: pl.Series, dtype: pl.Datetime) -> None:
    """Refuse moments outside the years 1 to 9999, which Python and polars cannot show."""
    numbers, per_second = moments.to_physical(), _PER_SECOND[dtype.time_unit]
    for number in (numbers.min(), numbers.max()):
        if isinstance(number, int) and not _CALENDAR[0] <= number // per_second <= _CALENDAR[1]:
            raise DataError(
                f"column {moments.name!r} holds the moment {number} {dtype.time_unit} since 1970, which lies outside "
                "the calendar; moments of events and requests lie between 1990 and 2100: mind the unit"
            )


def _plain(values: pl.Series, kind: Kind) -> pl.Series:
    if kind in _OF_NOTHING and values.dtype in (pl.Null, pl.String) and values.null_count() == len(values):
        return values.cast(_OF_NOTHING[kind])
    if kind == "id":
        return _id(values)
    if kind in ("grade", "count", "position"):
        return _whole(values)
    return _number(values) if kind in ("number", "probability") else values


def _id(values: pl.Series) -> pl.Series:
    if values.dtype in (pl.Categorical, pl.Enum):
        return values.cast(pl.String)
    if values.dtype.is_integer() and values.dtype != pl.Int64:
        narrowed = values.cast(pl.Int64, strict=False)
        return values if narrowed.null_count() > values.null_count() else narrowed
    return _whole(values)


def _whole(values: pl.Series) -> pl.Series:
    if not (values.dtype.is_float() or values.dtype.is_decimal()):
        return values
    filled = values.fill_nan(None) if values.dtype.is_float() else values.cast(pl.Float64)
    exact = filled.is_finite() & (filled == filled.round()) & (filled.abs() <= EXACT)
    return filled.cast(pl.Int64) if exact.fill_null(value=True).all() else values


def _number(values: pl.Series) -> pl.Series:
    return values.cast(pl.Float64) if values.dtype.is_decimal() else values


def known_number(values: pl.Series) -> pl.Series:
    """Give a column as numbers that features can be made of: what is not finite, or beyond 1e30, counts as null."""
    numbers = values.cast(pl.Float64)
    return numbers.set(~(numbers.abs() <= LARGEST_NUMBER), None)
