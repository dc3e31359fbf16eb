import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from recsys.errors import SettingsError
from recsys.statistics import p_values as permutation
from recsys.statistics.p_values import holm, permutation_p_values
from recsys.statistics.totals import UserTotals


def make_totals(values, users=None):
    values = np.atleast_2d(values)
    return UserTotals.of(values, np.arange(values.shape[1]) if users is None else users)


def test_p_values_are_those_of_a_plain_loop(monkeypatch):
    random = np.random.default_rng(0)
    values, users = random.normal(0.2, 1, 60), random.integers(8, size=60)
    monkeypatch.setattr(permutation, "_BLOCK_SIGNS", 24)  # three permutations a block
    (found,) = permutation_p_values(make_totals(values, users), permutations=100, seed=4)
    again, extreme = np.random.default_rng(4), 0
    for _ in range(34):  # block by block, as swaps are drawn
        for swapped in again.integers(2, size=(min(3, 100 - _ * 3), 8), dtype=np.int8):
            turned = sum(-value if swapped[user] else value for value, user in zip(values, users, strict=True))
            extreme += abs(turned) / 60 >= abs(values.mean()) - 1e-12
    assert found == (1 + extreme) / 101


def test_one_request_per_user_agrees_with_scipy():
    values = np.random.default_rng(1).normal(0.5, 1, 12)
    (found,) = permutation_p_values(make_totals(values), permutations=40_000, seed=1)
    oracle = stats.permutation_test((values, np.zeros(12)), lambda x, y: np.mean(x - y), permutation_type="samples")
    assert found == pytest.approx(oracle.pvalue, abs=0.006)  # 4,096 swaps, all of them


def test_ties_count_as_extreme():
    # two equal users: all four swaps give 2, 0, 0, -2, so half of them are as extreme
    (found,) = permutation_p_values(make_totals([0.1, 0.1]), permutations=20_000)
    assert found == pytest.approx(0.5, abs=0.02)
    # 0.1 + 0.2 + 0.3 in another order is not the same float
    (found,) = permutation_p_values(make_totals([0.1, 0.2, 0.3, -0.6, 0.7]), permutations=20_000)
    values = np.array([1, 2, 3, -6, 7])
    signs = np.array(np.meshgrid(*[[-1, 1]] * 5)).reshape(5, -1).T
    assert found == pytest.approx(np.mean(np.abs(signs @ values) >= 7), abs=0.02)


def test_p_is_never_0_and_never_above_1():
    values = np.stack([np.ones(200), np.zeros(200)])
    assert permutation_p_values(make_totals(values), permutations=99).tolist() == [0.01, 1.0]


def test_the_sign_does_not_matter():
    values = np.random.default_rng(2).normal(0.1, 1, (3, 50))
    p = permutation_p_values(make_totals(values), 500)
    assert permutation_p_values(make_totals(-values), 500).tolist() == p.tolist()


def test_swaps_are_the_same_for_all_means_and_decided_by_the_seed():
    values = np.random.default_rng(3).normal(0.1, 1, (1, 50))
    p = permutation_p_values(make_totals(np.concatenate([values, values])), 500, seed=5)
    assert p[0] == p[1]
    assert permutation_p_values(make_totals(values), 500, seed=5)[0] == p[0]
    assert permutation_p_values(make_totals(values), 500, seed=6)[0] != p[0]


def test_requests_of_one_user_are_swapped_together():
    values = np.random.default_rng(4).normal(0.3, 1, 20)
    once = permutation_p_values(make_totals(values), 2000)
    often = permutation_p_values(make_totals(np.tile(values, 10), np.tile(np.arange(20), 10)), 2000)
    assert often.tolist() == once.tolist()
    assert permutation_p_values(make_totals(np.tile(values, 10)), 2000)[0] < once[0] / 2


def test_alike_systems_are_found_different_at_the_level():
    random = np.random.default_rng(5)
    users = np.repeat(np.arange(25), 4)
    differences = random.normal(size=(1000, 25))[:, users] + random.normal(size=(1000, 100))
    p = permutation_p_values(make_totals(differences, users), 400)
    for level in (0.05, 0.2):
        assert np.mean(p <= level) == pytest.approx(level, abs=4 * math.sqrt(level * (1 - level) / 1000))


def test_below_two_users_there_is_no_p_value():
    assert np.isnan(permutation_p_values(make_totals([0.5, 0.2], np.array([1, 1])), 10)).all()
    assert np.isnan(permutation_p_values(make_totals(np.empty((1, 0))), 10)).all()


def test_permutations_are_needed():
    with pytest.raises(SettingsError, match="permutations is 0, which gives no p-value; write 10000"):
        permutation_p_values(make_totals([0.5, 0.2]), 0)


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
