"""Folders that appear whole or not at all, plain files and JSON."""

import ctypes
import errno
import fcntl
import io
import json
import logging
import os
import re
import secrets
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import polars as pl

from recsys.errors import DataError, ModelError, RecsysError, SettingsError, StorageError, first_line

logger = logging.getLogger(__name__)

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

_UNFINISHED = ".unfinished"

_HERE, _EXCHANGE = -100, 2
"""AT_FDCWD and RENAME_EXCHANGE of Linux' renameat2."""

_BETWEEN = ".between"

_DEEPEST = 64
"""Lists and objects inside each other in a JSON file; what this package writes needs less than ten."""


@contextmanager
def new_folder(target: str | Path) -> Iterator[Path]:
    """Give a hidden folder beside `target` to write into; rename it to `target` once the block has ended well.

    Whatever goes wrong inside the block, a kill included, `target` does not come into being. All in it gets the
    permissions that the process gives to new files, whatever the libraries that wrote them think of it.

    Raises
    ------
    DataError
        When `target` exists and is not an empty folder, cannot be made, or there is no room for it.
    """
    target = Path(target)
    refuse_existing(target)
    with ExitStack() as stack:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            staging = stack.enter_context(unfinished(target.parent, target.name, Path.mkdir))
        except OSError as error:
            raise StorageError(f"{target} cannot be made ({error}); choose a folder that can be written") from error
        with telling_full(target):
            yield staging.absolute()  # of whose name no library makes another one, as of `~`
            usual = stat.S_IMODE(staging.stat().st_mode) & 0o777
            for path in staging.rglob("*"):
                if path.is_dir() or path.stat().st_nlink == 1:  # what has a second name elsewhere stays as it is
                    path.chmod(usual if path.is_dir() else usual & 0o666)
                _flush(path)
            _flush(staging)
        try:
            staging.rename(target)
        except OSError as error:
            refuse_existing(target)
            raise DataError(f"{target} cannot be made ({error}); choose another folder") from error
        _flush(target.parent)


@contextmanager
def unfinished(folder: Path, name: str, make: Callable[[Path], None]) -> Iterator[Path]:
    """Give a hidden path for what shall be called `name`; what is still there when the block ends is removed.

    A process that is killed leaves it behind: whoever next wants a path for the same name in the same folder removes
    it. The process holds a lock on it, which ends with the process, so that nobody removes what is being written.

    Parameters
    ----------
    folder, name
        Where, and for what.
    make
        Makes the path: `Path.mkdir` or `Path.touch`.
    """
    _remove_left_behind(folder, name)
    path, lock = _made(folder, name, make)
    try:
        yield path
    finally:
        _remove(path)
        if lock is not None:
            os.close(lock)


def write_whole(path: Path, text: str) -> None:
    """Write a text file whole or not at all; a link, a pipe or a device is written where it leads."""
    if path.is_symlink() or (path.exists() and not path.is_file()):
        path.write_text(text)
        return
    with unfinished(path.parent, path.name, Path.touch) as file:
        file.write_text(text)
        file.replace(path)


@contextmanager
def telling_full(place: Path) -> Iterator[None]:
    """Turn what a library says when it finds no room to write into one clear line.

    Raises
    ------
    DataError
        Naming the place.
    """
    try:
        yield
    except (Exception, pl.exceptions.PanicException) as error:
        if isinstance(error, RecsysError) or not _is_full(error):
            raise
        raise StorageError(
            f"there is no room left to write {place} ({first_line(error)}); make room, or choose a folder elsewhere"
        ) from error


def _is_full(error: BaseException) -> bool:
    if isinstance(error, OSError) and error.errno in _FULL:
        return True
    return any(os.strerror(number) in str(error) for number in _FULL)  # libraries have error classes of their own


def _made(folder: Path, name: str, make: Callable[[Path], None]) -> tuple[Path, int | None]:
    while True:
        path = folder / f".{name}.{secrets.token_hex(4)}{_UNFINISHED}"
        make(path)
        try:
            lock = _hold(path)
        except OSError:  # a file system without locks; then nobody can tell, and removes nothing
            return path, None
        if lock is not None:
            return path, lock


def _hold(path: Path) -> int | None:
    """Lock a path for this process; None when another one has it, or has removed it meanwhile."""
    try:
        lock = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(lock), path.lstat()):
            return lock
    except (BlockingIOError, FileNotFoundError):
        pass
    except OSError:
        os.close(lock)
        raise
    os.close(lock)
    return None


