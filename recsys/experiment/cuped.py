"""CUPED: what users did before the experiment, taken out of what they did in it."""

import math
from dataclasses import dataclass

import numpy as np

from recsys.errors import DataError
from recsys.experiment.metrics import Metric, linearised
from recsys.statistics.numbers import Floats


@dataclass(frozen=True)
class Adjusted:
    """The values of both arms with the past taken out.

    Attributes
    ----------
    a, b
        Values per user, [N] each; their means estimate the same as before.
    reduction
        Share of the variance between users that the past explains, 0 to 1.
    without_past
        Users of both arms without a value from before.
    """

    a: Floats
    b: Floats
    reduction: float
    without_past: int


def adjust(a: Floats, b: Floats, past_a: Floats, past_b: Floats) -> Adjusted:
    """Take from every value what the user's past predicts (Deng, Xu, Kohavi and Walker 2013).

    y - theta (x - mean(x)) with theta = cov(x, y) / var(x), both within arms and pooled, so that the difference
    between the arms leaves theta alone. Randomisation makes the past equal in expectation, so nothing is biased.

    Parameters
    ----------
    a, b
        [N] values of the users of each arm.
    past_a, past_b
        [N] what they did before; NaN for users without a past, who take the mean of the others: nothing is taken out.

    Raises
    ------
    DataError
        When nobody has a past, or all have the same.

    Examples
    --------
    >>> past = np.array([1.0, 2.0, 3.0])
    >>> adjust(past + 1, past + 2, past, past).reduction
    1.0
    """
    past = np.concatenate([past_a, past_b])
    known = ~np.isnan(past)
    if not known.any():
        raise DataError("no user has a value from before the experiment; leave `before` out of the metric")
    x = np.where(known, past - past[known].mean(), 0.0)
    x_a, x_b = x[: len(a)], x[len(a) :]
    within = [(values - values.mean(), of - of.mean()) for values, of in ((a, x_a), (b, x_b))]
    spread = sum(float((of**2).sum()) for _, of in within)
    if not spread > 0:
        raise DataError("all users have the same value from before the experiment; leave `before` out of the metric")
    theta = sum(float((values * of).sum()) for values, of in within) / spread
    total = sum(float((values**2).sum()) for values, _ in within)
    return Adjusted(
        a=a - theta * x_a,
        b=b - theta * x_b,
        reduction=theta**2 * spread / total if total > 0 else math.nan,
        without_past=int(np.count_nonzero(~known)),
    )


def past_of(metric: Metric, columns: dict[str, Floats]) -> Floats:
    """Give what each user did before as one number: [N], NaN without a past.

    Parameters
    ----------
    metric
        A metric with `before`. Its ratio is linearised over the users of both arms, who were alike before.
    columns
        Column, [N] values of the users of both arms; NaN where one has none.

    Raises
    ------
    DataError
        When the denominators of the ratio add up to 0.
    """
    assert metric.before is not None
    past = columns[metric.before]
    if metric.per_before is None:
        return past
    per = columns[metric.per_before]
    known = ~(np.isnan(past) | np.isnan(per))
    found = np.full(len(past), np.nan)
    if known.any():
        found[known] = linearised(past[known], per[known], f"{metric.before}/{metric.per_before}")
    return found
