import numpy as np
import pytest

from recsys.world.calendar import DAY
from recsys.world.facets import FACETS
from recsys.world.population import LIKED_FACETS, OWN_TASTE, PERSONA_TASTE, PERSONAS


def test_some_users_join_late_and_in_order(parts):
    joined = parts.population.joined
    assert (np.diff(joined) >= 0).all()
    assert (joined >= 0).mean() == pytest.approx(0.15)
    assert joined.max() < parts.settings.days * DAY


def test_activity_is_like_zipf(parts):
    activity = np.sort(parts.population.activity)[::-1]
    assert 0.25 < activity[: len(activity) // 10].sum() / activity.sum() < 0.6


def test_every_user_likes_and_dislikes_facets(parts):
    taste = parts.population.facet_interest
    assert taste.shape == (parts.settings.users, len(FACETS) + 1)
    assert (taste[:, -1] == 0).all()
    assert (taste > 0.5).sum(axis=1).min() >= LIKED_FACETS
    assert (taste < -0.5).sum(axis=1).min() >= LIKED_FACETS
    assert np.abs(taste).max() == pytest.approx(PERSONA_TASTE + OWN_TASTE)


def test_tastes_gather_around_personas(parts):
    rounded = np.sign(np.round(parts.population.facet_interest))
    assert len(np.unique(rounded, axis=0)) == PERSONAS


def test_visitors_have_joined_and_come_as_often_as_their_activity_says(parts):
    population, rng = parts.population, np.random.default_rng(0)
    count = 60_000
    moments = np.sort(rng.integers(-DAY, parts.settings.days * DAY, size=count))
    users = population.draw_visitors(moments, 0.0, rng)
    assert (population.joined[users] <= moments).all()

    early = population.joined < 0
    visits = np.bincount(population.draw_visitors(np.full(count, -1), 0.0, rng), minlength=len(early))
    expected = np.where(early, population.activity, 0) / population.activity[early].sum()
    assert (np.abs(visits / count - expected) <= 5 * np.sqrt(expected / count)).all()


def test_users_table_holds_no_taste(parts):
    assert parts.population.table().columns == ["user_id", "age_group"]
