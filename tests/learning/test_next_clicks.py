"""A past click is told from drawn items, and what is drawn often counts for less."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from recsys.encoders.settings import TextSettings
from recsys.errors import DataError
from recsys.learning.losses import list_cross_entropy
from recsys.learning.next_clicks import Clicks, PastClicks
from recsys.vectors.coded_lists import CodedLists


def clicks(items: list[int], history: list[list[int]], values: list[float] | None = None) -> Clicks:
    ages = np.zeros((len(items), len(history[0])), np.float32)
    lists = CodedLists(np.arange(len(items) + 1), np.array(items, np.int32), np.array(history, np.int32), ages)
    return lists, np.array([np.nan] * len(items) if values is None else values, np.float32)


def settings(**changes: float) -> TextSettings:
    return TextSettings.model_validate({"clicks_per_step": 3, "negatives": 3, "uniform": 0.5, **changes})


def test_clicks_without_an_item_or_a_known_click_before_are_left_out() -> None:
    found = PastClicks.of(clicks([4, -1, 5], [[1, -1], [1, -1], [-1, -1]]), np.array([7, -1, 7]), settings())
    assert found.lists.items.tolist() == [4]
    assert found.shown.tolist() == [4, 7]
    assert found.codes.tolist() == [-1, 1, 4, 7]


def test_a_list_of_two_is_no_past_click() -> None:
    two = CodedLists(np.array([0, 2]), np.array([1, 2], np.int32), np.array([[0]], np.int32), np.zeros((1, 1), "f4"))
    with pytest.raises(DataError, match="a past click is one item; its list must hold one candidate"):
        PastClicks(two, np.array([1, 2]), settings(), np.ones(1, np.float32))


@given(st.integers(2, 30), st.integers(1, 8), st.sampled_from([0.0, 0.3, 1.0]), st.integers(0, 1000))
def test_a_drawn_list_holds_the_click_first_and_nothing_that_its_user_clicked(
    count: int, negatives: int, uniform: float, seed: int
) -> None:
    random = np.random.default_rng(seed)
    items, history = random.integers(0, 9, count), random.integers(-1, 9, (count, 3))
    history[:, 0] = 0
    past = PastClicks.of(
        clicks(items.tolist(), history.tolist()),
        np.arange(12),
        settings(negatives=negatives, uniform=uniform),
    )
    step = past.draw(np.random.default_rng(seed))
    assert step.items.shape == (min(3, count), 1 + negatives)
    assert (step.labels[:, 0] == 1).all()
    assert not step.labels[:, 1:].any()
    for row, before in zip(step.items.tolist(), step.history.tolist(), strict=True):
        assert row[0] >= 0
        assert not set(row[1:]) - {-1} & set(before)
    again = past.draw(np.random.default_rng(seed))
    assert all(torch.equal(one, other) for one, other in zip(step, again, strict=True))


def test_what_is_given_is_minus_the_log_of_the_chance_to_be_drawn() -> None:
    past = PastClicks.of(clicks([1, 1, 1, 2], [[0]] * 4), np.arange(5), settings(clicks_per_step=4))
    step = past.draw(np.random.default_rng(0))
    chance = {0: 1 / 10, 1: 3 / 8 + 1 / 10, 2: 1 / 8 + 1 / 10, 3: 1 / 10, 4: 1 / 10}
    for row, told in zip(step.items.tolist(), step.given.tolist(), strict=True):
        for item, number in zip(row, told, strict=True):
            if item >= 0:
                assert number == pytest.approx(-np.log(chance[item]), rel=1e-5)


def learnt_difference(past: PastClicks) -> float:
    """Learn a score for each item by itself, and return by how much that of item 1 is above that of item 2."""
    score = torch.zeros(3, requires_grad=True)
    optimizer = torch.optim.Adam([score], lr=0.05)
    seen = []
    for number in range(600):
        step = past.draw(np.random.default_rng(number))
        logits, counts = score[step.items.clamp(min=0)] + step.given, step.labels.amax(dim=1)
        loss = list_cross_entropy(logits, step.labels, step.items >= 0, weights=counts)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        seen.append((score[1] - score[2]).item())
    return float(np.mean(seen[200:]))


def test_scores_that_are_learnt_tell_how_likely_a_click_is_not_how_often_it_is_drawn() -> None:
    """Users click item 1 three times as often as 2, whatever is drawn: the scores differ by the log of 3."""
    draws = settings(clicks_per_step=400, negatives=15, uniform=0.3)
    past = PastClicks.of(clicks([1, 1, 1, 2] * 200, [[0]] * 800), np.arange(1, 3), draws)
    assert learnt_difference(past) == pytest.approx(np.log(3), abs=0.05)


def test_a_click_counts_by_what_was_recorded_of_it() -> None:
    """Of 30, 10 and 20 the median is 20; nothing recorded counts as the usual, and what is below 0 nothing."""
    past = PastClicks.of(clicks([1, 2, 3, 4, -1], [[0]] * 5, [30, 10, 20, np.nan, 1e6]), np.arange(5), settings())
    assert past.weights == pytest.approx([2 * 30 / 50, 2 * 10 / 30, 1, 1])
    below = PastClicks.of(clicks([1, 2, 3], [[0]] * 3, [-5, 8, 8]), np.arange(5), settings())
    assert below.weights.tolist() == [0, 1, 1]
    assert PastClicks.of(clicks([1, 2], [[0]] * 2, [0, 0]), np.arange(5), settings()).weights.tolist() == [1, 1]


def test_every_click_is_drawn_as_often() -> None:
    past = PastClicks.of(
        clicks(list(range(1, 41)), [[0]] * 40), np.arange(1, 41), settings(clicks_per_step=8, negatives=1)
    )
    drawn = np.concatenate([past.draw(np.random.default_rng(seed)).items[:, 0] for seed in range(4000)])
    shares = np.bincount(drawn, minlength=41)[1:] / len(drawn)
    assert shares == pytest.approx(np.full(40, 1 / 40), rel=0.15)


def test_what_was_read_for_longer_is_learnt_as_the_more_likely_click() -> None:
    """Items 1 and 2 are clicked as often, but 1 is read three times as long as 2: 30 and 10 beside a median of 10."""
    draws = settings(clicks_per_step=400, negatives=15, uniform=0.3)
    items, values = [1, 2] * 400, [30.0, 10.0] * 400
    past = PastClicks.of(clicks([*items, 2], [[0]] * 801, [*values, 10.0]), np.arange(1, 3), draws)
    assert learnt_difference(past) == pytest.approx(np.log(1.5), abs=0.05)
