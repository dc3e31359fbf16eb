import math
from dataclasses import replace

import numpy as np
import pytest

from pipelines.offpolicy import (
    ESTIMATORS,
    TOP,
    UNSUPPORTED,
    Coverage,
    Draw,
    populations,
    simulate_coverage,
)
from recsys.errors import SettingsError
from recsys.offpolicy.policies import ListPolicy
from recsys.world import WorldSettings, make_world

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def judged():
    return populations(
        make_world(WorldSettings(items=200, users=60, days=4, requests=600, candidates=9, random_tail=0.0))
    )


@pytest.mark.slow
@pytest.mark.parametrize("case", ESTIMATORS)
def test_intervals_hold_the_true_value_where_there_is_support_and_refuse_where_not(judged, case):
    for found in simulate_coverage(case, judged[case], runs=50, users=60):
        if found.estimator in UNSUPPORTED.get(case, ()):
            assert found.refused == found.runs == 50, found
            assert found.right
        else:
            assert found.refused == 0
            assert 0.85 <= found.held <= 1, found  # 50 runs: 95 % give or take three standard errors
            assert abs(found.bias) < 4 * found.bias_error, found
            assert found.stated == pytest.approx(found.spread, rel=0.35), found


def test_the_true_value_is_what_clicks_come_to_under_the_target_policy(judged):
    near = judged["near"]
    assert near.truth(12) > near.truth(TOP) > near.truth(1) > 0
    # Let the target policy log, and count clicks.
    swapped = replace(near, logging_scores=near.target_scores, logging_placements=near.target_placements)
    random, clicks, lists = np.random.default_rng(0), 0.0, 0
    for _ in range(80):
        log = Draw.of(swapped, 80, random).log
        clicks += log.reward[log.position <= TOP].sum()
        lists += len(log.starts) - 1
    assert clicks / lists == pytest.approx(near.truth(TOP), rel=0.02)


@pytest.mark.parametrize("case", ESTIMATORS)
def test_a_draw_describes_both_policies_in_its_own_order(judged, case):
    draw = Draw.of(judged[case], 10, np.random.default_rng(1))
    build = ListPolicy.ranking if judged[case].fixed else ListPolicy.plackett_luce
    expected = build(draw.target_scores, draw.log.starts)
    assert draw.target.probability == pytest.approx(expected.probability)
    assert draw.target.placements == pytest.approx(expected.placements, abs=1e-6)
    assert draw.logging.probability == pytest.approx(draw.log.propensity)


def test_drawn_users_come_with_all_their_requests(judged):
    population = judged["near"]
    draw = Draw.of(population, 500, np.random.default_rng(2))
    sizes = np.bincount(draw.log.clusters)
    assert len(sizes) == 500
    assert set(sizes.tolist()) <= set(np.bincount(population.users).tolist())


def test_the_same_seed_gives_the_same_figures(judged):
    first, again = (simulate_coverage("random", judged["random"], runs=3, users=20, seed=5) for _ in range(2))
    assert first == again
    assert first != simulate_coverage("random", judged["random"], runs=3, users=20, seed=6)


def coverage(**changes):
    figures = {"case": "near", "estimator": "slate IPS", "truth": 1.0, "runs": 1000, "refused": 0, "warned": 0}
    numbers = dict.fromkeys(("error", "bias", "bias_error", "spread", "stated", "effective"), 0.0)
    return Coverage(**(figures | {"held": 0.95} | numbers | changes))


def test_right_means_within_the_range_or_refused_without_support():
    assert coverage().right
    assert coverage(held=0.925).right
    assert not coverage(held=0.92).right
    assert not coverage(held=0.975).right
    assert not coverage(refused=1).right
    assert not coverage(refused=1000, held=math.nan).right
    assert coverage(case="best", refused=1000, held=math.nan).right
    assert not coverage(case="best", refused=999).right


def test_runs_and_users_are_needed(judged):
    with pytest.raises(SettingsError, match="runs is 0 and users is 200; one run and two users are the least"):
        simulate_coverage("near", judged["near"], runs=0)
    with pytest.raises(SettingsError, match="users is 1"):
        simulate_coverage("near", judged["near"], runs=1, users=1)
