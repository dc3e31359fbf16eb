"""Foreign columns to ours: ids, moments and plain values out of text files."""

from collections.abc import Iterable

import polars as pl

from recsys.data.importers.numbers import NO_NUMBER, NOT_KNOWN, WHOLE, Values, missing_note, without
from recsys.data.plain import EXACT
from recsys.errors import DataError
from recsys.schema import TIME
from recsys.shown import did_you_mean

_PANDAS = r"^-?\d+\.0+$"
"""Whole numbers as pandas writes them beside gaps."""
NAMES_ZONE = r"([zZ]|UTC|GMT|:\d\d[\d.,]* *[+-]\d\d(:?\d\d)?)( \([^()]*\))?$"
"""How moments end that name their zone."""
_DAYS_TO_1970 = 25_569
"""Days from 1899-12-30, where spreadsheets begin to count, to 1970."""
EPOCHS = {"seconds": 1e6, "milliseconds": 1e3, "microseconds": 1.0, "nanoseconds": 1e-3, "days": 86_400e6}
"""Microseconds of each unit in which moments are counted since 1970, or, days, since 1899-12-30 as spreadsheets do."""
_EARLIEST, _LATEST = 631_152_000e6, 4_102_444_800e6
"""Microseconds since 1970 of the years 1990 and 2100."""


def whole_numbers(column: pl.Series, place: str) -> pl.Series:
    """Turn booleans and whole floats (pandas writes them where values are missing) into integers.

    Raises
    ------
    DataError
        When a number has a fraction, or is one of those beyond 2**53 of which a float tells only every other.
    """
    if column.dtype == pl.Boolean:
        return column.cast(pl.Int32)
    if not column.dtype.is_float():
        return column
    filled = column.fill_nan(None)
    whole = filled.is_finite() & (filled == filled.round())
    wrong = (~(whole & (filled.abs() <= EXACT))).fill_null(value=False)
    if wrong.any():
        row = int(wrong.arg_true()[0])
        if not whole[row]:
            raise DataError(f"{place}, row {row + 1}: {filled[row]!r} is not a whole number; write whole numbers")
        raise DataError(
            f"{place}, row {row + 1}: {filled[row]!r} is a float beyond 2**53, where different ids become one; write "
            "the column as integers or text"
        )
    return filled.cast(pl.Int64)


def id_texts(column: pl.Series, missing: tuple[str, ...] = NOT_KNOWN) -> Values:
    """Read ids out of a text file; they stay text, until all tables are read.

    Blanks around them go, and so does what stands for a missing value. Where all others are whole numbers, `12.0`, as
    pandas writes 12 beside gaps, is 12, and whatever can stand for a missing number is missing.
    """
    bare = without(column.str.strip_chars(), ("",))
    for nothing in ((*NO_NUMBER, *missing), missing):
        known = without(bare, nothing)
        pandas = known.str.contains(_PANDAS)
        if (known.str.contains(WHOLE) | pandas).all() and known.null_count() < len(known):
            break
    notes = [missing_note(bare, known)]
    if (known.str.contains(WHOLE) | pandas).all() and pandas.any():
        notes.append(f"ids are written as {known.filter(pandas)[0]!r} and read as whole numbers")
        known = known.str.replace(r"\.0+$", "")
    return Values(known, "; ".join(filter(None, notes)))


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
        (bool(column.str.contains(WHOLE).all()) if loose else column.dtype.is_integer()) and _fits_64_bits(column)
        for column, loose in columns
        if column.null_count() < len(column)
    )
    return [column.cast(pl.Int64 if numeric else pl.String) for column, _ in columns]


def _fits_64_bits(column: pl.Series) -> bool:
    return column.cast(pl.Int64, strict=False).null_count() == column.null_count()


