import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from recsys.errors import SettingsError
from recsys.statistics import intervals
from recsys.statistics.intervals import Interval, intervals_over_users


def test_many_users_of_one_request_agree_with_scipy():
    values = np.random.default_rng(0).beta(2, 5, 400)
    (found,) = intervals_over_users(values[None], np.arange(400), resamples=6000, seed=1)
    oracle = stats.bootstrap((values,), np.mean, n_resamples=6000, method="percentile", random_state=2)
    assert found.mean == pytest.approx(values.mean())
    assert found.low == pytest.approx(oracle.confidence_interval.low, abs=0.0008)
    assert found.high == pytest.approx(oracle.confidence_interval.high, abs=0.0008)


def test_few_users_of_one_request_agree_with_students_interval():
    values = stats.norm.ppf((np.arange(12) + 0.5) / 12)  # as a normal sample should look
    (found,) = intervals_over_users(values[None], np.arange(12), resamples=20_000, seed=1)
    oracle = stats.t.interval(0.95, 11, values.mean(), stats.sem(values))
    assert [found.low, found.high] == pytest.approx(oracle, abs=0.04)
    plain = stats.bootstrap((values,), np.mean, n_resamples=6000, method="percentile", random_state=2)
    assert found.high - found.low > 1.1 * np.diff(plain.confidence_interval)[0]


def test_resampled_means_are_those_of_a_plain_loop(monkeypatch):
    random = np.random.default_rng(4)
    values, users = random.random(50), random.integers(7, size=50)
    monkeypatch.setattr(intervals, "_BLOCK_DRAWS", 21)  # three resamples a block
    (found,) = intervals_over_users(values[None], users, resamples=40, seed=9)
    means = []
    again = np.random.default_rng(9)
    for _ in range(40):
        drawn = [value for user in again.integers(7, size=7) for value in values[users == user]]
        means.append(np.mean(drawn))
    counts = [int((users == user).sum()) for user in range(7)]
    effective = 50**2 / sum(count**2 for count in counts)
    tail = stats.norm.cdf(-math.sqrt(effective / (effective - 1)) * stats.t.ppf(0.975, effective - 1))
    assert [found.low, found.high] == pytest.approx(np.percentile(means, [100 * tail, 100 - 100 * tail]).tolist())


@pytest.mark.parametrize("users", [2, 3, 4])
def test_a_handful_of_users_have_students_interval(users):
    values = np.random.default_rng(users).normal(size=users)
    (found,) = intervals_over_users(values[None], np.arange(users))
    oracle = stats.t.interval(0.95, users - 1, values.mean(), stats.sem(values))
    assert [found.low, found.high] == pytest.approx(oracle)


def test_users_of_very_unequal_weight_count_as_a_handful():
    users = np.repeat(np.arange(20), [200] + [1] * 19)
    values = np.random.default_rng(2).normal(0, 1, 20)[users]
    (found,) = intervals_over_users(values[None], users)
    even = intervals_over_users(values[None, -20:], np.arange(20))[0]
    assert found.high - found.low > 5 * (even.high - even.low)


@pytest.mark.slow
@pytest.mark.parametrize(("users", "lowest"), [(5, 0.90), (30, 0.92), (100, 0.93), (300, 0.93)])
def test_intervals_cover_the_truth_when_users_differ(users, lowest):
    random = np.random.default_rng(5)
    covered = naive = 0
    for world in range(400):
        requests = random.geometric(0.25, users)  # 4 on average
        of = np.repeat(np.arange(users), requests)
        values = 0.5 + random.normal(0, 0.3, users)[of] + random.normal(0, 0.2, len(of))
        (by_user,) = intervals_over_users(values[None], of, resamples=300, seed=world)
        (by_request,) = intervals_over_users(values[None], np.arange(len(of)), resamples=300, seed=world)
        covered += by_user.low <= 0.5 <= by_user.high
        naive += by_request.low <= 0.5 <= by_request.high
    assert lowest <= covered / 400 <= 0.98
    assert naive / 400 < 0.80  # requests taken for independent promise too much


def test_paired_differences_use_the_resamples_of_their_parts():
    random = np.random.default_rng(6)
    first, users = random.random(300), random.integers(40, size=300)
    found = intervals_over_users(np.stack([first, first - 0.1, first - (first - 0.1)]), users)
    assert found[2].high - found[2].low < 1e-12
    assert found[0].low - found[1].low == pytest.approx(0.1)
    assert found[0].high - found[1].high == pytest.approx(0.1)


@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from([math.nan, 0.0, 0.5, 1.0])), min_size=1, max_size=20))
def test_requests_without_a_value_are_left_out(rows):
    users, values = np.array([user for user, _ in rows]), np.array([value for _, value in rows])
    (found,) = intervals_over_users(values[None], users, resamples=30)
    defined = values[~np.isnan(values)]
    assert found.mean == pytest.approx(defined.mean() if len(defined) else math.nan, nan_ok=True)
    if len(set(users[~np.isnan(values)].tolist())) < 2:
        assert math.isnan(found.low)
        assert math.isnan(found.high)
    else:
        assert found.low <= found.mean + 1e-12
        assert found.high >= found.mean - 1e-12


def test_one_user_has_a_mean_and_no_interval():
    (found,) = intervals_over_users(np.array([[0.2, 0.4]]), np.array([3, 3]))
    assert found.mean == pytest.approx(0.3)
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    assert not found.clear


def test_no_request_has_no_mean():
    (found,) = intervals_over_users(np.empty((1, 0)), np.empty(0, dtype=np.int64))
    assert math.isnan(found.mean)
    assert math.isnan(found.low)


def test_the_seed_decides_the_interval():
    random = np.random.default_rng(7)
    values, users = random.random((2, 90)), random.integers(30, size=90)
    assert intervals_over_users(values, users, seed=1) == intervals_over_users(values, users, seed=1)
    assert intervals_over_users(values, users, seed=1) != intervals_over_users(values, users, seed=2)


def test_a_clear_interval_leaves_out_zero():
    assert Interval(0.2, 0.1, 0.3).clear
    assert Interval(-0.2, -0.3, -0.1).clear
    assert not Interval(0.1, -0.1, 0.3).clear


def test_resamples_are_needed():
    with pytest.raises(SettingsError, match="resamples is 0, which gives no interval; write 1000"):
        intervals_over_users(np.ones((1, 2)), np.arange(2), resamples=0)
