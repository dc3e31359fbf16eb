"""Folders that appear whole or not at all."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recsys.errors import DataError


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


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
