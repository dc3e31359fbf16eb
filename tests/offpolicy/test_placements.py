import itertools
from fractions import Fraction

import numpy as np
import pytest

from recsys.errors import DataError, SettingsError
from recsys.offpolicy.cascades import cascade, slate
from recsys.offpolicy.list_log import ListLog
from recsys.offpolicy.placements import item_position, position_based, pseudo_inverse
from recsys.offpolicy.policies import ListPolicy

CURVE = np.array([1.0, 0.5, 0.25])


def test_item_position_of_ten_rows_by_hand(ten):
    clicked = [
        Fraction(3, 4) / Fraction(1, 2),
        Fraction(1, 4) / Fraction(1, 3),
        Fraction(1, 4) / Fraction(1, 3),
        Fraction(1, 6) / Fraction(1, 3),
        Fraction(1, 4) / Fraction(1, 2),
    ]
    assert item_position(ten.log, ten.target, ten.logging).value == pytest.approx(float(sum(clicked) / 4))
    clicked.pop(2)  # at the third place
    assert item_position(ten.log, ten.target, ten.logging, top=2).value == pytest.approx(float(sum(clicked) / 4))


def looked_at(placements):
    return placements[0] * 1 + placements[1] * Fraction(1, 2) + placements[2] * Fraction(1, 4)


def test_position_based_of_ten_rows_by_hand(ten):
    clicked = {
        0: Fraction(3, 4),
        3: Fraction(7, 12),
        4: Fraction(7, 12),
        5: Fraction(7, 12),
        9: Fraction(3, 4),
    }  # looked at on average in random order
    by_average = sum(looked_at(ten.placements[row]) / seen for row, seen in clicked.items()) / 4
    assert position_based(ten.log, ten.target, CURVE, ten.logging).value == pytest.approx(float(by_average))
    places = {0: 1, 3: Fraction(1, 2), 4: Fraction(1, 4), 5: 1, 9: Fraction(1, 2)}
    by_place = sum(looked_at(ten.placements[row]) / seen for row, seen in places.items()) / 4
    assert position_based(ten.log, ten.target, CURVE).value == pytest.approx(float(by_place))
    first = sum(ten.placements[row][0] / seen for row, seen in places.items()) / 4
    assert position_based(ten.log, ten.target, CURVE, top=1).value == pytest.approx(float(first))


def test_pseudo_inverse_of_ten_rows_by_hand(ten):
    weights = [
        1 + (2 - 1) * (Fraction(3, 4) + Fraction(3, 4) - 1),
        1 + (3 - 1) * (Fraction(1, 2) + Fraction(1, 4) + Fraction(1, 4) - 1),
        1 + (3 - 1) * (Fraction(1, 6) + Fraction(1, 4) + Fraction(5, 12) - 1),
        1 + (2 - 1) * (Fraction(1, 4) + Fraction(1, 4) - 1),
    ]
    value = sum(weight * clicks for weight, clicks in zip(weights, [1, 2, 1, 1], strict=True)) / 4
    assert pseudo_inverse(ten.log, ten.target).value == pytest.approx(float(value))


@pytest.mark.parametrize("top", [1, 2, 3, 4])
def test_pseudo_inverse_is_that_of_all_orders_and_numpy(top):
    size, random = 4, np.random.default_rng(top)
    scores = random.normal(size=size)
    target = ListPolicy.plackett_luce(scores, np.array([0, size])).placements
    orders = list(itertools.permutations(range(size)))

    def indicator(order):
        found = np.zeros((size, top))
        found[list(order[:top]), range(top)] = 1
        return found.ravel()

    gamma = np.mean([np.outer(indicator(order), indicator(order)) for order in orders], axis=0)
    clicks = random.random((len(orders), size))
    expected = [
        target[:, :top].ravel() @ np.linalg.pinv(gamma) @ indicator(order) * clicks[row, :top].sum()
        for row, order in enumerate(orders)
    ]
    starts = np.arange(len(orders) + 1) * size
    policy = ListPolicy(np.ones(len(orders) * size), np.concatenate([target[list(order)] for order in orders]))
    log = ListLog(clicks.ravel(), np.tile(1 / np.arange(size, 0, -1), len(orders)), starts, np.arange(len(orders)))
    assert pseudo_inverse(log, policy, top).value == pytest.approx(np.mean(expected), abs=1e-6)


