"""foreign files as frames: CSV, JSON and Parquet, with every value as it is written."""

from pathlib import Path

import polars as pl

from recsys.errors import DataError
from recsys.reading import read_bytes, read_parquet, refuse_large_csv, refuse_large_json

SUFFIXES = (".parquet", ".csv", ".tsv", ".jsonl", ".ndjson", ".json")
"""What can be read; `.json` is one list of objects."""

TEXT_FILES = (".csv", ".tsv")
"""Files in which everything is text, where an integer and a word look alike."""

_UNREADABLE = (
    pl.exceptions.PolarsError,
    pl.exceptions.PanicException,
    OSError,
    TypeError,
    ValueError,
    LookupError,
)


def read_file(path: Path, delimiter: str | None = None, encoding: str = "utf-8") -> pl.DataFrame:
    """Read a foreign file; the columns of a text file stay text.

    Parameters
    ----------
    path
        File with one of `SUFFIXES`.
    delimiter
        What separates the fields of a text file; without it, a comma, or a tab in a .tsv file.
    encoding
        Of a text file.

    Raises
    ------
    DataError
        When the file cannot be read as what its name says, or a column has a name that polars takes for a pattern.
    """
    frame = _read_as_named(path, delimiter, encoding)
    for name in frame.columns:
        if name.startswith("^") and name.endswith("$"):
            raise DataError(f"{path} has a column {name!r}; names from ^ to $ are patterns in polars, give it another")
    return frame


def table_files(path: Path) -> list[Path]:
    """Give a file, or the files of a folder that can be read, in the order of their names.

    Raises
    ------
    DataError
        When a folder holds files of several kinds.
    """
    if not path.is_dir():
        return [path]
    files = sorted(file for file in path.rglob("*") if file.is_file() and file.suffix in SUFFIXES)
    kinds = sorted({file.suffix for file in files})
    if len(kinds) > 1:
        raise DataError(f"{path} holds files ending in {' and '.join(kinds)}; keep one kind in a folder")
    return files


def read_tables(path: Path, delimiter: str | None = None, encoding: str = "utf-8") -> pl.DataFrame:
    """Read a foreign file, or all of a folder as one table; arguments and errors as of `read_file`."""
    parts = [read_file(file, delimiter, encoding) for file in table_files(path)]
    if len(parts) == 1:
        return parts[0]
    try:
        return pl.concat(parts, how="diagonal_relaxed")
    except pl.exceptions.PolarsError as error:
        raise DataError(f"{path} cannot be read as one table ({error}); write all its files alike") from error


def _read_as_named(path: Path, delimiter: str | None, encoding: str) -> pl.DataFrame:
    try:
        if path.suffix == ".parquet":
            return read_parquet(path, "", "write the file again")
        if path.suffix not in TEXT_FILES:
            refuse_large_json(path, text := read_bytes(path))
            read = pl.read_json if path.suffix == ".json" else pl.read_ndjson
            return read(text, infer_schema_length=None)
        return _read_text(path, delimiter or ("\t" if path.suffix == ".tsv" else ","), encoding)
    except _UNREADABLE as error:
        raise DataError(f"{path} cannot be read as {path.suffix[1:]} ({error}); write the file again") from error


def is_record(dtype: pl.DataType) -> bool:
    """Tell whether a column holds objects, or lists of them, which no stage reads."""
    return isinstance(dtype.inner if isinstance(dtype, pl.List) else dtype, pl.Struct)


def _read_text(path: Path, separator: str, encoding: str) -> pl.DataFrame:
    """Read fields as they are written: with quotes where they hold fields together, else quotes are letters."""
    raw = read_bytes(path)
    text = raw if encoding == "utf-8" else raw.decode(encoding).encode()
    try:
        refuse_large_csv(path, text, separator)
        quote = '"' if b'"' in text and _holds_together(text, separator) else None
        return pl.read_csv(text, separator=separator, infer_schema=False, quote_char=quote)
    except pl.exceptions.ComputeError as error:
        raise ValueError(_wrong_byte(text) or _long_line(text, separator) or str(error)) from error


def _marks(text: bytes, separator: str) -> pl.Series:
    """Count the separators of every line, heeding no quotes; empty lines are null."""
    lines = pl.read_csv(
        text, separator="\x01", quote_char=None, has_header=False, infer_schema=False, truncate_ragged_lines=True
    )
    return lines.to_series().str.count_matches(separator, literal=True)


def _holds_together(text: bytes, separator: str) -> bool:
    """Tell whether quotes keep fields together, as CSV has it, or are letters, as in most tab-separated files.

    They are letters where every line has as many fields as the first one without heeding them, and a field that begins
    with one does not end with one: to heed them would join lines that are whole.
    """
    marks = _marks(text, separator)
    if not (marks == marks.drop_nulls()[0]).all():
        return True
    fields = pl.read_csv(text, separator=separator, infer_schema=False, quote_char=None, has_header=False)
    return not any(
        (field.str.starts_with('"') & ~field.str.contains(r'^"([^"]|"")*"$')).any() for field in fields.get_columns()
    )


def _wrong_byte(text: bytes) -> str:
    try:
        text.decode()
    except UnicodeDecodeError as error:
        return (
            f"line {text[: error.start].count(bytes([10])) + 1} holds the byte {text[error.start]:#04x}, which is no "
            'utf-8; name the encoding of the file in the mapping, such as encoding = "cp1252"'
        )
    return ""


def _long_line(text: bytes, separator: str) -> str:
    """Say which line has more fields than the first one, where fields hold no quotes."""
    if b'"' in text:
        return ""
    marks = _marks(text, separator)
    first = marks.drop_nulls()[0]
    long = (marks > first).fill_null(value=False).arg_true()
    if not len(long):
        return ""
    others = f", as do {len(long) - 1} more" if len(long) > 1 else ""
    return (
        f"line {long[0] + 1} has {marks[int(long[0])] + 1} fields where the first one has {first + 1}{others}; quote "
        f"fields that hold {separator!r}, or name another delimiter in the mapping"
    )
