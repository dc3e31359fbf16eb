"""Folders that hold every file against its hash: `manifest.json`, written last and read first."""

import hashlib
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

from recsys.errors import ModelError

FORMAT = 2
"""Number of the layout of such folders; a folder of another number is refused."""

_LIBRARIES = ("recsys", "torch", "transformers", "pytorch-lightning", "lightgbm", "polars", "numpy")


def write_manifest(folder: Path, facts: dict[str, Any]) -> None:
    """Write `manifest.json`: format, library versions, `facts`, and size and sha256 of every other file.

    Nothing in it depends on the wall clock.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    manifest = {
        "format": FORMAT,
        "versions": {library: version(library) for library in _LIBRARIES},
        **facts,
        "files": {path.relative_to(folder).as_posix(): file_hash(path) for path in files},
    }
    write_json(folder / "manifest.json", {**manifest, "sha256": _digest(manifest)})


def read_manifest(folder: Path, origin: str) -> dict[str, Any]:
    """Read `manifest.json` and hold every file against its hash.

    Raises
    ------
    ModelError
        When the folder has no manifest of this format, or files are missing, extra or changed.
    """
    path = folder / "manifest.json"
    if not path.is_file():
        raise ModelError(f"{folder} holds no manifest.json; give a folder {origin}")
    try:
        manifest = json.loads(path.read_text())
        expected, number, digest = dict(manifest["files"]), manifest["format"], manifest.pop("sha256", None)
    except (ValueError, KeyError, TypeError, RecursionError, OSError) as error:
        raise ModelError(f"{path} is damaged ({type(error).__name__}); give a folder {origin}") from error
    if number != FORMAT:
        raise ModelError(f"{folder} has format {number}, this version reads {FORMAT}; train again with this version")
    if digest != _digest(manifest):
        raise ModelError(f"{path} was changed after it was written (its sha256 differs); copy the whole folder again")
    present = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()} - {"manifest.json"}
    for name in sorted(present ^ set(expected)):
        fault = "is missing from" if name in expected else "does not belong to"
        raise ModelError(f"{name} {fault} {folder}; copy the whole folder again")
    for name, digest in expected.items():
        if file_hash(folder / name) != digest:
            raise ModelError(f"{folder / name} was changed after it was written (its sha256 differs); copy it again")
    return dict(manifest)


def file_hash(path: Path) -> str:
    """Give the sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_json(path: Path, content: object) -> None:
    """Write readable JSON, the same bytes for the same content."""
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def _digest(manifest: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
