"""Intervals of a mean over requests, by bootstrap over users: requests of one user are not independent."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from recsys.errors import SettingsError
from recsys.evaluation.measures import Floats, Integers, divide

_BLOCK_DRAWS = 1 << 18  # draws held at once: fits the processor's cache and keeps memory flat


@dataclass(frozen=True)
class Interval:
    """A mean and its 95 % interval.

    Attributes
    ----------
    mean
        Mean over requests; NaN when no request has a value.
    low, high
        The 2.5 % and 97.5 % points of the resampled means; NaN when fewer than two users have a value, because one
        user says nothing about others.
    """

    mean: float
    low: float
    high: float

    @property
    def clear(self) -> bool:
        """Whether the interval leaves out 0: for a difference, whether its sign is clear."""
        return self.low > 0 or self.high < 0


def intervals_over_users(values: Floats, users: Integers, resamples: int = 1000, seed: int = 0) -> list[Interval]:
    """Mean over requests of each row of `values`, with a 95 % percentile interval by bootstrap over users.

    A resample draws as many users as there are, with replacement, each with all of its requests, and takes the mean
    over their requests; all rows see the same resamples. For paired differences, pass differences per request.
    (Efron and Tibshirani 1993, chapter 13; users as clusters.)

    Parameters
    ----------
    values
        [K, R] one number per request for each of K rows; NaN is left out.
    users
        [R] the user of each request, numbered from 0.
    resamples
        How many resamples, at least 1; a thousand settle the interval to a few percent of its width.
    seed
        Seed of the draws.

    Returns
    -------
    list[Interval]
        K intervals. Resamples in which no request has a value are left out.

    Raises
    ------
    SettingsError
        When `resamples` is below 1.

    Examples
    --------
    >>> intervals_over_users(np.array([[0.5, 0.5, 0.5]]), np.array([0, 1, 2]))
    [Interval(mean=0.5, low=0.5, high=0.5)]
    """
    if resamples < 1:
        raise SettingsError(f"resamples is {resamples}, which gives no interval; write 1000")
    count = int(users.max(initial=0)) + 1
    defined = ~np.isnan(values)
    sums, counts = (
        np.stack([np.bincount(users, weights=row, minlength=count) for row in rows], axis=1)
        for rows in (np.where(defined, values, 0.0), defined)
    )
    resampled = np.concatenate([divide(times @ sums, times @ counts) for times in _draws(count, resamples, seed)])
    means = divide(sums.sum(axis=0), counts.sum(axis=0))
    return [
        _interval(mean, column[~np.isnan(column)], users=int(np.count_nonzero(counted)))
        for mean, column, counted in zip(means, resampled.T, counts.T, strict=True)
    ]


def _interval(mean: np.float64, resampled: Floats, users: int) -> Interval:
    if users < 2 or not len(resampled):
        return Interval(float(mean), float("nan"), float("nan"))
    low, high = np.quantile(resampled, [0.025, 0.975])
    return Interval(float(mean), float(low), float(high))


def _draws(users: int, resamples: int, seed: int) -> Iterator[Floats]:
    """Give resamples in blocks: [B, users], how many times each user was drawn."""
    random = np.random.default_rng(seed)
    block = max(1, _BLOCK_DRAWS // users)
    for first in range(0, resamples, block):
        rows = min(block, resamples - first)
        drawn = random.integers(users, size=(rows, users)) + np.arange(rows)[:, None] * users
        yield np.bincount(drawn.ravel(), minlength=rows * users).reshape(rows, users).astype(np.float64)
