"""The working folder of a training: what an interrupted run leaves and its repetition finds."""

import fcntl
import hashlib
import json
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recsys.errors import DataError, RecsysError
from recsys.files import telling_full

logger = logging.getLogger(__name__)


@contextmanager
def work_folder(target: Path, facts: object) -> Iterator[Path]:
    """Give the folder `<target>.training` beside a target, as the last run with the same facts left it.

    A run that was killed leaves its checkpoints there, and the same call made again finds them. What another run left
    is removed. When the block ends well only the logs of the training stay. When it ends with an error of this package
    before anything was learnt, nothing does.

    Parameters
    ----------
    target
        What is being made.
    facts
        All that decides the outcome, as JSON can write it: settings, data, versions.

    Raises
    ------
    DataError
        When another process is working in the folder, it holds files that are not of a training, or there is no room
        left.
    """
    folder = target.with_name(f"{target.name}.training")
    folder.mkdir(parents=True, exist_ok=True)
    mark = folder / "identity.txt"
    if not mark.is_file() and any(path.name != "lock" for path in folder.iterdir()):
        raise DataError(
            f"{folder} is where training keeps its checkpoints, but holds other files; move them or choose another "
            "folder"
        )
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise DataError(f"another process is training {target}; wait for it or choose another folder") from error
        identity = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
        if not (mark.is_file() and mark.read_text() == identity):
            _clear(folder)
            mark.write_text(identity)
        elif any(folder.glob("*/*")):
            logger.info("going on with the training that was interrupted in %s", folder)
        with telling_full(folder):  # the checkpoints stay for when there is room
            try:
                yield folder.absolute()  # Lightning would look for `~/model` elsewhere
            except RecsysError:
                if not any(folder.glob("*/lesson.json")):
                    shutil.rmtree(folder)
                raise
        _keep_logs(folder)


def _clear(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != "lock":
            path.unlink()


def _keep_logs(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_file() and path.name != "identity.txt":
            path.unlink()
    for path in folder.glob("*/*"):
        if path.is_file():
            path.unlink()
