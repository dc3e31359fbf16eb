"""What an off-policy estimator answers: a value, its interval, and how well the log supports it."""

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from recsys.errors import DataError
from recsys.statistics.intervals import Interval
from recsys.statistics.numbers import Floats, Integers

FEW_EFFECTIVE = 100
"""Below this effective sample size an estimate carries a warning."""
SMALL_SHARE = 0.05
"""Below this share of the sample, an effective sample size is worth a warning however large it is."""
HEAVY_SHARE = 0.05
"""A single weight that makes up more of all weight than this is worth a warning."""
CLIPPED_SHARE = 0.05
"""A larger share of weight that was cut off is worth a warning."""
FEWEST, FEWEST_SHARE, FEWEST_EVER = 30.0, 0.01, 2.0
"""An estimate is refused below an effective sample size of 30, in a log of under 3,000 below 1 % of it, and below 2."""
DOUBTFUL, IMPOSSIBLE = 3.0, 4.0
"""Standard errors between the mean weight and 1: above the first a warning, above the second (and `OFF`) a refusal."""
SLIGHT, OFF = 0.001, 0.1
"""Distance between the mean weight and 1 from which on a warning, and a refusal, is possible."""


@dataclass(frozen=True)
class Overlap:
    """How well the logging policy covers the target policy.

    Attributes
    ----------
    effective_size
        Effective sample size, (sum of weights)^2 / sum of squared weights (Kish 1965), at most the sample's size.
    largest_weight
        Largest weight in use; NaN for an estimator without weights.
    clipped
        Share of all weight that was cut off, 0 to 1.
    warnings
        What a reader of the estimate must know, one sentence each.
    """

    effective_size: float
    largest_weight: float
    clipped: float = 0.0
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Estimate:
    """Value of a policy, estimated from a log.

    Attributes
    ----------
    name
        The estimator.
    value
        Mean reward per logged row, or per list, had the target policy chosen.
    error
        Standard error, clusters taken as independent; NaN with fewer than two.
    low, high
        95 % interval: `value` -/+ `error` times the 97.5 % point of Student's t with `clusters` - 1 degrees of freedom.
    clusters
        Number of independent units: users, or rows where no user is known.
    overlap
        Effective sample size, weights and warnings.
    """

    name: str
    value: float
    error: float
    low: float
    high: float
    clusters: int
    overlap: Overlap

    @property
    def interval(self) -> Interval:
        """The value with its 95 % interval."""
        return Interval(self.value, self.low, self.high)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader must know, one sentence each."""
        return self.overlap.warnings


def from_influence(name: str, value: float, influence: Floats, clusters: Integers, overlap: Overlap) -> Estimate:
    """Give a value its interval from what each unit adds to its error.

    The estimate is, to first order, the truth plus the mean of N influences, so that its variance is
    G / (G - 1) * sum over G clusters of (sum of the cluster's influences)^2 / N^2 (linearisation or delta method with
    clusters as primary units, Taylor-linearised ratio: Cochran 1977, chapters 6 and 9).

    Parameters
    ----------
    name, value, overlap
        See `Estimate`.
    influence
        [N] with mean 0: for a mean of values, each value less the mean.
    clusters
        [N] cluster of each unit, numbered from 0.
    """
    error = clustered_error(influence, clusters)
    count = len(np.unique(clusters))
    reach = error * float(stats.t.ppf(0.975, count - 1)) if count > 1 else math.nan
    return Estimate(name, value, error, value - reach, value + reach, count, overlap)


def from_values(name: str, values: Floats, clusters: Integers, overlap: Overlap) -> Estimate:
    """Estimate by the mean of `values` [N], one per unit; see `from_influence`."""
    value = float(values.mean())
    return from_influence(name, value, values - value, clusters, overlap)


def clustered_error(influence: Floats, clusters: Integers) -> float:
    """Return the standard error of a mean with these influences [N]; NaN with fewer than two clusters."""
    groups, owner = np.unique(clusters, return_inverse=True)
    if len(groups) < 2:
        return math.nan
    totals = np.bincount(owner, weights=influence)
    return math.sqrt(len(groups) / (len(groups) - 1) * float(totals @ totals)) / len(influence)


def effective_size(weights: Floats) -> float:
    """Return (sum of weights)^2 / sum of squared weights (Kish 1965), 0 when all weights are 0.

    Examples
    --------
    >>> effective_size(np.array([1.0, 1.0, 2.0, 0.0]))
    2.6666666666666665
    """
    squares = float(weights @ weights)
    return float(weights.sum()) ** 2 / squares if squares else 0.0


def difference(a: Estimate, b: Estimate) -> Interval:
    """Return `b.value - a.value` with its 95 % interval, the two estimated from independent samples.

    Student's t with the fewer clusters' degrees of freedom, which errs on the wide side.
    """
    gap = b.value - a.value
    clusters = min(a.clusters, b.clusters)
    reach = math.hypot(a.error, b.error) * float(stats.t.ppf(0.975, clusters - 1)) if clusters > 1 else math.nan
    return Interval(gap, gap - reach, gap + reach)


def overlap_of(used: Floats, weights: Floats, clusters: Integers) -> Overlap:
    """Judge the weights of an estimator with one weight per unit.

    Parameters
    ----------
    used
        [N] weights as the estimator uses them, possibly clipped.
    weights
        [N] ratio of target and logging probability; its mean is 1 when the log supports the target policy.
    clusters
        [N] cluster of each unit.

    Raises
    ------
    DataError
        When support is missing, see `judge`.
    """
    total = float(weights.sum())
    clipped = 1 - float(used.sum()) / total if total else 0.0
    heaviest = float(used.max(initial=0.0)) / max(float(used.sum()), np.finfo(float).tiny)
    found = Overlap(effective_size(used), float(used.max(initial=0.0)), max(clipped, 0.0))
    return judge(found, heaviest, weights, clusters)


def judge(found: Overlap, heaviest: float, normaliser: Floats, clusters: Integers) -> Overlap:
    """Add warnings to what was found, or refuse.

    Parameters
    ----------
    found
        Sizes, not yet judged.
    heaviest
        Share of all weight that the heaviest weight makes up.
    normaliser
        [N] numbers whose expectation is 1 when the propensities are right and every action that the target policy may
        choose could have been logged.
    clusters
        [N] cluster of each unit.

    Raises
    ------
    DataError
        When the effective sample size is too small (`FEWEST`), or the mean of `normaliser` is clearly not 1: then the
        target policy does what was never logged, or the propensities are wrong.
    """
    size, units = found.effective_size, len(normaliser)
    needed = max(FEWEST_EVER, min(FEWEST, FEWEST_SHARE * units))
    if size < needed:
        raise DataError(
            f"support is missing: the target policy agrees with so little of the log that {units} logged choices are "
            f"worth {size:.3g} (effective sample size; {needed:.3g} are needed); "
            "log more random choices, or take an estimator that assumes more"
        )
    mean = float(normaliser.mean())
    error = clustered_error(normaliser - mean, clusters)
    off = abs(mean - 1)
    if off > OFF and off > IMPOSSIBLE * error:
        raise DataError(
            f"support is missing or propensities are wrong: the weights average {mean:.3g} (standard error "
            f"{error:.2g}) where 1 is expected; compare the propensities with how often things were shown, and give "
            "the target policy only what the logging policy could choose"
        )
    warnings = []
    if size < max(FEW_EFFECTIVE, SMALL_SHARE * units):
        warnings.append(f"effective sample size {size:.0f} of {units}: the interval may be too narrow")
    if heaviest > HEAVY_SHARE:
        warnings.append(f"one weight of {found.largest_weight:.3g} makes up {heaviest:.0%} of all weight")
    if found.clipped > CLIPPED_SHARE:
        warnings.append(f"{found.clipped:.0%} of all weight was cut off: the value is biased by what came with it")
    if off > SLIGHT and off > DOUBTFUL * error:
        warnings.append(f"the weights average {mean:.3g} (standard error {error:.2g}) where 1 is expected")
    return Overlap(size, found.largest_weight, found.clipped, tuple(warnings))


def refuse_bad(values: Floats, bad: "np.ndarray[tuple[int, ...], np.dtype[np.bool_]]", what: str, fix: str) -> None:
    """Refuse an array in which some places are `bad`, with their count and three examples.

    Raises
    ------
    DataError
        Naming `what` is wrong and the `fix`.
    """
    count = int(np.count_nonzero(bad))
    if count:
        places = np.flatnonzero(bad)[:3]
        examples = ", ".join(f"{values[place]:g} (row {place + 1})" for place in places)
        raise DataError(f"{what} in {count} of {len(values)} rows: {examples}; {fix}")


def check_probabilities(propensity: Floats, target: Floats) -> None:
    """Refuse propensities and target probabilities that no policy can have.

    Parameters
    ----------
    propensity
        [N] the logging policy's probability of what was logged: above 0, at most 1.
    target
        [N] the target policy's probability of the same: 0 to 1.

    Raises
    ------
    DataError
        With the reason, how many rows and three examples.
    """
    fix = "log the probability with which each choice was made"
    refuse_bad(propensity, np.isnan(propensity), "support is unknown: the logging propensity is missing", fix)
    zero = (propensity == 0) & (target > 0)
    what = "support is missing: the target policy may choose what has logging propensity 0"
    refuse_bad(propensity, zero, what, "give the target policy only what the logging policy could choose")
    refuse_bad(propensity, ~((propensity > 0) & (propensity <= 1)), "propensities outside (0, 1]", fix)
    refuse_bad(
        target,
        np.isnan(target),
        "the target policy's probability of the logged choice is unknown",
        "a log of single choices holds no full action distribution, so evaluate a policy whose probabilities can be "
        "computed for these rows",
    )
    outside = ~((target >= 0) & (target <= 1))
    refuse_bad(target, outside, "target probabilities outside [0, 1]", "pass the probability of the logged choice")
