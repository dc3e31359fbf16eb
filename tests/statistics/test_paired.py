import math

import numpy as np
import pytest

from recsys.errors import DataError
from recsys.statistics.paired import Paired

NAN = math.nan


def make_paired():
    values = {
        "MRR": (np.array([0.5, NAN, 1.0, 0.2]), np.array([1.0, NAN, 0.5, 0.2])),
        "novelty": (np.array([3.0, 4.0, NAN, 1.0]), np.array([2.0, NAN, 5.0, 2.0])),
    }
    return Paired.of(values, np.array([0, 0, 1, 2]))


def test_a_request_counts_where_both_have_a_value():
    paired = make_paired()
    assert paired.measures == ("MRR", "novelty")
    assert paired.weights.tolist() == [[1, 0, 1, 1], [1, 0, 0, 1]]
    assert paired.requests.tolist() == [3, 2]
    assert paired.a.tolist() == [[0.5, 0, 1.0, 0.2], [3.0, 0, 0, 1.0]]
    assert paired.b.tolist() == [[1.0, 0, 0.5, 0.2], [2.0, 0, 0, 2.0]]


def test_totals_of_a_b_and_their_difference():
    a, b, difference = make_paired().totals()
    assert a.means == pytest.approx([1.7 / 3, 2.0])
    assert b.means == pytest.approx([1.7 / 3, 2.0])
    assert difference.sums == pytest.approx(np.array([[0.5, -1.0], [-0.5, 0.0], [0.0, 1.0]]))
    assert difference.users.tolist() == [3, 2]


def test_a_part_numbers_its_users_anew():
    part = make_paired().where(np.array([False, False, True, True]))
    assert part.users.tolist() == [0, 1]
    assert part.requests.tolist() == [2, 1]


def test_one_more_measure_comes_last():
    paired = make_paired().joined("AUC pooled", np.full(4, 0.1), np.full(4, 0.2), np.full(4, 0.25))
    assert paired.measures == ("MRR", "novelty", "AUC pooled")
    a, b, difference = paired.totals()
    assert (a.means[2], b.means[2], difference.means[2]) == pytest.approx((0.4, 0.8, 0.4))


@pytest.mark.parametrize("side", [0, 1])
def test_values_of_another_length_or_infinite_are_refused(side):
    pair = [np.zeros(3), np.zeros(3)]
    pair[side] = np.zeros(2)
    with pytest.raises(DataError, match=f"'MRR of {'AB'[side]}' has 2 values for 3 requests; give one per row"):
        Paired.of({"MRR": tuple(pair)}, np.arange(3))
    pair[side] = np.array([0.0, -math.inf, 0.0])
    with pytest.raises(DataError, match=f"'MRR of {'AB'[side]}' is -inf for request number 2; give a finite number"):
        Paired.of({"MRR": tuple(pair)}, np.arange(3))


def test_no_measure_is_an_empty_table():
    assert Paired.of({}, np.arange(3)).totals()[2].means.tolist() == []
