import itertools
import math
from fractions import Fraction

import numpy as np
import pytest

from recsys.offpolicy.cascades import cascade, cascade_doubly_robust, cascade_normalised, slate
from recsys.offpolicy.list_log import ListLog
from recsys.offpolicy.placements import item_position, position_based, pseudo_inverse
from recsys.offpolicy.policies import ListPolicy, expected_next

CURVE = np.array([1.0, 0.5, 0.25])


CHANCE = np.array([0.3, 0.6, 0.9])
ORDERS = list(itertools.permutations(range(3)))
TARGET_SCORES = np.array([0.5, -0.3, 0.8])


def floats(values):
    return np.array(values, dtype=float)


def every_order(weights, clicks):
    """A log in which each order of three items stands exactly as often as Plackett-Luce makes it, rewards expected.

    Without noise in orders and clicks, an estimator that is unbiased gives the true value, and one that is not does not.
    """
    logged, chances = [], []
    for order in ORDERS:
        left, given = sum(weights), []
        for item in order:
            given.append(Fraction(weights[item], left))
            left -= weights[item]
        times = math.prod(given) * 60
        assert times.denominator == 1
        logged += [order] * int(times)
        chances += [given] * int(times)
    starts = np.arange(len(logged) + 1) * 3
    rewards = np.concatenate([clicks(order) for order in logged])
    log = ListLog(rewards, floats(chances).ravel(), starts, np.arange(len(logged)))
    items = np.array(logged).ravel()
    target = ListPolicy.plackett_luce(TARGET_SCORES[items], starts)
    logging = ListPolicy.plackett_luce(np.log(floats(weights))[items], starts)
    truth = 0.0
    for order in ORDERS:
        left, chance = list(range(3)), 1.0
        for item in order:
            chance *= np.exp(TARGET_SCORES[item]) / np.exp(TARGET_SCORES[left]).sum()
            left.remove(item)
        truth += chance * clicks(order).sum()
    return log, target, logging, items, truth


def by_position(order):
    return CURVE * CHANCE[list(order)]


def by_items_above(order):
    """A reader who leaves after a good item: the chance goes down with what stands above."""
    stays = np.cumprod([1.0, *(1 - CHANCE[list(order[:-1])] ** 2)])
    return stays * by_position(order)


def by_whole_list(order):
    """A reader put off by the last item of the list."""
    return by_position(order) * (1 - CHANCE[order[2]] ** 2)


def answers(weights, clicks):
    log, target, logging, items, truth = every_order(weights, clicks)
    guess = np.outer([0.1, 0.5, 0.2], [0.9, 0.3, 0.2])[items]
    expected = expected_next(TARGET_SCORES[items], log.starts, guess)
    predicted = guess[np.arange(len(items)), log.position - 1]
    found = {
        "slate": slate(log, target),
        "cascade": cascade(log, target),
        "cascade normalised": cascade_normalised(log, target),
        "cascade doubly robust": cascade_doubly_robust(log, target, predicted, expected),
        "item-position": item_position(log, target, logging),
        "position-based": position_based(log, target, CURVE, logging),
        "logged places": position_based(log, target, CURVE),
    }
    if len(set(weights)) == 1:
        found["pseudo-inverse"] = pseudo_inverse(log, target)
    return {name: abs(each.value - truth) < 1e-6 for name, each in found.items()}


@pytest.mark.parametrize("weights", [(1, 1, 1), (1, 2, 3)])
def test_every_estimator_is_right_where_clicks_depend_on_item_and_position(weights):
    assert all(answers(weights, by_position).values())


@pytest.mark.parametrize("weights", [(1, 1, 1), (1, 2, 3)])
def test_only_cascade_and_slate_are_right_where_clicks_depend_on_what_stands_above(weights):
    right = {name for name, fine in answers(weights, by_items_above).items() if fine}
    assert right == {"slate", "cascade", "cascade normalised", "cascade doubly robust"}


@pytest.mark.parametrize("weights", [(1, 1, 1), (1, 2, 3)])
def test_only_the_slate_is_right_where_clicks_depend_on_the_whole_list(weights):
    assert {name for name, fine in answers(weights, by_whole_list).items() if fine} == {"slate"}


def test_a_wrong_curve_misleads_the_position_based_one_alone():
    log, target, logging, _, truth = every_order((1, 2, 3), by_position)
    assert abs(position_based(log, target, np.array([1.0, 0.9, 0.8]), logging).value - truth) > 0.01
    assert position_based(log, target, 7 * CURVE, logging).value == pytest.approx(truth)  # the scale does not matter
    assert item_position(log, target, logging).value == pytest.approx(truth)


def test_the_same_policy_earns_what_was_logged(random_log):
    log, _ = random_log
    same = ListPolicy.plackett_luce(np.zeros(4800), log.starts)
    curve = np.arange(1.0, 9.0) ** -0.5
    mean = log.reward.sum() / 600
    found = [slate(log, same), cascade(log, same), cascade_normalised(log, same), item_position(log, same, same)]
    for each in [*found, position_based(log, same, curve, same), pseudo_inverse(log, same)]:
        assert each.value == pytest.approx(mean, rel=1e-5)
        assert each.warnings == ()
        assert each.overlap.effective_size == pytest.approx(600)
