"""Files to guess from: found, read as they seem to be written, and what their columns may be."""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import polars as pl

from recsys.data.importers.columns import likely_units, moments
from recsys.data.importers.foreign import SUFFIXES, TEXT_FILES, is_record, read_file
from recsys.data.importers.mapping import TableMapping
from recsys.data.importers.numbers import NO_NUMBER, NOT_KNOWN, number_form, plain_values, without
from recsys.errors import DataError
from recsys.init.words import KNOWN_AT, most_like
from recsys.reading import read_bytes
from recsys.shown import plain

_DELIMITERS = (",", ";", "\t", "|")
_LOOKED_AT = 1_000_000
"""Bytes of a text file that tell its delimiter."""
_PATTERNS = (
    *(f"{day}{time}" for day in ("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%Y/%m/%d", "%d-%m-%Y", "%Y.%m.%d", "%d.%m.%y",
                                 "%d/%m/%y", "%m/%d/%y", "%Y%m%d", "%d %b %Y", "%d %B %Y", "%b %d, %Y")
      for time in ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p")),
    *(f"{day}, {time}" for day in ("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y")
      for time in ("%H:%M:%S", "%I:%M:%S %p", "%H:%M")),
    "%a %b %d %H:%M:%S %z %Y", "%a, %d %b %Y %H:%M:%S %z", "%a, %d %b %Y %H:%M:%S GMT", "%d/%b/%Y:%H:%M:%S %z",
    "[%d/%b/%Y:%H:%M:%S %z]", "%a %b %d %Y %H:%M:%S GMT%z",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Sample:
    """One file and how it is written.

    Attributes
    ----------
    path
        Where it lies, absolute.
    settings
        Its delimiter, decimal and encoding.
    written, frame
        Its rows as they are written, and with numbers out of text read.
    """

    path: Path
    settings: TableMapping
    written: pl.DataFrame
    frame: pl.DataFrame

    @property
    def name(self) -> str:
        """Name for people."""
        return plain(self.path.name)

    @cached_property
    def times(self) -> dict[str, list[str]]:
        """Columns of moments and the ways in which each can be read, the likeliest first."""
        found = {name: time_formats(self.frame[name]) for name in self.frame.columns}
        return {name: formats for name, formats in found.items() if formats}

    @cached_property
    def ids(self) -> list[str]:
        """Columns that may hold ids: integers, or short texts without spaces and commas."""
        return [name for name in self.frame.columns if name not in self.stamps and _holds_ids(self.frame[name])]

    @cached_property
    def stamps(self) -> set[str]:
        """Columns of moments that are no numbers, which may be moments by chance."""
        return {name for name in self.times if not self.frame[name].dtype.is_numeric()}

    @cached_property
    def keys(self) -> list[str]:
        """Id columns that hardly repeat, which number the rows."""
        return [name for name in self.ids if self.frame[name].n_unique() >= 0.9 * len(self.frame)]

    @cached_property
    def versions(self) -> dict[str, str]:
        """Id columns that repeat, and the moments, named as such, since when each of their rows is known."""
        moments = [name for name in most_like(self.times, KNOWN_AT) if name in self.stamps]
        return {
            name: moment
            for moment in reversed(moments)
            for name in self.ids
            if name not in self.keys and self.frame.select(name, moment).n_unique() == len(self.frame)
        }

    def values(self, name: str) -> pl.Series:
        """Give the distinct values of a column as text."""
        values = self.frame[name].drop_nulls()
        if values.dtype.is_float() and (values == values.round()).all():  # whole numbers beside gaps
            values = values.drop_nans().cast(pl.Int64)
        return values.unique().cast(pl.String)


def read_samples(paths: Sequence[Path]) -> list[Sample]:
    """Read files; of a folder, all that can be read.

    Raises
    ------
    DataError
        When a path is missing, cannot be read, holds no row or has but one column.
    """
    files: list[Path] = []
    for path in paths:
        path = path.absolute()
        inside = [each for each in sorted(path.iterdir()) if each.suffix in SUFFIXES] if path.is_dir() else [path]
        if not inside:
            raise DataError(f"{path} holds no file ending in {', '.join(SUFFIXES)}; name the files themselves")
        files += [each for each in inside if each not in files]
    return [_read(path) for path in files]


def _read(path: Path) -> Sample:
    if not path.is_file():
        raise DataError(f"{path} does not exist; name files ending in {', '.join(SUFFIXES)}")
    if path.suffix not in SUFFIXES:
        raise DataError(f"{path} does not end in {', '.join(SUFFIXES)}; write it as one of these, such as CSV")
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty; leave it out or write it again")
    settings = _how_written(path) if path.suffix in TEXT_FILES else TableMapping()
    frame = read_file(path, settings.delimiter, settings.encoding)
    if frame.is_empty():
        raise DataError(f"{path} holds no row; leave it out or write it again")
    if frame.width == 1:
        raise DataError(
            f"{path} has one column, {plain(frame.columns[0])!r}, which is no table of this project; leave it out, or "
            "write the file with a comma, semicolon, tab or bar between its columns"
        )
    if all(re.fullmatch(r"[\d.,:-]*", name) for name in frame.columns):
        raise DataError(f"{path} begins with a row of numbers; write the names of the columns above it")
    if path.suffix not in TEXT_FILES:
        frame = frame.select(column for column in frame.get_columns() if not is_record(column.dtype))
        return Sample(path, settings, frame, frame)
    decimal: Literal[".", ","] = "," if _has_decimal_commas(frame) else "."
    settings = settings.model_copy(update={"decimal": decimal})
    read = [plain_values(without(values, NOT_KNOWN), decimal).column for values in frame.get_columns()]
    return Sample(path, settings, frame, frame.with_columns(read))  # which keeps a column without a name as it is


def _how_written(path: Path) -> TableMapping:
    try:
        raw = read_bytes(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error}); see whether it may be opened") from error
    encoding = "utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"
    try:
        raw.decode(encoding)
    except UnicodeDecodeError:
        encoding = "cp1252"
    lines = raw[:_LOOKED_AT].decode(encoding, errors="replace").splitlines()[:50]
    widths = {mark: [len(row) for row in _rows(lines, mark)] for mark in _DELIMITERS}

    def fit(mark: str) -> tuple[int, int]:
        usual = widths[mark][0]
        return (sum(width == usual for width in widths[mark]) if usual > 1 else 0), usual

    return TableMapping(delimiter=max(_DELIMITERS, key=fit), encoding=encoding)


def _rows(lines: list[str], delimiter: str) -> list[list[str]]:
    try:
        return list(csv.reader(lines, delimiter=delimiter)) or [[]]
    except csv.Error:
        return [[]]


def _has_decimal_commas(frame: pl.DataFrame) -> bool:
    """Tell whether a column can hold only numbers such as `12,5`."""
    commas = (values for values in frame.get_columns() if values.str.contains(r"\d,\d").any())
    forms = (number_form(without(values, ("", *NO_NUMBER))) for values in commas)
    return any(form in ("1234,5", "1.234,5") for form in forms)


def time_formats(column: pl.Series) -> list[str]:
    """Give the ways in which every value of a column is a moment, the likeliest first; none when it holds no moments.

    Examples
    --------
    >>> time_formats(pl.Series(["31.12.2024 08:00"])), time_formats(pl.Series([1700000000]))
    (['%d.%m.%Y %H:%M'], ['seconds'])
    """
    filled = column.drop_nulls()
    if filled.is_empty():
        return []
    if column.dtype in (pl.Datetime, pl.Date):
        return ["iso"]
    if column.dtype.is_numeric():
        numbers = filled.cast(pl.Float64)
        whole = bool((numbers == numbers.round()).all())
        fits = [
            unit for unit in likely_units(numbers) if not (whole and unit == "days")
        ]  # as years, prices, counts are
        low, high = (numbers.quantile(share) or 0.0 for share in (0.01, 0.99))
        if fits or not column.dtype.is_integer() or not 19_900_101 <= low <= high <= 21_001_231:
            return fits
        filled = filled.cast(pl.String)
    if filled.dtype != pl.String:
        return []
    filled = filled.filter(filled != "").unique()
    if filled.is_empty() or not bool(filled.str.len_chars().is_between(6, 80).all()):
        return []
    return [pattern for pattern in ("iso", *_PATTERNS) if _reads(filled, pattern)]


def _reads(values: pl.Series, pattern: str) -> bool:
    try:
        return all(_all_moments(part, pattern) for part in (values.head(20), values))
    except DataError:
        return False


def _all_moments(values: pl.Series, pattern: str) -> bool:
    read = moments(values, pattern, "UTC", "")
    return bool(read.dt.year().is_between(1970, 2100).all())


def _holds_ids(column: pl.Series) -> bool:
    if column.dtype.is_integer():
        return True
    if column.dtype.is_float():
        filled = column.drop_nulls().drop_nans()  # integers with gaps, as pandas writes them
        return not filled.is_empty() and bool((filled == filled.round()).all() and (filled >= 0).all())
    if column.dtype != pl.String:
        return False
    filled = column.drop_nulls()
    spaced = int(filled.str.strip_chars().str.contains(r"[\s,;|]").sum()) / max(len(filled), 1)
    return not filled.is_empty() and spaced < 0.05 and bool((filled.str.len_chars() <= 64).all())
