import json
import os
import stat

import pytest

from recsys.errors import ModelError
from recsys.files import read_json
from recsys.manifest import _digest, file_hash, read_manifest, write_json, write_manifest
from tests.fixtures.bombs import one_long_text


def test_write_manifest_lists_every_file(tmp_path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/a.txt").write_text("a")
    write_manifest(tmp_path, {})
    assert list(read_manifest(tmp_path, "")["files"]) == ["deep/a.txt"]


def test_a_path_out_of_the_folder_in_a_manifest_is_refused(tmp_path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.txt").write_text("a")
    write_manifest(folder, {})
    manifest = json.loads((folder / "manifest.json").read_text())
    (tmp_path / "outside.txt").write_text("secret")
    manifest["files"]["../outside.txt"] = "0" * 64
    del manifest["sha256"]
    write_json(folder / "manifest.json", {**manifest, "sha256": _digest(manifest)})
    with pytest.raises(ModelError, match=r"\.\./outside.txt is missing from"):
        read_manifest(folder, "")


KINDS = {
    "link": (lambda path: path.symlink_to("/etc/hostname"), "is a link, where a plain file belongs; copy the whole"),
    "link to a folder": (lambda path: path.symlink_to("/etc"), "is a link, where a plain file belongs"),
    "named pipe": (os.mkfifo, "is a named pipe, where a plain file belongs; copy the whole folder again"),
    "socket": (lambda path: os.mknod(path, stat.S_IFSOCK | 0o600), "is a socket, where a plain file belongs"),
    "folder": (lambda path: path.mkdir(), "is missing from"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["a.txt", "deep/a.txt"])
def test_only_plain_files_are_read(tmp_path, name, kind) -> None:
    make, words = KINDS[kind]
    (tmp_path / "deep").mkdir()
    (tmp_path / name).write_text("a")
    write_manifest(tmp_path, {})
    (tmp_path / name).unlink()
    make(tmp_path / name)
    with pytest.raises(ModelError, match=f"{name} {words}"):
        read_manifest(tmp_path, "")


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.mkdir(), lambda path: path.symlink_to("/dev/zero")])
def test_nothing_in_the_place_of_a_manifest_or_of_json_is_waited_for(tmp_path, make) -> None:
    make(tmp_path / "manifest.json")
    with pytest.raises(ModelError, match=r"manifest\.json (is a|cannot be read \()"):
        read_manifest(tmp_path, "")
    with pytest.raises(ModelError, match=r"manifest\.json cannot be read \((it is no plain file|Is a directory)\); do"):
        read_json(tmp_path / "manifest.json", "do something")


def test_a_file_that_is_missing_has_no_hash(tmp_path) -> None:
    with pytest.raises(ModelError, match=r"a\.txt cannot be read \(No such file or directory\); copy the whole folder"):
        file_hash(tmp_path / "a.txt")


def test_a_table_that_would_fill_the_memory_is_refused_though_its_hash_is_right(tmp_path) -> None:
    (tmp_path / "state").mkdir()
    for name in ("items", "state/item_vectors", "state/users"):
        one_long_text(tmp_path / f"{name}.parquet")
        write_manifest(tmp_path, {})
        with pytest.raises(ModelError, match=rf"{name}\.parquet has .* and would take 3 GB of memory or more"):
            read_manifest(tmp_path, "")
        (tmp_path / f"{name}.parquet").unlink()
        (tmp_path / "manifest.json").unlink()
