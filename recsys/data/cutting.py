"""Candidates in files, cut into parts of whole requests: memory does not grow with how many there are."""

import logging
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from recsys.data.candidates import MISSING, read_rows
from recsys.data.checks import check_candidates
from recsys.data.faults import refuse_errors
from recsys.data.plain import in_utc
from recsys.errors import DataError, first_line
from recsys.reading import parquet_files, present_files, refuse_large_parquet
from recsys.schema import TIME
from recsys.shown import counted
from recsys.statistics.hashes import hash_ids, part_of

logger = logging.getLogger(__name__)

_AT_ONCE = 2**19
"""Rows that are read before they are cut."""

_FAN = 256
"""Files, at most, that rows are dealt out to in one pass; of more parts each of these is dealt out again."""


class Parts:
    """Rows in parts, each of which is read when its turn comes, and may be read again.

    Parameters
    ----------
    parts
        Rows, or the file or folder of each part; at least one.
    broken
        Files that are not among them, by name, and why.
    """

    def __init__(self, parts: Sequence[pl.DataFrame | Path], broken: Mapping[str, str] | None = None) -> None:
        self._parts = parts
        self.broken = broken or {}

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._parts)

    def __iter__(self) -> Iterator[pl.DataFrame]:
        """Give one part after the other."""
        return (self[place] for place in range(len(self._parts)))

    def __getitem__(self, place: int) -> pl.DataFrame:
        """Give the part at a place."""
        part = self._parts[place]
        return part if isinstance(part, pl.DataFrame) else read_rows(part)


