"""Scores into click probabilities."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

SMALLEST = 1e-6
"""A click is never impossible."""


@dataclass(frozen=True)
class Calibration:
    """A never-falling line through knots: isotonic regression of clicks on scores.

    Attributes
    ----------
    scores
        Scores of the knots, ascending, shape [K].
    probabilities
        Click probability at each knot, never falling, shape [K].
    """

    scores: Floats
    probabilities: Floats

    @classmethod
    def fit(cls, scores: Floats, labels: npt.NDArray[np.int64]) -> "Calibration":
        """Fit clicks (label > 0) on scores by isotonic regression (pool adjacent violators).

        Parameters
        ----------
        scores, labels
            One row per candidate, shape [C].
        """
        from scipy.optimize import isotonic_regression

        distinct, places, weights = np.unique(scores, return_inverse=True, return_counts=True)
        rates = np.bincount(places, weights=labels > 0) / weights
        fitted = isotonic_regression(rates, weights=weights).x
        # The ends of every flat stretch are enough to draw the line.
        change = np.flatnonzero(np.diff(fitted)) + 1
        knots = np.unique(np.concatenate([[0], change - 1, change, [len(distinct) - 1]]))
        return cls(distinct[knots], np.clip(fitted[knots], SMALLEST, 1.0))

    def probability(self, scores: Floats) -> Floats:
        """Read the line at scores, each in (0, 1]; beyond the knots it is flat."""
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
        scores, probabilities = (np.array(knots[name], np.float64) for name in ("scores", "probabilities"))
        if not (scores.ndim == 1 and len(scores) and scores.shape == probabilities.shape):
            raise ValueError("the calibration has not one probability for each score")
        if not (np.isfinite(scores).all() and (np.diff(scores) > 0).all()):
            raise ValueError("the scores of the calibration do not rise")
        if not ((probabilities > 0) & (probabilities <= 1)).all():
            raise ValueError("a probability of the calibration is not above 0 and at most 1")
        return cls(scores, probabilities)
