import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from recsys.errors import SettingsError
from recsys.experiment.estimates import Moments, difference
from recsys.experiment.planning import effect_for_mean, effect_for_rate, users_for_mean, users_for_rate

powers = st.floats(0.1, 0.99)


def test_sizes_are_those_of_the_textbook():
    assert users_for_mean(1.0, 0.5) == 63  # Cohen 1988: 64 by Student's t, one less by the normal
    assert users_for_mean(1.0, 0.2) == 393
    assert users_for_mean(1.0, 0.5, power=0.9) == 85
    assert users_for_mean(10.0, -2.0) == users_for_mean(1.0, 0.2)
    assert users_for_mean(1.0, 0.1) == pytest.approx(16 / 0.1**2, rel=0.02)  # Lehr's rule of sixteen
    assert users_for_rate(0.10, 0.02) == 3839  # Fleiss 1981 without continuity correction, unpooled
    assert users_for_rate(0.5, 0.1) == 385


@given(st.floats(0.1, 50), st.integers(2, 10_000_000), powers)
def test_users_and_effects_of_means_are_inverse(deviation, users, power):
    assert users_for_mean(deviation, effect_for_mean(deviation, users, power), power) == users


@given(st.floats(0.1, 50), st.floats(0.001, 10), powers)
def test_users_are_the_fewest_that_show_the_effect(deviation, effect, power):
    users = users_for_mean(deviation, effect, power)
    assert effect_for_mean(deviation, users, power) <= effect * (1 + 1e-9)
    if users > 2:
        assert effect_for_mean(deviation, users - 1, power) > effect * (1 - 1e-9)


@given(st.floats(0.01, 0.9), st.integers(300, 10_000_000), st.floats(0.1, 0.9))
def test_users_and_effects_of_rates_are_inverse(rate, users, power):
    assert users_for_rate(rate, effect_for_rate(rate, users, power), power) == pytest.approx(users, abs=1, rel=1e-8)


def test_the_detectable_rise_solves_the_equation_of_the_users():
    effect = effect_for_rate(0.1, 3839)
    variance = 0.1 * 0.9 + (0.1 + effect) * (0.9 - effect)
    assert (stats.norm.ppf(0.975) + stats.norm.ppf(0.8)) * math.sqrt(variance / 3839) == pytest.approx(
        effect, rel=1e-12
    )
    assert effect == pytest.approx(0.02, rel=1e-3)


def test_planned_experiments_have_the_power_they_were_planned_for():
    random = np.random.default_rng(0)
    users = users_for_mean(1.0, 0.25, power=0.7)
    clear = [
        difference(Moments.of(random.normal(0, 1, users)), Moments.of(random.normal(0.25, 1, users))).clear
        for _ in range(2000)
    ]
    assert np.mean(clear) == pytest.approx(0.7, abs=0.04)
    users = users_for_rate(0.2, 0.06)
    clear = []
    for a, b in random.binomial(users, [0.2, 0.26], (2000, 2)) / users:
        error = math.sqrt((a * (1 - a) + b * (1 - b)) / users)
        clear.append(abs(b - a) > 1.96 * error)
    assert np.mean(clear) == pytest.approx(0.8, abs=0.04)


def test_plans_that_are_none_are_refused():
    with pytest.raises(SettingsError, match="power is 1; it must lie above 0.05 and below 1, such as 0.8"):
        users_for_mean(1.0, 0.1, power=1.0)
    with pytest.raises(SettingsError, match="power is 0.05; it must lie above 0.05"):
        effect_for_rate(0.1, 100, power=0.05)
    with pytest.raises(SettingsError, match="effect is 0; name the smallest difference that would matter"):
        users_for_mean(1.0, 0.0)
    with pytest.raises(SettingsError, match="deviation is 0; it must be above 0"):
        users_for_mean(0.0, 0.1)
    with pytest.raises(SettingsError, match="deviation is nan; it must be above 0"):
        effect_for_mean(math.nan, 100)
    with pytest.raises(SettingsError, match="users is 1; an arm needs at least 2"):
        effect_for_mean(1.0, 1)
    with pytest.raises(SettingsError, match="rate is 0; it must lie above 0 and below 1"):
        users_for_rate(0.0, 0.1)
    with pytest.raises(SettingsError, match=r"rate \+ effect is 1.1; it must lie above 0 and below 1"):
        users_for_rate(0.9, 0.2)
    with pytest.raises(SettingsError, match="rate is 1; it must lie above 0 and below 1"):
        effect_for_rate(1.0, 100)
    with pytest.raises(SettingsError, match="5 users per arm cannot show any rise of a rate of 0.9; plan for more"):
        effect_for_rate(0.9, 5)
