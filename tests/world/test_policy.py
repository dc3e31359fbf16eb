from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.world.calendar import DAY
from recsys.world.catalogue import CATEGORIES
from recsys.world.policy import Policy, plackett_luce


def visits(parts, count, seed=0):
    rng = np.random.default_rng(seed)
    moments = np.sort(rng.integers(-5 * DAY, 8 * DAY, size=count))
    return rng.integers(parts.settings.users, size=count), moments, rng.integers(4, 17, size=count), rng


def test_retrieved_items_differ_are_published_and_fill_the_list(parts):
    policy = Policy(parts.catalogue, parts.settings.users)
    users, moments, sizes, rng = visits(parts, 500)
    for row, moment, size in zip(policy.retrieve(users, moments, sizes, rng), moments, sizes, strict=True):
        items = row[row >= 0]
        assert len(items) == len(set(items)) == size
        assert (parts.catalogue.published[items] <= moment).all()
        assert (row[size:] == -1).all()


def test_a_category_of_which_nothing_is_published_yet_gives_no_candidate(parts):
    last = parts.settings.items - 1
    category = np.where(np.arange(last + 1) == last, 7, parts.catalogue.category % 7)
    policy = Policy(replace(parts.catalogue, category=category), parts.settings.users)
    users, moments, sizes = np.arange(200), np.zeros(200, dtype=np.int64), np.full(200, 12)
    found = policy.retrieve(users, moments, sizes, np.random.default_rng(0))
    assert not (found == last).any()
    assert (parts.catalogue.published[found] <= 0).all()


def test_no_visits_retrieve_nothing(parts):
    empty = np.empty(0, dtype=np.int64)
    policy = Policy(parts.catalogue, parts.settings.users)
    assert policy.retrieve(empty, empty, empty, np.random.default_rng(0)).shape[0] == 0


def test_opened_items_are_not_retrieved_again(parts):
    policy = Policy(parts.catalogue, parts.settings.users)
    opened = np.arange(0, parts.settings.items, 2)
    policy.learn(np.full(len(opened), 7), opened, 0)
    found = policy.retrieve(np.array([7, 8]), np.array([DAY, DAY]), np.array([16, 16]), np.random.default_rng(0))
    assert not np.isin(found[0], opened).any()
    assert np.isin(found[1], opened).any()


def test_a_user_who_opened_everything_still_gets_a_list(parts):
    policy = Policy(parts.catalogue, parts.settings.users)
    policy.learn(np.zeros(parts.settings.items, dtype=np.int64), np.arange(parts.settings.items), 0)
    found = policy.retrieve(np.array([0]), np.array([DAY]), np.array([8]), np.random.default_rng(0))
    assert (found >= 0).all()


def test_category_affinity_is_a_smoothed_share_of_clicks(parts):
    policy = Policy(parts.catalogue, parts.settings.users)
    items = np.nonzero(parts.catalogue.category == 2)[0][:6]
    policy.learn(np.full(6, 3), items, 0)
    expected = np.full(len(CATEGORIES), 0.5 / 10)
    expected[2] = 6.5 / 10
    assert policy.affinity(np.array([3]))[0] == pytest.approx(expected)
    assert policy.affinity(np.array([4]))[0] == pytest.approx(1 / len(CATEGORIES))


def test_popular_fresh_and_familiar_items_score_higher(parts):
    policy = Policy(parts.catalogue, parts.settings.users)
    old, clicked = 0, np.nonzero(parts.catalogue.category == parts.catalogue.category[0])[0][1]
    new = int(np.searchsorted(parts.catalogue.published, DAY)) - 1
    policy.learn(np.array([1, 2]), np.array([clicked, clicked]), 0)
    stranger, clicker = policy.scores(np.array([5, 1]), np.array([DAY, DAY]), np.array([[old, clicked, new]] * 2))
    assert stranger[1] > stranger[0]
    assert stranger[2] > stranger[0]
    assert clicker[0] > stranger[0]


@given(st.lists(st.floats(-3, 3), min_size=2, max_size=9), st.integers(0, 2**32))
def test_propensity_is_the_softmax_over_those_that_remain(scores, seed):
    padded = np.array([[*scores, -np.inf]])
    order, propensity = plackett_luce(padded, np.random.default_rng(seed))
    assert sorted(order[0]) == list(range(len(scores) + 1))
    assert order[0, -1] == len(scores)
    left = list(order[0, :-1])
    for place in range(len(scores)):
        total = sum(np.exp(scores[item]) for item in left[place:])
        assert propensity[0, place] == pytest.approx(np.exp(scores[left[place]]) / total)


def test_orders_come_as_often_as_their_propensities_multiply_to():
    scores, count = np.array([0.8, -0.5, 0.1]), 40_000
    order, propensity = plackett_luce(np.tile(scores, (count, 1)), np.random.default_rng(0))
    total = 0.0
    for expected_order in permutations(range(3)):
        rows = (order == expected_order).all(axis=1)
        chance = propensity[rows][0].prod()
        assert abs(rows.mean() - chance) < 4.5 * np.sqrt(chance * (1 - chance) / count)
        total += chance
    assert total == pytest.approx(1.0)
