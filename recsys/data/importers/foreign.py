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
        When the file cannot be read as what its name says.
    """
    try:
        if path.suffix == ".parquet":
            return pl.read_parquet(path, glob=False)
        if path.suffix == ".json":
            return pl.read_json(path, infer_schema_length=None)
        if path.suffix not in TEXT_FILES:
            return pl.read_ndjson(path.read_bytes(), infer_schema_length=None)  # of a path, `[1]` were a pattern
        separator = delimiter or ("\t" if path.suffix == ".tsv" else ",")
        named = "utf8" if encoding == "utf-8" else encoding  # polars' own name of the usual one
        return pl.read_csv(path, separator=separator, encoding=named, infer_schema=False, glob=False)
    except _UNREADABLE as error:
        raise DataError(f"{path} cannot be read as {path.suffix[1:]} ({error}); write the file again") from error