def _remove_left_behind(folder: Path, name: str) -> None:
    for path in sorted(folder.iterdir()):
        if re.fullmatch(rf"\.{re.escape(name)}\.[0-9a-f]{{8}}{re.escape(_UNFINISHED)}", path.name):
            try:
                lock = _hold(path)
                if lock is not None:
                    logger.info("%s was left by a process that was stopped; it is removed", path)
                    _remove(path)
                    os.close(lock)
            except OSError as error:
                logger.warning("%s was left by another process and cannot be removed (%s)", path, error)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def refuse_existing(target: Path) -> None:
    """Refuse a target that holds anything, so that long work is not done in vain.

    Raises
    ------
    SettingsError
        When `target` has no name of its own, such as `.`, `..` or `/`, or one that is too long.
    DataError
        When it exists and is not an empty folder, is a link, or lies where nothing can be written.
    """
    if target.name in ("", ".."):
        raise SettingsError(f"{target} is no name of a new folder; name one, such as {target / 'new'}")
    if _is_link(target, "folder"):
        raise DataError(f"{target} is a link; name the folder itself")
    _refuse_unwritable(target, "folder", Path.mkdir)
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise DataError(f"{target} already exists and is not empty; choose another folder or remove it first")


def _is_link(path: Path, kind: str) -> bool:
    try:
        return path.is_symlink()
    except OSError as error:  # the first that is asked of a name, which may be too long
        raise SettingsError(f"{path} is no name of a new {kind} ({error.strerror}); name another one") from error


def refuse_unwritable(path: Path) -> None:
    """Refuse a file to write that cannot be written, so that long work is not done in vain.

    Raises
    ------
    SettingsError
        When its name is too long.
    DataError
        When it is a folder, or lies where nothing can be written.
    """
    if _is_link(path, "file") or (path.exists() and not (path.is_file() or path.is_dir())):
        return  # a link, a pipe or a device is written where it leads
    if path.is_dir():
        raise DataError(f"{path} cannot be written (it is a folder); choose another file")
    _refuse_unwritable(path, "file", Path.touch)


def _refuse_unwritable(target: Path, kind: str, make: Callable[[Path], None]) -> None:
    """Try whether something can be made where a target shall be: permissions alone do not tell."""
    nearest = next(parent for parent in target.absolute().parents if parent.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        raise StorageError(
            f"{target} cannot be made ({nearest} is not a folder that can be written); choose another {kind}"
        )
    try:
        with unfinished(nearest, target.name, make):
            pass
    except OSError as error:
        fault = SettingsError if error.errno == errno.ENAMETOOLONG else StorageError
        raise fault(f"{target} cannot be made in {nearest} ({error.strerror}); choose another {kind}") from error


def link_files(files: Iterable[Path], folder: Path) -> None:
    """Put files into a folder, which is made, by their names: as second names of the same bytes where that can be."""
    folder.mkdir(exist_ok=True)
    for file in files:
        try:
            os.link(file, folder / file.name)
        except OSError:  # a file system that has no second names
            shutil.copyfile(file, folder / file.name)


def exchange(one: Path, other: Path) -> None:
    """Let two folders change their names, in one step where the system can: nobody finds neither.

    Where it cannot, there is a moment in which `one` is not there.
    """
    system = ctypes.CDLL(None, use_errno=True)
    if hasattr(system, "renameat2") and not system.renameat2(_HERE, bytes(one), _HERE, bytes(other), _EXCHANGE):
        return
    between = one.with_name(f".{one.name}{_BETWEEN}")
    one.rename(between)
    other.rename(one)
    between.rename(other)


def put_back(folder: Path) -> None:
    """Give folders their names back that a kill left between two, see `exchange`."""
    for between in folder.glob(f".*{_BETWEEN}"):
        one = between.with_name(between.name.removeprefix(".").removesuffix(_BETWEEN))
        if not one.exists():
            between.rename(one)


def remove(path: Path) -> None:
    """Remove a file, or a folder: out of sight at once, so that none is ever there in part."""
    if not path.is_dir() or path.is_symlink():
        path.unlink()
        return
    if not path.name.startswith("."):
        hidden = path.with_name(f".{path.name}.gone")
        if hidden.exists():
            shutil.rmtree(hidden)
        path = path.rename(hidden)
    _remove(path)


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


def write_json(path: Path, content: object) -> None:
    """Write readable JSON, the same bytes for the same content."""
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
