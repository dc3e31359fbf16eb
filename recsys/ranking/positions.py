"""Position bias: how likely each place of a list is looked at, and what is learnt of clicks that fell there.

A click needs two things, that a place is looked at and that what stands there is liked (the examination hypothesis,
Richardson et al. 2007): P(click) = examination(place) * P(liked).
"""

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import numpy.typing as npt
from scipy import optimize, sparse, stats

from recsys.ranking.examples import Examples
from recsys.ranking.settings import Correction

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

DEEPEST = 100
"""Places further down count as this one."""

_LARGEST_WEIGHT = 10.0
"""What clicks are weighed with is clipped here: few of them would decide everything."""

_EITHER = 0.1
"""Least probability of either order of two neighbours from which something is learnt."""

_KNOWN = 0.5
"""From lists that were drawn nothing is learnt of places where less than this share of the candidates was."""

_FEW = 100
"""Nor from so few pairs of neighbours of which one was clicked."""

_UNSURE = 0.5
"""Standard error of the last log odds from which on nothing is."""

_COUNTS = 0.01
"""A place counts that holds more than this share of the clicks."""

_PRIOR = 2.0
"""Clicks, above and below, that are added to those of two neighbouring places: few clicks move little."""

_LEVEL = 0.01
"""From places that differ no more than chance makes them with this probability nothing is corrected."""


@dataclass(frozen=True)
class Examination:
    """How likely each place of a list is looked at, against the first.

    Attributes
    ----------
    odds
        Of place 1, 2, ..., those of a click against those at the first place, for the same item and person, above 0;
        1 for the first. Where clicks are rare that is the ratio of the probabilities, too. Shape [P].
    chance
        Probability that places which are looked at alike differ as much, 0 to 1.
    """

    odds: Floats
    chance: float

    def of(self, positions: Ints) -> Floats:
        """Give the odds of some positions, 1 where none was written down and those of the last beyond it, shape [C]."""
        known: Floats = np.append(1.0, self.odds)[np.minimum(positions, len(self.odds))]
        return known

    @property
    def flat(self) -> bool:
        """Whether chance alone explains that places differ."""
        return self.chance > _LEVEL


@dataclass(frozen=True)
class PositionBias:
    """What is done about clicks that fell where people looked.

    Attributes
    ----------
    correction
        How, as in `RankerSettings.position_bias`.
    examination
        What it is done with.
    """

    correction: Correction
    examination: Examination

    def offsets(self, examples: Examples) -> Floats | None:
        """Give the log odds of each row that its place accounts for, from which trees go on, shape [C]."""
        return np.log(self.examination.of(examples.positions)) if self.correction == "examination" else None

    def places(self, examples: Examples) -> Ints | None:
        """Give the place of each row for LightGBM to learn an effect of, shape [C]."""
        return np.minimum(examples.positions, DEEPEST) if self.correction == "additive" else None

    def counts(self, examples: Examples, half_life: timedelta | None) -> Floats:
        """Say how much each row counts, 1 on average, shape [C]; see `Examples.counts`."""
        counts = examples.counts(half_life)
        if self.correction == "inverse":
            counts = counts * np.repeat(self.weights(examples), np.diff(examples.starts))
            counts /= counts.mean()
        return counts

    def weights(self, examples: Examples) -> Floats:
        """Give the mean inverse odds of the places of each list's clicks, clipped, 1 without a click, shape [R].

        A list with one click counts so as in Joachims et al., Unbiased Learning-to-Rank with Biased Feedback, 2017.
        """
        clicked = (examples.labels > 0).astype(np.float64)
        inverse = clicked * np.minimum(1 / self.examination.of(examples.positions), _LARGEST_WEIGHT)
        sums, clicks = (np.add.reduceat(each, examples.starts[:-1]) for each in (inverse, clicked))
        return np.where(clicks > 0, sums / np.maximum(clicks, 1), 1.0)

    def to_json(self) -> dict[str, object]:
        """Return plain objects: what is done, and the odds of places that it is done with, four digits each."""
        used = self.correction != "additive"  # LightGBM learns its own
        odds = [float(f"{odds:.4g}") for odds in self.examination.odds] if used else []
        return {"correction": self.correction, "odds": odds}


UNBIASED = PositionBias("none", Examination(np.ones(1), 1.0))
"""Nothing is done."""


