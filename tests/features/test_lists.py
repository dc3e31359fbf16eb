import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.features.lists import divide, rank_in_list, share_in_list, softmax_in_list

NUMBERS = st.sampled_from([0.0, 0.1, 0.2, 0.3, 1.0, 7.5, 1e12, 1e-12, math.nan])
LOGITS = st.sampled_from([-800.0, -1.5, 0.0, 0.3, 2.0, 900.0, math.nan])


def lists_of(values):
    return st.lists(st.lists(values, min_size=1, max_size=9), min_size=1, max_size=5)


def flat(lists):
    return np.array([value for values in lists for value in values]), np.repeat(
        np.arange(len(lists)), [len(values) for values in lists]
    )


@given(lists_of(NUMBERS))
def test_ranks_are_those_of_a_plain_loop(lists):
    found = rank_in_list(*flat(lists))
    expected = []
    for values in lists:
        for value in values:
            above, same = sum(other > value for other in values), sum(other == value for other in values)
            expected.append(math.nan if math.isnan(value) else above + (same + 1) / 2)
    np.testing.assert_array_equal(found, expected)


@given(lists_of(NUMBERS))
def test_shares_are_those_of_a_plain_loop(lists):
    found = share_in_list(*flat(lists))
    expected = []
    for values in lists:
        whole = math.fsum(value for value in values if not math.isnan(value))
        expected += [value / whole if whole else math.nan for value in values]
    np.testing.assert_allclose(found, expected, rtol=1e-14, equal_nan=True)


@given(lists_of(LOGITS))
def test_softmax_is_that_of_a_plain_loop(lists):
    found = softmax_in_list(*flat(lists))
    expected = []
    for values in lists:
        largest = max((value for value in values if not math.isnan(value)), default=0)
        whole = math.fsum(math.exp(value - largest) for value in values if not math.isnan(value))
        expected += [math.exp(value - largest) / whole if not math.isnan(value) else math.nan for value in values]
    np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-300, equal_nan=True)


@pytest.mark.parametrize("function", [rank_in_list, share_in_list, softmax_in_list])
@given(lists=lists_of(st.one_of(NUMBERS, st.floats(0, 1))), seed=st.integers(0, 99))
def test_the_order_of_rows_and_other_lists_change_no_bit(function, lists, seed):
    values, groups = flat(lists)
    found = function(values, groups)
    order = np.random.default_rng(seed).permutation(len(values))
    assert function(values[order], groups[order]).tobytes() == found[order].tobytes()
    alone = np.concatenate([function(np.array(one), np.zeros(len(one), dtype=np.int64)) for one in lists])
    assert alone.tobytes() == found.tobytes()


@pytest.mark.parametrize("function", [rank_in_list, share_in_list, softmax_in_list])
def test_one_candidate_is_the_whole_list(function):
    assert function(np.array([0.3, 5.0]), np.array([0, 1])).tolist() == [1.0, 1.0]
    assert np.isnan(function(np.array([math.nan]), np.array([0]))).all()
    assert function(np.empty(0), np.empty(0, dtype=np.int64)).tolist() == []


def test_nothing_shares_a_sum_of_zero():
    assert np.isnan(share_in_list(np.zeros(3), np.array([0, 0, 1]))).all()


def test_a_long_list_is_added_up_exactly_the_same_in_any_order():
    random = np.random.default_rng(1)
    values, groups = random.random(5000), np.sort(random.integers(0, 3, 5000))
    order = random.permutation(5000)
    assert share_in_list(values[order], groups[order]).tobytes() == share_in_list(values, groups)[order].tobytes()


def test_division_by_what_is_not_above_zero_is_not_known():
    found = divide(np.array([1.0, 1.0, 0.0, 1.0]), np.array([2.0, 0.0, 4.0, -1.0]))
    np.testing.assert_array_equal(found, [0.5, math.nan, 0.0, math.nan])
