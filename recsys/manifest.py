"""Folders that hold every file against its hash: `manifest.json`, written last and read first."""

import hashlib
import json
import stat
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from recsys.errors import DataError, ModelError
from recsys.files import open_plain, read_json, write_json
from recsys.reading import refuse_large_parquet

FORMAT = 7
"""Number of the layout of such folders; a folder of another number is refused."""

IN_BLOCKS = ".numbers"
"""What files end on of which each block is held against a hash of its own, when it is read."""

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
        "files": {path.relative_to(folder).as_posix(): _held(path) for path in files},
    }
    write_json(folder / "manifest.json", {**manifest, "sha256": _digest(manifest)})


def read_manifest(folder: Path, origin: str) -> dict[str, Any]:
    """Read `manifest.json` and hold every file against its hash.

    Raises
    ------
    ModelError
        When the folder has no manifest of this format, files are missing, extra or changed, or something in it is
        neither a folder nor a plain file.
    """
    path = folder / "manifest.json"
    if not path.exists():
        raise ModelError(f"{folder} holds no manifest.json; give a folder {origin}")
    _plain_files(folder)
    manifest = read_json(path, f"give a folder {origin}")
    try:
        expected, number, digest = {**manifest["files"]}, manifest["format"], manifest.pop("sha256", None)
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path} is damaged ({type(error).__name__}); give a folder {origin}") from error
    if number != FORMAT:
        raise ModelError(f"{folder} has format {number}, this version reads {FORMAT}; train again with this version")
    if digest != _digest(manifest):
        raise ModelError(f"{path} was changed after it was written (its sha256 differs); copy the whole folder again")
    check_files(folder, expected)
    return dict(manifest)


def check_files(folder: Path, expected: Mapping[str, str], part: str = "") -> None:
    """Hold the files of a folder against their hashes.

    Parameters
    ----------
    folder
        Where they lie.
    expected
        sha256 of each file but the manifest, by its path in the folder.
    part
        What the paths begin with that are looked at; all when left out.

    Raises
    ------
    ModelError
        When a file is missing, extra or changed, is no plain file, or would take too much memory as a table.
    """
    hashes = {name: digest for name, digest in expected.items() if name.startswith(part)}
    present = {name for name in _plain_files(folder) - {"manifest.json"} if name.startswith(part)}
    for name in sorted(present ^ set(hashes)):
        fault = "is missing from" if name in hashes else "does not belong to"
        raise ModelError(f"{name} {fault} {folder}; copy the whole folder again")
    for name, digest in hashes.items():
        if _held(folder / name) != digest:
            raise ModelError(f"{folder / name} was changed after it was written (its sha256 differs); copy it again")
        if name.endswith(".parquet"):
            try:
                refuse_large_parquet(folder / name, [folder / name], "copy the whole folder again")
            except DataError as error:
                raise ModelError(str(error)) from error


def _held(path: Path) -> str:
    """Give what a file is held against: its sha256, or its size where the hash of each of its blocks lies beside it."""
    return f"{path.stat().st_size} bytes" if path.suffix == IN_BLOCKS else file_hash(path)


def file_hash(path: Path) -> str:
    """Give the sha256 of a file.

    Raises
    ------
    ModelError
        When it is missing, cannot be read or is no plain file.
    """
    try:
        with open_plain(path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}); copy the whole folder again") from error


def _plain_files(folder: Path) -> set[str]:
    """Name the files of a folder; nothing else may be in it, for a link leads out of it and a named pipe never ends."""
    found = set()
    for path in folder.rglob("*"):
        mode = path.lstat().st_mode
        if stat.S_ISREG(mode):
            found.add(path.relative_to(folder).as_posix())
        elif not stat.S_ISDIR(mode):
            raise ModelError(f"{path} is {_called(mode)}, where a plain file belongs; copy the whole folder again")
    return found


def _called(mode: int) -> str:
    names = {stat.S_IFLNK: "a link", stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket"}
    return names.get(stat.S_IFMT(mode), "a device")


def _digest(manifest: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
