from datetime import timedelta

import numpy as np

from recsys.past.clicks import UNIT, Clicks, weigh

HOUR = 3_600_000_000


def test_weights_halve_with_every_half_life_and_what_is_not_known_has_none():
    moments = np.array([-1, 0, 2, 4, 5]) * HOUR
    clicks = Clicks(np.arange(5), np.arange(5) + 10, moments)
    known, weights = weigh(clicks, 4 * HOUR, timedelta(hours=2))
    assert known.users.tolist() == [0, 1, 2]
    assert known.items.tolist() == [10, 11, 12]
    assert weights.tolist() == [round(UNIT * 2**-2.5), UNIT // 4, UNIT // 2]


def test_what_would_round_to_nothing_is_left_out():
    clicks = Clicks(np.arange(3), np.arange(3), np.array([0, 1, 22]) * HOUR)
    known, weights = weigh(clicks, 22 * HOUR + 1, timedelta(hours=1))
    assert known.users.tolist() == [2]
    assert weights.tolist() == [UNIT]
