import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats

from recsys.errors import SettingsError
from recsys.experiment.estimates import Moments, difference, lift, p_value, sequential, sequential_p

moments = st.builds(Moments, st.integers(2, 5000), st.floats(-5, 5), st.floats(0.01, 10))


def make_arms(seed=0, a=80, b=120, effect=0.3):
    random = np.random.default_rng(seed)
    return random.gamma(2.0, 1.0, a), random.gamma(2.0, 1.5, b) + effect


@pytest.mark.parametrize("seed", range(5))
def test_difference_and_p_value_are_those_of_welch(seed):
    a, b = make_arms(seed, a=5 + 20 * seed)
    oracle = stats.ttest_ind(b, a, equal_var=False)
    expected = oracle.confidence_interval(0.95)
    found = difference(Moments.of(a), Moments.of(b))
    assert found.mean == pytest.approx(b.mean() - a.mean(), abs=1e-12)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert p_value(Moments.of(a), Moments.of(b)) == pytest.approx(oracle.pvalue, abs=1e-12)


@given(moments, moments)
def test_swapping_the_arms_turns_everything_round(a, b):
    for estimate in (difference, lambda a, b: sequential(a, b, 500)):
        forth, back = estimate(a, b), estimate(b, a)
        assert (forth.mean, forth.low, forth.high) == pytest.approx((-back.mean, -back.high, -back.low))
    assert p_value(a, b) == pytest.approx(p_value(b, a))


@given(moments, moments)
def test_p_values_and_lifts_say_what_the_intervals_say(a, b):
    plain, anytime = difference(a, b), sequential(a, b, 500)
    if min(abs(plain.low), abs(plain.high)) > 1e-6:
        assert plain.clear == (p_value(a, b) < 0.05)
        relative = lift(a, b)
        if not math.isnan(relative.mean):
            assert relative.low <= relative.mean <= relative.high
            assert (relative.low > 0, relative.high < 0) == (plain.low > 0, plain.high < 0)
    if min(abs(anytime.low), abs(anytime.high)) > 1e-6:
        assert anytime.clear == (sequential_p(a, b, 500) < 0.05)


def test_a_lift_solves_fiellers_equation():
    a, b = (Moments.of(values) for values in make_arms())
    found = lift(a, b)
    assert found.mean == pytest.approx(b.mean / a.mean - 1)
    freedom = (a.error + b.error) ** 2 / (a.error**2 / (a.users - 1) + b.error**2 / (b.users - 1))
    for end in (found.low, found.high):  # where b - ratio a is just significant
        ratio = 1 + end
        assert abs(b.mean - ratio * a.mean) / math.sqrt(b.error + ratio**2 * a.error) == pytest.approx(
            stats.t.ppf(0.975, freedom)
        )


def test_a_lift_covers_the_truth_when_a_is_noisy():
    random = np.random.default_rng(2)
    covered = 0
    for _ in range(1500):
        a, b = random.exponential(1.0, 40), random.exponential(1.5, 40)
        found = lift(Moments.of(a), Moments.of(b))
        covered += found.low <= 0.5 <= found.high
    assert covered / 1500 == pytest.approx(0.95, abs=0.025)


@pytest.mark.parametrize("mean", [-3.0, 0.0, 0.01])
def test_a_lift_needs_a_value_of_a_above_zero(mean):
    found = lift(Moments(100, mean, 1.0), Moments(100, 5.0, 1.0))
    assert math.isnan(found.mean)
    assert math.isnan(found.low)


def test_the_anytime_valid_interval_is_that_of_the_normal_mixture():
    a, b = Moments(300, 1.0, 2.0), Moments(500, 1.3, 4.0)
    error = 2 / 300 + 4 / 500
    found = sequential(a, b, expected=800)

    def radius(tau):  # Johari et al. 2022: the mSPRT with a normal prior of variance tau^2 on the effect
        return math.sqrt(error * (error + tau**2) / tau**2 * (math.log((error + tau**2) / error) - 2 * math.log(0.05)))

    tightest = optimize.minimize_scalar(radius, bounds=(0.01, 5), method="bounded", options={"xatol": 1e-9})
    assert found.high - found.mean == pytest.approx(tightest.fun, rel=1e-9)
    wider = sequential(a, b, expected=10_000)
    assert found.high < wider.high
    assert found.high < sequential(a, b, expected=50).high
    assert difference(a, b).high < found.high


def test_the_anytime_valid_p_value_is_one_over_the_likelihood_ratio():
    a, b = Moments(300, 1.0, 2.0), Moments(300, 1.5, 2.0)
    error = 4 / 300
    growth = optimize.brentq(lambda x: math.log((1 + x) / 0.05**2) - x, 1, 50)
    tau = math.sqrt(error * growth)
    with_effect = stats.norm(0, math.sqrt(error + tau**2)).pdf(0.5)
    assert sequential_p(a, b, 600) == pytest.approx(stats.norm(0, math.sqrt(error)).pdf(0.5) / with_effect)
    assert sequential_p(a, a, 600) == 1.0


def test_users_who_are_all_alike_leave_no_doubt_and_no_p_value():
    a, b = Moments.of(np.ones(5)), Moments.of(np.full(5, 2.0))
    assert difference(a, b).low == difference(a, b).high == 1.0
    assert sequential(a, b, 10).low == 1.0
    assert math.isnan(p_value(a, b))
    assert math.isnan(sequential_p(a, b, 10))


def test_one_user_gives_no_interval():
    a, b = Moments.of(np.ones(1)), Moments.of(np.array([2.0, 3.0]))
    assert difference(a, b).mean == 1.5
    assert math.isnan(difference(a, b).low)
    assert math.isnan(p_value(a, b))
    assert math.isnan(sequential(a, b, 10).low)


def test_an_expected_size_is_needed():
    with pytest.raises(SettingsError, match="expected is 1 users; write the planned size of both arms together"):
        sequential(Moments(2, 1.0, 1.0), Moments(2, 1.0, 1.0), expected=1)
