import math
from fractions import Fraction

import numpy as np
import pytest

from recsys.errors import DataError, SettingsError
from recsys.offpolicy.actions import (
    ActionLog,
    Predictions,
    clipped_ips,
    direct_method,
    doubly_robust,
    ips,
    on_policy,
    snips,
    switch,
)

REWARD = [1, 0, 1, 0, 0, 1, 0, 1, 0, 0]
PROPENSITY = [
    Fraction(1, 2),
    Fraction(1, 2),
    Fraction(1, 4),
    Fraction(1, 4),
    Fraction(1, 2),
    Fraction(1, 5),
    Fraction(1, 2),
    Fraction(1, 4),
    Fraction(1, 2),
    Fraction(1, 5),
]
TARGET = [
    Fraction(1, 4),
    Fraction(3, 4),
    Fraction(1, 2),
    Fraction(1, 4),
    Fraction(1, 2),
    Fraction(3, 5),
    Fraction(1, 4),
    Fraction(0),
    Fraction(1, 2),
    Fraction(1, 5),
]
# weights: 1/2, 3/2, 2, 1, 1, 3, 1/2, 0, 1, 1, which sum to 23/2; their squares sum to 79/4
LOGGED = [Fraction(1, 2)] * 5 + [Fraction(1, 4)] * 5
EXPECTED = [Fraction(2, 5)] * 5 + [Fraction(1, 5)] * 5
EVERY = [ips, snips, lambda log: clipped_ips(log, 2.0), direct_method, doubly_robust, lambda log: switch(log, 2.0)]


def ten_rows(**changes):
    columns = {"reward": REWARD, "propensity": PROPENSITY, "target": TARGET} | changes
    predictions = Predictions(np.array(LOGGED, dtype=float), np.array(EXPECTED, dtype=float))
    columns = {name: np.array(column, dtype=float) for name, column in columns.items()}
    return ActionLog(**columns, clusters=np.arange(10), predictions=predictions)


def test_ips_of_ten_rows_by_hand():
    found = ips(ten_rows())
    assert found.value == pytest.approx(float((Fraction(1, 2) + 2 + 3 + 0) / 10))
    # squares of w r sum to 1/4 + 4 + 9; less 10 times the squared mean, over 10 * 9
    assert found.error == pytest.approx(math.sqrt((Fraction(53, 4) - 10 * Fraction(11, 20) ** 2) / 90))
    assert found.overlap.effective_size == pytest.approx(float(Fraction(23, 2) ** 2 / Fraction(79, 4)))
    assert (found.overlap.largest_weight, found.overlap.clipped) == (pytest.approx(3), 0)


def test_snips_of_ten_rows_by_hand():
    found = snips(ten_rows())
    assert found.value == pytest.approx(float(Fraction(11, 2) / Fraction(23, 2)))
    # (r - 11/23) is 12/23 where clicked, else -11/23; times w, squared, over (10 * mean w)^2 = (23/2)^2
    squares = Fraction(12, 23) ** 2 * (Fraction(1, 4) + 4 + 9) + Fraction(11, 23) ** 2 * (
        Fraction(9, 4) + 1 + 1 + Fraction(1, 4) + 1 + 1
    )
    assert found.error == pytest.approx(math.sqrt(Fraction(10, 9) * squares / Fraction(23, 2) ** 2))


def test_clipped_ips_of_ten_rows_by_hand():
    found = clipped_ips(ten_rows(), 2.0)
    assert found.name == "clipped IPS (w <= 2)"
    assert found.value == pytest.approx(float((Fraction(1, 2) + 2 + 2 + 0) / 10))
    assert found.overlap.clipped == pytest.approx(float(1 / Fraction(23, 2)))
    assert found.overlap.largest_weight == pytest.approx(2)
    assert found.overlap.effective_size == pytest.approx(float(Fraction(21, 2) ** 2 / (Fraction(79, 4) - 9 + 4)))


def test_direct_method_of_ten_rows_by_hand():
    found = direct_method(ten_rows())
    assert found.value == pytest.approx(float((5 * Fraction(2, 5) + 5 * Fraction(1, 5)) / 10))
    assert found.error == pytest.approx(math.sqrt(10 * Fraction(1, 10) ** 2 / 90))
    assert found.warnings == ("the interval leaves out how wrong the reward model may be",)
    assert math.isnan(found.overlap.largest_weight)


CORRECTIONS = [
    Fraction(1, 4),
    Fraction(-3, 4),
    Fraction(1),
    Fraction(-1, 2),
    Fraction(-1, 2),
    Fraction(9, 4),
    Fraction(-1, 8),
    Fraction(0),
    Fraction(-1, 4),
    Fraction(-1, 4),
]  # w (r - q)


