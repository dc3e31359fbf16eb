from pathlib import Path

import numpy as np
import pytest
import torch

from recsys.encoders.encoder import Encoder
from recsys.encoders.settings import TextSettings
from recsys.learning import memory as memory_module
from recsys.learning.memory import TextMemory
from recsys.vectors.coded_lists import CodedLists

TEXTS = ["sea boat", "code", "never shown", "sea boat", "goal ball team"]
LISTS = CodedLists(
    np.array([0, 3]), np.array([0, 1, -1], np.int32), np.array([[3, 4, -1]], np.int32), np.zeros((1, 3), np.float32)
)


def whole(encoder: Encoder, texts: list[str]) -> torch.Tensor:
    with torch.no_grad():
        return torch.from_numpy(encoder.embed(encoder.tokenize(texts, 12)))


@pytest.fixture
def encoder(tiny_settings: TextSettings) -> Encoder:
    return Encoder.load(tiny_settings.encoder)


@pytest.fixture
def memory(encoder: Encoder, tiny_settings: TextSettings, tmp_path: Path) -> TextMemory:
    return TextMemory(encoder, TEXTS, tiny_settings, tmp_path)


def change(encoder: Encoder, layers: int) -> None:
    with torch.no_grad():
        for parameter in encoder.top_layers(layers).parameters():
            parameter.mul_(1.5)


def encode(memory: TextMemory, rows: np.ndarray) -> torch.Tensor:
    found = torch.zeros(len(memory.tokens), memory.embeddings.shape[1])
    for batch, embeddings in memory.encode(rows):
        found = found.index_copy(0, torch.from_numpy(batch), embeddings)
    return found[torch.from_numpy(rows)]


def test_each_text_is_kept_once(memory: TextMemory, encoder: Encoder) -> None:
    assert len(memory.tokens) == 4
    assert memory.text_of[0] == memory.text_of[3]
    memory.refresh(np.arange(4))
    for item, text in enumerate(TEXTS):
        assert torch.allclose(memory.embeddings[memory.text_of[item]], whole(encoder, [text])[0], atol=1e-6)


def test_texts_of_lists_are_found_once(memory: TextMemory) -> None:
    assert memory.rows(LISTS).tolist() == sorted({*memory.text_of[[0, 1, 3, 4]].tolist()})


@pytest.mark.parametrize("largest", [2**34, 0])
def test_embeddings_follow_the_encoder_with_and_without_room_for_the_frozen_layers(
    encoder: Encoder, tiny_settings: TextSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, largest: int
) -> None:
    monkeypatch.setattr(memory_module, "_LARGEST", largest)
    memory = TextMemory(encoder, TEXTS, tiny_settings, tmp_path)
    assert bool(list(tmp_path.glob("frozen-*.npy"))) == bool(largest)
    memory.refresh(np.arange(4))
    before = memory.embeddings.clone()
    change(encoder, tiny_settings.trainable_layers)
    rows = memory.text_of[[4, 0]]
    expected = whole(encoder, [TEXTS[4], TEXTS[0]])
    assert torch.allclose(encode(memory, rows), expected, atol=1e-6)
    assert torch.equal(memory.embeddings, before)
    memory.refresh(rows)
    assert torch.equal(memory.embeddings, before)  # nobody has said that the encoder changed
    memory.outdate()
    memory.refresh(rows)
    assert torch.allclose(memory.embeddings[rows], expected, atol=1e-6)
    assert not torch.allclose(memory.embeddings[rows], before[rows], atol=1e-3)


@pytest.mark.parametrize("largest", [2**34, 0])
def test_gradients_reach_the_top_layers_alone(
    encoder: Encoder, tiny_settings: TextSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, largest: int
) -> None:
    monkeypatch.setattr(memory_module, "_LARGEST", largest)
    memory = TextMemory(encoder, TEXTS, tiny_settings, tmp_path)
    top = encoder.top_layers(2).requires_grad_(True)
    encode(memory, np.arange(3))[:, 0].sum().backward()
    assert all(parameter.grad is not None for parameter in top.parameters())
    assert encoder.network.encoder.layer[0].output.dense.weight.grad is None


def test_encoded_tokens_are_counted_without_padding(memory: TextMemory) -> None:
    memory.encoded_tokens = 0
    encode(memory, memory.text_of[[0, 1]])
    assert memory.encoded_tokens == 4 + 3


def test_only_what_is_out_of_date_is_encoded_again(memory: TextMemory) -> None:
    memory.refresh(np.arange(4))
    memory.encoded_tokens = 0
    memory.refresh(np.arange(4))
    assert memory.encoded_tokens == 0
    memory.outdate()
    memory.refresh(memory.text_of[[1]])
    assert memory.encoded_tokens == 3


def test_the_text_of_items_without_one_is_known(encoder: Encoder, tiny_settings: TextSettings, tmp_path: Path) -> None:
    assert TextMemory(encoder, ["sea", "", "code"], tiny_settings, tmp_path).empty == 1
    assert TextMemory(encoder, ["sea", "code"], tiny_settings, tmp_path).empty == -1


def test_frozen_layers_run_once_for_the_same_texts_and_layers(
    encoder: Encoder, tiny_settings: TextSettings, tmp_path: Path
) -> None:
    first = TextMemory(encoder, TEXTS, tiny_settings, tmp_path)
    assert first.encoded_tokens > 0
    change(encoder, tiny_settings.trainable_layers)  # the top does not matter
    assert TextMemory(encoder, TEXTS, tiny_settings, tmp_path).encoded_tokens == 0
    assert TextMemory(encoder, [*TEXTS, "new"], tiny_settings, tmp_path).encoded_tokens > 0
    change(encoder, 3)
    other = TextMemory(encoder, TEXTS, tiny_settings, tmp_path)
    assert other.encoded_tokens > 0
    other.refresh(np.arange(4))
    assert torch.allclose(other.embeddings[other.text_of[:1]], whole(encoder, TEXTS[:1]), atol=1e-6)


def halve(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2 :] = bytes(len(content) - len(content) // 2)
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [halve, cut, flip, lambda path: path.write_bytes(b"")])
def test_kept_output_that_was_damaged_is_made_again(
    encoder: Encoder, tiny_settings: TextSettings, tmp_path: Path, caplog: pytest.LogCaptureFixture, damage
) -> None:
    TextMemory(encoder, TEXTS, tiny_settings, tmp_path)
    (kept,) = tmp_path.glob("frozen-*.npy")
    whole_file = kept.read_bytes()
    damage(kept)
    again = TextMemory(encoder, TEXTS, tiny_settings, tmp_path)
    assert again.encoded_tokens > 0
    assert f"{kept} was changed after it was written; it is made again" in caplog.messages
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [whole_file]
    again.refresh(np.arange(4))
    assert torch.allclose(again.embeddings[again.text_of[:1]], whole(encoder, TEXTS[:1]), atol=1e-6)
