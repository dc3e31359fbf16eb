"""What an experiment measures: rates, means and ratios as values, the user as the unit of randomisation."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from recsys.errors import DataError
from recsys.statistics.numbers import Floats


@dataclass(frozen=True)
class Metric:
    """One number per arm, made of columns with one value per user; build it with `rate`, `mean` or `ratio`.

    Attributes
    ----------
    kind
        `rate`: share of users whose value is above 0; `mean`: mean value per user; `ratio`: sum of the values over the
        sum of `per`.
    column
        Name of the values.
    per
        Name of the denominators of a ratio, at least 0; None for the others.
    before
        Name of a column with what the user did before the experiment, which CUPED takes out; None to take out nothing.
    per_before
        Name of its denominators where it is a ratio, too.
    """

    kind: Literal["rate", "mean", "ratio"]
    column: str
    per: str | None = None
    before: str | None = None
    per_before: str | None = None

    @property
    def name(self) -> str:
        """What it prints as: `rate(bought)`, `mean(seconds)`, `clicks/views`."""
        return f"{self.column}/{self.per}" if self.kind == "ratio" else f"{self.kind}({self.column})"

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns in which every user needs a value."""
        return (self.column,) if self.per is None else (self.column, self.per)

    @property
    def columns_before(self) -> tuple[str, ...]:
        """Columns from before the experiment, which new users may lack."""
        return tuple(name for name in (self.before, self.per_before) if name is not None)

    def __str__(self) -> str:
        return self.name

    def values(self, columns: Mapping[str, Floats]) -> Floats:
        """Give each user of one arm a number: [N], whose mean is the metric and whose variance is its variance times N.

        Parameters
        ----------
        columns
            Column, [N] values of the users of one arm.

        Raises
        ------
        DataError
            When the denominators of a ratio add up to 0.
        """
        values = columns[self.column]
        if self.kind == "rate":
            return (values > 0).astype(np.float64)
        return values if self.per is None else linearised(values, columns[self.per], self.name)


def rate(column: str, before: str | None = None) -> Metric:
    """Share of users whose value is above 0: who clicked, who bought."""
    return Metric("rate", column, before=before)


def mean(column: str, before: str | None = None) -> Metric:
    """Mean of a value per user: clicks per user, seconds read per user."""
    return Metric("mean", column, before=before)


def ratio(column: str, per: str, before: str | None = None, per_before: str | None = None) -> Metric:
    """Sum of one value over the sum of another: clicks per view where users have many views."""
    return Metric("ratio", column, per, before, per_before)


def linearised(values: Floats, per: Floats, name: str) -> Floats:
    """Turn a ratio of sums into one number per user, by the delta method.

    The ratio R = sum(y) / sum(x) moves with user i as R + (y_i - R x_i) / mean(x); the mean of these is R and their
    variance over N is the delta-method variance of R (Deng, Knoblich and Lu 2018).

    Parameters
    ----------
    values, per
        [N] numerators and denominators.
    name
        Name of the ratio, for the error.

    Raises
    ------
    DataError
        When the denominators add up to 0.

    Examples
    --------
    >>> linearised(np.array([1.0, 2.0]), np.array([2.0, 4.0]), "clicks/views").tolist()
    [0.5, 0.5]
    """
    if not per.sum() > 0:
        raise DataError(f"the denominators of {name} add up to 0 in one arm; wait for data or leave the metric out")
    whole = values.sum() / per.sum()
    moved: Floats = whole + (values - whole * per) / per.mean()
    return moved
