import json

import pytest

from pipelines.peeking import METRICS, simulate_peeking
from recsys.errors import SettingsError
from recsys.experiment.metrics import rate

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("metric", METRICS, ids=str)
def test_looking_every_day_keeps_the_errors_of_the_anytime_valid_interval_only(metric):
    found = simulate_peeking(metric, runs=150, with_effect=False, days=14, users_a_day=100)
    assert found.effect == 0
    assert found.sequential_ever <= 0.055
    assert found.sequential_covered == 1 - found.sequential_ever
    assert found.fixed_ever > 0.12
    assert found.fixed_once == pytest.approx(0.05, abs=0.055)
    assert found.covered == pytest.approx(1 - found.fixed_once)


@pytest.mark.parametrize("metric", METRICS, ids=str)
def test_an_effect_is_found_as_often_as_planned_and_covered(metric):
    found = simulate_peeking(metric, runs=150, with_effect=True, days=14, users_a_day=100)
    assert found.effect > 0
    assert found.fixed_once == pytest.approx(0.8, abs=0.12)
    assert 0.3 < found.sequential_ever < found.fixed_once
    assert 5 < found.sequential_days < 14
    assert found.covered == pytest.approx(0.95, abs=0.055)
    assert found.sequential_covered > 0.945


def test_the_seed_decides_and_the_figures_are_plain():
    first = simulate_peeking(rate("clicks"), 5, True, days=3, users_a_day=60, seed=1)
    assert first == simulate_peeking(rate("clicks"), 5, True, days=3, users_a_day=60, seed=1)
    assert json.loads(json.dumps(first.to_json()))["metric"] == "rate(clicks)"


def test_simulations_too_small_are_refused():
    with pytest.raises(SettingsError, match="runs, days and users_a_day are 5, 3 and 10; write at least 1, 1 and 40"):
        simulate_peeking(rate("clicks"), 5, False, days=3, users_a_day=10)
    with pytest.raises(SettingsError, match="are 0, 3 and 100; write at least 1"):
        simulate_peeking(rate("clicks"), 0, False, days=3, users_a_day=100)
