"""What A and B get on the same requests, the pooled AUC as a sum over requests among it."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from recsys.errors import DataError
from recsys.statistics.numbers import Flags, Floats, Integers, Labels, Scores
from recsys.statistics.totals import UserTotals, check_lengths, sum_by_user


@dataclass(frozen=True)
class Paired:
    """Values of A and B for K measures on the same R requests; the mean of a measure is sum of values / sum of weights.

    Attributes
    ----------
    measures
        [K] names of the measures.
    a, b
        [K, R] what each request adds; 0 where the measure is not defined.
    weights
        [K, R] how much each request counts, for A and B alike; 0 where the measure is not defined.
    users
        [R] the user of each request, numbered from 0.
    """

    measures: tuple[str, ...]
    a: Floats
    b: Floats
    weights: Floats
    users: Integers

    @classmethod
    def of(cls, values: Mapping[str, tuple[Floats, Floats]], users: Integers) -> "Paired":
        """Pair values per request; a request counts for a measure where A and B both have a value.

        Parameters
        ----------
        values
            Measure, A's and B's values [R]; NaN where it is not defined.
        users
            [R] the user of each request, numbered from 0.

        Raises
        ------
        DataError
            When a length differs or a value is infinite.
        """
        for name, of in (
            (f"{name} of {side}", of) for name, pair in values.items() for side, of in zip("AB", pair, strict=True)
        ):
            check_lengths(len(users), {name: of}, "requests")
            if np.isinf(of).any():
                place = int(np.isinf(of).argmax())
                raise DataError(
                    f"{name!r} is {of[place]} for request number {place + 1}; give a finite number, or NaN where it is "
                    "not defined"
                )
        shape = (len(values), len(users))
        a, b = (np.array([pair[side] for pair in values.values()], dtype=np.float64).reshape(shape) for side in (0, 1))
        defined = ~np.isnan(a) & ~np.isnan(b)
        return cls(
            tuple(values), np.where(defined, a, 0.0), np.where(defined, b, 0.0), defined.astype(np.float64), users
        )

    def where(self, inside: Flags) -> "Paired":
        """Keep the requests that are `inside` [R], users numbered anew."""
        users = np.unique(self.users[inside], return_inverse=True)[1]
        return Paired(self.measures, self.a[:, inside], self.b[:, inside], self.weights[:, inside], users)

    def joined(self, measure: str, a: Floats, b: Floats, weights: Floats) -> "Paired":
        """Add one more measure, given as what each request adds and weighs: [R] each."""
        return Paired(
            measures=(*self.measures, measure),
            a=np.concatenate([self.a, a[None]]),
            b=np.concatenate([self.b, b[None]]),
            weights=np.concatenate([self.weights, weights[None]]),
            users=self.users,
        )

    @property
    def requests(self) -> Integers:
        """[K] requests that each measure is defined for."""
        return np.asarray(np.count_nonzero(self.weights, axis=1), dtype=np.int64)

    def totals(self) -> tuple[UserTotals, UserTotals, UserTotals]:
        """Add up A, B and B - A by user."""
        weights = sum_by_user(self.weights, self.users)
        a, b, difference = (
            UserTotals(sum_by_user(values, self.users), weights) for values in (self.a, self.b, self.b - self.a)
        )
        return a, b, difference


def pooled_auc_parts(labels: Labels, scores: Scores, starts: Integers) -> tuple[Floats, Floats]:
    """Say what each request adds to the AUC of all rows as one list, to first order.

    A positive has the share of all negatives below it, a negative the share of all positives above it, ties one half
    (the components of DeLong et al. 1988). With P positives and N negatives a request's weight is
    (its positives / P + its negatives / N) / 2, and its part is its components over P and N, less AUC * weight. Weights
    sum to 1 and parts to the AUC; the residuals part - AUC * weight, added up by user, give the variance of
    Obuchowski (1997) for clustered data.

    Parameters
    ----------
    labels
        [C] graded outcomes; above 0 is positive.
    scores
        [C] any numbers but NaN.
    starts
        [R + 1] candidates of request r are rows `starts[r]` up to `starts[r + 1]`.

    Returns
    -------
    tuple[Floats, Floats]
        [R] parts, [R] weights; all 0 without both classes.

    Examples
    --------
    >>> parts, weights = pooled_auc_parts(np.array([0, 1, 1, 0]), np.array([0.3, 0.9, 0.5, 0.7]), np.array([0, 2, 4]))
    >>> parts.sum(), weights.sum()
    (np.float64(0.75), np.float64(1.0))
    """
    positive = labels > 0
    owner = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    positives, negatives = (np.bincount(owner[of], minlength=len(starts) - 1) for of in (positive, ~positive))
    pairs = positives.sum() * negatives.sum()
    if not pairs:
        return np.zeros(len(starts) - 1), np.zeros(len(starts) - 1)
    right = np.zeros(len(starts) - 1)  # sums of halves, so exact
    for ours, theirs, sign in ((positive, ~positive, 1), (~positive, positive, -1)):
        below = _count_below(np.sort(sign * scores[theirs]), sign * scores[ours])
        right += np.bincount(owner[ours], weights=below, minlength=len(starts) - 1)
    weights = (positives / positives.sum() + negatives / negatives.sum()) / 2
    return (right - right.sum() / 2 * weights) / pairs, weights


def _count_below(others: Scores, scores: Scores) -> Floats:
    """Count `others`, sorted, below each score, ties one half."""
    return np.asarray(np.searchsorted(others, scores, "left") + np.searchsorted(others, scores, "right")) / 2
