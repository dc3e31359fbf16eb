import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression

from recsys.ranking.calibration import SMALLEST, Calibration

SCORES = st.one_of(st.sampled_from([-2.0, 0.0, 0.5]), st.integers(-999, 999).map(lambda score: score / 100))
ROWS = st.lists(st.tuples(SCORES, st.integers(0, 2)), min_size=1, max_size=40)


def arrays(rows):
    return np.array([score for score, _ in rows]), np.array([label for _, label in rows])


@settings(max_examples=100, deadline=None)
@given(rows=ROWS, asked=st.lists(st.floats(-20, 20), max_size=10))
def test_probabilities_are_those_of_scikit_learn(rows, asked):
    scores, labels = arrays(rows)
    oracle = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(scores, labels > 0)
    places = np.concatenate([scores, asked])
    found = Calibration.fit(scores, labels).probability(places)
    # Between knots a probability of 0 is drawn from the smallest one that a click may have.
    np.testing.assert_allclose(found, oracle.predict(places), atol=2 * SMALLEST)


def test_a_large_set_agrees_with_scikit_learn():
    random = np.random.default_rng(3)
    scores = random.normal(size=5000)
    labels = (random.random(5000) < 1 / (1 + np.exp(-scores))).astype(np.int64)
    found = Calibration.fit(scores, labels)
    oracle = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(scores, labels)
    asked = np.linspace(-6, 6, 999)
    np.testing.assert_allclose(found.probability(asked), oracle.predict(asked), atol=2 * SMALLEST)
    assert len(found.scores) < 200


@settings(max_examples=60, deadline=None)
@given(rows=ROWS)
def test_a_higher_score_is_never_less_likely_and_a_click_never_impossible(rows):
    calibration = Calibration.fit(*arrays(rows))
    found = calibration.probability(np.linspace(-30, 30, 301))
    assert (np.diff(found) >= 0).all()
    assert found.min() >= SMALLEST
    assert found.max() <= 1
    assert (np.diff(calibration.scores) > 0).all()


def test_grades_count_as_clicks():
    calibration = Calibration.fit(np.array([0.0, 1.0, 1.0]), np.array([0, 3, 0]))
    assert calibration.probability(np.array([1.0])).tolist() == [0.5]


@pytest.mark.parametrize(("label", "probability"), [(0, SMALLEST), (1, 1.0)])
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
