import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from recsys.errors import DataError
from recsys.offpolicy.estimate import (
    Overlap,
    check_probabilities,
    clustered_error,
    difference,
    effective_size,
    from_influence,
    from_values,
    overlap_of,
)

FINE = Overlap(100.0, 1.0)


def test_one_row_per_cluster_gives_the_usual_interval_of_a_mean():
    values = np.random.default_rng(0).gamma(1.0, size=40)
    found = from_values("mean", values, np.arange(40), FINE)
    expected = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    assert (found.value, found.low, found.high) == pytest.approx((values.mean(), expected.low, expected.high))
    assert found.error == pytest.approx(stats.sem(values))
    assert (found.interval.mean, found.interval.low, found.interval.high) == (found.value, found.low, found.high)


@given(st.lists(st.tuples(st.integers(0, 4), st.floats(-9, 9)), min_size=2, max_size=30))
def test_clustered_error_is_that_of_a_plain_loop(rows):
    clusters, influence = np.array([cluster for cluster, _ in rows]), np.array([value for _, value in rows])
    totals = [sum(value for of, value in rows if of == cluster) for cluster in set(clusters.tolist())]
    found = clustered_error(influence, clusters)
    if len(totals) == 1:
        assert math.isnan(found)
    else:
        spread = len(totals) / (len(totals) - 1) * sum(total**2 for total in totals)
        assert found == pytest.approx(math.sqrt(spread) / len(rows))


def test_rows_that_repeat_within_a_cluster_say_nothing_new():
    values = np.random.default_rng(1).normal(size=30)
    once = from_values("mean", values, np.arange(30), FINE)
    thrice = from_values("mean", np.repeat(values, 3), np.repeat(np.arange(30), 3), FINE)
    assert (thrice.low, thrice.high) == pytest.approx((once.low, once.high))
    assert thrice.clusters == 30


def test_one_cluster_has_a_value_and_no_interval():
    found = from_influence("mean", 0.3, np.array([0.1, -0.1]), np.array([7, 7]), FINE)
    assert found.value == 0.3
    assert all(math.isnan(each) for each in (found.error, found.low, found.high))
    assert math.isnan(difference(found, found).low)


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=20), st.floats(0.1, 10))
def test_effective_size_counts_equal_weights_whatever_their_scale(weights, scale):
    weights = np.array(weights)
    found = effective_size(weights)
    assert 1 - 1e-9 <= found <= len(weights) + 1e-9
    assert effective_size(scale * weights) == pytest.approx(found)
    assert effective_size(np.full(len(weights), scale)) == pytest.approx(len(weights))


def test_no_weight_has_no_effective_size():
    assert effective_size(np.zeros(3)) == 0.0


def test_a_difference_of_independent_estimates_holds_the_true_one():
    random = np.random.default_rng(2)
    held = 0
    for _ in range(400):
        a, b = (from_values("x", random.exponential(scale, 60), np.arange(60), FINE) for scale in (1.0, 1.5))
        found = difference(a, b)
        assert found.mean == pytest.approx(b.value - a.value)
        held += found.low <= 0.5 <= found.high
    assert 0.92 <= held / 400 <= 0.98


def test_few_effective_rows_and_heavy_weights_are_told():
    weights = np.ones(200)
    weights[:3] = 20.0
    found = overlap_of(weights, weights / weights.mean(), np.arange(200))
    assert found.effective_size == pytest.approx(257**2 / (197 + 1200))
    assert found.largest_weight == 20.0
    assert found.warnings == (
        "effective sample size 47 of 200: the interval may be too narrow",
        "one weight of 20 makes up 8% of all weight",
    )
    assert overlap_of(np.ones(200), np.ones(200), np.arange(200)).warnings == ()


def test_much_weight_cut_off_is_told():
    weights = np.tile([0.5, 1.5], 200)
    assert overlap_of(np.minimum(weights, 1.45), weights, np.arange(400)).warnings == ()
    found = overlap_of(np.minimum(weights, 1.0), weights, np.arange(400))
    assert found.clipped == pytest.approx(0.25)
    assert found.warnings == ("25% of all weight was cut off: the value is biased by what came with it",)


def test_weights_that_do_not_average_one_are_told_or_refused():
    random = np.random.default_rng(3)
    slightly = 1.05 + random.normal(0, 0.1, 400)
    (warning,) = overlap_of(slightly, slightly, np.arange(400)).warnings
    assert warning.startswith("the weights average 1.05 (standard error 0.005")
    assert overlap_of(np.full(400, 1.0005), np.full(400, 1.0005), np.arange(400)).warnings == ()
    with pytest.raises(
        DataError, match=r"the weights average 0\.8 \(standard error 0\) where 1 is expected; compare the"
    ):
        overlap_of(np.full(400, 0.8), np.full(400, 0.8), np.arange(400))
    with pytest.raises(DataError, match=r"support is missing or propensities are wrong: the weights average 1\.3"):
        overlap_of(np.full(400, 1.3), np.full(400, 1.3), np.arange(400))


@pytest.mark.parametrize(
    ("rows", "matching", "refused"),
    [(10, 1, True), (10, 2, False), (1000, 9, True), (1000, 11, False), (9000, 29, True), (9000, 31, False)],
)
def test_a_log_worth_a_handful_of_rows_is_refused(rows, matching, refused):
    weights = np.zeros(rows)
    weights[:matching] = rows / matching
    if refused:
        with pytest.raises(
            DataError, match=f"{rows} logged choices are worth {matching} .*take an estimator that assumes"
        ):
            overlap_of(weights, weights, np.arange(rows))
    else:
        assert overlap_of(weights, weights, np.arange(rows)).effective_size == pytest.approx(matching)


@pytest.mark.parametrize(
    ("propensity", "target", "message"),
    [
        ([0.5, 0.0], [0.5, 0.5], r"choose what has logging propensity 0 in 1 of 2 rows: 0 \(row 2\); give the target"),
        ([0.5, 0.0], [0.5, 0.0], r"propensities outside \(0, 1\] in 1 of 2 rows: 0 \(row 2\); log the probability"),
        ([1.5, -0.1], [0.5, 0.5], r"outside \(0, 1\] in 2 of 2 rows: 1\.5 \(row 1\), -0\.1 \(row 2\)"),
        ([np.inf, 0.1], [0.5, 0.5], r"outside \(0, 1\] in 1 of 2 rows: inf \(row 1\)"),
        (
            [np.nan, 0.1],
            [0.5, 0.5],
            r"support is unknown: the logging propensity is missing in 1 of 2 rows: nan \(row 1\)",
        ),
        ([0.5, 0.5], [np.nan, 0.5], r"choice is unknown in 1 of 2 rows: .*holds no full action distribution"),
        (
            [0.5, 0.5],
            [1.1, -0.2],
            r"target probabilities outside \[0, 1\] in 2 of 2 rows: 1\.1 \(row 1\), -0\.2 \(row 2\)",
        ),
    ],
)
def test_probabilities_that_no_policy_has_are_refused(propensity, target, message):
    with pytest.raises(DataError, match=message):
        check_probabilities(np.array(propensity), np.array(target))
    check_probabilities(np.array([1.0, 1e-9]), np.array([0.0, 1.0]))


def test_only_three_examples_are_shown():
    with pytest.raises(DataError, match=r"in 5 of 5 rows: 2 \(row 1\), 2 \(row 2\), 2 \(row 3\); log"):
        check_probabilities(np.full(5, 2.0), np.ones(5))
