"""Folders that appear whole or not at all, plain files, JSON, and Parquet files out of any folder."""

import errno
import io
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl

from recsys.errors import DataError, ModelError, first_line

_DEEPEST = 64
"""Lists and objects inside each other in a JSON file; what this package writes needs less than ten."""


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
    DataError
        When `target` exists and is not an empty folder, is a link, or lies where nothing can be written.
    """
    if target.is_symlink():
        raise DataError(f"{target} is a link; name the folder itself")
    nearest = next(parent for parent in target.absolute().parents if parent.exists())
    if not (nearest.is_dir() and os.access(nearest, os.W_OK)):
        raise DataError(
            f"{target} cannot be made ({nearest} is not a folder that can be written); choose another folder"
        )
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise DataError(f"{target} already exists and is not empty; choose another folder or remove it first")


def open_plain(path: Path) -> io.BufferedReader:
    """Open a file to read its bytes; a named pipe or a device in its place is never waited for.

    Raises
    ------
    OSError
        When it is missing, cannot be read or is no plain file.
    """
    file = open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb")  # noqa: SIM115
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "it is no plain file", str(path))
    return file


def read_json(path: Path, mend: str) -> Any:
    """Read JSON that this package or a library wrote.

    Parameters
    ----------
    path
        The file.
    mend
        What to do when it is not as it was written.

    Raises
    ------
    ModelError
        When it is missing, is no plain file, is not JSON, or holds more than 64 lists and objects inside each other.
    """
    try:
        with open_plain(path) as file:
            content = json.loads(file.read())
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}); {mend}") from error
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} is damaged ({first_line(error)}); {mend}") from error
    level = [content]
    for _ in range(_DEEPEST):
        level = [inner for each in level for inner in _inside(each)]
    if level:
        raise ModelError(f"{path} is damaged (more than {_DEEPEST} lists and objects inside each other); {mend}")
    return content


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
        When there is nothing to read, a file is not Parquet, or files differ in their columns.
    """
    files = sorted(file for file in path.rglob("*.parquet") if file.is_file()) if path.is_dir() else [path]
    if not files or not files[0].is_file():
        raise DataError(f"{path} {'holds no Parquet file' if path.is_dir() else 'is missing'}; {missing}")
    try:
        return pl.read_parquet(files, glob=False)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise DataError(f"{path} cannot be read as Parquet ({error}); {mend}") from error


def _inside(content: object) -> Iterable[object]:
    if isinstance(content, dict):
        return content.values()
    return content if isinstance(content, list) else ()


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
