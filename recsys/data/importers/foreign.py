"""foreign files as frames: CSV, JSON and Parquet, with every value as it is written."""

from pathlib import Path

import polars as pl

from recsys.errors import DataError

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


def _read_as_named(path: Path, delimiter: str | None, encoding: str) -> pl.DataFrame:
    try:
        if path.suffix == ".parquet":
            return pl.read_parquet(path, glob=False)
        if path.suffix == ".json":
            return pl.read_json(path, infer_schema_length=None)
        if path.suffix not in TEXT_FILES:
            return pl.read_ndjson(path.read_bytes(), infer_schema_length=None)  # of a path, `[1]` were a pattern
        return _read_text(path, delimiter or ("\t" if path.suffix == ".tsv" else ","), encoding)
    except _UNREADABLE as error:
        raise DataError(f"{path} cannot be read as {path.suffix[1:]} ({error}); write the file again") from error


def _read_text(path: Path, separator: str, encoding: str) -> pl.DataFrame:
    """Read fields as they are written: with quotes where they hold fields together, else quotes are letters."""
    raw = path.read_bytes()
    text = raw if encoding == "utf-8" else raw.decode(encoding).encode()
    _refuse_bytes(path, text)
    lines = _lines(text)
    if b'"' in text and _holds_together(text, lines, separator):
        return pl.read_csv(text, separator=separator, infer_schema=False)
    _refuse_long_lines(path, lines, separator)
    return pl.read_csv(text, separator=separator, infer_schema=False, quote_char=None)


def _lines(text: bytes) -> pl.Series:
    """Give the lines as they are, the empty ones as null."""
    whole = pl.read_csv(
        text, separator="\x01", quote_char=None, has_header=False, infer_schema=False, truncate_ragged_lines=True
    )
    return whole.to_series()


def _holds_together(text: bytes, lines: pl.Series, separator: str) -> bool:
    """Tell whether quotes keep fields together, as CSV has it, or are letters, as in most tab-separated files.

    They are letters where every line has as many fields as the first one without heeding them, and a field that begins
    with one does not end with one: to heed them would join lines that are whole.
    """
    marks = lines.str.count_matches(separator, literal=True)
    if not (marks == marks.drop_nulls()[0]).all():
        return True
    fields = pl.read_csv(text, separator=separator, infer_schema=False, quote_char=None, has_header=False)
    return not any(
        (field.str.starts_with('"') & ~field.str.contains(r'^"([^"]|"")*"$')).any() for field in fields.get_columns()
    )


def _refuse_bytes(path: Path, text: bytes) -> None:
    try:
        text.decode()
    except UnicodeDecodeError as error:
        line = text[: error.start].count(b"\n") + 1
        raise ValueError(
            f"line {line} holds the byte {text[error.start]:#04x}, which is no utf-8; name the file's encoding in the "
            'mapping, such as encoding = "cp1252"'
        ) from error


def _refuse_long_lines(path: Path, lines: pl.Series, separator: str) -> None:
    marks = lines.str.count_matches(separator, literal=True)
    first = marks.drop_nulls()[0]
    long = (marks > first).fill_null(value=False).arg_true()
    if len(long):
        others = f", as do {len(long) - 1} more" if len(long) > 1 else ""
        raise ValueError(
            f"line {long[0] + 1} has {marks[int(long[0])] + 1} fields where the first one has {first + 1}{others}; "
            f"quote fields that hold {separator!r}, or name another delimiter in the mapping"
        )
