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
    files = [] if isinstance(candidates, pl.DataFrame) else _files(candidates)
    count = sum(_rows(file) for file in files) // rows
    if isinstance(candidates, pl.DataFrame) or count < 2:
        yield Parts([candidates if isinstance(candidates, pl.DataFrame) else read_rows(candidates)])
        return
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
    names = [*dict.fromkeys(name for file in _files(candidates) for name in _columns(file))]
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


def _files(path: Path) -> list[Path]:
    return sorted(file for file in path.rglob("*.parquet") if file.is_file()) if path.is_dir() else [path]


def _rows(file: Path) -> int:
    """Count the rows of a file that can be cut; one that cannot is read whole, which says why."""
    try:
        about = pq.read_metadata(file)
        kind = about.schema.to_arrow_schema().field("request_id").type
    except (pa.ArrowException, OSError, KeyError):
        return 0
    return int(about.num_rows) if pa.types.is_integer(kind) or _is_text(kind) else 0


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
