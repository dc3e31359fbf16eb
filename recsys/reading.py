"""Files of tables, of which the size in memory is asked before they are read: Parquet out of any folder, and text."""

import gzip
import itertools
import re
import resource
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from polars import selectors as cs

from recsys.errors import DataError

FLOOR = 2**30
"""Bytes of memory up to which nobody asks how small the file was."""

FACTOR = 300
"""How many times its own size a file may take in memory beyond `FLOOR`; long logs take up to 100 times theirs."""

_CELL, _INSIDE = 16, 12
"""Bytes that polars takes for a text of up to so many; a longer one takes as many more as it has."""
_WIDTHS = {"BOOLEAN": 1, "INT32": 4, "FLOAT": 4, "INT64": 8, "DOUBLE": 8, "INT96": 8}
_AGAIN = {"PLAIN_DICTIONARY", "RLE_DICTIONARY", "DELTA_BYTE_ARRAY"}
"""Ways of Parquet to write a text that it has written before in a few bits."""
_PIECE = 2**20
"""Bytes that are unpacked, and rows that are looked at, at a time."""
_MEMORY = (
    ("/proc/meminfo", r"MemAvailable:\s+(\d+) kB", 1024),
    ("/sys/fs/cgroup/memory.max", r"^(\d+)$", 1),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", r"^(\d+)$", 1),
)
"""Where Linux says how much memory a process may have, and the bytes in which it counts."""
_UNITS = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (0, "bytes"))


def read_parquet(path: Path, missing: str, mend: str) -> pl.DataFrame:
    """Read a Parquet file, or all of a folder as one table in the order of their names.

    A path is taken as it is written: `*`, `[1]`, `~` and `s3:` are letters of it.

    Parameters
    ----------
    path
        File or folder.
    missing, mend
        What to do when there is nothing, and when it cannot be read.

    Raises
    ------
    DataError
        When there is nothing to read, a file is not Parquet, files hold a column in types that differ, or their content
        would take too much memory.
    """
    files = present_files(path, missing)
    refuse_large_parquet(path, files, mend)
    parts = [_read_part(file, mend) for file in files]
    return parts[0] if len(parts) == 1 else _one_table(files, parts, mend)


def present_files(path: Path, missing: str) -> list[Path]:
    """Give the Parquet files of a folder, or the file itself; arguments as of `read_parquet`.

    Raises
    ------
    DataError
        When there is none.
    """
    files = parquet_files(path)
    if not files or not files[0].is_file():
        raise DataError(f"{path} {'holds no Parquet file' if path.is_dir() else 'is missing'}; {missing}")
    return files


def parquet_files(path: Path) -> list[Path]:
    """Give the Parquet files of a folder in the order of their names, or the file itself."""
    return sorted(file for file in path.rglob("*.parquet") if file.is_file()) if path.is_dir() else [path]


def _as_written(path: Path) -> Path:
    """Give a path that libraries take for the file it names; of `~` they make a home, of `s3:` an address."""
    return path.absolute()


def _read_part(path: Path, mend: str) -> pl.DataFrame:
    try:
        return pl.read_parquet(_as_written(path), glob=False)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise DataError(f"{path} cannot be read as Parquet ({error}); {mend}") from error


def _one_table(files: list[Path], parts: list[pl.DataFrame], mend: str) -> pl.DataFrame:
    """Put parts together that may differ in the order of columns, the width of numbers and in further columns."""
    kinds: dict[str, tuple[str, Path]] = {}
    for file, part in zip(files, parts, strict=True):
        for name, dtype in part.schema.items():
            kind, other = kinds.setdefault(name, (_kind(dtype), file)) if dtype != pl.Null else ("", file)
            if dtype != pl.Null and kind != _kind(dtype):
                raise DataError(
                    f"{file} holds {name} as {dtype}, where {other.name} holds {kind}; write the column in one type"
                )
    try:
        in_utc = cs.datetime(time_zone="*").dt.convert_time_zone("UTC")
        return pl.concat([part.with_columns(in_utc) for part in parts], how="diagonal_relaxed")
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise DataError(f"{files[0].parent} cannot be read as one table ({error}); {mend}") from error


def _kind(dtype: pl.DataType) -> str:
    """Say what a type holds, whatever its width, unit or zone: only types of one kind make one column."""
    if dtype.is_integer() or dtype.is_float():
        return "numbers"
    if isinstance(dtype, pl.Datetime):
        return "moments without a zone" if dtype.time_zone is None else "moments with a zone"
    return str(dtype)