@contextmanager
def in_parts(candidates: pl.DataFrame | Path, work: Path, rows: int, times: int = 1) -> Iterator[Parts]:
    """Cut candidates into parts of about so many rows; few are one part.

    All requests of a user lie whole in one part, see `recsys.statistics.hashes.part_of`. Of a folder of several files,
    those that cannot be read, or have faults, are left out and named.

    Parameters
    ----------
    candidates
        Rows, or a Parquet file or folder of them.
    work
        A folder that does not exist yet, and is gone in the end.
    rows
        Of a part, about.
    times
        Where there are at least so many parts, a multiple of it: each then lies in one part where all users are cut
        into `times` parts.

    Raises
    ------
    DataError
        When there is nothing to read, the one file or all files cannot be read or have faults, or files differ in their
        columns.
    """
    if isinstance(candidates, pl.DataFrame):
        count = _times(len(candidates) // rows, times)
        parts = Parts([part for _, part in _cut(in_utc(candidates), count, range(max(1, count)), 1)] or [candidates])
        _refuse_shared(parts)
        yield parts
        return
    files, broken = _sound(candidate_files(candidates))
    count = _times(_rows(files) // rows, times)
    if count < 2 and len(files) + len(broken) < 2:
        yield Parts([read_rows(candidates)])
        return
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    try:
        batches = (batch for file in files for batch in _batches(file) if len(batch))
        if count < 2:  # files may differ, of which reading them together tells
            for number, batch in enumerate(batches):
                batch.write_parquet(work / f"{number:06}.parquet")
            parts = Parts([work] if any(work.iterdir()) else [pl.DataFrame()], broken)
        else:
            _deal(batches, count, range(count), work)
            parts = Parts(sorted(work.iterdir()), broken)
        _refuse_shared(parts)
        yield parts
    finally:
        shutil.rmtree(work)


def _times(count: int, times: int) -> int:
    """Round a number of parts up to a multiple of a smaller number."""
    return count if count < times else times * -(-count // times)


def _deal(batches: Iterable[pl.DataFrame], count: int, parts: range, folder: Path) -> None:
    """Write the rows of some of `count` parts to a file for each that has any."""
    step = -(-len(parts) // _FAN)
    files: dict[int, Path] = {}
    with ExitStack() as opened:
        writers: dict[int, pq.ParquetWriter] = {}
        for batch in batches:
            for turn, own in _cut(batch, count, parts, step):
                table = own.to_arrow()
                if turn not in files:
                    files[turn] = folder / f"{parts[turn * step]:08}-{step}.parquet"
                    writers[turn] = opened.enter_context(pq.ParquetWriter(files[turn], table.schema))
                writers[turn].write_table(table)
    for turn, file in files.items() if step > 1 else ():
        _deal(_batches(file), count, parts[turn * step : (turn + 1) * step], folder)
        file.unlink()


def _cut(rows: pl.DataFrame, count: int, parts: range, step: int) -> Iterator[tuple[int, pl.DataFrame]]:
    """Cut rows of some of `count` parts by the part of their user, `step` of these together, and give those with rows.

    Without users, which is told later, all are one.
    """
    kind = rows.schema.get("user_id", pl.Null())
    if count < 2 or not (kind.is_integer() or kind == pl.String):
        yield 0, rows
        return
    turns = (part_of(_filled(rows["user_id"]), count) - parts.start) // step
    order = np.argsort(turns, kind="stable")
    rows, turns = rows[order], turns[order]
    starts = np.flatnonzero(np.diff(turns, prepend=-1))
    for start, end in pairwise([*starts.tolist(), len(rows)]):
        yield int(turns[start]), rows[start:end]


def _filled(ids: pl.Series) -> pl.Series:
    return ids.fill_null(0 if ids.dtype.is_integer() else "")


def _refuse_shared(parts: Parts) -> None:
    """Refuse a request that has rows in several parts, which is one of several users."""
    if len(parts) < 2:
        return
    requests = [np.unique(hash_ids(part["request_id"].drop_nulls())) for part in parts if "request_id" in part.columns]
    hashes, many = np.unique(np.concatenate([*requests, np.empty(0, np.uint64)]), return_counts=True)
    if (many < 2).all():
        return
    shared = hashes[many > 1][:1]
    known = (part.drop_nulls("request_id") for part in parts)
    rows = [part.filter(pl.Series(hash_ids(part["request_id"]) == shared)) for part in known]
    refuse_errors(check_candidates(pl.concat(rows, how="diagonal_relaxed")))


def _sound(files: Sequence[Path]) -> tuple[list[Path], dict[str, str]]:
    """Tell the files that can be read and have no faults from the others, where there are several.

    Raises
    ------
    DataError
        When none is left.
    """
    if len(files) < 2:
        return [*files], {}
    kinds = {file: _kind(file) for file in files}
    many = Counter(kinds.values())
    usual = max(many, key=lambda kind: (bool(kind), many[kind]))
    found = {file: _fault(file) or _strange(kind, usual) for file, kind in kinds.items()}
    sound, broken = [file for file in files if not found[file]], {file: why for file, why in found.items() if why}
    if not sound:
        told = "; ".join(f"{file.name}: {why}" for file, why in broken.items())
        raise DataError(f"no file of {len(files)} can be used ({told}); write them again")
    for file, why in broken.items():
        logger.warning("%s is left out: %s", file, why)
    return sound, {file.name: why for file, why in broken.items()}


def _kind(file: Path) -> tuple[tuple[str, str], ...]:
    """Say which columns of ids a file has, whole numbers or text; nothing where it cannot be read or holds no row."""
    try:
        schema = pq.read_schema(file) if pq.read_metadata(file).num_rows else pa.schema([])
    except (pa.ArrowException, OSError):
        return ()
    names = [name for name in ("request_id", "user_id", "item_id") if name in schema.names]
    return tuple((name, "whole numbers" if pa.types.is_integer(schema.field(name).type) else "text") for name in names)


def _strange(kind: tuple[tuple[str, str], ...], usual: tuple[tuple[str, str], ...]) -> str:
    """Say how a file that can be read differs from most in its ids; nothing where it does not."""
    own, others = dict(kind), dict(usual)
    for name in [*others, *own] if own else ():
        if own.get(name) != others.get(name):
            said = [f"holds {of[name]}" if name in of else "is not there" for of in (own, others)]
            return f"{name} {said[0]}, where in most files it {said[1]}"
    return ""


def _fault(file: Path) -> str:
    """Say in a few words, without ids, what is wrong with a file; nothing where nothing is."""
    try:
        refuse_large_parquet(file, [file], "write it again")
        for batch in _batches(file):
            errors = check_candidates(batch).errors if "item_id" in batch.columns else ()
            if errors:
                return f"{errors[0].table}.{errors[0].column}: {counted(errors[0].rows, 'row')}: {errors[0].what}"
    except DataError as error:
        return first_line(error)
    return ""


def candidate_files(candidates: Path) -> list[Path]:
    """Give the files of candidates, before anything else is read.

    Raises
    ------
    DataError
        When there is none, or there is one alone and it would take too much memory.
    """
    files = present_files(candidates, MISSING)
    if len(files) == 1:
        refuse_large_parquet(candidates, files, "write it again")
    return files


def refuse_no_items(candidates: Path) -> None:
    """Refuse files of candidates that name no items.

    Raises
    ------
    DataError
        Saying which columns there are.
    """
    names = columns_of(candidates)
    if names and "item_id" not in names:
        raise DataError(
            f"{candidates} has no column item_id; its columns are {', '.join(names)}; name the items in it, or give "
            "--find, and the sources of the model find candidates"
        )


def columns_of(candidates: Path) -> list[str]:
    """Name the columns of a Parquet file, or of all files of a folder."""
    return [*dict.fromkeys(name for file in parquet_files(candidates) for name in _columns(file))]


def first_moments(candidates: Path) -> pl.Series:
    """Give the first moment of each file that can be read; who ranks them says what is wrong with the others."""
    found = []
    for file in parquet_files(candidates):
        with suppress(DataError):
            found += [
                batch["timestamp"].min() for batch in _batches(file, ["timestamp"]) if "timestamp" in batch.columns
            ]
    return pl.Series("timestamp", [moment for moment in found if isinstance(moment, datetime)], dtype=TIME)


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


def _batches(file: Path, columns: Sequence[str] | None = None) -> Iterator[pl.DataFrame]:
    try:
        with pq.ParquetFile(file) as opened:
            for batch in opened.iter_batches(_AT_ONCE, columns=columns):
                frame = pl.from_arrow(batch)
                assert isinstance(frame, pl.DataFrame)
                yield in_utc(frame)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{file} cannot be read as Parquet ({first_line(error)}); write it again") from error
