import itertools
import math
from fractions import Fraction

import numpy as np
import polars as pl
import pytest

from recsys.errors import DataError, SettingsError
from recsys.evaluation.offpolicy.lists import (
    ListLog,
    cascade,
    cascade_doubly_robust,
    cascade_normalised,
    item_position,
    position_based,
    pseudo_inverse,
    read_lists,
    slate,
)
from recsys.evaluation.offpolicy.policies import ListPolicy, expected_next

CURVE = np.array([1.0, 0.5, 0.25])


def floats(values):
    return np.array(values, dtype=float)


# Ten rows: lists of 2, 3, 3 and 2 candidates, logged in uniformly random order.
STARTS = np.array([0, 2, 5, 8, 10])
CLICKS = [1, 0, 0, 1, 1, 1, 0, 0, 0, 1]
UNIFORM = [Fraction(1, 2), 1, Fraction(1, 3), Fraction(1, 2), 1, Fraction(1, 3), Fraction(1, 2), 1, Fraction(1, 2), 1]
GIVEN_ABOVE = [
    Fraction(3, 4),
    1,
    Fraction(1, 2),
    Fraction(1, 4),
    1,
    Fraction(1, 6),
    Fraction(3, 4),
    1,
    Fraction(1, 4),
    1,
]
# products of w down to each place: 3/2 3/2, 3/2 3/4 3/4, 1/2 3/4 3/4, 1/2 1/2
PLACEMENTS = [
    [Fraction(3, 4), Fraction(1, 4), 0],
    [Fraction(1, 4), Fraction(3, 4), 0],
    [Fraction(1, 2), Fraction(1, 4), Fraction(1, 4)],
    [Fraction(1, 4), Fraction(1, 4), Fraction(1, 2)],
    [Fraction(1, 4), Fraction(1, 2), Fraction(1, 4)],
    [Fraction(1, 6), Fraction(1, 2), Fraction(1, 3)],
    [Fraction(1, 2), Fraction(1, 4), Fraction(1, 4)],
    [Fraction(1, 3), Fraction(1, 4), Fraction(5, 12)],
    [Fraction(1, 4), Fraction(3, 4), 0],
    [Fraction(3, 4), Fraction(1, 4), 0],
]
LOG = ListLog(floats(CLICKS), floats(UNIFORM), STARTS, np.arange(4))
TARGET = ListPolicy(floats(GIVEN_ABOVE), floats(PLACEMENTS))
LOGGING = ListPolicy.plackett_luce(np.zeros(10), STARTS)


def test_slate_of_ten_rows_by_hand():
    assert slate(LOG, TARGET).value == pytest.approx(
        float((Fraction(3, 2) * 1 + Fraction(3, 4) * 2 + Fraction(3, 4) * 1 + Fraction(1, 2) * 1) / 4)
    )
    assert slate(LOG, TARGET, top=1).value == pytest.approx(
        float((Fraction(3, 2) * 1 + 0 + Fraction(1, 2) * 1 + 0) / 4)
    )
    assert slate(LOG, TARGET, top=2).value == pytest.approx(
        float((Fraction(3, 2) + Fraction(3, 4) + Fraction(3, 4) + Fraction(1, 2)) / 4)
    )
    assert slate(LOG, TARGET, top=9).value == slate(LOG, TARGET).value


def test_cascade_of_ten_rows_by_hand():
    found = cascade(LOG, TARGET)
    assert found.value == pytest.approx(
        float((Fraction(3, 2) + (Fraction(3, 4) + Fraction(3, 4)) + Fraction(1, 2) + Fraction(1, 2)) / 4)
    )
    assert cascade(LOG, TARGET, top=2).value == pytest.approx(
        float((Fraction(3, 2) + Fraction(3, 4) + Fraction(1, 2) + Fraction(1, 2)) / 4)
    )
    assert found.error == pytest.approx(
        math.sqrt((Fraction(1, 4) + Fraction(1, 4) + Fraction(1, 4) + Fraction(1, 4)) / (4 * 3))
    )  # means of 1


