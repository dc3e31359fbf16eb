"""Candidates in files, cut into parts of whole requests: memory does not grow with how many there are."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from recsys.data.candidates import read_rows
from recsys.data.plain import in_utc
from recsys.errors import DataError, first_line
from recsys.reading import parquet_files, refuse_large_parquet
from recsys.statistics.hashes import hash_ids

_AT_ONCE = 2**19
"""Rows that are read before they are cut."""


class Parts:
    """Rows in parts, each of which is read when its turn comes, and may be read again.

    Parameters
    ----------
    parts
        Rows, or the folder of each part; at least one.
    """

    def __init__(self, parts: Sequence[pl.DataFrame | Path]) -> None:
        self._parts = parts

    def __iter__(self) -> Iterator[pl.DataFrame]:
        """Give one part after the other."""
        for part in self._parts:
            yield part if isinstance(part, pl.DataFrame) else read_rows(part)


@contextmanager
def in_parts(candidates: pl.DataFrame | Path, work: Path, rows: int) -> Iterator[Parts]:
    """Cut candidates of files into parts of about so many rows; what is in memory, or small, is one part.

    A request lies whole in one part, which a hash of its id chooses: whatever is wrong with it is seen there.

    Parameters
    ----------
    candidates
        Rows, or a Parquet file or folder of them.
    work
        A folder that does not exist yet, and is gone in the end.
    rows
        Of a part.

    Raises
    ------
    DataError
        When there is nothing to read, a file is not Parquet, or files differ in their columns.
    """
    if isinstance(candidates, pl.DataFrame):
        yield Parts([candidates])
        return
    files = parquet_files(candidates)
    count = _rows(files) // rows
    if count < 2:
        yield Parts([read_rows(candidates)])
        return
    for file in files:
        refuse_large_parquet(file, [file], "write it again")
    work.mkdir()
    try:
        for number, batch in enumerate(_batches(files)):
            ids = batch["request_id"]
            own = hash_ids(ids.fill_null(0 if ids.dtype.is_integer() else "")) % np.uint64(count)
            for part in np.unique(own).tolist():
                folder = work / f"{part:06}"
                folder.mkdir(exist_ok=True)
                batch.filter(pl.Series(own == part)).write_parquet(folder / f"{number:06}.parquet")
        yield Parts(sorted(work.iterdir()))
    finally:
        shutil.rmtree(work)


def refuse_no_items(candidates: Path) -> None:
    """Refuse files of candidates that name no items.

    Raises
    ------
    DataError
        Saying which columns there are.
    """
    names = [*dict.fromkeys(name for file in parquet_files(candidates) for name in _columns(file))]
    if names and "item_id" not in names:
        raise DataError(
            f"{candidates} has no column item_id; its columns are {', '.join(names)}; name the items in it, or give "
            "--find, and the sources of the model find candidates"
        )


def _columns(file: Path) -> list[str]:
    """Name the columns of a file, none where it cannot be read: who reads it says why."""
    try:
        return list(pq.read_schema(file).names)
    except (pa.ArrowException, OSError):
        return []


def _rows(files: Sequence[Path]) -> int:
    """Count the rows of files that can be cut; 0 where one cannot, or they differ: who reads them whole says why."""
    try:
        about = [pq.read_metadata(file) for file in files]
        schemas = [each.schema.to_arrow_schema() for each in about]
        kind = schemas[0].field("request_id").type
    except (pa.ArrowException, OSError, KeyError, IndexError):
        return 0
    alike = all(schema.equals(schemas[0]) for schema in schemas)
    return sum(each.num_rows for each in about) if alike and (pa.types.is_integer(kind) or _is_text(kind)) else 0


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _batches(files: Sequence[Path]) -> Iterator[pl.DataFrame]:
    for file in files:
        try:
            with pq.ParquetFile(file) as opened:
                for batch in opened.iter_batches(_AT_ONCE):
                    frame = pl.from_arrow(batch)
                    assert isinstance(frame, pl.DataFrame)
                    yield in_utc(frame)
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{file} cannot be read as Parquet ({first_line(error)}); write it again") from error
