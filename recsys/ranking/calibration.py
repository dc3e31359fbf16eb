"""Scores into click probabilities, by what a score is within its list."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from recsys.ranking.tree_text import LARGEST

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

SIZES = 3
"""Sizes of lists, from the smallest to the largest, between which log-odds and steepness follow straight lines."""
PIECES = 5
"""Straight pieces of the line that log-odds follow along the share, each of as many candidates."""
HALF = 0.5
"""Clicked and not clicked candidates that are added at each size: a click is never impossible and never certain."""
PENALTY = 1.0
"""Weight of the squares of all that is learnt beside the log-odds of each size, in units of the spread they act on."""
BEYOND = 30.0
"""Log-odds that no candidate exceeds on either side."""


@dataclass(frozen=True)
class Fold:
    """Lists and what a ranker says of them that has not learnt from them.

    Attributes
    ----------
    scores, labels
        One row per candidate, rows of one list together, shape [C].
    starts
        First row of every list and, last, C; at least one list, none of them empty; shape [R + 1].
    """

    scores: Floats
    labels: Ints
    starts: Ints


@dataclass(frozen=True)
class Calibration:
    """Log-odds of a click by the share of the score in its list, the size of the list and the level of its scores.

    A ranker is grown to order lists, so what its score means is known within a list alone: by the logarithm of its
    share of the list, `score - log(sum(exp(scores)))`. Log-odds never fall with it: they follow a line of straight
    pieces and, on top of that, rise with a steepness of its own for each size of list. The level of a list, the
    logarithm of that sum, tells rich lists from poor ones; it counts from the mean level of the lists that were learnt
    from, for a ranker may add any number to all of its scores. Beyond what was seen share and level count as the last
    one seen, and of a list of a size that was not seen nothing is said.

    Attributes
    ----------
    sizes
        Candidates in a list, ascending from the fewest to the most that were seen, at least 1; empty where nothing is
        known, shape [N].
    base
        Log-odds at each size, shape [N].
    steepness
        What the share adds at each size, at least 0, shape [N].
    knots
        Logarithms of shares, ascending from the least to the largest that was seen, shape [K].
    slopes
        Of the line between neighbouring knots, at least 0, shape [K - 1].
    levels
        The lowest level of a list that was seen, the mean and the highest, shape [3]; empty where nothing is known.
    lift
        What a level adds for each unit above the mean.
    """

    sizes: Floats
    base: Floats
    steepness: Floats
    knots: Floats
    slopes: Floats
    levels: Floats
    lift: float

    @classmethod
    def unknown(cls) -> "Calibration":
        """Say nothing of any list."""
        none = np.empty(0)
        return cls(none, none, none, none, none, none, lift=0.0)

    @classmethod
    def fit(cls, folds: Sequence[Fold]) -> "Calibration":
        """Fit clicks (label > 0) by the largest likelihood of a logistic regression whose slopes are not below 0.

        All folds say how log-odds change within lists and between them, the last one alone how many clicks there are:
        each fold has a number of its own that is added to its log-odds, and its levels count from their own mean.

        Parameters
        ----------
        folds
            The oldest first, at least one; their rankers are grown alike.
        """
        lengths = np.concatenate([np.diff(fold.starts) for fold in folds])
        within = [_within(fold.scores, fold.starts) for fold in folds]
        shares = np.concatenate([each for each, _ in within])
        level = np.concatenate([each - each.mean() for _, each in within])
        of_fold = np.repeat(np.arange(len(folds)), [len(fold.scores) for fold in folds])
        older = (of_fold[:, None] == np.arange(len(folds) - 1)).astype(np.float64)
        sizes = np.unique(np.quantile(lengths, np.linspace(0, 1, SIZES)))
        knots = np.unique(np.quantile(shares, np.linspace(0, 1, PIECES + 1)))
        near = np.stack([np.interp(np.log(lengths), np.log(sizes), each) for each in np.eye(len(sizes))], axis=1)
        near = np.repeat(near, lengths, axis=0)
        rising = np.concatenate([near * shares[:, None], _pieces(shares, knots)], axis=1)
        mean = rising.mean(axis=0)
        # Every row is near some sizes, 1 in sum: what is taken off here is added to the log-odds of all sizes below.
        others = np.concatenate([rising - mean, np.repeat(level, lengths)[:, None], older], axis=1)
        clicked = np.concatenate([fold.labels for fold in folds]) > 0
        learnt = _logistic(near, others, clicked.astype(np.float64), free=len(folds))
        base, rises, free = np.split(learnt, [len(sizes), -len(folds)])
        return cls(
            sizes=sizes,
            base=base - rises @ mean,
            steepness=rises[: len(sizes)],
            knots=knots,
            slopes=rises[len(sizes) :],
            levels=np.array([level.min(), 0.0, level.max()]) + within[-1][1].mean(),
            lift=float(free[0]),
        )

    def of_ranker(self, scores: Floats, starts: Ints) -> "Calibration":
        """Count levels for another ranker, grown alike, given its scores of the lists of the last fold."""
        return replace(self, levels=self.levels + (_within(scores, starts)[1].mean() - self.levels[1]))

    def probability(self, scores: Floats, starts: Ints) -> Floats:
        """Give click probabilities; each depends on the scores of its own list alone, and not on the order of rows.

        Parameters
        ----------
        scores
            Rows of one list together, each list whole, shape [C].
        starts
            First row of every list and, last, C; no list is empty; shape [R + 1].

        Returns
        -------
        In (0, 1), never falling with the score within a list; NaN in a list of a size that was not seen; shape [C].
        """
        lengths = np.diff(starts)
        if not len(self.sizes):
            return np.full(len(scores), np.nan)
        shares, level = _within(scores, starts)
        low, mean, high = self.levels
        log_size, log_sizes = np.log(lengths), np.log(self.sizes)
        of_list = np.interp(log_size, log_sizes, self.base) + self.lift * (np.clip(level, low, high) - mean)
        of_list[(lengths < self.sizes[0]) | (lengths > self.sizes[-1])] = np.nan
        steepness = np.interp(log_size, log_sizes, self.steepness)
        # Column by column: a product of matrices may round a row otherwise beside other rows.
        shares = np.clip(shares, self.knots[0], self.knots[-1])
        odds = np.repeat(of_list, lengths) + np.repeat(steepness, lengths) * shares
        for piece, slope in zip(_pieces(shares, self.knots).T, self.slopes, strict=True):
            odds += slope * piece
        found: Floats = 1 / (1 + np.exp(-np.clip(odds, -BEYOND, BEYOND)))
        return found

    def to_json(self) -> dict[str, Any]:
        """Write as plain JSON."""
        return {name: each if isinstance(each, float) else each.tolist() for name, each in asdict(self).items()}

    @classmethod
    def from_json(cls, written: Mapping[str, Any]) -> "Calibration":
        """Read what `to_json` wrote.

        Raises
        ------
        KeyError, TypeError, ValueError
            When it is something else.
        """
        names = ("sizes", "base", "steepness", "knots", "slopes", "levels")
        read = {name: _numbers(name, written[name]) for name in names}
        found = cls(**read, lift=_numbers("lift", [written["lift"]]).item())
        if len(written) > len(names) + 1:
            raise ValueError(f"the calibration holds more than {', '.join(names)} and lift")
        if not len(found.sizes) == len(found.base) == len(found.steepness):
            raise ValueError("the calibration has not one base and one steepness for each size")
        known = bool(len(found.sizes))
        if len(found.levels) != 3 * known or bool(len(found.knots)) != known:
            raise ValueError("the calibration has not three levels and some knots for its sizes")
        if len(found.slopes) != max(len(found.knots) - 1, 0):
            raise ValueError("the calibration has not one slope between each two knots")
        if (found.sizes < 1).any() or any((np.diff(each) <= 0).any() for each in (found.sizes, found.knots)):
            raise ValueError("the sizes or knots of the calibration do not rise, or a size is below 1")
        if (np.diff(found.levels) < 0).any():
            raise ValueError("the levels of the calibration fall")
        if (found.slopes < 0).any() or (found.steepness < 0).any():
            raise ValueError("a slope or steepness of the calibration is below 0, so that probabilities would fall")
        return found


def _within(scores: Floats, starts: Ints) -> tuple[Floats, Floats]:
    """Give the logarithm of each score's share of its list, shape [C], and the level of each list, shape [R].

    Shares are added in the order of their size, so that the answer does not depend on the order of rows.
    """
    lengths = np.diff(starts)
    order = np.lexsort((scores, np.repeat(np.arange(len(lengths)), lengths)))
    largest = scores[order[starts[1:] - 1]]
    gaps = scores - np.repeat(largest, lengths)
    sums = np.log(np.add.reduceat(np.exp(gaps[order]), starts[:-1]))
    return gaps - np.repeat(sums, lengths), largest + sums


def _pieces(shares: Floats, knots: Floats) -> Floats:
    """Give how far each share goes into every piece between two knots, shape [C, K - 1]."""
    return np.clip(shares[:, None], knots[:-1], knots[1:]) - knots[:-1]


def _logistic(near: Floats, others: Floats, clicked: Floats, free: int) -> Floats:
    """Regress clicks on `near` [C, N] and `others` [C, M], all but whose last `free` columns may not go below 0.

    Returns
    -------
    What each column adds to the log-odds, shape [N + M].
    """
    from scipy.optimize import minimize

    spread = others.std(axis=0)
    spread[spread == 0] = 1.0
    columns = np.concatenate([near, others / spread], axis=1)
    at_least = [None] * near.shape[1] + [0.0] * (others.shape[1] - free) + [None] * free
    penalty = np.repeat([0.0, PENALTY], [near.shape[1], others.shape[1]])
    prior = np.repeat([HALF, 0.0], [near.shape[1], others.shape[1]])

    def loss(weights: Floats) -> tuple[float, Floats]:
        odds = columns @ weights
        either = np.logaddexp(0, weights) + np.logaddexp(0, -weights)  # half a click and half none at each size
        total = np.logaddexp(0, odds).sum() - odds @ clicked + prior @ either + penalty @ np.square(weights) / 2
        slope = columns.T @ (_chance(odds) - clicked) + prior * (2 * _chance(weights) - 1) + penalty * weights
        return total / len(clicked), slope / len(clicked)

    # The loss is convex: where the search ends is the one minimum, as far as numbers can tell.
    found = minimize(
        loss,
        np.zeros(columns.shape[1]),
        jac=True,
        method="L-BFGS-B",
        bounds=[(least, None) for least in at_least],
        options={"maxiter": 5000, "maxfun": 10_000, "ftol": 1e-13, "gtol": 1e-8},
    )
    return np.asarray(found.x / np.concatenate([np.ones(near.shape[1]), spread]), dtype=np.float64)


def _chance(odds: Floats) -> Floats:
    """Turn log-odds into probabilities."""
    return np.asarray(np.exp(-np.logaddexp(0, -odds)), dtype=np.float64)


def _numbers(name: str, values: object) -> Floats:
    if not isinstance(values, list) or not all(isinstance(value, float) for value in values):
        raise TypeError(f"{name} of the calibration is no list of numbers with a fraction")
    found = np.array(values, np.float64)
    if not (np.abs(found) <= LARGEST).all():
        raise ValueError(f"{name} of the calibration holds a number that no fit gives")
    return found