def harvest(examples: Examples) -> Examination | None:
    """Learn how places differ from neighbours that could as well have stood the other way round.

    Lists whose order was drawn place by place, each with a probability that was written down as `propensity`, are
    experiments: of two neighbours a above b, drawn with probabilities p and q, the order was a above b with probability
    (1 - q (1 - p)) / (2 - p - q (1 - p)), whoever they are (Plackett and Luce). Weighed with the inverse of
    that, clicks above and below differ by the place alone (intervention harvesting, Agarwal et al. 2019). Lists in
    uniformly random order are the plainest case.

    Parameters
    ----------
    examples
        Lists as they were shown.

    Returns
    -------
    None where that is known of fewer than half of the candidates, where neighbours at a place that counts could not
    have stood the other way round, or where so few did that nothing sure comes of it.
    """
    if np.isfinite(examples.propensities).mean() < _KNOWN:
        return None
    request = np.repeat(np.arange(len(examples.starts) - 1), np.diff(examples.starts))
    order = np.lexsort((examples.positions, request))
    request, place = request[order], np.minimum(examples.positions[order], DEEPEST)
    clicked, drawn = examples.labels[order] > 0, examples.propensities[order]
    above = np.flatnonzero((request[1:] == request[:-1]) & (place[1:] == place[:-1] + 1) & (place[:-1] > 0))
    first, second = drawn[above], drawn[above + 1] * (1 - drawn[above])
    left = 2 - first - second
    this = np.divide(1 - second, left, out=np.ones(len(above)), where=left > 0)
    either = (this >= _EITHER) & (this <= 1 - _EITHER)  # what is not known is neither
    above, weight = above[either], 0.5 / this[either]
    clicks = np.bincount(place[clicked], minlength=DEEPEST + 1)
    counts = np.flatnonzero(clicks > max(_COUNTS * clicks.sum(), 1))
    begin, end = (int(counts.min()), int(counts.max())) if len(counts) else (0, 0)
    some = (place[above] >= begin) & (place[above] < end)
    above, weight, lists = above[some], weight[some], int(request[-1]) + 1
    step = place[above] - begin
    pairs = np.count_nonzero(clicked[above] | clicked[above + 1])
    if begin < 1 or pairs < _FEW or len(np.unique(step)) < end - begin:
        return None
    parts = []
    for rows in (above, above + 1):
        sums = np.bincount(step, weight * clicked[rows], end - begin) + _PRIOR
        shape = (lists, end - begin)
        parts.append((sums, sparse.csr_matrix((weight * clicked[rows] / sums[step], (request[rows], step)), shape)))
    (upper, of_upper), (lower, of_lower) = parts
    steps, moved = np.log(lower) - np.log(upper), of_lower - of_upper  # what each list moves them by
    covariance = (moved.T @ moved).toarray()
    if covariance.sum() > _UNSURE**2:
        return None
    odds = np.concatenate([np.ones(begin), np.exp(np.cumsum(steps))])
    return Examination(odds, _chance(steps, covariance))


def _chance(steps: Floats, covariance: npt.NDArray[np.float64]) -> float:
    """Give the probability that numbers of such a covariance, all 0 in truth, lie as far from 0 (Wald)."""
    distance = float(steps @ np.linalg.pinv(covariance, hermitian=True) @ steps)
    return chance_of(distance, int(np.linalg.matrix_rank(covariance, hermitian=True)))


def explained(scores: Floats, offsets: Floats, labels: Ints, starts: Ints) -> Floats:
    """Say how well scores explain clicks beside the places that they stand at: log-likelihoods of lists.

    Clicks are those of a conditional logit, P(row) ~ exp(a * score + b * offset) within its list, with the a >= 0 and b
    that explain all of them best; whatever places explain, a score is not praised for.

    Parameters
    ----------
    scores, offsets
        Of each row, shape [C]: what orders, and the log odds of its place.
    labels, starts
        Grades, and first rows of lists, as of `Examples`.

    Returns
    -------
    One number a list, at most 0, NaN without a click, shape [R].
    """
    first, request = starts[:-1], np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    spread = scores.std()
    told = np.stack([(scores - scores.mean()) / (spread if spread > 0 else 1.0), offsets])
    clicked = (labels > 0).astype(np.float64)
    clicks = np.add.reduceat(clicked, first)

    def likelihoods(weights: Floats) -> tuple[Floats, Floats]:
        values = weights @ told
        top = np.maximum.reduceat(values, first)
        powers = np.exp(values - top[request])
        sums = np.add.reduceat(powers, first)
        found = np.add.reduceat(clicked * values, first) - clicks * (top + np.log(sums))
        return found, told @ (clicked - (clicks / sums)[request] * powers)

    def loss(weights: Floats) -> tuple[float, Floats]:
        found, slope = likelihoods(weights)
        return -float(found.sum()), -slope

    best = optimize.minimize(loss, np.ones(2), jac=True, method="L-BFGS-B", bounds=[(0, None), (None, None)]).x
    return np.where(clicks > 0, likelihoods(best)[0], np.nan)


def chance_of(distance: float, freedom: int) -> float:
    """Give the probability of a larger sum of so many squared standard normal numbers; 1 of none."""
    return float(stats.chi2.sf(distance, freedom)) if freedom else 1.0
