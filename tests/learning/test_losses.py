import doctest

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from recsys.learning import losses
from recsys.learning.losses import (
    binary_cross_entropy,
    in_batch_cross_entropy,
    list_cross_entropy,
    log_inclusion,
    request_auc,
)


def random_lists(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    random = np.random.default_rng(seed)
    lengths = random.integers(1, 9, 30)
    present = np.arange(10) < lengths[:, None]
    scores = np.round(random.normal(size=(30, 10)), 1)
    labels = random.integers(0, 3, (30, 10)) * (random.random((30, 10)) < 0.5)
    return torch.tensor(scores), torch.tensor(labels, dtype=torch.float64), torch.tensor(present)


def test_examples_run() -> None:
    assert doctest.testmod(losses, extraglobs={"torch": torch}).failed == 0


def test_cross_entropy_is_what_a_plain_loop_says() -> None:
    scores, labels, present = random_lists()
    terms = []
    for row in range(30):
        s, y = (part[row][present[row]].numpy() for part in (scores, labels))
        if y.sum():
            terms.append(-(y / y.sum() * (s - np.log(np.exp(s).sum()))).sum())
    assert list_cross_entropy(scores, labels, present).item() == pytest.approx(np.mean(terms), rel=1e-6)


def test_padding_and_what_it_holds_change_nothing() -> None:
    scores, labels, present = random_lists()
    wide = [torch.nn.functional.pad(part, (0, 4), value=value) for part, value in ((scores, 9.0), (labels, 3.0))]
    wide_present = torch.nn.functional.pad(present, (0, 4))
    assert list_cross_entropy(*wide, wide_present).item() == pytest.approx(
        list_cross_entropy(scores, labels, present).item()
    )


def test_gradient_is_finite_and_nothing_reaches_padding_or_lists_without_a_positive() -> None:
    scores = torch.zeros(3, 2, requires_grad=True)
    labels = torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    present = torch.tensor([[True, True], [True, True], [False, False]])
    list_cross_entropy(scores, labels, present).backward()
    assert scores.grad is not None
    assert scores.grad.tolist() == [[-0.5, 0.5], [0, 0], [0, 0]]


def test_lists_without_any_positive_lose_nothing() -> None:
    assert list_cross_entropy(torch.ones(2, 3), torch.zeros(2, 3), torch.ones(2, 3, dtype=torch.bool)).item() == 0


def random_showings(present: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    random = np.random.default_rng(7)
    showings = torch.tensor(random.integers(0, 50, tuple(present.shape)), dtype=torch.float64)
    return torch.where(labels > showings, labels, showings)


def test_showings_count_as_that_many_candidates_with_the_same_score() -> None:
    scores, labels, present = random_lists()
    showings = random_showings(present, labels)
    terms, clicks = [], []
    for row in range(30):
        here = present[row] & (showings[row] > 0)
        repeats = showings[row][here].long()
        each = torch.log_softmax(scores[row][here].repeat_interleave(repeats), 0)
        # Clicks of a row are shared out over its showings: its share is that of one showing times its showings.
        share = each[repeats.cumsum(0) - 1] + repeats.log()
        y = labels[row][here]
        if y.sum():
            terms.append(-(y * share).sum().item() / y.sum().item())
            clicks.append(y.sum().item())
    assert list_cross_entropy(scores, labels, present, showings).item() == pytest.approx(np.mean(terms))
    weighted = list_cross_entropy(scores, labels, present, showings, weights=(labels * present).sum(dim=1))
    assert weighted.item() == pytest.approx(np.average(terms, weights=clicks))


def test_weighted_by_clicks_it_is_the_multinomial_likelihood() -> None:
    scores, labels, present = random_lists(3)
    showings = random_showings(present, labels)
    clicks = (labels * present).sum(dim=1)
    total = torch.zeros((), dtype=torch.float64)
    for row in range(30):
        here = present[row] & (showings[row] > 0)
        if clicks[row]:
            draw = torch.distributions.Multinomial(
                int(clicks[row]), probs=showings[row][here] * scores[row][here].exp(), validate_args=False
            )
            y = labels[row][here]
            constant = torch.lgamma(clicks[row] + 1) - torch.lgamma(y + 1).sum()
            total -= draw.log_prob(y) - constant
    found = list_cross_entropy(scores, labels, present, showings, clicks) * clicks.sum()
    assert found.item() == pytest.approx(total.item())


def test_one_showing_each_and_equal_weights_change_nothing() -> None:
    scores, labels, present = random_lists()
    plain = list_cross_entropy(scores, labels, present).item()
    assert list_cross_entropy(scores, labels, present, torch.ones(30, 10)).item() == pytest.approx(plain)
    assert list_cross_entropy(scores, labels, present, None, torch.full((30,), 3.0)).item() == pytest.approx(plain)


def test_rows_never_shown_are_left_out_whatever_they_hold() -> None:
    scores = torch.tensor([[1.0, 2.0, 3.0]])
    labels, present = torch.tensor([[1.0, 0.0, 5.0]]), torch.ones(1, 3, dtype=torch.bool)
    showings = torch.tensor([[4.0, 4.0, 0.0]])
    expected = list_cross_entropy(scores[:, :2], labels[:, :2], present[:, :2])
    assert list_cross_entropy(scores, labels, present, showings).item() == pytest.approx(expected.item())


@pytest.mark.parametrize("size", [1e4, 1e12, 1e30])
def test_gradients_are_finite_for_extreme_scores(size: float) -> None:
    scores = torch.tensor([[size, -size, 0.0], [-size, -size, size], [size, 0.0, 0.0]], requires_grad=True)
    labels = torch.tensor([[1.0, 0.0, 1.0], [1.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    present = torch.tensor([[True, True, True], [True, True, False], [False, False, False]])
    showings = torch.tensor([[1.0, 1e9, 1.0], [0.0, 3.0, 1.0], [0.0, 0.0, 0.0]])
    losses = [
        list_cross_entropy(scores, labels, present),
        list_cross_entropy(scores, labels, present, showings, torch.tensor([2.0, 0.0, 1.0])),
        binary_cross_entropy(scores, labels, present, showings),
        in_batch_cross_entropy(scores, torch.tensor([1, 0, -1]), torch.tensor([0.0, -9.0, 1.0]), ~present),
    ]
    for loss in losses:
        (gradient,) = torch.autograd.grad(loss, scores)
        assert torch.isfinite(loss)
        assert torch.isfinite(gradient).all()
        assert gradient[2].tolist() == [0, 0, 0]


def test_a_list_of_very_low_scores_is_not_taken_for_padding() -> None:
    scores, present = torch.tensor([[-2e9, -2e9, 0.0]]), torch.tensor([[True, True, False]])
    assert list_cross_entropy(scores, torch.tensor([[1.0, 0.0, 0.0]]), present).item() == pytest.approx(np.log(2))


def test_nothing_to_learn_from_loses_nothing_and_moves_nothing() -> None:
    scores = torch.ones(2, 3, requires_grad=True)
    nothing, nowhere = torch.zeros(2, 3), torch.zeros(2, 3, dtype=torch.bool)
    for loss in (
        list_cross_entropy(scores, nothing, ~nowhere, nothing),
        list_cross_entropy(scores, nothing + 1, ~nowhere, None, torch.zeros(2)),
        binary_cross_entropy(scores, nothing, nowhere),
        binary_cross_entropy(scores, nothing, ~nowhere, nothing),
        in_batch_cross_entropy(scores, torch.tensor([-1, -1]), torch.zeros(3), nowhere),
        in_batch_cross_entropy(scores, torch.tensor([0, 1]), torch.zeros(3), ~nowhere),
    ):
        assert loss.item() == 0
        (gradient,) = torch.autograd.grad(loss, scores)
        assert gradient.tolist() == [[0, 0, 0], [0, 0, 0]]


def random_batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    random = np.random.default_rng(2)
    targets = random.integers(-1, 6, 20)
    return (
        torch.tensor(random.normal(size=(20, 6))),
        torch.tensor(targets),
        torch.tensor(np.log(random.dirichlet(np.ones(6)))),
        torch.tensor(random.random((20, 6)) < 0.3),
    )


def test_in_batch_loss_is_what_a_plain_loop_says() -> None:
    scores, targets, log_probability, excluded = random_batch()
    terms = []
    for row, target in enumerate(targets.tolist()):
        if target >= 0:
            others = [item for item in range(6) if item == target or not excluded[row, item]]
            logits = [scores[row, item].item() - log_probability[item].item() for item in others]
            right = logits[others.index(target)]
            terms.append(np.log(sum(np.exp(logit - right) for logit in logits)))
    assert 0 < len(terms) < 20
    found = in_batch_cross_entropy(scores, targets, log_probability, excluded)
    assert found.item() == pytest.approx(np.mean(terms))
    shifted = in_batch_cross_entropy(scores, targets, log_probability + 5, excluded)
    assert shifted.item() == pytest.approx(found.item())
    weights = torch.arange(20.0, dtype=torch.float64)
    expected = np.average(terms, weights=weights[targets >= 0].numpy())
    assert in_batch_cross_entropy(scores, targets, log_probability, excluded, weights).item() == pytest.approx(expected)


def test_in_batch_loss_without_exclusions_is_the_cross_entropy_of_torch() -> None:
    scores, targets, _, excluded = random_batch()
    found = in_batch_cross_entropy(scores, targets, torch.zeros(6), torch.zeros_like(excluded))
    assert found.item() == pytest.approx(cross_entropy(scores, targets, ignore_index=-1).item())


def test_the_correction_makes_up_for_popular_negatives() -> None:
    """Where popular items are more often among the negatives, true scores have no slope once corrected."""
    random = np.random.default_rng(0)
    truth = np.array([0.1, 0.1, 0.2, 0.2, 0.4])
    included = np.array([0.9, 0.5, 0.2, 0.1, 0.1])
    targets = torch.tensor(random.choice(5, 50_000, p=truth))
    excluded = torch.tensor(random.random((50_000, 5)) > included)

    def slope(log_probability: torch.Tensor) -> float:
        scores = torch.tensor(np.log(truth), requires_grad=True)
        in_batch_cross_entropy(scores.expand(50_000, 5), targets, log_probability, excluded).backward()
        assert scores.grad is not None
        return scores.grad.abs().max().item()

    assert slope(torch.tensor(np.log(included))) < 0.005
    assert slope(torch.zeros(5)) > 0.05


def test_inclusion_is_how_often_an_item_is_among_the_draws() -> None:
    shares = torch.tensor([0.6, 0.3, 0.1], dtype=torch.float64)
    drawn = np.random.default_rng(0).choice(3, (20_000, 4), p=shares.numpy())
    often = [(drawn == item).any(axis=1).mean() for item in range(3)]
    assert log_inclusion(shares, 4).exp().tolist() == pytest.approx(often, abs=0.01)
    rare = torch.tensor([1e-7, 2e-7])
    assert log_inclusion(rare, 100).exp().tolist() == pytest.approx([1e-5, 2e-5], rel=1e-4)


def test_binary_loss_is_what_torch_says_of_each_showing() -> None:
    scores, labels, present = random_lists(4)
    clicked = labels.clamp(max=1)
    expected = binary_cross_entropy_with_logits(scores[present], clicked[present])
    assert binary_cross_entropy(scores, labels, present).item() == pytest.approx(expected.item())
    showings = random_showings(present, labels)
    each, outcome = [], []
    for s, y, n in zip(scores[present], labels[present], showings[present], strict=True):
        each += [s] * int(n)
        outcome += [1.0] * int(y) + [0.0] * int(n - y)
    expected = binary_cross_entropy_with_logits(torch.stack(each), torch.tensor(outcome, dtype=torch.float64))
    assert binary_cross_entropy(scores, labels, present, showings).item() == pytest.approx(expected.item())


def test_binary_loss_takes_soft_labels_and_ignores_padding() -> None:
    scores = torch.tensor([[0.3, float("nan")]])
    loss = binary_cross_entropy(scores, torch.tensor([[0.25, 9.0]]), torch.tensor([[True, False]]))
    share = 1 / (1 + np.exp(-0.3))
    assert loss.item() == pytest.approx(-(0.25 * np.log(share) + 0.75 * np.log(1 - share)))


def test_auc_is_what_scikit_learn_says() -> None:
    scores, labels, present = random_lists(1)
    expected = []
    for row in range(30):
        s, y = (part[row][present[row]].numpy() for part in (scores, labels > 0))
        if y.any() and not y.all():
            expected.append(roc_auc_score(y, s))
    assert request_auc(scores, labels, present).tolist() == pytest.approx(expected)
    assert 0 < len(expected) < 30
