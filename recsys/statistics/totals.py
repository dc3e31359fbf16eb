"""What each user adds to a mean over requests: requests of one user are not independent, users are."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.errors import DataError
from recsys.statistics.numbers import Floats, Integers, divide


@dataclass(frozen=True)
class UserTotals:
    """Sums over the requests of each of U users, for each of K means: a mean is a ratio of two sums over users.

    Attributes
    ----------
    sums
        [U, K] sum of the values of the user's requests.
    weights
        [U, K] how much the user counts: how many of its requests have a value, or any share of all.
    """

    sums: Floats
    weights: Floats

    @classmethod
    def of(cls, values: Floats, users: Integers) -> "UserTotals":
        """Add up values per request.

        Parameters
        ----------
        values
            [K, R] one number per request for each of K means; NaN is left out.
        users
            [R] the user of each request, numbered from 0.

        Examples
        --------
        >>> UserTotals.of(np.array([[0.5, 1.0, np.nan]]), np.array([0, 0, 1])).sums.tolist()
        [[1.5], [0.0]]
        """
        defined = ~np.isnan(values)
        return cls(sum_by_user(np.where(defined, values, 0.0), users), sum_by_user(defined.astype(np.float64), users))

    @property
    def users(self) -> Integers:
        """[K] how many users count."""
        return np.asarray(np.count_nonzero(self.weights, axis=0), dtype=np.int64)

    @property
    def means(self) -> Floats:
        """[K] the means; NaN where no user counts."""
        return divide(self.sums.sum(axis=0), self.weights.sum(axis=0))

    @property
    def effective_users(self) -> Floats:
        """[K] users of equal weight that say as much: (sum of weights)^2 / sum of squared weights; NaN below two users.

        It is the number of users when all weigh the same (the effective number of clusters of Carter, Schnepel and
        Steigerwald 2017, where requests of one user go together).
        """
        effective = divide(self.weights.sum(axis=0) ** 2, (self.weights**2).sum(axis=0))
        return np.where(self.users > 1, np.maximum(effective, 1 + 1e-9), np.nan)

    @property
    def standard_errors(self) -> Floats:
        """[K] standard error of the means by linearisation of the ratio, clustered by user; NaN below two users.

        With residuals e = sum - mean * weight and G effective users: sqrt(G / (G - 1) * sum of e^2) / sum of weights
        (Cochran 1977, section 6.4; with equal weights the textbook's s / sqrt(U)).
        """
        squares = ((self.sums - np.nan_to_num(self.means) * self.weights) ** 2).sum(axis=0)
        spread = np.sqrt(self.effective_users / (self.effective_users - 1) * squares)
        return divide(spread, self.weights.sum(axis=0))


def sum_by_user(values: Floats, users: Integers) -> Floats:
    """Add up values [K, R] over the requests of each user: [U, K]."""
    count = int(users.max(initial=-1)) + 1
    sums = [np.bincount(users, weights=row, minlength=count) for row in values]
    return np.stack(sums, axis=1) if sums else np.empty((count, 0))


def check_lengths(rows: int, columns: Mapping[str, NDArray[np.generic]], unit: str = "candidates") -> None:
    """Refuse columns that do not have one value per row; a row is a `unit`.

    Raises
    ------
    DataError
        When a length differs; it names the column.
    """
    for name, values in columns.items():
        if len(values) != rows:
            raise DataError(f"{name!r} has {len(values)} values for {rows} {unit}; give one per row of requests")
