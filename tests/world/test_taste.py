import math

import numpy as np
import pytest

from recsys.world import taste
from recsys.world.calendar import DAY
from recsys.world.catalogue import NO_FACET


def test_utility_is_the_stated_sum(parts):
    population, catalogue = parts.population, parts.catalogue
    users, items = np.array([0, 17, 250]), np.array([5, 400, 799])
    moments = catalogue.published[items] + np.array([0, 3 * DAY, DAY // 2])
    found = taste.utility(population, catalogue, users, items, moments)
    for place, (user, item, age) in enumerate(zip(users, items, (0, 3, 0.5), strict=True)):
        expected = taste.BASE + population.topic_interest[user, catalogue.topic[item]] + catalogue.appeal[item]
        expected += sum(population.facet_interest[user, f] for f in catalogue.facets[item] if f != NO_FACET)
        expected += taste.FRESH * math.exp(-age / taste.FRESH_DAYS)
        assert found[place] == pytest.approx(expected)


def test_examination_falls_with_the_root_of_the_position():
    assert taste.examination(np.array([1, 4, 16])) == pytest.approx([1.0, 0.5, 0.25])


def test_sigmoid_turns_log_odds_into_probabilities():
    assert taste.sigmoid(np.array([0.0, math.log(3), -math.log(3)])) == pytest.approx([0.5, 0.75, 0.25])
