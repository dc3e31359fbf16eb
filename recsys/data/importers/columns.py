"""Foreign columns to ours: ids, moments and plain values out of text files."""

from collections.abc import Iterable

import polars as pl

from recsys.errors import DataError
from recsys.schema import TIME

_WHOLE = r"^(0|-?[1-9]\d{0,17})$"
_NUMBER = r"^-?(0|[1-9]\d*)(\.\d*)?([eE][+-]?\d+)?$|^-?\.\d+([eE][+-]?\d+)?$"
_COMMA_NUMBER = r"^-?\d{1,3}(\.\d{3})*(,\d+)?$|^-?\d+(,\d+)?$"
_EPOCHS = {"seconds": 1_000_000, "milliseconds": 1_000, "microseconds": 1}


def plain_values(column: pl.Series, decimal: str = ".") -> pl.Series:
    """Read a text column as integers, numbers or booleans where every value is one; empty text becomes null.

    Numbers with leading zeros (`007`, a post code) are text. With the decimal `","`, `1.234,50` is a number.

    Examples
    --------
    >>> plain_values(pl.Series(["1", "", "3"])).to_list(), plain_values(pl.Series(["01", "2"])).to_list()
    ([1, None, 3], ['01', '2'])
    """
    filled = column.set(column == "", None)
    if filled.null_count() == len(filled):
        return filled
    if decimal == "," and filled.str.contains(_COMMA_NUMBER).all():
        filled = filled.str.replace_all(".", "", literal=True).str.replace(",", ".", literal=True)
    if filled.str.contains(_WHOLE).all():
        return filled.cast(pl.Int64)
    if filled.str.contains(_NUMBER).all():
        return filled.cast(pl.Float64)
    lower = filled.str.to_lowercase()
    if lower.is_in(["true", "false"]).all():
        return lower == "true"
    return filled


def whole_numbers(column: pl.Series, place: str) -> pl.Series:
    """Turn booleans and whole floats (pandas writes them where values are missing) into integers.

    Raises
    ------
    DataError
        When a number has a fraction.
    """
    if column.dtype == pl.Boolean:
        return column.cast(pl.Int32)
    if not column.dtype.is_float():
        return column
    filled = column.fill_nan(None)
    wrong = (~(filled.is_finite() & (filled == filled.round()))).fill_null(value=False)
    if wrong.any():
        row = int(wrong.arg_true()[0])
        raise DataError(f"{place}, row {row + 1}: {filled[row]!r} is not a whole number; write whole numbers")
    return filled.cast(pl.Int64)


def same_ids(columns: list[tuple[pl.Series, bool]], as_text: bool) -> list[pl.Series]:
    """Give the columns of one id, out of several tables, one type: integers, or text where any value asks for it.

    Parameters
    ----------
    columns
        Each column, and whether it comes out of text, where an integer and a word look alike.
    as_text
        Make them text in any case.
    """
    numeric = not as_text and all(
        bool(column.str.contains(_WHOLE).all()) if loose else column.dtype.is_integer()
        for column, loose in columns
        if column.null_count() < len(column)
    )
    if numeric:
        return [column if column.dtype.is_integer() else column.cast(pl.Int64) for column, _ in columns]
    return [column.cast(pl.String) for column, _ in columns]


