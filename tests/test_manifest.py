import json

import pytest

from recsys.errors import ModelError
from recsys.manifest import _digest, read_manifest, write_json, write_manifest


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
