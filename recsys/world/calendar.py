"""Moments of the simulated world: whole seconds from the first day of lists, busy by day and quiet by night."""

from datetime import UTC, datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys.schema import TIME

START = datetime(2025, 3, 3, tzinfo=UTC)
"""Second 0, a Monday: the first day on which lists are shown."""
HOUR = 3_600
DAY = 24 * HOUR

READING = np.array([2, 1, 1, 1, 1, 2, 5, 9, 10, 8, 7, 7, 8, 7, 6, 6, 7, 8, 9, 10, 11, 10, 7, 4], dtype=np.float64)
"""How many people read in each hour of the day, to a factor."""
PUBLISHING = np.array([0, 0, 0, 0, 1, 3, 6, 8, 9, 9, 8, 8, 7, 8, 8, 7, 6, 4, 3, 2, 2, 1, 1, 0], dtype=np.float64)
"""How much is published in each hour of the day, to a factor."""


def draw_moments(
    count: int, days: tuple[int, int], rhythm: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Draw `count` moments in the days from `days[0]` up to, not including, `days[1]`, in order of time."""
    day = rng.integers(*days, size=count)
    hour = rng.choice(24, size=count, p=rhythm / rhythm.sum())
    return np.sort(day * DAY + hour * HOUR + rng.integers(0, HOUR, size=count))


def to_time(name: str, seconds: NDArray[np.int64]) -> pl.Series:
    """Turn seconds from `START` into a column of UTC moments."""
    return pl.Series(name, seconds * 1_000_000 + int(START.timestamp()) * 1_000_000).cast(TIME)