def moments(column: pl.Series, time_format: str, zone: str, place: str) -> pl.Series:
    """Bring a column of moments to UTC microseconds.

    Parameters
    ----------
    column
        Datetimes, dates, text or numbers.
    time_format
        How text and numbers are written: `"iso"`, `"seconds"`, `"milliseconds"`, `"microseconds"` or a strftime
        pattern.
    zone
        Zone of moments without one. Of a local time that occurs twice the earlier is taken.
    place
        File and column, for messages.

    Raises
    ------
    DataError
        When a value is not a moment in that format, or does not exist in the zone.
    """
    if column.dtype == pl.Null:
        return column.cast(TIME)
    if isinstance(column.dtype, pl.Datetime) and column.dtype.time_zone is not None:
        return column.cast(TIME)
    if column.dtype.is_numeric() or (column.dtype == pl.String and time_format in _EPOCHS):
        return _since_1970(column, time_format, place)
    if column.dtype == pl.String:
        column = column.set(column == "", None)
        parsed = column.to_frame("text").select(moment=_parsed(pl.col("text"), time_format, zone)).to_series()
        wrong = (
            f"is not a time written as {time_format!r} that exists in the zone {zone}; "
            "mend the row, or set time_format and zone in the mapping"
        )
    elif column.dtype not in (pl.Datetime, pl.Date):
        raise DataError(f"{place} is {column.dtype}, which holds no moments; name another column in the mapping")
    else:
        parsed = column.to_frame("local").select(moment=_local(pl.col("local").cast(pl.Datetime("us")), zone))["moment"]
        wrong = f"does not exist in the zone {zone}; set zone in the mapping"
    _refuse_lost(column, parsed, place, wrong)
    return parsed.cast(TIME).rename(column.name)


def _parsed(text: pl.Expr, time_format: str, zone: str) -> pl.Expr:
    if time_format != "iso":
        if "%z" in time_format or "%:z" in time_format:
            return text.str.to_datetime(time_format, time_unit="us", time_zone="UTC", strict=False)
        return _local(text.str.to_datetime(time_format, time_unit="us", strict=False), zone)
    text = text.str.strip_chars().str.replace(" ", "T", literal=True).str.replace("[zZ]$", "+00:00")
    aware = text.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%:z", time_unit="us", time_zone="UTC", strict=False)
    day_or_minute = ("%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M")
    naive = [text.str.to_datetime(shape, time_unit="us", strict=False) for shape in day_or_minute]
    days = text.str.to_date("%Y-%m-%d", strict=False).cast(pl.Datetime("us"))
    return pl.coalesce(aware, _local(pl.coalesce(*naive, days), zone))


def _local(moment: pl.Expr, zone: str) -> pl.Expr:
    return moment.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null").dt.convert_time_zone("UTC")


def _since_1970(column: pl.Series, time_format: str, place: str) -> pl.Series:
    if time_format not in _EPOCHS:
        raise DataError(
            f"{place} holds numbers; set time_format to 'seconds' or 'milliseconds' since 1970 in the mapping"
        )
    numbers = column.set(column == "", None) if column.dtype == pl.String else column
    floats = numbers.cast(pl.Float64, strict=False)
    # Beyond the year 9999 the unit is wrong, and the cast below would overflow.
    floats = floats.set(~(floats.abs() * _EPOCHS[time_format] < 253_402_300_800e6), None)
    _refuse_lost(numbers, floats, place, f"is not {time_format} since 1970; set time_format in the mapping")
    if numbers.dtype.is_integer():
        return (numbers.cast(pl.Int64) * _EPOCHS[time_format]).cast(TIME)
    return (floats * _EPOCHS[time_format]).round().cast(pl.Int64).cast(TIME)


def _refuse_lost(before: pl.Series, after: pl.Series, place: str, wrong: str) -> None:
    lost = (before.is_not_null() & after.is_null()).arg_true()
    if len(lost):
        row = int(lost[0])
        others = ", ".join(str(place + 1) for place in lost[1:10]) + (", ..." if len(lost) > 10 else "")
        more = f"; the same holds for {len(lost) - 1} more: row {others}" if len(lost) > 1 else ""
        raise DataError(f"{place}, row {row + 1}: {before[row]!r} {wrong}{more}")


def refuse_absent(names: Iterable[str], columns: list[str], place: str) -> None:
    """Refuse a file that lacks one of the columns `names`.

    Raises
    ------
    DataError
        Naming the columns that are absent and those that are there.
    """
    absent = [name for name in names if name not in columns]
    if absent:
        raise DataError(
            f"{place} has no column {', '.join(absent)}; it has {', '.join(columns)}; "
            'name theirs in the mapping, such as [items.columns] item_id = "sku"'
        )