def test_doubly_robust_of_ten_rows_by_hand():
    found = doubly_robust(ten_rows())
    assert found.value == pytest.approx(float(Fraction(3, 10) + sum(CORRECTIONS) / 10))
    values = [each + more for each, more in zip(EXPECTED, CORRECTIONS, strict=True)]
    squares = sum((value - Fraction(33, 80)) ** 2 for value in values)
    assert found.error == pytest.approx(math.sqrt(squares / 90))


def test_switch_of_ten_rows_by_hand():
    found = switch(ten_rows(), 2.0)
    assert found.name == "switch (w <= 2)"
    assert found.value == pytest.approx(
        float(Fraction(3, 10) + (sum(CORRECTIONS) - Fraction(9, 4)) / 10)
    )  # row 6 has w = 3
    assert found.overlap.clipped == pytest.approx(float(3 / Fraction(23, 2)))


def test_ceilings_above_every_weight_change_nothing():
    assert clipped_ips(ten_rows(), 3.0).value == pytest.approx(ips(ten_rows()).value)
    assert switch(ten_rows(), 3.0).value == pytest.approx(doubly_robust(ten_rows()).value)


@pytest.mark.parametrize("estimator", EVERY)
def test_the_order_of_the_rows_does_not_matter(estimator):
    log, order = ten_rows(), np.random.default_rng(0).permutation(10)
    predictions = Predictions(log.predictions.logged[order], log.predictions.expected[order])
    other = ActionLog(log.reward[order], log.propensity[order], log.target[order], log.clusters[order], predictions)
    assert estimator(other).value == pytest.approx(estimator(log).value)
    assert estimator(other).low == pytest.approx(estimator(log).low)


def draw(random, users=150):
    """A log of a policy that prefers action 0; the target prefers action 2. Users differ, and each chooses four times."""
    clusters = np.repeat(np.arange(users), 4)
    logging, target = np.array([0.5, 0.3, 0.2]), np.array([0.1, 0.3, 0.6])
    action = random.choice(3, size=len(clusters), p=logging)
    taste = np.clip(0.3 + random.normal(0, 0.15, users), 0, 0.6)[clusters]
    chance = taste + np.array([0.0, 0.1, 0.2])[action]
    reward = (random.random(len(clusters)) < chance).astype(float)
    guess = np.array([0.2, 0.5, 0.6])  # a wrong reward model
    predictions = Predictions(guess[action], np.full(len(clusters), guess @ target))
    return ActionLog(reward, logging[action], target[action], clusters, predictions)


def test_intervals_of_unbiased_estimators_hold_the_truth():
    random = np.random.default_rng(4)
    taste = np.clip(0.3 + random.normal(0, 0.15, 2_000_000), 0, 0.6).mean()
    truth = taste + 0.3 * 0.1 + 0.6 * 0.2
    held = dict.fromkeys((ips, snips, doubly_robust), 0)
    for _ in range(600):
        log = draw(random)
        for estimator in held:
            found = estimator(log)
            held[estimator] += found.low <= truth <= found.high
    for estimator, count in held.items():
        assert 0.925 <= count / 600 <= 0.97, estimator.__name__


def test_rows_taken_for_independent_promise_too_much():
    random = np.random.default_rng(5)
    held = {"by user": 0, "by row": 0}
    for _ in range(300):
        values = np.repeat(random.normal(0.5, 0.2, 60), 5)
        for name, clusters in (("by user", np.repeat(np.arange(60), 5)), ("by row", np.arange(300))):
            found = on_policy(values, clusters)
            held[name] += found.low <= 0.5 <= found.high
    assert 0.91 <= held["by user"] / 300 <= 0.985
    assert held["by row"] / 300 < 0.75


def exact(predictions=None):
    """Every action as often as the logging policy takes it, its reward the expected one: no noise, so bias shows."""
    action = np.repeat([0, 1, 2], [50, 40, 10])
    logging, target, reward = (np.array(of)[action] for of in ([0.5, 0.4, 0.1], [0.1, 0.2, 0.7], [0.1, 0.3, 0.6]))
    return ActionLog(reward, logging, target, np.arange(100), predictions and predictions(action))


