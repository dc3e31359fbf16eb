import math
from fractions import Fraction

import numpy as np
import pytest

from recsys.errors import DataError, SettingsError
from recsys.offpolicy.cascades import cascade, cascade_doubly_robust, cascade_normalised, slate
from recsys.offpolicy.list_log import ListLog
from recsys.offpolicy.policies import ListPolicy


def floats(values):
    return np.array(values, dtype=float)


def test_slate_of_ten_rows_by_hand(ten):
    assert slate(ten.log, ten.target).value == pytest.approx(
        float((Fraction(3, 2) * 1 + Fraction(3, 4) * 2 + Fraction(3, 4) * 1 + Fraction(1, 2) * 1) / 4)
    )
    assert slate(ten.log, ten.target, top=1).value == pytest.approx(
        float((Fraction(3, 2) * 1 + 0 + Fraction(1, 2) * 1 + 0) / 4)
    )
    assert slate(ten.log, ten.target, top=2).value == pytest.approx(
        float((Fraction(3, 2) + Fraction(3, 4) + Fraction(3, 4) + Fraction(1, 2)) / 4)
    )
    assert slate(ten.log, ten.target, top=9).value == slate(ten.log, ten.target).value


def test_cascade_of_ten_rows_by_hand(ten):
    found = cascade(ten.log, ten.target)
    assert found.value == pytest.approx(
        float((Fraction(3, 2) + (Fraction(3, 4) + Fraction(3, 4)) + Fraction(1, 2) + Fraction(1, 2)) / 4)
    )
    assert cascade(ten.log, ten.target, top=2).value == pytest.approx(
        float((Fraction(3, 2) + Fraction(3, 4) + Fraction(1, 2) + Fraction(1, 2)) / 4)
    )
    assert found.error == pytest.approx(
        math.sqrt((Fraction(1, 4) + Fraction(1, 4) + Fraction(1, 4) + Fraction(1, 4)) / (4 * 3))
    )  # means of 1


def test_normalised_cascade_of_ten_rows_by_hand(ten):
    first = (Fraction(3, 2) + Fraction(1, 2)) / (Fraction(3, 2) + Fraction(3, 2) + Fraction(1, 2) + Fraction(1, 2))
    second = (Fraction(3, 4) + Fraction(1, 2)) / (Fraction(3, 2) + Fraction(3, 4) + Fraction(3, 4) + Fraction(1, 2))
    third = Fraction(3, 4) / (Fraction(3, 4) + Fraction(3, 4))  # a place that two of the four lists have
    assert cascade_normalised(ten.log, ten.target).value == pytest.approx(float(first + second + third / 2))
    assert cascade_normalised(ten.log, ten.target, top=2).value == pytest.approx(float(first + second))


def test_doubly_robust_cascade_of_ten_rows_by_hand(ten):
    q, d = (
        [Fraction(1, 2), Fraction(1, 4), Fraction(1, 8)],
        [Fraction(2, 5), Fraction(1, 5), Fraction(1, 10)],
    )  # by place
    predicted, expected = ([values[place] for place in (0, 1, 0, 1, 2, 0, 1, 2, 0, 1)] for values in (q, d))
    found = cascade_doubly_robust(ten.log, ten.target, floats(predicted), floats(expected))
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


def test_a_fixed_order_has_no_support_in_single_lists(random_log):
    log, random = random_log
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


def test_targets_that_do_not_fit_the_log_are_refused(ten):
    with pytest.raises(DataError, match="the target policy has 3 probabilities for 10 logged candidates; give one"):
        slate(ten.log, ListPolicy(np.ones(3), ten.target.placements))
    unknown = ListPolicy(np.full(10, np.nan), np.full((10, 3), np.nan))
    with pytest.raises(DataError, match="the logged choice is unknown in 10 of 10 rows"):
        cascade(ten.log, unknown)
    with pytest.raises(DataError, match="predictions that are not finite in 10 of 10 rows"):
        cascade_doubly_robust(ten.log, ten.target, np.full(10, np.nan), np.ones(10))
    with pytest.raises(DataError, match="there are 9 expected predictions for 10 candidates; give one per candidate"):
        cascade_doubly_robust(ten.log, ten.target, np.ones(10), np.ones(9))
    with pytest.raises(DataError, match="expected predictions that are not finite in 10 of 10 rows"):
        cascade_doubly_robust(ten.log, ten.target, np.ones(10), np.full(10, np.inf))


def test_top_counts_at_least_one_position(ten):
    for estimate in (slate, cascade, cascade_normalised):
        with pytest.raises(SettingsError, match="top is 0, which counts no position; write 1 or more"):
            estimate(ten.log, ten.target, top=0)


def test_one_list_of_much_weight_is_said_however_long_the_lists_are():
    lists, places = 2000, 5
    starts, uniform = np.arange(lists + 1) * places, np.tile(1 / np.arange(places, 0, -1.0), lists)
    propensity = uniform.copy()
    propensity[0] /= 400
    log = ListLog(np.ones(lists * places), propensity, starts, np.arange(lists))
    found = slate(log, ListPolicy(uniform, np.zeros((lists * places, places))))
    assert found.overlap.largest_weight == pytest.approx(400)
    assert "one weight of 400 makes up 17% of all weight" in found.warnings
