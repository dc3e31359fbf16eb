"""Two arms compared from their means and variances: fixed-horizon, relative and anytime-valid intervals."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import lambertw, stdtr, stdtrit

from recsys.errors import SettingsError
from recsys.statistics.intervals import LEVEL, Interval
from recsys.statistics.numbers import Floats


@dataclass(frozen=True)
class Moments:
    """All that the users of one arm say.

    Attributes
    ----------
    users
        How many, N.
    mean
        Mean over users.
    variance
        Variance between users, divided by N - 1; NaN for one user.
    """

    users: int
    mean: float
    variance: float

    @classmethod
    def of(cls, values: Floats) -> "Moments":
        """Take the moments of [N] values, N at least 1."""
        variance = float(values.var(ddof=1)) if len(values) > 1 else math.nan
        return cls(len(values), float(values.mean()), variance)

    @property
    def error(self) -> float:
        """Squared standard error of the mean."""
        return self.variance / self.users


def difference(a: Moments, b: Moments) -> Interval:
    """Give the difference B - A with its 95 % interval for a look at a time fixed beforehand (Welch 1947).

    Examples
    --------
    >>> found = difference(Moments(100, 2.0, 4.0), Moments(100, 2.5, 4.0))
    >>> round(found.low, 3), round(found.high, 3)
    (-0.058, 1.058)
    """
    mean = b.mean - a.mean
    reach = _quantile(a, b) * math.sqrt(a.error + b.error)
    return Interval(mean, mean - reach, mean + reach)


def p_value(a: Moments, b: Moments) -> float:
    """Give the two-sided p-value of Welch's test that the arms are equal; NaN when no user differs from another."""
    error = math.sqrt(a.error + b.error)
    return float(2 * stdtr(_freedom(a, b), -abs(b.mean - a.mean) / error)) if error > 0 else math.nan


def lift(a: Moments, b: Moments) -> Interval:
    """Give the relative lift (B - A) / A with its 95 % interval by Fieller's theorem (1954).

    Unlike the delta method it holds for a noisy A, and it leaves out 0 exactly when `difference` does. A lift needs a
    value of A clearly above 0: without, all three numbers are NaN.
    """
    squared = _quantile(a, b) ** 2
    spread = a.mean**2 - squared * a.error
    if not (a.mean > 0 and spread > 0):
        return Interval(math.nan, math.nan, math.nan)
    middle = a.mean * b.mean
    reach = math.sqrt(middle**2 - spread * (b.mean**2 - squared * b.error))
    return Interval(b.mean / a.mean - 1, (middle - reach) / spread - 1, (middle + reach) / spread - 1)


def sequential(a: Moments, b: Moments, expected: int) -> Interval:
    """Give the difference B - A with a 95 % interval that may be looked at after every user.

    The chance that any of these intervals, over the whole experiment, misses the true difference is at most 5 % once
    the arms hold enough users for their variances to be known: the asymptotic confidence sequence of Waudby-Smith,
    Arbour, Sinha, Kennedy and Ramdas (2024), the normal mixture of Robbins (1970) and of the mSPRT (Johari, Koomen,
    Pekelis and Walsh 2022). With V the squared error of the difference and n users in both arms, it reaches
    sqrt(V (1 + 1/x) log((1 + x) / level^2)) to either side, x = n r^2.

    Parameters
    ----------
    a, b
        The arms so far. A user must count with all of his values or not yet: one whose values still grow
        is none of the independent users that the interval supposes.
    expected
        Users in both arms together at which the interval is to be tightest, at least 2: the planned size. It sets r.
        There the interval is 1.55 times as wide as that of `difference`, so plan for 1.9 times the users to have the
        same power at the end. It is valid for any choice that is not made from the data, and a little wider elsewhere.

    Raises
    ------
    SettingsError
        When `expected` is below 2.
    """
    mean = b.mean - a.mean
    growth = _evidence_at(expected) * (a.users + b.users) / expected
    error = a.error + b.error
    reach = math.sqrt(error * (1 + 1 / growth) * (math.log1p(growth) - 2 * math.log(LEVEL)))
    return Interval(mean, mean - reach, mean + reach)


def sequential_p(a: Moments, b: Moments, expected: int) -> float:
    """Give the p-value that goes with `sequential`: at most 5 % exactly when its interval leaves out 0.

    One over the mixture likelihood ratio, at most 1. The smallest of all looks so far is valid as well.
    """
    growth = _evidence_at(expected) * (a.users + b.users) / expected
    error = a.error + b.error
    if not error > 0:
        return math.nan
    log_ratio = (b.mean - a.mean) ** 2 / error * growth / (1 + growth) / 2 - math.log1p(growth) / 2
    return math.exp(-max(0.0, log_ratio))


def _evidence_at(expected: int) -> float:
    """Give x = n r^2 at the size where the interval is tightest: log((1 + x) / level^2) = x, by Lambert's W."""
    if expected < 2:
        raise SettingsError(f"expected is {expected} users; write the planned size of both arms together, at least 2")
    return float(-lambertw(-(LEVEL**2) / math.e, -1).real - 1)


def _quantile(a: Moments, b: Moments) -> float:
    return float(stdtrit(_freedom(a, b), 1 - LEVEL / 2))


def _freedom(a: Moments, b: Moments) -> float:
    """Give the degrees of freedom of Welch and Satterthwaite."""
    error = a.error + b.error
    if not error > 0:
        return math.nan if np.isnan(error) else float(a.users + b.users - 2)
    return error**2 / (a.error**2 / (a.users - 1) + b.error**2 / (b.users - 1))
