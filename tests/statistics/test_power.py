import math

import numpy as np
import pytest
from scipy import stats

from recsys.statistics.power import detectable_effects, effect_sizes
from recsys.statistics.totals import UserTotals


def make_totals(values, users=None):
    values = np.atleast_2d(values)
    return UserTotals.of(values, np.arange(values.shape[1]) if users is None else users)


def test_the_detectable_effect_is_that_of_a_plain_loop():
    random = np.random.default_rng(0)
    values, users = random.normal(size=70), random.integers(12, size=70)
    mean = values.mean()
    sums = [sum(value - mean for value, of in zip(values, users, strict=True) if of == user) for user in range(12)]
    counts = [int((users == user).sum()) for user in range(12)]
    effective = sum(counts) ** 2 / sum(count**2 for count in counts)
    error = math.sqrt(effective / (effective - 1) * sum(total**2 for total in sums)) / 70
    freedom = effective - 1
    expected = (stats.t.ppf(0.975, freedom) + stats.t.ppf(0.8, freedom)) * error
    assert detectable_effects(make_totals(values, users))[0] == pytest.approx(expected)


@pytest.mark.parametrize("users", [10, 40, 300])
def test_students_test_finds_the_detectable_effect_four_times_in_five(users):
    values = np.random.default_rng(1).normal(size=users)
    values = (values - values.mean()) / values.std(ddof=1)
    detectable = detectable_effects(make_totals(values))[0]
    freedom, off = users - 1, detectable * math.sqrt(users)
    found = stats.nct.sf(stats.t.ppf(0.975, freedom), freedom, off)  # exact power of the t-test
    assert found == pytest.approx(0.8, abs=0.015)


def test_many_users_need_twenty_eight_tenths_of_a_standard_error():
    totals = make_totals(np.random.default_rng(2).normal(size=100_000))
    assert detectable_effects(totals)[0] / totals.standard_errors[0] == pytest.approx(2.8016, abs=0.001)


def test_with_one_request_per_user_the_effect_size_is_cohens():
    values = np.random.default_rng(3).normal(0.4, 2, 80)
    assert effect_sizes(make_totals(values))[0] == pytest.approx(values.mean() / values.std(ddof=1))


def test_more_requests_of_the_same_users_change_neither():
    values = np.random.default_rng(4).normal(0.4, 2, 30)
    once, often = make_totals(values), make_totals(np.tile(values, 5), np.tile(np.arange(30), 5))
    assert effect_sizes(often) == pytest.approx(effect_sizes(once))
    assert detectable_effects(often) == pytest.approx(detectable_effects(once))


def test_the_units_go_with_the_detectable_effect_and_not_with_the_effect_size():
    values = np.random.default_rng(5).normal(0.4, 2, 30)
    assert detectable_effects(make_totals(-7 * values)) == pytest.approx(7 * detectable_effects(make_totals(values)))
    assert effect_sizes(make_totals(-7 * values)) == pytest.approx(-effect_sizes(make_totals(values)))


def test_users_that_differ_alike_have_no_effect_size_and_hide_nothing():
    totals = make_totals(np.full(4, 0.25))
    assert math.isnan(effect_sizes(totals)[0])
    assert detectable_effects(totals)[0] == 0


def test_below_two_users_nothing_is_known():
    for totals in (make_totals(np.empty((1, 0))), make_totals([0.1, 0.2], np.array([0, 0]))):
        assert math.isnan(effect_sizes(totals)[0])
        assert math.isnan(detectable_effects(totals)[0])
