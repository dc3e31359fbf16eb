"""The folder of a nightly job: its work, its models, published lists, and the pointer to those that are live."""

import fcntl
import json
import os
import socket
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from recsys.errors import DataError, ModelError
from recsys.files import put_back, read_json, remove, write_whole
from recsys.manifest import read_manifest

_MEND = "take it from a copy, or remove the file: the model counts as one that was never trained here"

_WITHDRAWN = "withdrawn.json"

LIVE = "live"
"""The pointer: a link to the folder of lists that readers take; resolve it once, then read."""


@dataclass(frozen=True)
class Published:
    """Lists that were published.

    Attributes
    ----------
    name
        Of their folder.
    at
        The moment that they were made for, UTC.
    model
        Name of the model that ranked them.
    after
        Name of the lists that were live before; None for the first ones.
    """

    name: str
    at: datetime
    model: str
    after: str | None


@dataclass(frozen=True)
class Home:
    """The folder of a nightly job.

    Attributes
    ----------
    folder
        Holds `work`, `models`, `lists`, `log`, the pointer `live` and `lock`.
    """

    folder: Path

    @property
    def work(self) -> Path:
        """What steps have done."""
        return self.folder / "work"

    @property
    def models(self) -> Path:
        """Models, and beside each a file that tells how it came to be."""
        return self.folder / "models"

    @property
    def lists(self) -> Path:
        """Published lists."""
        return self.folder / "lists"

    @property
    def record(self) -> Path:
        """Who was forgotten, see `recsys.jobs.nightly.forgotten`."""
        return self.folder / "forgotten.json"

    def left_behind(self) -> list[Path]:
        """Name what killed runs left hidden among models and lists; whoever holds the lock may remove it."""
        return [path for folder in (self.models, self.lists) for path in folder.glob(".*")]

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Let no other process work here while the block runs; the lock ends with the process, however it ends.

        Raises
        ------
        DataError
            When another process has it; says which.
        """
        for folder in (self.work, self.models, self.lists, self.folder / "log"):
            folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                lock.seek(0)
                holder = lock.read().strip() or "another process"
                raise DataError(f"{self.folder} is worked on by {holder}; wait for it, or stop it") from error
            lock.truncate(0)
            lock.write(f"process {os.getpid()} of {socket.gethostname()}, since {datetime.now(UTC):%F %T} UTC\n")
            lock.flush()
            try:
                for folder in (self.models, self.lists):
                    put_back(folder)
                yield
            finally:
                lock.truncate(0)

    @property
    def live(self) -> Published | None:
        """The lists that readers take; None where nothing was published yet.

        Raises
        ------
        DataError
            When the pointer leads to lists that are not there.
        """
        pointer = self.folder / LIVE
        if not pointer.is_symlink():
            return None
        name = Path(os.readlink(pointer)).name
        if not (self.lists / name).is_dir():
            others = ", ".join(each.name for each in self.published()) or "none"
            raise DataError(
                f"{pointer} leads to {self.lists / name}, which is not there; point it to other lists with `recsys "
                f"rollback --to NAME`; there are: {others}"
            )
        return self.read(name)

    def published(self) -> list[Published]:
        """Give all lists that were published, by their moment."""
        names = sorted(path.name for path in self.lists.iterdir()) if self.lists.is_dir() else []
        found = [self.read(name) for name in names if not name.startswith(".")]
        return sorted(found, key=lambda each: (each.at, each.name))

    def read(self, name: str) -> Published:
        """Say what published lists are.

        Raises
        ------
        ModelError
            When the folder holds none.
        """
        path = self.lists / name / "manifest.json"
        written = read_json(path, "publish again")
        try:
            night = written["night"]
            return Published(name, datetime.fromisoformat(night["at"]), night["model"], night["after"])
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(f"{path} does not read as published lists ({error!r}); remove its folder") from error

    def point(self, name: str) -> None:
        """Let readers take these lists from now on, in one step."""
        link = self.folder / f".{LIVE}.unfinished"
        link.unlink(missing_ok=True)
        link.symlink_to(Path(self.lists.name) / name)
        link.replace(self.folder / LIVE)

    def withdrawn(self) -> list[str]:
        """Name the lists that were rolled back from, which the same night made again does not publish."""
        path = self.folder / _WITHDRAWN
        return [str(name) for name in read_json(path, "remove it")] if path.is_file() else []

    def withdraw(self, names: Collection[str]) -> None:
        """Write down which lists were rolled back from."""
        write_whole(self.folder / _WITHDRAWN, json.dumps(sorted(names)) + "\n")

    def verify(self, name: str) -> None:
        """Hold all files of published lists against their hashes.

        Raises
        ------
        ModelError
            When one is missing, extra or was changed.
        """
        read_manifest(self.lists / name, "published by `recsys nightly`")

    def facts(self, model: str) -> dict[str, Any]:
        """Read how a model came to be; nothing where nobody wrote it down.

        Raises
        ------
        ModelError
            When what was written is damaged.
        """
        path = self.models / f"{model}.json"
        if not path.is_file():
            return {}
        told = read_json(path, _MEND)
        try:
            datetime.fromisoformat(told["at"])
            return {"parent": None, **told}
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(f"{path} does not say how a model came to be ({error!r}); {_MEND}") from error

    def tell(self, model: str, facts: dict[str, Any]) -> None:
        """Write how a model came to be."""
        write_whole(self.models / f"{model}.json", json.dumps(facts, indent=2, ensure_ascii=False) + "\n")

    def trained(self) -> list[str]:
        """Name the models that are there, by when their training began; first those of which nobody wrote it down."""
        names = [path.name for path in self.models.iterdir() if (path / "manifest.json").is_file()]
        return sorted((name for name in names if not name.startswith(".")), key=self._begun)

    def _begun(self, model: str) -> str:
        return str(self.facts(model).get("at", ""))

    def clear(self, used: Collection[str], made: str, nights: int, models: int) -> None:
        """Remove what no later night needs.

        Parameters
        ----------
        used
            Names in `work` that stay.
        made
            Name of lists that were just made, and stay.
        nights, models
            How many published lists and trained models stay, the last ones; what is live stays in any case.
        """
        live, published = self.live, self.published()
        kept = [each for each in published if each in published[-nights:] or each == live or each.name == made]
        needed = {each.model for each in kept} | {*self.trained()[-models:]}
        stays = {
            self.work: {*used},
            self.models: needed | {f"{name}.json" for name in needed},
            self.lists: {each.name for each in kept},
        }
        for folder, names in stays.items():
            for path in folder.iterdir():
                if path.name not in names:
                    remove(path)
        (self.folder / f".{LIVE}.unfinished").unlink(missing_ok=True)