def test_a_log_without_randomness_supports_the_position_based_one_alone(random_log):
    log, random = random_log
    scores = -np.tile(np.arange(8.0), 600)
    always = ListLog(log.reward, np.ones(4800), log.starts, log.clusters)
    logging = ListPolicy.ranking(scores, log.starts)
    target = ListPolicy.plackett_luce(random.normal(size=4800), log.starts)
    curve = np.arange(1.0, 9.0) ** -0.5
    with pytest.raises(
        DataError, match=r"in 33[56]\d\d of 38[34]\d\d pairs of item and position; log more random orders, or use"
    ):
        item_position(always, target, logging)
    for estimator in (slate, cascade):
        with pytest.raises(DataError, match="support is missing"):
            estimator(always, target)
    assert position_based(always, target, curve, logging).value == pytest.approx(
        position_based(always, target, curve).value
    )
    assert position_based(always, logging, curve).value == pytest.approx(log.reward.mean() * 8)


def test_places_nobody_looks_at_support_nothing(random_log):
    log, random = random_log
    target = ListPolicy.plackett_luce(random.normal(size=4800), log.starts)
    curve = np.array([1.0] * 7 + [0.0])
    with pytest.raises(DataError, match="the curve says that 600 of 4800 logged candidates were never looked at"):
        position_based(log, target, curve)


def test_a_policy_that_could_not_have_logged_the_lists_is_refused(random_log):
    log, random = random_log
    logging = ListPolicy.ranking(random.normal(size=4800), log.starts)
    with pytest.raises(DataError, match=r"places where the logging policy puts no item in \d+ of 4800 rows: 0 \(row"):
        item_position(log, logging, logging)


def test_targets_that_do_not_fit_the_log_are_refused(ten):
    given = ten.target.probability
    with pytest.raises(DataError, match="the placements of 10 candidates are unknown; a policy's whole distribution"):
        item_position(ten.log, ListPolicy(given, np.full((10, 3), np.nan)), ten.logging)
    with pytest.raises(DataError, match=r"placements have shape \(10, 2\) for 10 candidates in lists of up to 3"):
        item_position(ten.log, ListPolicy(given, np.ones((10, 2))), ten.logging)
    with pytest.raises(DataError, match=r"placements sum to 0\.9 at a position of 4 lists where 1 is expected"):
        pseudo_inverse(ten.log, ListPolicy(given, ten.target.placements * 0.9))
    with pytest.raises(DataError, match="the curve has 2 numbers for lists of up to 3; give one >= 0 per position"):
        position_based(ten.log, ten.target, CURVE[:2])
    with pytest.raises(DataError, match="the curve has 3 numbers for lists of up to 3; give one >= 0 per position"):
        position_based(ten.log, ten.target, -CURVE)


def test_pseudo_inverse_wants_random_orders(ten):
    log = ListLog(ten.log.reward, np.where(ten.log.propensity < 1, 0.4, 1.0), ten.log.starts, ten.log.clusters)
    with pytest.raises(
        DataError, match="not those of a uniformly random order in 6 of 10 rows: .* in random order only, or"
    ):
        pseudo_inverse(log, ten.target)


def test_top_counts_at_least_one_position(ten):
    with pytest.raises(SettingsError, match="top is 0, which counts no position; write 1 or more"):
        pseudo_inverse(ten.log, ten.target, top=0)
    with pytest.raises(SettingsError, match="top is -1"):
        position_based(ten.log, ten.target, CURVE, top=-1)
    with pytest.raises(SettingsError, match="top is 0"):
        item_position(ten.log, ten.target, ten.logging, top=0)
