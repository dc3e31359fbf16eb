import copy
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from sklearn.metrics import roc_auc_score

from recsys.encoders.encoder import Encoder
from recsys.encoders.settings import TextSettings
from recsys.errors import ModelError
from recsys.learning.blocks import Outcomes, Step, Updates
from recsys.learning.heads import ItemHead, UserHead
from recsys.learning.learner import TextLearner
from recsys.learning.losses import binary_cross_entropy, list_cross_entropy
from recsys.learning.memory import TextMemory
from recsys.learning.text_model import TextModel
from recsys.learning.training import fit_text
from recsys.vectors.signals import text_signals


@pytest.fixture
def learner(world, tiny_settings: TextSettings, tmp_path: Path) -> TextLearner:
    encoder = Encoder.load(tiny_settings.encoder)
    encoder.top_layers(tiny_settings.trainable_layers).requires_grad_(True)
    heads = ItemHead(encoder.dimension)
    memory = TextMemory(encoder, world.texts, tiny_settings, tmp_path)
    memory.refresh(np.arange(len(memory.tokens)))
    return TextLearner(encoder, heads, UserHead(encoder.dimension), memory, tiny_settings, 0)


def steps(world, count: int = 1, size: int = 20) -> list[Step]:
    return Updates(world.lists, Outcomes.of(world.labels), 0, count * size, size, count)[0]


def score(learner: TextLearner, step: Step) -> tuple[torch.Tensor, torch.Tensor]:
    texts = learner.texts([step])
    return learner.score(step, texts, learner.memory.embeddings[torch.from_numpy(texts)])


