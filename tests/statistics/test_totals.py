import math

import numpy as np
import pytest

from recsys.statistics.totals import UserTotals, sum_by_user


def make_values(seed=0, users=9, requests=40):
    random = np.random.default_rng(seed)
    values = random.normal(size=(2, requests))
    values[random.random(values.shape) < 0.2] = math.nan
    return values, random.integers(users, size=requests)


def test_totals_are_those_of_a_plain_loop():
    values, users = make_values()
    found = UserTotals.of(values, users)
    for row in range(2):
        for user in range(users.max() + 1):
            own = [value for value, of in zip(values[row], users, strict=True) if of == user and not math.isnan(value)]
            assert found.sums[user, row] == pytest.approx(math.fsum(own))
            assert found.weights[user, row] == len(own)
    assert found.means == pytest.approx(np.nanmean(values, axis=1))


def test_with_one_request_per_user_the_standard_error_is_the_textbooks():
    values = np.random.default_rng(1).normal(size=(1, 50))
    found = UserTotals.of(values, np.arange(50))
    assert found.standard_errors[0] == pytest.approx(values.std(ddof=1) / math.sqrt(50))
    assert found.effective_users[0] == pytest.approx(50)
    assert found.users[0] == 50


def test_requests_of_one_user_count_as_one():
    values = np.random.default_rng(2).normal(size=(1, 30))
    once = UserTotals.of(values, np.arange(30))
    thrice = UserTotals.of(np.repeat(values, 3, axis=1), np.repeat(np.arange(30), 3))
    assert thrice.standard_errors == pytest.approx(once.standard_errors)
    assert thrice.effective_users == pytest.approx(once.effective_users)


def test_the_standard_error_is_that_of_many_fresh_samples():
    random = np.random.default_rng(3)
    means, errors = [], []
    for _ in range(3000):
        users = np.repeat(np.arange(60), random.geometric(0.3, 60))
        values = random.normal(0, 0.3, 60)[users] + random.normal(0, 0.2, len(users))
        found = UserTotals.of(values[None], users)
        means.append(found.means[0])
        errors.append(found.standard_errors[0])
    assert np.mean(np.square(errors)) == pytest.approx(np.var(means), rel=0.08)


def test_users_of_unequal_weight_say_less():
    found = UserTotals(np.zeros((3, 1)), np.array([[2.0], [1.0], [1.0]]))
    assert found.effective_users[0] == pytest.approx(16 / 6)


@pytest.mark.parametrize(("users", "mean"), [([], math.nan), ([0, 0], 0.5), ([3, 3], 0.5)])
def test_below_two_users_there_is_no_error(users, mean):
    found = UserTotals.of(np.full((1, len(users)), 0.5), np.array(users, dtype=np.int64))
    assert found.means[0] == pytest.approx(mean, nan_ok=True)
    assert math.isnan(found.standard_errors[0])
    assert math.isnan(found.effective_users[0])


def test_sums_keep_users_without_requests():
    assert sum_by_user(np.array([[1.0, 2.0]]), np.array([2, 0])).tolist() == [[2.0], [0.0], [1.0]]
