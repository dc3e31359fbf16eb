import doctest

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from recsys.text import losses
from recsys.text.losses import list_cross_entropy, request_auc


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


def test_auc_is_what_scikit_learn_says() -> None:
    scores, labels, present = random_lists(1)
    expected = []
    for row in range(30):
        s, y = (part[row][present[row]].numpy() for part in (scores, labels > 0))
        if y.any() and not y.all():
            expected.append(roc_auc_score(y, s))
    assert request_auc(scores, labels, present).tolist() == pytest.approx(expected)
    assert 0 < len(expected) < 30
