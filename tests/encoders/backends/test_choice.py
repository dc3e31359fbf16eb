"""What every backend keeps to."""

import shutil
import socket
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from recsys.encoders.backends.backend import Backend
from recsys.encoders.backends.choice import load_backend, make_backend
from recsys.encoders.encoder import Encoder
from recsys.encoders.settings import TextSettings
from recsys.errors import ModelError

TOLERANCE = {"torch": 1e-5, "bf16": 2e-2, "onnx": 0, "openvino": 0, "static": 0}
AGREEMENT = {"torch": 1 - 1e-6, "bf16": 0.999, "onnx": 0.99, "openvino": 0.999, "static": 0.9}
HOSTILE = [
    "",
    "🚢" * 300,
    "sea\x00boat\x1f\u200b\ufeff",
    "x" * 1_000_000,
    "fish " * 200_000,
    "\ud800",
    "海の船",
    "\n\t ",
]


def same(backend_name: str, one: np.ndarray, other: np.ndarray) -> bool:
    return bool(np.abs(one - other).max() <= TOLERANCE[backend_name])


@pytest.mark.slow
def test_embeddings_have_length_one_and_agree_with_the_encoder(
    each, backend: Backend, encoder: Encoder, texts: list[str]
) -> None:
    found = backend.embed(texts)
    assert found.shape == (len(texts), backend.dimension) == (60, 32)
    assert found.dtype == np.float32
    assert np.linalg.norm(found, axis=1) == pytest.approx(np.ones(60), abs=1e-2)
    exact = encoder.embed(encoder.tokenize(texts, 12))
    assert (found * exact).sum(axis=1).mean() >= AGREEMENT[each.settings.backend]


def test_order_is_that_of_the_texts(each, backend: Backend, texts: list[str]) -> None:
    order = np.random.default_rng(0).permutation(len(texts))
    shuffled = backend.embed([texts[place] for place in order])
    assert same(each.settings.backend, shuffled, backend.embed(texts)[order])


def test_an_embedding_does_not_depend_on_its_batch(each, backend: Backend, texts: list[str]) -> None:
    together = backend.embed([*texts, "salt " * 50])[: len(texts)]
    alone = np.concatenate([backend.embed([text]) for text in texts])
    assert same(each.settings.backend, alone, together)


def test_each_distinct_text_is_encoded_once(backend: Backend) -> None:
    found = backend.embed(["sea", "boat", "sea", "", "sea"])
    assert np.array_equal(found[0], found[2])
    assert np.array_equal(found[0], found[4])
    assert not np.array_equal(found[0], found[1])
    seen: list[str] = []
    spied = replace(backend, tokenize=lambda given: seen.extend(given) or backend.tokenize(given))
    assert np.array_equal(spied.embed(["sea", "boat", "sea", "", "sea"]), found)
    assert seen == ["sea", "boat", ""]


def test_no_texts_give_no_embeddings(backend: Backend) -> None:
    assert backend.embed([]).shape == (0, 32)


@pytest.mark.slow
def test_hostile_texts_have_finite_embeddings(backend: Backend) -> None:
    found = backend.embed(HOSTILE)
    assert np.isfinite(found).all()
    assert np.linalg.norm(found, axis=1) == pytest.approx(np.ones(len(HOSTILE)), abs=1e-2)


def test_what_is_saved_embeds_as_what_was_made_without_a_network(
    each, texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    reader, _ = each.model._make(())
    assert np.array_equal(load_backend(each.folder, each.settings).embed(texts), reader.backend.embed(texts))


@pytest.mark.parametrize("name", ["onnx", "openvino", "static"])
def test_the_same_weights_give_the_same_bytes(saved, encoder: Encoder, texts: list[str], name: str) -> None:
    made = saved(name)
    _, files = make_backend(encoder, made.settings, texts)
    assert len(files) == (2 if name == "openvino" else 1)
    for file, content in files.items():
        assert (made.folder / file).read_bytes() == content
        assert str(Path.cwd()).encode() not in content


@pytest.mark.parametrize("name", ["onnx", "openvino", "static"])
def test_missing_and_damaged_files_are_refused(saved, tmp_path: Path, name: str) -> None:
    made = saved(name)
    for path in sorted((made.folder / name).iterdir()):
        copy = tmp_path / path.name
        shutil.copytree(made.folder, copy)
        damaged = copy / name / path.name
        damaged.write_bytes(damaged.read_bytes()[:100])
        with pytest.raises(ModelError, match=rf"{name} is damaged \(.*copy the model folder again"):
            load_backend(copy, made.settings)
        damaged.unlink()
        with pytest.raises(ModelError, match=rf"{path.name} is missing, which backend = '{name}' needs"):
            load_backend(copy, made.settings)


@pytest.mark.parametrize(("name", "module"), [("onnx", "onnxruntime"), ("openvino", "openvino")])
def test_a_missing_extra_says_what_to_install(saved, name: str, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = saved(name)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(
        ModelError, match=rf"backend = '{name}' needs {module} \(.*pip install .*--editable '\.\[{name}\]'"
    ):
        load_backend(made.folder, made.settings)


@pytest.mark.parametrize("name", ["torch", "bf16"])
def test_missing_torch_says_what_to_do(saved, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = saved("torch")
    monkeypatch.setitem(sys.modules, "recsys.encoders.encoder", None)  # as an import that torch is missing for
    with pytest.raises(
        ModelError, match=rf"backend = '{name}' needs torch \(.*or train with \[text\] backend = 'onnx'"
    ):
        load_backend(made.folder, made.settings.model_copy(update={"backend": name}))


def test_exporting_without_the_extra_says_what_to_install(encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ModelError, match=r"needs onnx \(.*pip install .*--editable '\.\[onnx\]'"):
        make_backend(encoder, TextSettings(backend="onnx"), ["sea"])


def test_half_precision_leaves_the_encoder_as_it_is(encoder: Encoder, texts: list[str]) -> None:
    whole = make_backend(encoder, TextSettings(max_tokens=12), [])[0].embed(texts)
    half = make_backend(encoder, TextSettings(max_tokens=12, backend="bf16"), [])[0].embed(texts)
    assert {each.dtype for each in encoder.state_dict().values() if each.is_floating_point()} == {torch.float32}
    assert not np.array_equal(whole, half)
    assert np.array_equal(whole, make_backend(encoder, TextSettings(max_tokens=12), [])[0].embed(texts))


def test_longer_texts_are_cut(encoder: Encoder) -> None:
    backend = make_backend(encoder, TextSettings(max_tokens=4), [])[0]
    short, long, other = backend.embed(["sea boat", "sea boat fish", "sea fish boat"])
    assert np.allclose(short, long, atol=1e-6)
    assert not np.allclose(short, other, atol=1e-3)