def test_without_noise_the_unbiased_ones_are_right_and_the_biased_ones_off_as_they_say():
    truth = 0.1 * 0.1 + 0.2 * 0.3 + 0.7 * 0.6
    log = exact(lambda action: Predictions(np.array([0.2, 0.2, 0.5])[action], np.full(100, 0.02 + 0.04 + 0.35)))
    assert ips(log).value == pytest.approx(truth)
    assert snips(log).value == pytest.approx(truth)
    assert doubly_robust(log).value == pytest.approx(truth)
    assert direct_method(log).value == pytest.approx(0.41)
    assert clipped_ips(log, 2.0).value == pytest.approx(0.1 * 0.1 + 0.2 * 0.3 + 0.1 * 2 * 0.6)  # weights 1/5, 1/2, 7
    # the model is believed for the action of weight 7: off by its target probability times the model's error there
    assert switch(log, 2.0).value == pytest.approx(truth - 0.7 * (0.6 - 0.5))


def test_doubly_robust_forgives_wrong_propensities_when_the_model_is_right():
    right = exact(lambda action: Predictions(np.array([0.1, 0.3, 0.6])[action], np.full(100, 0.49)))
    wrong = ActionLog(right.reward, right.propensity * 0.95, right.target, right.clusters, right.predictions)
    assert doubly_robust(wrong).value == pytest.approx(0.49)
    assert ips(wrong).value == pytest.approx(0.49 / 0.95)


def test_snips_keeps_to_the_range_of_rewards_and_moves_with_them():
    log = ten_rows()
    shifted = ten_rows(reward=[value + 5 for value in REWARD])
    assert snips(shifted).value == pytest.approx(snips(log).value + 5)
    assert 0 <= snips(log).value <= 1


def test_a_target_policy_outside_the_log_is_refused():
    rows = 400
    logged = {"reward": np.zeros(rows), "clusters": np.arange(rows)}
    always = np.ones(rows)  # the log always takes one action ...
    half = ActionLog(propensity=always, target=np.full(rows, 0.5), **logged)  # ... which the target takes half the time
    never = ActionLog(propensity=always, target=np.zeros(rows), **logged)
    for estimator in (ips, snips, lambda log: clipped_ips(log, 5.0)):
        with pytest.raises(DataError, match=r"support is missing or propensities are wrong: the weights average 0\.5"):
            estimator(half)
        with pytest.raises(DataError, match="support is missing: the target policy agrees with so little of the log"):
            estimator(never)


def test_estimators_without_a_reward_model_say_what_they_need():
    log = exact()
    for estimator, name in [(direct_method, "the direct method"), (doubly_robust, "doubly robust")]:
        with pytest.raises(DataError, match=f"{name} needs a reward model and the log has no predictions; pass those"):
            estimator(log)
    with pytest.raises(DataError, match="switch needs a reward model"):
        switch(log, 2.0)


@pytest.mark.parametrize("ceiling", [0.0, -1.0, math.nan])
def test_a_ceiling_that_leaves_no_weight_is_refused(ceiling):
    for estimator in (clipped_ips, switch):
        with pytest.raises(SettingsError, match="which leaves no weight; write a number above 0"):
            estimator(ten_rows(), ceiling)


def test_logs_that_make_no_sense_are_refused():
    one = np.ones(1)
    with pytest.raises(DataError, match="the log holds no row"):
        ActionLog(np.empty(0), np.empty(0), np.empty(0), np.empty(0, dtype=int))
    with pytest.raises(DataError, match="propensity has 1 values for 2 rows; give one per row"):
        ActionLog(np.ones(2), one, np.ones(2), np.arange(2))
    with pytest.raises(DataError, match="expected predictions has 2 values for 1 rows"):
        ActionLog(one, one, one, np.arange(1), Predictions(one, np.ones(2)))
    with pytest.raises(DataError, match=r"rewards that are not finite in 1 of 1 rows: nan \(row 1\)"):
        ActionLog(one * np.nan, one, one, np.arange(1))
    with pytest.raises(DataError, match=r"predictions that are not finite in 1 of 1 rows: inf"):
        ActionLog(one, one, one, np.arange(1), Predictions(one * np.inf, one))
    with pytest.raises(DataError, match="expected prediction under the target policy is unknown .*use IPS or SNIPS"):
        ActionLog(one, one, one, np.arange(1), Predictions(one, one * np.nan))


def test_a_mean_of_nothing_or_of_no_numbers_is_refused():
    with pytest.raises(DataError, match="there is no reward; a policy is valued by the rows that it logged"):
        on_policy(np.empty(0), np.empty(0, np.int64))
    with pytest.raises(DataError, match=r"rewards that are not finite in 1 of 2 rows: nan \(row 2\); give every row"):
        on_policy(np.array([1.0, np.nan]), np.arange(2))
