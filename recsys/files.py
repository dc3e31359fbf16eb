"""Folders that appear whole or not at all, and Parquet files out of any folder."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
from polars import selectors as cs

from recsys.errors import DataError, SettingsError


@contextmanager
def new_folder(target: str | Path) -> Iterator[Path]:
    """Give a hidden folder beside `target` to write into; rename it to `target` once the block has ended well.

    Whatever goes wrong inside the block, a kill included, `target` does not come into being; the hidden folder is
    removed unless the process was killed.

    Raises
    ------
    DataError
        When `target` exists and is not an empty folder, or cannot be made.
    """
    target = Path(target)
    refuse_existing(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise DataError(f"{target} cannot be made ({error}); choose a folder that can be written") from error
    try:
        yield staging
        for path in staging.rglob("*"):
            _flush(path)
        _flush(staging)
        staging.chmod(0o755)
        try:
            staging.rename(target)
        except OSError as error:
            refuse_existing(target)
            raise DataError(f"{target} cannot be made ({error}); choose another folder") from error
        _flush(target.parent)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def refuse_existing(target: Path) -> None:
    """Refuse a target that holds anything, so that long work is not done in vain.

    Raises
    ------
    SettingsError
        When `target` has no name of its own, such as `.`, `..` or `/`.
    DataError
        When it exists and is not an empty folder, is a link, or lies where nothing can be written.
    """
    if target.name in ("", ".."):
        raise SettingsError(f"{target} is no name of a new folder; name one, such as {target / 'new'}")
    if target.is_symlink():
        raise DataError(f"{target} is a link; name the folder itself")
    nearest = next(parent for parent in target.absolute().parents if parent.exists())
    if not (nearest.is_dir() and os.access(nearest, os.W_OK)):
        raise DataError(
            f"{target} cannot be made ({nearest} is not a folder that can be written); choose another folder"
        )
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise DataError(f"{target} already exists and is not empty; choose another folder or remove it first")


def read_parquet(path: Path, missing: str, mend: str) -> pl.DataFrame:
    """Read a Parquet file, or all of a folder as one table in the order of their names.

    A path is taken as it is written: `*` and `[1]` are letters of it.

    Parameters
    ----------
    path
        File or folder.
    missing, mend
        What to do when there is nothing, and when it cannot be read.

    Raises
    ------
    DataError
        When there is nothing to read, a file is not Parquet, or files hold a column in types that differ.
    """
    files = sorted(file for file in path.rglob("*.parquet") if file.is_file()) if path.is_dir() else [path]
    if not files or not files[0].is_file():
        raise DataError(f"{path} {'holds no Parquet file' if path.is_dir() else 'is missing'}; {missing}")
    parts = [_read_part(file, mend) for file in files]
    return parts[0] if len(parts) == 1 else _one_table(files, parts, mend)


def _read_part(path: Path, mend: str) -> pl.DataFrame:
    try:
        return pl.read_parquet(path, glob=False)
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
        return pl.concat(
            [part.with_columns(cs.datetime(time_zone="*").dt.convert_time_zone("UTC")) for part in parts],
            how="diagonal_relaxed",
        )
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise DataError(f"{files[0].parent} cannot be read as one table ({error}); {mend}") from error


def _kind(dtype: pl.DataType) -> str:
    """Say what a type holds, whatever its width, unit or zone: only types of one kind make one column."""
    if dtype.is_integer() or dtype.is_float():
        return "numbers"
    if isinstance(dtype, pl.Datetime):
        return "moments without a zone" if dtype.time_zone is None else "moments with a zone"
    return str(dtype)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
