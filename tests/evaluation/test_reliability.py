import doctest
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, log_loss

from recsys.errors import DataError, SettingsError
from recsys.evaluation import reliability as module
from recsys.evaluation.reliability import Bin, list_reliability, reliability


def clicks(candidates=1000, seed=0):
    random = np.random.default_rng(seed)
    probabilities = random.permutation(np.arange(1, candidates + 1) / (candidates + 1))
    return (random.random(candidates) < probabilities**2).astype(np.int64), probabilities


def test_bins_and_scores_equal_scikit_learn():
    labels, probabilities = clicks()
    found = reliability(labels, probabilities)
    observed, predicted = calibration_curve(labels, probabilities, n_bins=10, strategy="quantile")
    assert [one.observed for one in found.bins] == pytest.approx(observed, abs=1e-12)
    assert [one.predicted for one in found.bins] == pytest.approx(predicted, abs=1e-12)
    assert {one.count for one in found.bins} == {100}
    assert found.calibration_error == pytest.approx(np.abs(observed - predicted).mean(), abs=1e-12)
    assert found.brier == pytest.approx(brier_score_loss(labels, probabilities), abs=1e-12)
    assert found.log_loss == pytest.approx(log_loss(labels, probabilities), abs=1e-12)


outcomes = st.lists(st.tuples(st.integers(0, 2), st.sampled_from([0.1, 0.25, 0.5, 0.9])), min_size=1, max_size=20)


@given(outcomes, st.integers(1, 6))
def test_equal_probabilities_stay_together_and_bins_are_as_even_as_that_allows(rows, bins):
    labels, probabilities = (np.array(column) for column in zip(*rows, strict=True))
    groups = {}
    for label, probability in rows:
        lower = sum(other < probability for _, other in rows)
        groups.setdefault(math.floor(lower * bins / len(rows)), []).append((probability, label > 0))
    found = reliability(labels, probabilities, bins)
    means = [np.mean(groups[group], axis=0) for group in sorted(groups)]
    assert [(one.predicted, one.observed) for one in found.bins] == [pytest.approx(mean, abs=1e-12) for mean in means]
    assert [one.count for one in found.bins] == [len(groups[group]) for group in sorted(groups)]
    apart = sum(len(groups[group]) * abs(mean[0] - mean[1]) for group, mean in zip(sorted(groups), means, strict=True))
    assert found.calibration_error == pytest.approx(apart / len(rows), abs=1e-12)


def test_one_probability_for_all_is_one_bin():
    assert reliability(np.array([0, 1, 0, 0]), np.full(4, 0.5)).bins == (Bin(0.5, 0.25, 4),)


def test_grades_above_zero_are_clicks():
    labels, probabilities = clicks()
    assert reliability(3 * labels, probabilities) == reliability(labels, probabilities)


def test_certainty_that_holds_costs_nothing():
    found = reliability(np.array([0, 1]), np.array([0.0, 1.0]))
    assert (found.calibration_error, found.brier, found.log_loss) == (0.0, 0.0, 0.0)


def test_certainty_that_fails_costs_infinitely_and_is_null_in_json():
    found = reliability(np.array([1, 1]), np.array([0.0, 1.0]))
    assert found.log_loss == math.inf
    assert json.loads(json.dumps(found.to_json(), allow_nan=False)) == {
        "bins": [{"predicted": 0.0, "observed": 1.0, "count": 1}, {"predicted": 1.0, "observed": 1.0, "count": 1}],
        "calibration_error": 0.5,
        "by_chance": 0.0,
        "brier": 0.5,
        "log_loss": None,
    }


@pytest.mark.parametrize("wrong", [-0.1, 1.5, np.nan])
def test_what_is_no_probability_is_refused(wrong):
    with pytest.raises(
        DataError, match=rf"1 of 2 click probabilities are not from 0 to 1, such as \[{wrong}\]; give cal"
    ):
        reliability(np.array([0, 1]), np.array([0.5, wrong]))


@pytest.mark.parametrize(("labels", "probabilities"), [(0, 0), (2, 1)])
def test_a_probability_for_each_label_is_needed(labels, probabilities):
    with pytest.raises(DataError, match=f"there are {probabilities} click probabilities for {labels} labels; give one"):
        reliability(np.zeros(labels, dtype=np.int64), np.full(probabilities, 0.5))


def test_at_least_one_bin_is_needed():
    with pytest.raises(SettingsError, match="bins is 0, which compares nothing; write 10"):
        reliability(np.array([0]), np.array([0.5]), bins=0)


def exact(candidates, seed):
    random = np.random.default_rng(seed)
    probabilities = random.random(candidates) ** 2
    return (random.random(candidates) < probabilities).astype(np.int64), probabilities


def test_exact_probabilities_stay_within_what_chance_does_nineteen_times_of_twenty():
    found = [reliability(*exact(500, seed)) for seed in range(400)]
    within = np.mean([one.calibration_error <= one.by_chance for one in found])
    assert 0.92 < within < 0.98


def test_probabilities_that_are_off_by_more_than_chance_show_it():
    labels, probabilities = exact(20_000, 1)
    found = reliability(labels, 0.9 * probabilities)
    assert found.calibration_error > 1.5 * found.by_chance


def test_draws_have_a_seed():
    of = exact(300, 2)
    assert reliability(*of, seed=5) == reliability(*of, seed=5)
    assert reliability(*of, seed=5).by_chance != reliability(*of, seed=6).by_chance


def test_lists_are_judged_by_their_size_and_without_those_that_no_probability_is_given_for():
    lengths = np.array([4, 5, 6, 7, 10, 11, 20, 21, 300, 2])
    starts = np.concatenate([[0], np.cumsum(lengths)])
    labels, probabilities = exact(starts[-1], 3)
    probabilities[starts[4] : starts[5]] = np.nan
    found = list_reliability(labels, probabilities, starts, seed=7)
    lists = {"up to 4": [0, 9], "5 to 6": [1, 2], "7 to 10": [3], "11 to 20": [5, 6], "more than 20": [7, 8]}
    assert list(found.by_size) == list(lists)
    for band, chosen in lists.items():
        rows = np.concatenate([np.arange(starts[each], starts[each + 1]) for each in chosen])
        assert found.by_size[band] == reliability(labels[rows], probabilities[rows], seed=7)
    given = ~np.isnan(probabilities)
    assert found.unknown == 10
    assert (found.count, found.bins) == (given.sum(), reliability(labels[given], probabilities[given]).bins)
    assert list(found.rows)[:2] == ["all lists", "lists of up to 4"]
    written = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert written["unknown"] == 10
    assert written["by_size"]["5 to 6"]["log_loss"] == found.by_size["5 to 6"].log_loss
    assert list(list_reliability(labels[:4], probabilities[:4], np.array([0, 4]), 0).by_size) == ["up to 4"]


def test_nothing_is_said_where_no_probability_is_given():
    assert list_reliability(np.array([0, 1]), np.full(2, np.nan), np.array([0, 2]), 0) is None


def test_the_examples_hold():
    assert doctest.testmod(module, extraglobs={"np": np}).failed == 0
