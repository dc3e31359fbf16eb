"""The encoder learns to make of texts what the teacher says, the more the more was seen of them."""

from pathlib import Path

import numpy as np
import pytest
import torch

from recsys.encoders.encoder import Encoder
from recsys.encoders.settings import TextSettings
from recsys.errors import ModelError
from recsys.learning.memory import TextMemory
from recsys.learning.parts import learn_from
from recsys.learning.pupil import TextPupil
from recsys.learning.rates import learning


@pytest.fixture
def reading(world, tiny_settings: TextSettings, tmp_path: Path) -> tuple[Encoder, TextMemory, TextSettings]:
    encoder = Encoder.load(tiny_settings.encoder).requires_grad_(False)
    encoder.top_layers(2).requires_grad_(True)
    memory = TextMemory(encoder, world.texts, tiny_settings, tmp_path)
    memory.refresh(np.arange(len(memory.tokens)))
    settings = tiny_settings.model_copy(update={"text_epochs": 15, "texts_per_step": 8, "learning_rate": 3e-3})
    return encoder, memory, settings


def taught_of(memory: TextMemory) -> torch.Tensor:
    """A teacher that draws half of the texts one way and half the other."""
    moves = torch.zeros_like(memory.embeddings)
    moves[::2, 0], moves[1::2, 0] = 0.5, -0.5
    return memory.embeddings + moves


def apart(memory: TextMemory, taught: torch.Tensor) -> torch.Tensor:
    memory.refresh(np.arange(len(memory.tokens)))
    return ((memory.embeddings - torch.nn.functional.normalize(taught, dim=1)) ** 2).sum(dim=1)


def test_texts_come_nearer_to_the_teacher_and_unseen_ones_are_not_taught(reading, tmp_path: Path) -> None:
    encoder, memory, settings = reading
    taught, seen = taught_of(memory), torch.full((len(memory.tokens),), 40.0)
    seen[0] = 0
    before = apart(memory, taught)
    learn_from(taught, seen, encoder, memory, [], settings, 0, tmp_path / "texts")
    after = apart(memory, taught)
    assert after[1:].mean() < before[1:].mean() / 2
    pupil = TextPupil(encoder, memory, taught, seen, [], settings)
    weighed = pupil.distance(np.array([0, 1]), memory.embeddings[:2])
    assert weighed[0] == 0
    assert weighed[1].item() == pytest.approx(after[1].item() * 40 / 60, rel=1e-5)


def test_a_leash_keeps_weights_near_the_published_ones(reading, tmp_path: Path) -> None:
    encoder, memory, settings = reading
    published = [each.detach().clone() for each in learning(encoder)]
    taught, seen = taught_of(memory), torch.full((len(memory.tokens),), 40.0)

    def wandered(leash: float) -> float:
        with torch.no_grad():
            for weight, before in zip(learning(encoder), published, strict=True):
                weight.copy_(before)
        memory.outdate()
        learn_from(
            taught, seen, encoder, memory, published, settings.model_copy(update={"leash": leash}), 0,
            tmp_path / f"leash-{leash}",
        )  # fmt: skip
        return sum(((new - old) ** 2).sum().item() for new, old in zip(learning(encoder), published, strict=True))

    assert wandered(10.0) < wandered(0.0) / 2


def test_a_loss_that_is_not_a_number_stops_with_advice(reading, tmp_path: Path) -> None:
    encoder, memory, settings = reading
    taught = torch.full_like(memory.embeddings, torch.nan)
    with pytest.raises(
        ModelError, match=r"the loss is nan while the encoder learns from the teacher, in pass 1; lower"
    ):
        learn_from(taught, torch.ones(len(memory.tokens)), encoder, memory, [], settings, 0, tmp_path / "texts")