def test_normalised_cascade_of_ten_rows_by_hand():
    first = (Fraction(3, 2) + Fraction(1, 2)) / (Fraction(3, 2) + Fraction(3, 2) + Fraction(1, 2) + Fraction(1, 2))
    second = (Fraction(3, 4) + Fraction(1, 2)) / (Fraction(3, 2) + Fraction(3, 4) + Fraction(3, 4) + Fraction(1, 2))
    third = Fraction(3, 4) / (Fraction(3, 4) + Fraction(3, 4))  # a place that two of the four lists have
    assert cascade_normalised(LOG, TARGET).value == pytest.approx(float(first + second + third / 2))
    assert cascade_normalised(LOG, TARGET, top=2).value == pytest.approx(float(first + second))


def test_doubly_robust_cascade_of_ten_rows_by_hand():
    q, d = (
        [Fraction(1, 2), Fraction(1, 4), Fraction(1, 8)],
        [Fraction(2, 5), Fraction(1, 5), Fraction(1, 10)],
    )  # by place
    predicted, expected = ([values[place] for place in (0, 1, 0, 1, 2, 0, 1, 2, 0, 1)] for values in (q, d))
    found = cascade_doubly_robust(LOG, TARGET, floats(predicted), floats(expected))
    lists = [
        d[0] + Fraction(3, 2) * (1 - q[0]) + Fraction(3, 2) * d[1] + Fraction(3, 2) * (0 - q[1]),
        d[0]
        + Fraction(3, 2) * (0 - q[0])
        + Fraction(3, 2) * d[1]
        + Fraction(3, 4) * (1 - q[1])
        + Fraction(3, 4) * d[2]
        + Fraction(3, 4) * (1 - q[2]),
        d[0]
        + Fraction(1, 2) * (1 - q[0])
        + Fraction(1, 2) * d[1]
        + Fraction(3, 4) * (0 - q[1])
        + Fraction(3, 4) * d[2]
        + Fraction(3, 4) * (0 - q[2]),
        d[0] + Fraction(1, 2) * (0 - q[0]) + Fraction(1, 2) * d[1] + Fraction(1, 2) * (1 - q[1]),
    ]
    assert found.value == pytest.approx(float(sum(lists) / 4))


def test_item_position_of_ten_rows_by_hand():
    clicked = [
        Fraction(3, 4) / Fraction(1, 2),
        Fraction(1, 4) / Fraction(1, 3),
        Fraction(1, 4) / Fraction(1, 3),
        Fraction(1, 6) / Fraction(1, 3),
        Fraction(1, 4) / Fraction(1, 2),
    ]
    assert item_position(LOG, TARGET, LOGGING).value == pytest.approx(float(sum(clicked) / 4))
    clicked.pop(2)  # at the third place
    assert item_position(LOG, TARGET, LOGGING, top=2).value == pytest.approx(float(sum(clicked) / 4))


def looked_at(placements):
    return placements[0] * 1 + placements[1] * Fraction(1, 2) + placements[2] * Fraction(1, 4)


def test_position_based_of_ten_rows_by_hand():
    clicked = {
        0: Fraction(3, 4),
        3: Fraction(7, 12),
        4: Fraction(7, 12),
        5: Fraction(7, 12),
        9: Fraction(3, 4),
    }  # looked at on average in random order
    by_average = sum(looked_at(PLACEMENTS[row]) / seen for row, seen in clicked.items()) / 4
    assert position_based(LOG, TARGET, CURVE, LOGGING).value == pytest.approx(float(by_average))
    places = {0: 1, 3: Fraction(1, 2), 4: Fraction(1, 4), 5: 1, 9: Fraction(1, 2)}
    by_place = sum(looked_at(PLACEMENTS[row]) / seen for row, seen in places.items()) / 4
    assert position_based(LOG, TARGET, CURVE).value == pytest.approx(float(by_place))
    first = sum(PLACEMENTS[row][0] / seen for row, seen in places.items()) / 4
    assert position_based(LOG, TARGET, CURVE, top=1).value == pytest.approx(float(first))


