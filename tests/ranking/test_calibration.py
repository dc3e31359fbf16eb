import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression

from recsys.ranking.calibration import Calibration

SCORES = st.one_of(st.sampled_from([-2.0, 0.0, 0.5]), st.integers(-999, 999).map(lambda score: score / 100))
ROWS = st.lists(st.tuples(SCORES, st.integers(0, 2)), min_size=1, max_size=40)


def arrays(rows):
    return np.array([score for score, _ in rows]), np.array([label for _, label in rows])


def oracle(scores, labels):
    """Isotonic regression of scikit-learn, half a clicked candidate at the bottom and half an unclicked one on top."""
    weights = np.concatenate([np.ones(len(scores)), [0.5, 0.5]])
    places, clicks = np.append(scores, [scores.min(), scores.max()]), np.append(labels > 0, [1.0, 0.0])
    return IsotonicRegression(out_of_bounds="clip").fit(places, clicks, sample_weight=weights)


@settings(max_examples=100, deadline=None)
@given(rows=ROWS, asked=st.lists(st.floats(-20, 20), max_size=10))
def test_probabilities_are_those_of_scikit_learn(rows, asked):
    scores, labels = arrays(rows)
    places = np.concatenate([scores, asked])
    found = Calibration.fit(scores, labels).probability(places)
    np.testing.assert_allclose(found, oracle(scores, labels).predict(places), atol=1e-6)


def test_a_large_set_agrees_with_scikit_learn():
    random = np.random.default_rng(3)
    scores = random.normal(size=5000)
    labels = (random.random(5000) < 1 / (1 + np.exp(-scores))).astype(np.int64)
    found = Calibration.fit(scores, labels)
    asked = np.linspace(-6, 6, 999)
    np.testing.assert_allclose(found.probability(asked), oracle(scores, labels).predict(asked), atol=1e-6)
    assert len(found.scores) < 200


@settings(max_examples=60, deadline=None)
@given(rows=ROWS)
def test_a_higher_score_is_never_less_likely_and_a_click_neither_impossible_nor_certain(rows):
    calibration = Calibration.fit(*arrays(rows))
    found = calibration.probability(np.linspace(-30, 30, 301))
    assert (np.diff(found) >= 0).all()
    assert 0 < found.min() <= found.max() < 1
    assert (np.diff(calibration.scores) > 0).all()


@pytest.mark.parametrize("clicked", [1, 2, 10, 1000])
def test_an_end_promises_what_its_candidates_bear_out(clicked):
    """All clicked at the top and none at the bottom, with as many of both kinds between them."""
    labels = np.repeat([0, 1, 0, 1], [clicked, 50, 50, clicked])
    scores = np.repeat([-1.0, 0.0, 0.0, 1.0], [clicked, 50, 50, clicked])
    found = Calibration.fit(scores, labels).probability(np.array([-9.0, -1.0, 0.0, 1.0, 9.0]))
    low, high = 0.5 / (clicked + 0.5), clicked / (clicked + 0.5)
    assert found.tolist() == pytest.approx([low, low, 0.5, high, high], rel=1e-12)


def test_one_lucky_candidate_on_top_joins_those_below_that_bear_out_more():
    scores, labels = np.arange(9.0), np.array([0, 0, 0, 1, 1, 1, 1, 0, 1])
    found = Calibration.fit(scores, labels).probability(np.array([3.0, 7.0, 8.0]))
    assert found.tolist() == pytest.approx([5 / 6.5] * 3)  # alone 1 / 1.5, below the 4 / 5 of those under it


def test_grades_count_as_clicks():
    calibration = Calibration.fit(np.array([0.0, 1.0, 1.0]), np.array([0, 3, 0]))
    assert calibration.probability(np.array([1.0])).tolist() == [1 / 2.5]


@pytest.mark.parametrize(("label", "probability"), [(0, 0.5 / 3), (1, 2.5 / 3)])
def test_one_score_is_a_flat_line(label, probability):
    calibration = Calibration.fit(np.array([0.5, 0.5]), np.array([label, label]))
    assert calibration.probability(np.array([-math.inf, 0.5, 9.0])).tolist() == [probability] * 3


@settings(max_examples=40, deadline=None)
@given(rows=ROWS)
def test_what_is_written_is_read(rows):
    calibration = Calibration.fit(*arrays(rows))
    again = Calibration.from_json(json.loads(json.dumps(calibration.to_json())))
    assert again.scores.tobytes() == calibration.scores.tobytes()
    assert again.probabilities.tobytes() == calibration.probabilities.tobytes()


@pytest.mark.parametrize(
    ("knots", "message"),
    [
        ({"scores": [1, 2], "probabilities": [0.1, 0.2]}, "scores of the calibration is no list of numbers"),
        ({"scores": ["1", "2"], "probabilities": [0.1, 0.2]}, "scores of the calibration is no list of numbers"),
        ({"scores": [10**400], "probabilities": [0.1]}, "scores of the calibration is no list of numbers"),
        ({"scores": [[1.0]], "probabilities": [0.1]}, "scores of the calibration is no list of numbers"),
        ({"scores": 1.0, "probabilities": 0.1}, "scores of the calibration is no list of numbers"),
        ({"scores": [], "probabilities": []}, "not one probability for each score"),
        ({"scores": [1.0, 2.0], "probabilities": [0.1]}, "not one probability for each score"),
        ({"scores": [2.0, 1.0], "probabilities": [0.1, 0.2]}, "do not rise"),
        ({"scores": [-1e308, 1e308], "probabilities": [0.1, 0.2]}, "do not rise"),
        ({"scores": [1.0, math.nan], "probabilities": [0.1, 0.2]}, "do not rise"),
        ({"scores": [1.0, 2.0], "probabilities": [0.2, 0.1]}, "not above 0 and at most 1, or falls"),
        ({"scores": [1.0], "probabilities": [math.nan]}, "not above 0 and at most 1"),
        ({"scores": [1.0], "probabilities": [True]}, "probabilities of the calibration is no list of numbers"),
    ],
)
def test_what_no_fit_gives_is_refused(knots, message):
    with pytest.raises((TypeError, ValueError), match=message):
        Calibration.from_json(knots)
