import numpy as np
import pytest
import torch

from recsys.text import memory as memory_module
from recsys.text.encoder import Encoder
from recsys.text.lists import Lists
from recsys.text.memory import TextMemory
from recsys.text.settings import TextSettings

TEXTS = ["sea boat", "code", "never shown", "sea boat", "goal ball team"]
LISTS = Lists(
    np.array([0, 3]), np.array([0, 1, -1], np.int32), np.array([[3, 4, -1]], np.int32), np.zeros((1, 3), np.float32)
)


def whole(encoder: Encoder, texts: list[str]) -> torch.Tensor:
    with torch.no_grad():
        return torch.from_numpy(encoder.embed(encoder.tokenize(texts, 12)))


@pytest.fixture
def encoder(tiny_settings: TextSettings) -> Encoder:
    return Encoder.load(tiny_settings.encoder)


def test_texts_that_occur_are_kept_once(encoder: Encoder, tiny_settings: TextSettings) -> None:
    memory = TextMemory(encoder, TEXTS, LISTS, tiny_settings)
    assert memory.text_of[2] == -1
    assert memory.text_of[0] == memory.text_of[3]
    assert len(memory.tokens) == 3
    for item in (0, 1, 4):
        row = memory.embeddings[memory.text_of[item]]
        assert torch.allclose(row, whole(encoder, [TEXTS[item]])[0], atol=1e-6)


@pytest.mark.parametrize("largest", [2**31, 0])
def test_embeddings_follow_the_encoder_with_and_without_room_for_the_frozen_layers(
    encoder: Encoder, tiny_settings: TextSettings, monkeypatch: pytest.MonkeyPatch, largest: int
) -> None:
    monkeypatch.setattr(memory_module, "_LARGEST", largest)
    memory = TextMemory(encoder, TEXTS, LISTS, tiny_settings)
    before = memory.embeddings.clone()
    with torch.no_grad():
        for parameter in encoder.top_layers(tiny_settings.trainable_layers).parameters():
            parameter.mul_(1.5)
    rows = memory.text_of[[4, 0]]
    expected = whole(encoder, [TEXTS[4], TEXTS[0]])
    assert torch.allclose(memory.encode(rows), expected, atol=1e-6)
    assert torch.equal(memory.embeddings, before)
    memory.refresh()
    assert torch.allclose(memory.embeddings[rows], expected, atol=1e-6)
    assert not torch.allclose(memory.embeddings[rows], before[rows], atol=1e-3)


@pytest.mark.parametrize("largest", [2**31, 0])
def test_gradients_reach_the_top_layers_alone(
    encoder: Encoder, tiny_settings: TextSettings, monkeypatch: pytest.MonkeyPatch, largest: int
) -> None:
    monkeypatch.setattr(memory_module, "_LARGEST", largest)
    memory = TextMemory(encoder, TEXTS, LISTS, tiny_settings)
    top = encoder.top_layers(2).requires_grad_(True)
    memory.encode(np.arange(3))[:, 0].sum().backward()
    assert all(parameter.grad is not None for parameter in top.parameters())
    assert encoder.network.encoder.layer[0].output.dense.weight.grad is None


def test_encoded_tokens_are_counted(encoder: Encoder, tiny_settings: TextSettings) -> None:
    memory = TextMemory(encoder, TEXTS, LISTS, tiny_settings)
    assert memory.encoded_tokens == 0
    memory.encode(memory.text_of[[0, 1]])
    assert memory.encoded_tokens == 4 + 3


def test_newer_embeddings_are_remembered_without_their_gradient(encoder: Encoder, tiny_settings: TextSettings) -> None:
    memory = TextMemory(encoder, TEXTS, LISTS, tiny_settings)
    newer = torch.ones(1, encoder.dimension, requires_grad=True)
    memory.remember(np.array([1]), newer * 2)
    assert memory.embeddings[1].tolist() == [2] * encoder.dimension
    assert not memory.embeddings.requires_grad
