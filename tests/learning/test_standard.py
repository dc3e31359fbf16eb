"""Scores keep one scale, whichever encoder and heads give them."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from recsys.encoders.encoder import Encoder
from recsys.encoders.settings import TextSettings
from recsys.learning.blocks import Outcomes
from recsys.learning.chain import Chain
from recsys.learning.heads import ItemHead, UserHead
from recsys.learning.memory import TextMemory
from recsys.learning.standard import Standard
from recsys.learning.text_model import TextModel
from recsys.vectors.signals import text_signals


@pytest.fixture
def chain(world, tiny_settings: TextSettings, tmp_path: Path) -> Chain:
    encoder = Encoder.load(tiny_settings.encoder)
    memory = TextMemory(encoder, world.texts, tiny_settings, tmp_path)
    memory.refresh(np.arange(len(memory.tokens)))
    return Chain(encoder, ItemHead(encoder.dimension), UserHead(encoder.dimension), memory)


@torch.no_grad()
@pytest.mark.parametrize("times", [0.01, 1.0, 50.0])
def test_scores_of_the_reference_have_spread_one_and_appeal_mean_none_whatever_the_heads(
    world, tiny_settings: TextSettings, chain: Chain, times: float
) -> None:
    chain.heads.appeal_map.weight.copy_(torch.randn(1, chain.encoder.dimension) * times)
    chain.heads.appeal_map.bias.fill_(3.0)
    chain.interest.scale.mul_(times)
    reference = world.lists, Outcomes.of(world.labels)
    standard = Standard.by(chain, reference, tiny_settings)
    heads, tower = standard.of(chain.heads, chain.interest)
    model = TextModel(chain.encoder, heads, tower, tiny_settings)
    vectors = model.vectors(pl.DataFrame({"item_id": np.arange(len(world.texts))}), world.texts)
    found = text_signals(world.lists, vectors, model.tower)
    lists = found.text_score.reshape(-1, 6)
    assert np.sqrt(lists.var(axis=1).mean()) == pytest.approx(1, rel=0.01)
    assert found.appeal.mean() == pytest.approx(0, abs=0.01)
    known = ~np.isnan(found.interest)
    assert found.text_score[known] == pytest.approx((found.interest + found.appeal)[known], abs=1e-4)


def test_heads_that_tell_nothing_apart_stay_as_they_are(world, tiny_settings: TextSettings, chain: Chain) -> None:
    with torch.no_grad():
        chain.interest.scale.zero_()
    assert Standard.by(chain, (world.lists, Outcomes.of(world.labels)), tiny_settings) == Standard()


def test_what_learns_on_is_not_changed(chain: Chain) -> None:
    before = {name: value.clone() for name, value in chain.weights().items()}
    Standard(2.0, 3.0).of(chain.heads, chain.interest)
    assert all(torch.equal(value, before[name]) for name, value in chain.weights().items())