def unlike_at_first(learner: TextLearner) -> None:
    """Move every weight away from its neutral first value."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in [*learner.heads.parameters(), learner.interest.codes]:
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.3)


def test_scores_in_training_are_those_of_serving(learner: TextLearner, world) -> None:
    unlike_at_first(learner)
    with torch.no_grad():
        scores, present = score(learner, steps(world)[0])
    model = TextModel(learner.encoder, learner.heads, learner.interest.tower(), learner.settings)
    vectors = model.vectors(pl.DataFrame({"item_id": np.arange(len(world.texts))}), world.texts)
    served = text_signals(world.lists.block(0, 20), vectors, model.tower).text_score
    assert scores[present].numpy() == pytest.approx(served, abs=0.02)  # vectors are rounded for serving


@pytest.mark.parametrize("loss", ["list", "in_batch", "binary"])
def test_cached_gradients_are_those_of_one_backward_pass_through_everything(
    learner: TextLearner, world, loss: str
) -> None:
    learner.settings = learner.settings.model_copy(update={"loss": loss})
    learner.click_shares = shares(world)
    unlike_at_first(learner)
    update = steps(world, count=3)
    texts = learner.texts(update)

    def gradients() -> list[torch.Tensor]:
        found = [each.grad.clone() for each in learner.encoder.parameters() if each.grad is not None]
        learner.zero_grad()
        return found

    through = torch.cat([embeddings for _, embeddings in learner.memory.encode(texts)])
    order = np.argsort(np.concatenate([batch for batch, _ in learner.memory.encode(texts)]))
    torch.stack([learner._loss(step, texts, through[order]) for step in update]).mean().backward()
    expected = gradients()
    cached = learner.memory.embeddings[texts].requires_grad_()
    for step in update:
        learner._loss(step, texts, cached).backward()
    for batch, embeddings in learner.memory.encode(texts):
        embeddings.backward(gradient=cached.grad[np.searchsorted(texts, batch)] / len(update))
    assert len(expected) > 0
    for one, other in zip(gradients(), expected, strict=True):
        assert torch.allclose(one, other, atol=1e-5)


def shares(world) -> torch.Tensor:
    counts = np.bincount(world.lists.items[world.labels > 0], minlength=len(world.texts))
    return torch.from_numpy((counts / counts.sum()).astype(np.float32))


def test_in_batch_loss_sets_each_click_against_the_other_clicks(learner: TextLearner, world) -> None:
    learner.settings = learner.settings.model_copy(update={"loss": "in_batch"})
    learner.click_shares = shares(world)
    unlike_at_first(learner)
    step = steps(world)[0]
    texts = learner.texts([step])
    embeddings = learner.memory.embeddings[torch.from_numpy(texts)]
    found = learner._loss(step, texts, embeddings).item()
    clicks = [
        (row, item) for row, place in (step.labels > 0).nonzero().tolist() for item in [step.items[row, place].item()]
    ]
    clicked = np.unique([item for _, item in clicks])
    losses = []
    for row, item in clicks:
        shown = set(step.items[row].tolist()) - {item}
        rivals = [other for other in clicked.tolist() if other not in shown]
        one = Step(*(part[row : row + 1] for part in step))._replace(items=torch.tensor([rivals]))
        scores = learner.score(one, texts, embeddings)[0][0].detach().double()
        chance = 1 - (1 - learner.click_shares[rivals].double()) ** len(clicks)
        logits = scores - chance.log()
        losses.append((logits.logsumexp(0) - logits[rivals.index(item)]).item())
    assert found == pytest.approx(np.mean(losses), rel=1e-4)


def test_an_update_encodes_each_text_that_was_felt_once(learner: TextLearner, world, monkeypatch) -> None:
    update = steps(world, count=2)
    texts = learner.texts(update)
    learner.memory.encoded_tokens = 0
    gradients = torch.ones(len(texts), learner.encoder.dimension)
    gradients[::2] = 0
    monkeypatch.setattr(learner, "manual_backward", lambda loss, gradient: loss.backward(gradient=gradient))
    monkeypatch.setattr(learner, "_step", lambda optimizer: optimizer.step())
    optimizer = torch.optim.SGD(learner.encoder.top_layers(1).parameters(), lr=0.1)
    learner._update_encoder(optimizer, texts, gradients)
    assert learner.memory.encoded_tokens == learner.memory.tokens.lengths[texts[1::2]].sum()


def test_an_update_learns_from_as_many_texts_as_set_drawn_anew_each_time(learner: TextLearner, world) -> None:
    update = steps(world, count=2)
    assert len(learner._draw(update, 0)) == 0  # the first pass trains the heads alone
    learner.settings = learner.settings.model_copy(update={"head_epochs": 0, "texts_per_update": 9})
    first, again, other = learner._draw(update, 0), learner._draw(update, 0), learner._draw(update, 1)
    assert first.tolist() == again.tolist() == sorted(set(first.tolist()))
    assert first.tolist() != other.tolist()
    assert len(first) == 9
    assert set(first.tolist()) <= set(learner.texts(update, ("items",)).tolist())


def test_repeated_requests_cost_no_token_more(learner: TextLearner, world) -> None:
    update = steps(world)
    assert learner.texts(update * 5).tolist() == learner.texts(update).tolist()


def test_items_without_text_have_a_vector_that_is_learned(tiny_settings: TextSettings, world, tmp_path: Path) -> None:
    encoder = Encoder.load(tiny_settings.encoder)
    heads = ItemHead(encoder.dimension)
    texts = ["" if place % 4 == 0 else text for place, text in enumerate(world.texts)]
    memory = TextMemory(encoder, texts, tiny_settings, tmp_path)
    memory.refresh(np.arange(len(memory.tokens)))
    learner = TextLearner(encoder, heads, UserHead(encoder.dimension), memory, tiny_settings, 0)
    torch.nn.init.normal_(heads.empty, generator=torch.Generator().manual_seed(2))
    step = steps(world)[0]
    before, present = score(learner, step)
    before[present].square().sum().backward()
    assert heads.empty.grad.abs().sum() > 0
    torch.nn.init.normal_(heads.empty, generator=torch.Generator().manual_seed(3))
    after, _ = score(learner, step)
    without = present & (step.items % 4 == 0) & (step.history >= 0).any(dim=1, keepdim=True)
    assert (before != after)[without].all()


def test_the_text_of_a_request_moves_scores_towards_items_that_match(learner: TextLearner, world) -> None:
    step = steps(world)[0]
    asked = step.items[:, 0].clone()
    plain, _ = score(learner, step)
    with_query, _ = score(learner, step._replace(queries=asked))
    gained = (with_query - plain).detach()
    assert (gained.argmax(dim=1) == 0).float().mean() > 0.9  # nothing matches a text as well as itself
    assert torch.equal(score(learner, step._replace(queries=torch.full_like(asked, -1)))[0], plain)


def test_a_loss_that_is_not_a_number_stops_with_advice(learner: TextLearner, world) -> None:
    learner.memory.embeddings[:] = torch.nan
    texts = learner.texts(steps(world))
    with pytest.raises(ModelError, match=r"the loss is nan in update 7 of epoch 0; lower \[text\] learning_rate"):
        learner._learn(steps(world)[0], [], 7, texts, learner.memory.embeddings[texts])


def test_past_clicks_count_beside_a_step_as_lists_of_their_own_with_what_is_given(learner: TextLearner, world) -> None:
    unlike_at_first(learner)
    learner.settings = learner.settings.model_copy(update={"next_click": 0.7})
    step, clicks = steps(world, count=2)
    given = torch.randn(clicks.items.shape, generator=torch.Generator().manual_seed(0))
    clicks = clicks._replace(given=given, labels=clicks.labels * torch.linspace(0, 2, len(given)).unsqueeze(1))
    texts = learner.texts([step, clicks])
    embeddings = learner.memory.embeddings[torch.from_numpy(texts)]
    learner.manual_backward = lambda loss: loss.backward()  # type: ignore[method-assign]  # there is no trainer
    found = learner._learn(step, [clicks], 0, texts, embeddings).item()
    scores, present = learner.score(clicks, texts, embeddings)
    beside = list_cross_entropy(scores + clicks.given, clicks.labels, present, weights=clicks.labels.amax(1)).item()
    assert found == pytest.approx(learner._loss(step, texts, embeddings).item() + 0.7 * beside, rel=1e-5)


def test_a_list_counts_as_much_as_its_best_label(learner: TextLearner, world) -> None:
    unlike_at_first(learner)
    (step,) = steps(world, count=1)
    grades = torch.where(torch.arange(len(step.labels)) % 2 == 0, 1.0, 5.0).unsqueeze(1)
    texts = learner.texts([step])
    embeddings = learner.memory.embeddings[torch.from_numpy(texts)]
    alone = [
        learner._loss(Step(*(part[row : row + 1] for part in step)), texts, embeddings).item()
        for row in range(len(grades))
    ]
    counts = np.where(step.labels.sum(1) > 0, grades[:, 0], 0)
    found = learner._loss(step._replace(labels=step.labels * grades), texts, embeddings).item()
    assert found == pytest.approx(np.average(alone, weights=counts), rel=1e-5)


def test_texts_move_where_behaviour_wants_them_and_the_leash_draws_back(learner: TextLearner, world) -> None:
    unlike_at_first(learner)
    learner.manual_backward = lambda loss: loss.backward()  # type: ignore[method-assign]  # there is no trainer
    (step,) = steps(world)
    learner.block_texts = np.arange(len(learner.memory.tokens))
    texts, dimension = learner.texts([step]), learner.encoder.dimension
    embeddings = learner.memory.embeddings[torch.from_numpy(texts)]
    moves = torch.randn(len(learner.block_texts), dimension, generator=torch.Generator().manual_seed(0)) * 0.1
    losses = {}
    for leash in (0.0, 0.5):
        learner.settings = learner.settings.model_copy(update={"teacher_leash": leash})
        learner.moves = torch.nn.Parameter(moves.clone())
        losses[leash] = learner._learn(step, [], 0, texts, embeddings).item()
        assert (learner.moves.grad[texts].abs().sum(dim=1) > 0).any()
    learner.moves = None
    moved = learner._loss(step, texts, embeddings + moves[texts]).item()
    assert losses[0.0] == pytest.approx(moved, rel=1e-5)
    assert losses[0.5] == pytest.approx(moved + 0.5 * (moves**2).sum().item(), rel=1e-5)


def test_what_is_given_counts_in_the_loss_and_not_in_the_scores(learner: TextLearner, world) -> None:
    unlike_at_first(learner)
    (step,) = steps(world)
    texts = learner.texts([step])
    embeddings = learner.memory.embeddings[torch.from_numpy(texts)]
    known = torch.randn(step.items.shape, generator=torch.Generator().manual_seed(0))
    popular = step._replace(given=known)
    scores, present = learner.score(step, texts, embeddings)
    assert torch.equal(learner.score(popular, texts, embeddings)[0], scores)
    for loss, of in (("list", list_cross_entropy), ("binary", binary_cross_entropy)):
        learner.settings = learner.settings.model_copy(update={"loss": loss})
        expected = of(scores + known, step.labels, present).item()
        assert learner._loss(popular, texts, embeddings).item() == pytest.approx(expected, rel=1e-5)
        assert learner._loss(step, texts, embeddings).item() != pytest.approx(expected, rel=1e-3)


def test_unknown_items_change_nothing_for_the_others(learner: TextLearner, world) -> None:
    step = steps(world)[0]
    scores, _ = score(learner, step)
    blanked = copy.deepcopy(step._asdict())
    blanked["items"][:, 2] = -1
    fewer, present = score(learner, Step(**blanked))
    assert not present[:, 2].any()
    assert torch.allclose(fewer[present], scores[present], atol=1e-6)


def test_every_update_reads_embeddings_as_they_are_and_averages_the_gradients_of_its_steps(
    world, tiny_settings: TextSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tiny_settings.model_copy(
        update={"epochs": 3, "head_learning_rate": 0.0, "steps_per_update": 3, "texts_per_update": 9, "held_out": 0.0}
    )
    step, update_encoder, seen, current = TextLearner.training_step, TextLearner._update_encoder, [], {}

    def fresh(learner: TextLearner, rows: np.ndarray) -> torch.Tensor:
        with torch.no_grad():
            found = [(batch, embeddings) for batch, embeddings in learner.memory.encode(rows)]
        order = np.argsort(np.concatenate([batch for batch, _ in found]))
        return torch.cat([embeddings for _, embeddings in found])[order]

    def watched_step(learner: TextLearner, update: list[Step], number: int) -> None:
        if learner._encoder_learns and number == 0:  # past clicks are read as the encoder embeds them now
            rows = learner.block_texts
            assert torch.allclose(learner.memory.embeddings[rows], fresh(learner, rows), atol=1e-5)
        current["update"] = update
        step(learner, update, number)

    def watched_update(learner: TextLearner, optimizer: object, texts: np.ndarray, gradients: torch.Tensor) -> None:
        assert torch.allclose(learner.memory.embeddings[texts], fresh(learner, texts), atol=1e-5)
        rows = learner.texts(current["update"])
        embeddings = learner.memory.embeddings[rows].requires_grad_()
        torch.stack([learner._loss(each, rows, embeddings) for each in current["update"]]).mean().backward()
        assert torch.allclose(gradients, embeddings.grad[np.searchsorted(rows, texts)], atol=1e-6)
        seen.append(len(current["update"]))
        update_encoder(learner, optimizer, texts, gradients)

    monkeypatch.setattr(TextLearner, "training_step", watched_step)
    monkeypatch.setattr(TextLearner, "_update_encoder", watched_update)
    fit_text(world.texts, world.lists, Outcomes.of(world.labels), settings, 0)
    assert sorted(seen) == [2] * 2 + [3] * 4  # 300 requests, 40 a step, in each of two passes


def test_an_aggregated_request_counts_as_often_as_it_was_clicked(learner: TextLearner, world) -> None:
    unlike_at_first(learner)
    (step,) = steps(world)
    many = step._replace(
        labels=step.labels * torch.arange(1.0, len(step.labels) + 1)[:, None], showings=step.showings * 9
    )
    texts = learner.texts([step])
    embeddings = learner.memory.embeddings[torch.from_numpy(texts)]
    each = [
        learner._loss(Step(*(part[row : row + 1] for part in many)), texts, embeddings).item()
        for row in range(len(step.labels))
    ]
    clicks = many.labels.sum(dim=1).numpy()
    assert learner._loss(many, texts, embeddings).item() == pytest.approx(np.average(each, weights=clicks), rel=1e-5)


def test_versions_of_a_headline_are_judged_by_their_click_rates(learner: TextLearner, world) -> None:
    unlike_at_first(learner)
    (step,) = steps(world)
    random = np.random.default_rng(0)
    showings = torch.from_numpy(random.integers(50, 500, step.items.shape)).float()
    clicks = torch.from_numpy(random.integers(1, 40, step.items.shape)).float()
    found = learner.judge([step._replace(labels=clicks, showings=showings)])
    scores, _ = score(learner, step)
    rates, means = clicks / showings, clicks.sum(dim=1) / showings.sum(dim=1)
    expected = [
        roc_auc_score((rate > mean).numpy(), row.detach().numpy())
        for rate, mean, row in zip(rates, means, scores, strict=True)
    ]
    assert found.numpy() == pytest.approx(expected, abs=1e-6)


def test_only_matrices_decay(learner: TextLearner) -> None:
    groups = [group for optimizer in learner.configure_optimizers() for group in optimizer.param_groups]
    decays = {parameter.ndim > 1: group["weight_decay"] for group in groups for parameter in group["params"]}
    assert decays == {True: learner.settings.weight_decay, False: 0.0}
    assert learner.settings.weight_decay > 0


def test_gradients_are_clipped(world, tiny_settings: TextSettings) -> None:
    def moved(clip: float) -> float:
        settings = tiny_settings.model_copy(update={"clip": clip, "epochs": 2, "weight_decay": 0.0})
        model = fit_text(world.texts, world.lists, Outcomes.of(world.labels), settings, 0)
        return float(model.heads.appeal_map.weight.detach().abs().sum())

    assert moved(1e-12) < moved(1.0) / 100  # too short for AdamW to make up for
