from datetime import UTC, datetime

import numpy as np
import polars as pl

from recsys.schema import TIME
from recsys.world.calendar import DAY, HOUR, PUBLISHING, READING, START, draw_moments, to_time


def test_moments_lie_in_their_days_in_order():
    moments = draw_moments(5_000, (-3, 2), READING, np.random.default_rng(0))
    assert moments.min() >= -3 * DAY
    assert moments.max() < 2 * DAY
    assert (np.diff(moments) >= 0).all()


def test_moments_follow_the_rhythm_of_the_day():
    count = 50_000
    moments = draw_moments(count, (0, 10), PUBLISHING, np.random.default_rng(0))
    share = np.bincount(moments % DAY // HOUR, minlength=24) / count
    expected = PUBLISHING / PUBLISHING.sum()
    assert (np.abs(share - expected) <= 4.5 * np.sqrt(expected * (1 - expected) / count)).all()


def test_seconds_become_utc_moments():
    column = to_time("timestamp", np.array([0, -1, DAY]))
    assert column.dtype == TIME
    assert column.to_list() == [START, datetime(2025, 3, 2, 23, 59, 59, tzinfo=UTC), datetime(2025, 3, 4, tzinfo=UTC)]
    assert column.name == "timestamp"
    assert isinstance(column, pl.Series)
