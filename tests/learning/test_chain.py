"""A chain learns part after part, and takes up what an earlier process has learnt."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from recsys.encoders.encoder import Encoder
from recsys.encoders.settings import TextSettings
from recsys.learning.blocks import Outcomes
from recsys.learning.chain import Chain
from recsys.learning.heads import ItemHead, UserHead
from recsys.learning.memory import TextMemory


@pytest.fixture
def chain(world, tiny_settings: TextSettings, tmp_path: Path) -> Chain:
    encoder = Encoder.load(tiny_settings.encoder).requires_grad_(False)
    memory = TextMemory(encoder, world.texts, tiny_settings, tmp_path)
    memory.refresh(np.arange(len(memory.tokens)))
    return Chain(encoder, ItemHead(encoder.dimension), UserHead(encoder.dimension), memory)


def test_what_a_twin_learns_leaves_the_other_as_it_was(chain: Chain) -> None:
    twin = chain.twin(adapted=False)
    assert torch.equal(twin.memory.embeddings, chain.memory.embeddings)
    with torch.no_grad():
        for parameter in [*twin.encoder.parameters(), *twin.heads.parameters(), *twin.interest.parameters()]:
            parameter.add_(1.0)
    before = chain.memory.embeddings.clone()
    twin.read(np.arange(5))
    chain.read(np.arange(5))
    assert torch.allclose(chain.memory.embeddings, before, atol=1e-6)
    assert not torch.allclose(twin.memory.embeddings[:5], before[:5], atol=1e-3)


def test_a_part_that_was_learnt_is_taken_up_and_one_that_was_cut_off_is_learnt_anew(
    chain: Chain, tmp_path: Path
) -> None:
    def learn(folder: Path) -> None:
        (folder / "last.ckpt").write_text("on the way")
        with torch.no_grad():
            chain.heads.appeal_map.bias.add_(1.0)

    def fail(folder: Path) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        chain.part(tmp_path / "part", fail)
    chain.part(tmp_path / "part", learn)
    assert not (tmp_path / "part/last.ckpt").exists()
    with torch.no_grad():
        chain.heads.appeal_map.bias.zero_()
    chain.part(tmp_path / "part", fail)  # it is not learnt again
    assert chain.heads.appeal_map.bias.item() == 1.0


def test_aucs_are_those_of_each_request_with_both_outcomes(chain: Chain, world, tiny_settings: TextSettings) -> None:
    labels = world.labels.copy()
    labels[:6] = 0
    found = chain.aucs((world.lists, Outcomes.of(labels)), tiny_settings)
    assert found.shape == (len(world.lists),)
    assert np.isnan(found[0])
    scores, _ = chain.learner(tiny_settings, 0).score(*step_of(chain, world, labels, tiny_settings))
    for row in (1, 5, 9):
        truth = labels[world.lists.starts[row] : world.lists.starts[row + 1]]
        both = 0 < truth.sum() < len(truth)
        assert np.isfinite(found[row]) == both
        if both:
            assert found[row] == pytest.approx(roc_auc_score(truth > 0, scores[row].detach().numpy()))


def step_of(chain: Chain, world, labels: np.ndarray, settings: TextSettings) -> tuple:
    from recsys.learning.blocks import Updates

    (step,) = Updates(world.lists, Outcomes.of(labels), 0, 20, 20, 1)[0]
    texts = chain.learner(settings, 0).texts([step])
    return step, texts, chain.memory.embeddings[torch.from_numpy(texts)]
