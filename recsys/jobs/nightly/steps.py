"""Steps that are done once: each output is named by a fingerprint of all that decides it."""

import hashlib
import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from recsys.files import new_folder, read_json, write_json, write_whole
from recsys.jobs.work import library_versions
from recsys.manifest import FORMAT

logger = logging.getLogger(__name__)

_LAST = "last.json"


class UndoneError(Exception):
    """Ends a plan: what follows depends on a step that is not done."""


@dataclass
class Steps:
    """The steps of one night.

    Attributes
    ----------
    work
        Where they lie.
    record
        A file to which a line of JSON is added for each step.
    planning
        Whether nothing is done, and said what would be.
    used
        Names of what this night made or found in `work`.
    lines
        What a plan says, a line each.
    """

    work: Path
    record: Path
    planning: bool = False
    used: set[str] = field(default_factory=set)
    lines: list[str] = field(default_factory=list)
    _inputs: dict[str, Any] = field(default_factory=dict)

    def folder(self, name: str, inputs: Mapping[str, object]) -> Path:
        """Return where the output of a step lies, there or not."""
        return self.work / f"{name}-{print_of({'step': name, **inputs})}"

    def do(
        self, name: str, inputs: Mapping[str, object], make: Callable[[Path], object], target: Path | None = None
    ) -> Path:
        """Do a step unless it is done.

        Parameters
        ----------
        name
            What people call it.
        inputs
            All that decides the output, by name, as JSON can write it.
        make
            Writes the output to the path it is given, whole or not at all.
        target
            Where the output lies, if not in `work`.

        Returns
        -------
        The path of the output.
        """
        path = self.folder(name, inputs) if target is None else target
        self._inputs[name] = {key: print_of(value) for key, value in inputs.items()}
        if target is None:
            self.used.add(path.name)
        if path.exists():
            self.lines.append(f"{name}: done")
            self.tell(name, "found")
            return path
        if self.planning:
            self.lines.append(f"{name}: would run, for {self._why(name)}")
            raise UndoneError
        logger.info("%s", name)
        begun = time.monotonic()
        self.tell(name, "begun")
        make(path)
        self.tell(name, "done", seconds=round(time.monotonic() - begun, 3))
        return path

    def decide(self, name: str, inputs: Mapping[str, object], decide: Callable[[], Mapping[str, object]]) -> Any:
        """Do a step whose output is a decision, and return it."""

        def make(path: Path) -> None:
            found = decide()
            with new_folder(path) as staging:
                write_json(staging / "decision.json", found)

        return read_json(self.do(name, inputs, make) / "decision.json", "remove its folder")

    def tell(self, step: str, event: str, **more: object) -> None:
        """Add a line to the record."""
        if self.planning:
            return
        line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "step": step, "event": event, **more}
        with self.record.open("a") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")

    def close(self) -> None:
        """Remember what decided the steps of this night, so that the next plan says what is another now."""
        write_whole(self.work / _LAST, json.dumps(self._inputs, indent=2, sort_keys=True) + "\n")
        self.used.add(_LAST)

    def _why(self, name: str) -> str:
        path = self.work / _LAST
        before = read_json(path, "remove it").get(name) if path.is_file() else None
        if before is None:
            return "it was never done"
        now = self._inputs[name]
        others = [key for key in now if now[key] != before.get(key)]
        return f"{' and '.join(others)} changed" if others else "its output is gone"


def print_of(content: object) -> str:
    """Tell what decides something from all else: 16 hexadecimal digits.

    Libraries and the layout of folders are part of it, for other ones may give other outputs.
    """
    told = json.dumps([FORMAT, library_versions(), content], sort_keys=True, default=str)
    return hashlib.sha256(told.encode()).hexdigest()[:16]