def test_pseudo_inverse_of_ten_rows_by_hand():
    weights = [
        1 + (2 - 1) * (Fraction(3, 4) + Fraction(3, 4) - 1),
        1 + (3 - 1) * (Fraction(1, 2) + Fraction(1, 4) + Fraction(1, 4) - 1),
        1 + (3 - 1) * (Fraction(1, 6) + Fraction(1, 4) + Fraction(5, 12) - 1),
        1 + (2 - 1) * (Fraction(1, 4) + Fraction(1, 4) - 1),
    ]
    value = sum(weight * clicks for weight, clicks in zip(weights, [1, 2, 1, 1], strict=True)) / 4
    assert pseudo_inverse(LOG, TARGET).value == pytest.approx(float(value))


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


CHANCE = np.array([0.3, 0.6, 0.9])
ORDERS = list(itertools.permutations(range(3)))
TARGET_SCORES = np.array([0.5, -0.3, 0.8])


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


def random_log(lists=600, seed=0):
    random = np.random.default_rng(seed)
    starts = np.arange(lists + 1) * 8
    clicks = (random.random(lists * 8) < 0.2).astype(float)
    return ListLog(clicks, np.tile(1 / np.arange(8.0, 0, -1), lists), starts, np.arange(lists)), random


def test_a_fixed_order_has_no_support_in_single_lists():
    log, random = random_log()
    target = ListPolicy.ranking(random.normal(size=len(log.reward)), log.starts)
    for estimator in (slate, cascade, cascade_normalised):
        with pytest.raises(
            DataError, match=r"600 logged choices are worth [\d.]+ \(effective sample size; 6 are needed\)"
        ):
            estimator(log, target)
    found = slate(log, target, top=1)  # one place of eight: one list in eight agrees
    assert found.overlap.effective_size == pytest.approx(75, abs=25)
    assert found.overlap.largest_weight == 8
    assert found.warnings[0].startswith("effective sample size ")


def test_a_log_without_randomness_supports_the_position_based_one_alone():
    log, random = random_log()
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


def test_places_nobody_looks_at_support_nothing():
    log, random = random_log()
    target = ListPolicy.plackett_luce(random.normal(size=4800), log.starts)
    curve = np.array([1.0] * 7 + [0.0])
    with pytest.raises(DataError, match="the curve says that 600 of 4800 logged candidates were never looked at"):
        position_based(log, target, curve)


def test_a_policy_that_could_not_have_logged_the_lists_is_refused():
    log, random = random_log()
    logging = ListPolicy.ranking(random.normal(size=4800), log.starts)
    with pytest.raises(DataError, match=r"places where the logging policy puts no item in \d+ of 4800 rows: 0 \(row"):
        item_position(log, logging, logging)


def test_the_same_policy_earns_what_was_logged():
    log, _ = random_log()
    same = ListPolicy.plackett_luce(np.zeros(4800), log.starts)
    curve = np.arange(1.0, 9.0) ** -0.5
    mean = log.reward.sum() / 600
    found = [slate(log, same), cascade(log, same), cascade_normalised(log, same), item_position(log, same, same)]
    for each in [*found, position_based(log, same, curve, same), pseudo_inverse(log, same)]:
        assert each.value == pytest.approx(mean, rel=1e-5)
        assert each.warnings == ()
        assert each.overlap.effective_size == pytest.approx(600)


def table():
    return pl.DataFrame(
        {
            "request_id": ["b", "a", "b", "a", "a"],
            "user_id": [5, 9, 5, 9, 9],
            "position": [2, 3, 1, 1, 2],
            "label": [0, 1, 3, 0, 0],
            "propensity": [1.0, 1.0, 0.5, 0.25, 0.75],
        }
    )


def test_a_table_becomes_lists_whatever_the_order_of_its_rows():
    log, rows = read_lists(table())
    assert rows.tolist() == [3, 4, 1, 2, 0]
    assert log.reward.tolist() == [0, 0, 1, 1, 0]
    assert log.propensity.tolist() == [0.25, 0.75, 1.0, 0.5, 1.0]
    assert (log.starts.tolist(), log.clusters.tolist(), log.position.tolist()) == ([0, 3, 5], [1, 0], [1, 2, 3, 1, 2])


