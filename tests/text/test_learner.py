import copy

import numpy as np
import polars as pl
import pytest
import torch

from recsys.errors import ModelError
from recsys.text.blocks import Blocks, Step
from recsys.text.encoder import Encoder
from recsys.text.heads import InterestHead, ItemHeads
from recsys.text.learner import TextLearner
from recsys.text.memory import TextMemory
from recsys.text.model import TextModel
from recsys.text.settings import TextSettings
from recsys.text.signals import text_signals


@pytest.fixture
def learner(world, tiny_settings: TextSettings) -> TextLearner:
    encoder = Encoder.load(tiny_settings.encoder)
    encoder.top_layers(tiny_settings.trainable_layers).requires_grad_(True)
    heads = ItemHeads(encoder.dimension, torch.Generator().manual_seed(0))
    memory = TextMemory(encoder, world.texts, world.lists, tiny_settings)
    return TextLearner(encoder, heads, InterestHead(encoder.dimension), memory, tiny_settings, 0)


def first_step(world) -> Step:
    return Blocks(world.lists, world.labels, 0, 20, 20)[0]


def test_scores_in_training_are_those_of_serving(learner: TextLearner, world) -> None:
    torch.nn.init.normal_(learner.heads.appeal_out.weight, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        scores, present = learner.score(first_step(world), np.empty(0, np.int64))
    model = TextModel(learner.encoder, learner.heads, learner.interest.tower(), learner.settings)
    vectors = model.encode_items(pl.DataFrame({"item_id": np.arange(len(world.texts))}), world.texts)
    served = text_signals(world.lists.block(0, 20), vectors, model.tower).text_score
    assert scores[present].numpy() == pytest.approx(served, abs=0.02)  # vectors are rounded for serving


def test_live_texts_give_the_same_scores_and_a_gradient(learner: TextLearner, world) -> None:
    step = first_step(world)
    remembered, _ = learner.score(step, np.empty(0, np.int64))
    live = np.unique(learner.memory.text_of[step.items.numpy()])[:5]
    fresh, _ = learner.score(step, live)
    assert torch.allclose(fresh, remembered, atol=1e-4)
    fresh.square().sum().backward()
    assert learner.encoder.top_layers(1)[0].output.dense.weight.grad.abs().sum() > 0


def test_freshly_encoded_texts_are_remembered(learner: TextLearner, world) -> None:
    step = first_step(world)
    live = np.unique(learner.memory.text_of[step.items.numpy()])[:5]
    learner.memory.embeddings[:] = 0
    learner.score(step, live)
    assert np.flatnonzero(learner.memory.embeddings.any(dim=1)).tolist() == live.tolist()


def test_each_step_encodes_at_most_as_many_texts_as_set(learner: TextLearner, world) -> None:
    learner.settings = learner.settings.model_copy(update={"head_epochs": 0})
    drawn = learner._draw(first_step(world))
    assert len(drawn) == learner.settings.texts_per_step
    assert len(np.unique(drawn)) == len(drawn)


def test_head_passes_encode_nothing(learner: TextLearner, world) -> None:
    assert len(learner._draw(first_step(world))) == 0


def test_a_loss_that_is_not_a_number_stops_with_advice(learner: TextLearner, world) -> None:
    learner.memory.embeddings[:] = torch.nan
    with pytest.raises(ModelError, match=r"the loss is nan in step 7 of epoch 0; lower \[text\] learning_rate"):
        learner.training_step(first_step(world), 7)


def test_unknown_items_change_nothing_for_the_others(learner: TextLearner, world) -> None:
    step = first_step(world)
    scores, _ = learner.score(step, np.empty(0, np.int64))
    blanked = copy.deepcopy(step._asdict())
    blanked["items"][:, 2] = -1
    fewer, present = learner.score(Step(**blanked), np.empty(0, np.int64))
    assert not present[:, 2].any()
    assert torch.allclose(fewer[present], scores[present], atol=1e-6)