def read_bytes(path: Path) -> bytes:
    """Read a file of text, unpacked where it is packed as gzip, zlib or zstd, whatever its name.

    Raises
    ------
    DataError
        When what it holds would take too much memory; no more than is allowed is unpacked.
    OSError, ValueError
        When it cannot be read, or is no whole packed file.
    """
    size = path.stat().st_size
    _refuse_large(path, size, 2 * size)
    with path.open("rb") as file:
        begins = file.read(4)
        file.seek(0)
        if not (unpacking := next((each for mark, each in _PACKED.items() if begins.startswith(mark)), None)):
            return file.read()
        pieces, length, most = list[bytes](), 0, _most(size)
        for piece in unpacking(file):
            pieces.append(piece)
            length += len(piece)
            if 2 * length > most:  # the text, and the table that is made of it
                _refuse_large(path, size, 2 * length)
    return b"".join(pieces)


def refuse_large_csv(path: Path, text: bytes, separator: str) -> None:
    """Refuse a text file of which too large a table would be made, as where lines are far shorter than the first one.

    Raises
    ------
    DataError
        Naming the file.
    """
    size, lines = path.stat().st_size, text.count(b"\n") + 1
    how: dict[str, Any] = {"separator": separator, "infer_schema": False, "truncate_ragged_lines": True}
    width = pl.read_csv(text, n_rows=0, **how).width
    if 2 * len(text) + _CELL * lines * width > _most(size):
        lines = pl.scan_csv(text, **how).select(pl.len()).collect().item()  # quotes may hold lines together
    _refuse_large(path, size, 2 * len(text) + _CELL * lines * width)


def refuse_large_json(path: Path, text: bytes) -> None:
    """Refuse JSON objects of which too large a table would be made, as where each has a name of its own.

    Raises
    ------
    DataError
        Naming the file.
    """
    size, objects = path.stat().st_size, text.count(b"{")
    names = text.count(b":")
    if 2 * len(text) + _CELL * objects * names > _most(size):
        found = pl.Series([text]).cast(pl.String).str.extract_all(r'"(?:[^"\\]|\\.)*"\s*:')
        names = found.explode().n_unique()
    _refuse_large(path, size, 2 * len(text) + _CELL * objects * names)


def refuse_large_parquet(path: Path, files: Sequence[Path], mend: str) -> None:
    """Refuse Parquet files that would take too much memory as one table.

    Parameters
    ----------
    path
        Their folder, or the file itself, for the message.
    files
        The files.
    mend
        What to do when one cannot be read.

    Raises
    ------
    DataError
        Naming `path`, or the file that is not Parquet.
    """
    _refuse_large(path, sum(file.stat().st_size for file in files), _parquet_content(files, mend))


def _refuse_large(path: Path, size: int, content: int) -> None:
    """Refuse what would take more memory than there is, or far more than a file of its size does if it means anything.

    Parameters
    ----------
    path
        File or folder, for the message.
    size
        Bytes of it on disk.
    content
        Bytes of memory that it takes at least.
    """
    if content <= _most(size):
        return
    told = f"{path} has {_amount(size)} and would take {_amount(content)} of memory or more"
    if content > FLOOR and content > FACTOR * size:
        raise DataError(
            f"{told}, {content // max(size, 1):,} times as much; if it is what you mean, write it unpacked: text as "
            "it is, every row with all its fields, Parquet without compression and dictionaries"
        )
    raise DataError(
        f"{told}, and this machine has {_amount(_memory())} left; leave out columns or days, or take a larger machine"
    )


def _most(size: int) -> int:
    """Give the bytes of memory that the content of a file of some size may take."""
    return min(_memory(), max(FLOOR, FACTOR * size))


def _memory() -> int:
    """Give the bytes of memory that this process may still have, as far as the system says."""
    found = [int(told[1]) * unit for path, form, unit in _MEMORY if (told := re.search(form, _told(path), re.M))]
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY:
        found.append(limit - int((_told("/proc/self/statm") or "0").split()[0]) * resource.getpagesize())
    return max(0, min(found, default=sys.maxsize))