@pytest.mark.parametrize("positions", [[2, 3, 1, 2, 2], [2, 4, 1, 1, 2], [1, 3, 0, 1, 2], [None, 3, 1, 1, 2]])
def test_lists_with_gaps_or_repeated_places_are_refused(positions):
    with pytest.raises(
        DataError, match=r"the positions of 1 lists are not 1, 2, 3, \.\.\. without a gap, such as those of"
    ):
        read_lists(table().with_columns(position=pl.Series(positions)))


def test_tables_and_arrays_that_make_no_sense_are_refused():
    with pytest.raises(DataError, match="requests have no column position; off-policy estimates need what was logged"):
        read_lists(table().drop("position"))
    with pytest.raises(DataError, match=r"the logging propensity is missing in 1 of 5 rows"):
        read_lists(table().with_columns(propensity=pl.Series([1.0, 1.0, 0.5, None, 0.75])))
    with pytest.raises(DataError, match=r"propensities outside \(0, 1\] in 2 of 5 rows: 1\.2 \(row 2\), 0 \(row 4\)"):
        read_lists(table().with_columns(propensity=pl.Series([1.0, 1.0, 0.0, 0.5, 1.2])))
    with pytest.raises(DataError, match="the log holds no list or an empty one"):
        read_lists(table().clear())
    two = np.ones(2)
    with pytest.raises(DataError, match="reward has 2 values for 3 candidates; give one per candidate"):
        ListLog(two, np.ones(3), np.array([0, 3]), np.zeros(1, dtype=int))
    with pytest.raises(DataError, match="clusters has 2 values for 1 lists"):
        ListLog(two, two, np.array([0, 2]), np.zeros(2, dtype=int))
    with pytest.raises(DataError, match="rewards that are not finite"):
        ListLog(two * np.nan, two, np.array([0, 2]), np.zeros(1, dtype=int))


def test_targets_that_do_not_fit_the_log_are_refused():
    with pytest.raises(DataError, match="the target policy has 3 probabilities for 10 logged candidates; give one"):
        slate(LOG, ListPolicy(np.ones(3), floats(PLACEMENTS)))
    unknown = ListPolicy(np.full(10, np.nan), np.full((10, 3), np.nan))
    with pytest.raises(DataError, match="the logged choice is unknown in 10 of 10 rows"):
        cascade(LOG, unknown)
    with pytest.raises(DataError, match="the placements of 10 candidates are unknown; a policy's whole distribution"):
        item_position(LOG, unknown, LOGGING)
    with pytest.raises(DataError, match=r"placements have shape \(10, 2\) for 10 candidates in lists of up to 3"):
        item_position(LOG, ListPolicy(floats(GIVEN_ABOVE), np.ones((10, 2))), LOGGING)
    short = ListPolicy(floats(GIVEN_ABOVE), floats(PLACEMENTS) * 0.9)
    with pytest.raises(DataError, match=r"placements sum to 0\.9 at a position of 4 lists where 1 is expected"):
        pseudo_inverse(LOG, short)
    with pytest.raises(DataError, match="the curve has 2 numbers for lists of up to 3; give one >= 0 per position"):
        position_based(LOG, TARGET, CURVE[:2])
    with pytest.raises(DataError, match="predictions that are not finite in 10 of 10 rows"):
        cascade_doubly_robust(LOG, TARGET, np.full(10, np.nan), np.ones(10))


def test_pseudo_inverse_wants_random_orders():
    log, target, *_ = every_order((1, 2, 3), by_position)
    with pytest.raises(
        DataError, match="not those of a uniformly random order in .* shown in random order only, or use"
    ):
        pseudo_inverse(log, target)


def test_top_counts_at_least_one_position():
    for estimate in (slate, cascade, cascade_normalised, pseudo_inverse):
        with pytest.raises(SettingsError, match="top is 0, which counts no position; write 1 or more"):
            estimate(LOG, TARGET, top=0)
    with pytest.raises(SettingsError, match="top is -1"):
        position_based(LOG, TARGET, CURVE, top=-1)
    with pytest.raises(SettingsError, match="top is 0"):
        item_position(LOG, TARGET, LOGGING, top=0)
