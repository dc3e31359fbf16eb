import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.statistics.multiplicity import holm

SOME = st.lists(st.floats(0, 1) | st.just(math.nan), max_size=12)


def step_down(p, level):
    """Holm's procedure as he tells it: reject the smallest as long as it is small enough for those that are left."""
    left = sorted((value, place) for place, value in enumerate(p) if not math.isnan(value))
    rejected = set()
    while left and left[0][0] <= level / len(left):
        rejected.add(left.pop(0)[1])
    return rejected


@given(SOME, st.sampled_from([0.01, 0.05, 0.3]))
def test_the_same_tests_are_rejected_as_by_stepping_down(p, level):
    corrected = holm(np.array(p, dtype=np.float64))
    near = [abs(value * m - level) < 1e-9 for value in p for m in range(1, len(p) + 1)]
    if not any(near):  # a value on the border may fall either way by rounding
        assert {place for place, value in enumerate(corrected) if value <= level} == step_down(p, level)


def test_the_papers_steps_by_hand():
    assert holm(np.array([0.005, 0.011, 0.02, 0.04, 0.13])) == pytest.approx([0.025, 0.044, 0.06, 0.08, 0.13])
    assert holm(np.array([0.04, 0.04, 0.9])) == pytest.approx([0.12, 0.12, 0.9])
    assert holm(np.array([0.6, 0.7])).tolist() == [1.0, 1.0]


@given(SOME)
def test_correction_keeps_order_raises_and_stays_a_probability(p):
    p = np.array(p, dtype=np.float64)
    corrected = holm(p)
    tests = ~np.isnan(p)
    assert np.isnan(corrected).tolist() == (~tests).tolist()
    assert (corrected[tests] >= p[tests]).all()
    assert (corrected[tests] <= 1).all()
    assert (np.diff(corrected[tests][np.argsort(p[tests], kind="stable")]) >= 0).all()


def test_what_was_not_tested_does_not_count():
    assert holm(np.array([math.nan, 0.02, math.nan, 0.03])) == pytest.approx(
        [math.nan, 0.04, math.nan, 0.04], nan_ok=True
    )
    assert holm(np.array([])).tolist() == []