def _told(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:  # another system, or one that does not say
        return ""


def _amount(size: int) -> str:
    number, unit = next((size / max(step, 1), name) for step, name in _UNITS if size >= step)
    return f"{number:.3g} {unit}"


def _gzip(file: Any) -> Iterator[bytes]:
    try:
        with gzip.GzipFile(fileobj=file) as packed:
            while piece := packed.read(_PIECE):
                yield piece
    except (EOFError, zlib.error) as error:
        raise ValueError(f"it is no whole gzip file: {error}") from error


def _zlib(file: Any) -> Iterator[bytes]:
    packed, waiting = zlib.decompressobj(), b""
    try:
        while not packed.eof and (waiting := waiting or file.read(_PIECE)):
            yield packed.decompress(waiting, _PIECE)
            waiting = packed.unconsumed_tail
    except zlib.error as error:
        raise ValueError(f"it is no whole zlib file: {error}") from error
    if not packed.eof:
        raise ValueError("it is no whole zlib file: it ends too early")


def _zstd(file: Any) -> Iterator[bytes]:
    with pa.CompressedInputStream(file, "zstd") as packed:
        while piece := packed.read(_PIECE):
            yield piece


_PACKED: dict[bytes, Callable[[Any], Iterator[bytes]]] = {
    b"\x1f\x8b": _gzip,
    b"\x78\x01": _zlib,
    b"\x78\x9c": _zlib,
    b"\x78\xda": _zlib,
    b"\x28\xb5\x2f\xfd": _zstd,
}
"""How packed files begin, and what unpacks them."""


def _parquet_content(files: Sequence[Path], mend: str) -> int:
    """Say how many bytes of memory Parquet files take as one table, by what they say of themselves."""
    content, rows, columns = 0, 0, dict[str, int]()
    for path in files:
        try:
            with pq.ParquetFile(_as_written(path)) as file:
                names, held = file.schema_arrow.names, file.metadata
            content += _file_content(path, held)
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{path} cannot be read as Parquet ({error}); {mend}") from error
        rows += held.num_rows
        for name in names:
            columns[name] = columns.get(name, 0) + held.num_rows
    return content + sum(8 * (rows - filled) for filled in columns.values())  # where files lack columns of others


def _file_content(path: Path, held: Any) -> int:
    """Say how many bytes a file takes: a few bytes of Parquet may stand for many values, or for a long text again."""
    found, most, again = 0, 0, dict[str, list[int]]()
    for group, column in itertools.product(range(held.num_row_groups), range(held.num_columns)):
        chunk = held.row_group(group).column(column)
        kind, values, written = chunk.physical_type, chunk.num_values, chunk.total_uncompressed_size
        if kind == "BYTE_ARRAY":
            found += _CELL * values + written
            if _AGAIN & set(chunk.encodings):
                again.setdefault(chunk.path_in_schema, []).append(group)
                most += values * written
        else:
            length = held.schema.column(column).length
            found += max(written, values * (_WIDTHS[kind] if kind in _WIDTHS else max(_CELL, length)))
    told = found + most <= FLOOR or found > _most(path.stat().st_size)
    return found if told else found + _texts_again(path, again)


def _texts_again(path: Path, columns: Mapping[str, Sequence[int]]) -> int:
    """Add up the lengths of texts in some row groups of columns, without writing out those of a dictionary."""
    found = 0
    path = _as_written(path)
    with pq.ParquetFile(path) as plain, pq.ParquetFile(path, read_dictionary=list(columns)) as coded:
        place = {plain.schema.column(n).path: n for n in range(len(plain.schema))}
        for name, group in ((name, group) for name, groups in columns.items() for group in groups):
            chunk, rows, file = plain.metadata.row_group(group).column(place[name]), _PIECE, coded
            if "DELTA_BYTE_ARRAY" in chunk.encodings:  # which has no dictionary; any text may be as long as all
                rows, file = max(1, FLOOR // 4 // max(chunk.total_uncompressed_size, 1)), plain
            for batch in file.iter_batches(rows, [group], [name], use_threads=False):
                found += sum(map(_lengths, batch.columns))
    return found


def _lengths(array: Any) -> int:
    """Add up the bytes that the texts of an Arrow array take beside their cells, whatever holds them."""
    if pa.types.is_dictionary(array.type):
        times = np.bincount(array.indices.drop_null().to_numpy(), minlength=len(array.dictionary))
        return int(_beside_cells(array.dictionary) @ times)
    if pa.types.is_string(array.type) or pa.types.is_binary(array.type):
        return int(_beside_cells(array).sum())
    if pa.types.is_map(array.type):
        return _lengths(array.keys) + _lengths(array.items)
    if pa.types.is_nested(array.type):
        inner = array.flatten()
        return sum(map(_lengths, inner)) if isinstance(inner, list) else _lengths(inner)
    return 0


def _beside_cells(texts: Any) -> NDArray[np.int64]:
    lengths = pc.binary_length(texts).fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
    return np.where(lengths > _INSIDE, lengths, 0)