def moments(column: pl.Series, time_format: str, zone: str, place: str) -> pl.Series:
    """Bring a column of moments to UTC microseconds.

    Parameters
    ----------
    column
        Datetimes, dates, text or numbers.
    time_format
        How text and numbers are written: `"iso"` (as PostgreSQL and pandas write it, too), `"seconds"`,
        `"milliseconds"`, `"microseconds"` or `"nanoseconds"` since 1970, `"days"` as spreadsheets count them, or a
        strftime pattern.
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
    if column.dtype.is_numeric() or (column.dtype == pl.String and time_format in EPOCHS):
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


def zone_note(column: pl.Series, time_format: str, zone: str) -> str:
    """Say how many moments name no zone, where others of the column do; empty when all are alike."""
    if column.dtype != pl.String or time_format != "iso":
        return ""
    filled = column.drop_nulls().str.strip_chars()
    naive = filled.filter(~filled.str.contains(NAMES_ZONE))
    if len(naive) in (0, len(filled)):
        return ""
    return f"{len(naive)} of {len(filled)} moments name no zone, such as {naive[0]!r}, and are taken as {zone}"


def _parsed(text: pl.Expr, time_format: str, zone: str) -> pl.Expr:
    text = text.str.replace(r" \([^()]*\)$", "")  # JavaScript's name of the zone
    if time_format != "iso":
        if "%z" in time_format or "%:z" in time_format:
            return text.str.to_datetime(time_format, time_unit="us", time_zone="UTC", strict=False)
        return _local(text.str.to_datetime(time_format, time_unit="us", strict=False), zone)
    text = text.str.strip_chars().str.replace(r"^(\d{4}-\d\d-\d\d) +", "${1}T").str.replace(r"(:\d\d),(\d+)", "$1.$2")
    text = text.str.replace(r" *([zZ]|UTC|GMT)$", "+00:00")  # +01, +0100 and a blank before them are PostgreSQL's
    text = text.str.replace(r"(:\d\d(?:\.\d+)?) *([+-]\d\d):?(\d\d)?$", "$1$2:$3").str.replace(r":$", ":00")
    zoned = ("%Y-%m-%dT%H:%M:%S%.f%:z", "%Y-%m-%dT%H:%M%:z")
    aware = [text.str.to_datetime(shape, time_unit="us", time_zone="UTC", strict=False) for shape in zoned]
    day_or_minute = ("%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M")
    naive = [text.str.to_datetime(shape, time_unit="us", strict=False) for shape in day_or_minute]
    days = text.str.to_date("%Y-%m-%d", strict=False).cast(pl.Datetime("us"))
    return pl.coalesce(*aware, _local(pl.coalesce(*naive, days), zone))


def _local(moment: pl.Expr, zone: str) -> pl.Expr:
    return moment.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null").dt.convert_time_zone("UTC")


def _since_1970(column: pl.Series, time_format: str, place: str) -> pl.Series:
    numbers = column.set(column == "", None) if column.dtype == pl.String else column
    floats = numbers.cast(pl.Float64, strict=False)
    if time_format not in EPOCHS:
        likely = likely_units(floats)
        raise DataError(
            f"{place} holds numbers, such as {column.drop_nulls()[0]!r}; set time_format to "
            f"{' or '.join(map(repr, likely or EPOCHS))} in the mapping"
        )
    size, start = EPOCHS[time_format], _DAYS_TO_1970 if time_format == "days" else 0
    # Beyond the year 9999 the unit is wrong, and the cast below would overflow.
    floats = floats.set(~(((floats - start) * size).abs() < 253_402_300_800e6), None)
    wrong = f"is not {time_format} since {1899 if start else 1970}; set time_format in the mapping"
    _refuse_lost(numbers, floats, place, wrong)
    if time_format in ("seconds", "milliseconds", "microseconds") and numbers.dtype.is_integer():
        return (numbers.cast(pl.Int64) * int(size)).cast(TIME)
    exact = numbers.dtype.is_integer() or (numbers.dtype == pl.String and numbers.str.contains(WHOLE).all())
    if time_format == "nanoseconds" and exact:  # a float keeps too few digits
        return (numbers.cast(pl.Int64) // 1_000).cast(TIME)
    return ((floats - start) * size).round().cast(pl.Int64).cast(TIME)


def likely_units(numbers: pl.Series) -> list[str]:
    """Give the units of `EPOCHS` in which nearly all numbers are moments from 1990 to 2100; at most one fits."""
    low, high = (numbers.quantile(share) for share in (0.01, 0.99))
    if low is None or high is None:
        return []
    start = {"days": _DAYS_TO_1970}
    return [
        unit
        for unit, size in EPOCHS.items()
        if (low - start.get(unit, 0)) * size >= _EARLIEST and (high - start.get(unit, 0)) * size <= _LATEST
    ]


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
        known = f"{', '.join(columns)}{did_you_mean(absent[0], columns)}"
        raise DataError(f"{place} has no column {', '.join(absent)}; it has {known}; {_mend(columns)}")


def _mend(columns: list[str]) -> str:
    """Say what to do about a column that is absent: a header that was not cut has another cause."""
    cut = next((mark for mark in ("\t", ";", "|", ",") if len(columns) == 1 and mark in columns[0]), None)
    if cut is not None:
        return f"the header is one column, so set delimiter = {cut!r} in the mapping"
    return 'name theirs in the mapping, such as item_id = "sku" under [items.columns] for the table of items'
