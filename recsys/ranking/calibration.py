"""Scores into click probabilities."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from recsys.ranking.tree_text import LARGEST

Floats = npt.NDArray[np.float64]

HALF = 0.5
"""What is added at either end: a click is never impossible and never certain, and evidence soon outweighs it."""


@dataclass(frozen=True)
class Calibration:
    """A never-falling line through knots: isotonic regression of clicks on scores.

    By itself that regression ends in steps of all and of nothing: what stands above the highest candidate that was not
    clicked gets 1, be it one candidate, and what stands below the lowest click 0. So half a candidate that was not
    clicked is added at the highest score and half a clicked one at the lowest, the two halves of Jeffreys' prior
    Beta(1/2, 1/2), each where it keeps the end from overstating. With k clicks of n candidates the highest step is
    k / (n + 1/2), the lowest (k + 1/2) / (n + 1/2), one step alone (k + 1/2) / (n + 1), and every step between k / n.

    Attributes
    ----------
    scores
        Scores of the knots, ascending, shape [K].
    probabilities
        Click probability at each knot, above 0 and below 1, never falling, shape [K].
    """

    scores: Floats
    probabilities: Floats

    @classmethod
    def fit(cls, scores: Floats, labels: npt.NDArray[np.int64]) -> "Calibration":
        """Fit clicks (label > 0) and the two halves on scores by isotonic regression (pool adjacent violators).

        Parameters
        ----------
        scores, labels
            One row per candidate, shape [C].
        """
        from scipy.optimize import isotonic_regression

        distinct, places, rows = np.unique(scores, return_inverse=True, return_counts=True)
        weights, clicks = rows.astype(np.float64), np.bincount(places, weights=labels > 0)
        weights[0] += HALF
        weights[-1] += HALF
        clicks[0] += HALF
        fitted = isotonic_regression(clicks / weights, weights=weights).x
        # The ends of every flat stretch are enough to draw the line.
        change = np.flatnonzero(np.diff(fitted)) + 1
        knots = np.unique(np.concatenate([[0], change - 1, change, [len(distinct) - 1]]))
        return cls(distinct[knots], fitted[knots])

    def probability(self, scores: Floats) -> Floats:
        """Read the line at scores, each in (0, 1); beyond the knots it is flat."""
        return np.interp(scores, self.scores, self.probabilities)

    def to_json(self) -> dict[str, Any]:
        """Write as plain JSON."""
        return {"scores": self.scores.tolist(), "probabilities": self.probabilities.tolist()}

    @classmethod
    def from_json(cls, knots: dict[str, Any]) -> "Calibration":
        """Read what `to_json` wrote.

        Raises
        ------
        KeyError, TypeError, ValueError
            When it is something else.
        """
        scores, probabilities = (_numbers(name, knots[name]) for name in ("scores", "probabilities"))
        if not len(scores) or scores.shape != probabilities.shape:
            raise ValueError("the calibration has not one probability for each score")
        if not ((np.abs(scores) <= LARGEST).all() and (scores[1:] > scores[:-1]).all()):
            raise ValueError("the scores of the calibration do not rise")
        if not ((probabilities > 0) & (probabilities <= 1)).all() or (probabilities[1:] < probabilities[:-1]).any():
            raise ValueError("a probability of the calibration is not above 0 and at most 1, or falls")
        return cls(scores, probabilities)


def _numbers(name: str, values: object) -> Floats:
    if not isinstance(values, list) or not all(isinstance(value, float) for value in values):
        raise TypeError(f"{name} of the calibration is no list of numbers with a fraction")
    return np.array(values, np.float64)
