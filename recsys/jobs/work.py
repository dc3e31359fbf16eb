"""Folders of long work: what an interrupted run leaves and its repetition finds."""

import fcntl
import hashlib
import json
import logging
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from recsys.errors import DataError, RecsysError
from recsys.files import read_json, refuse_existing, telling_full, write_whole

logger = logging.getLogger(__name__)


class Work(NamedTuple):
    """A kind of long work.

    Attributes
    ----------
    name
        What it is called; its folder ends on it.
    worth
        What lies in its folder, as a pattern, once anything is done that a repetition need not do again.
    """

    name: str
    worth: str


TRAINING, SCORING = Work("training", "*/lesson.json"), Work("scoring", "ranked/*.json")


@contextmanager
def work_folder(target: Path, facts: object, work: Work = TRAINING) -> Iterator[Path]:
    """Give the folder `<target>.<work>` beside a target, as the last run with the same facts left it.

    A run that was killed leaves there what it has done, and the same call made again finds it. What another run left
    is removed. When the block ends well only the logs of a training stay. When it ends with an error of this package
    before anything was done that is worth keeping, nothing does.

    Parameters
    ----------
    target
        What is being made.
    facts
        All that decides the outcome, as JSON can write it: settings, data, versions.
    work
        What is done.

    Raises
    ------
    DataError
        When another process is working in the folder, it holds files that are not of such work, or there is no room
        left.
    """
    folder = target.with_name(f"{target.name}.{work.name}")
    folder.mkdir(parents=True, exist_ok=True)
    mark = folder / "identity.txt"
    if not mark.is_file() and any(path.name != "lock" for path in folder.iterdir()):
        raise DataError(
            f"{folder} is where {work.name} keeps what it has done, but holds other files; move them or choose another "
            "folder"
        )
    with alone(folder, f"another process is at the {work.name} of {target}; wait for it or choose another folder"):
        identity = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
        if not (mark.is_file() and mark.read_text() == identity):
            _clear(folder)
            mark.write_text(identity)
        elif any(folder.glob("*/*")):
            logger.info("going on with the %s that was interrupted in %s", work.name, folder)
        with telling_full(folder):  # what is done stays for when there is room
            try:
                yield folder.absolute()  # Lightning would look for `~/model` elsewhere
            except RecsysError:
                if not any(folder.glob(work.worth)):
                    shutil.rmtree(folder)
                raise
        if work is TRAINING:
            _keep_logs(folder)
        else:
            shutil.rmtree(folder)


@contextmanager
def alone(folder: Path, taken: str) -> Iterator[None]:
    """Let no other process that asks for the same work in an existing folder while the block runs.

    The lock ends with the process, however it ends; its empty file `lock` stays.

    Raises
    ------
    DataError
        Saying `taken`, when another process has it.
    """
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise DataError(taken) from error
        yield


@contextmanager
def filled_again(folder: Path, facts: Mapping[str, object]) -> Iterator[None]:
    """Work in a folder that the same call, made again after a kill, goes on filling; nobody else does meanwhile.

    What was asked for stands in its `asked.json`. When the block ends with an error of this package before any folder
    in it is whole, nothing stays.

    Parameters
    ----------
    folder
        What is filled, by folders that each appear whole or not at all.
    facts
        All that decides the outcome, by name, as JSON can write it.

    Raises
    ------
    DataError
        When another process is at work in it, or it holds something else or what came of other facts, which are named.
    """
    mark = folder / "asked.json"
    if not mark.is_file() and not (folder.is_dir() and all(map(_of_nothing_yet, folder.iterdir()))):
        refuse_existing(folder)
        folder.mkdir(parents=True, exist_ok=True)
    with alone(folder, f"another process is at work in {folder}; wait for it or choose another folder"):
        now = json.loads(json.dumps(facts))
        was = read_json(mark, "choose another folder") if mark.is_file() else now
        others = [_other(name, was.get(name), now[name]) for name in now if was.get(name) != now[name]]
        if others:
            raise DataError(
                f"{folder} was begun with {', '.join(others)}; give the same again to go on, or choose another folder"
            )
        write_whole(mark, json.dumps(now, indent=2, ensure_ascii=False) + "\n")
        try:
            yield
        except RecsysError:
            if not any(folder.glob("*/*/manifest.json")):
                shutil.rmtree(folder)
            raise


def library_versions() -> dict[str, str]:
    """Name the libraries that decide what comes of long work."""
    return {name: version(name) for name in ("recsys", "torch", "transformers", "lightgbm", "polars", "numpy")}


def _of_nothing_yet(path: Path) -> bool:
    """Tell what a process leaves that is killed before it has said what it was asked for."""
    return path.name == "lock" or path.name.startswith(".asked.json.")


def _other(name: str, was: object, now: object) -> str:
    """Say what was asked for otherwise; tables and settings are too long to be told."""
    if isinstance(was, dict) or isinstance(now, dict):
        return f"other {name}" if was and now else f"{name} {'given' if was else 'left out'}"
    return f"{name} = {was}, not {now}"


def _clear(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != "lock":
            path.unlink()


def _keep_logs(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file() and path.name != "identity.txt" and not path.parent.name.startswith("log-"):
            path.unlink()
