"""Whether click probabilities mean what they say: reliability by bins, calibration error, Brier score and log loss."""

import math
from dataclasses import asdict, dataclass

import numpy as np
from scipy.special import xlog1py, xlogy

from recsys.errors import DataError, SettingsError
from recsys.statistics.numbers import Floats, Labels


@dataclass(frozen=True)
class Bin:
    """Candidates of neighbouring click probabilities.

    Attributes
    ----------
    predicted
        Their mean click probability.
    observed
        The share of them that was clicked.
    count
        How many they are.
    """

    predicted: float
    observed: float
    count: int


@dataclass(frozen=True)
class Reliability:
    """How click probabilities compare with clicks.

    Attributes
    ----------
    bins
        From the lowest probability to the highest.
    calibration_error
        Expected calibration error: mean over candidates of |predicted - observed| of their bin (Naeini et al. 2015).
    brier
        Brier score: mean squared difference of probability and click (Brier 1950).
    log_loss
        Mean of -ln of the probability of what happened; infinite when something happened that was given none.
    """

    bins: tuple[Bin, ...]
    calibration_error: float
    brier: float
    log_loss: float

    def to_json(self) -> dict[str, object]:
        """Return plain objects for `json.dumps`; an infinite log loss is None."""
        return {**asdict(self), "log_loss": self.log_loss if math.isfinite(self.log_loss) else None}


def reliability(labels: Labels, probabilities: Floats, bins: int = 10) -> Reliability:
    """Compare click probabilities with what happened.

    Parameters
    ----------
    labels
        [C] graded outcomes; above 0 is a click.
    probabilities
        [C] probability of a click, 0 to 1.
    bins
        How many bins of about the same number of candidates, at least 1. Equal probabilities stay together, in the bin
        of the lowest of them, so there may be fewer bins.

    Raises
    ------
    DataError
        When there is no candidate, the lengths differ, or a probability is NaN or outside 0 to 1.
    SettingsError
        When `bins` is below 1.

    Examples
    --------
    >>> reliability(np.array([0, 1]), np.array([0.25, 0.75]), bins=1).bins
    (Bin(predicted=0.5, observed=0.5, count=2),)
    """
    if bins < 1:
        raise SettingsError(f"bins is {bins}, which compares nothing; write 10")
    if len(labels) != len(probabilities) or not len(labels):
        raise DataError(
            f"there are {len(probabilities)} click probabilities for {len(labels)} labels; give one for each"
        )
    wrong = ~((probabilities >= 0) & (probabilities <= 1))
    if wrong.any():
        raise DataError(
            f"{wrong.sum()} of {len(wrong)} click probabilities are not from 0 to 1, such as "
            f"{probabilities[wrong][:3].tolist()}; give calibrated probabilities, not scores"
        )
    clicked = (labels > 0).astype(np.float64)
    _, inverse, counts = np.unique(probabilities, return_inverse=True, return_counts=True)
    lower = np.cumsum(counts) - counts  # candidates with a lower probability
    of = (lower * bins // len(labels))[inverse]
    count, predicted, observed = (
        np.bincount(of, weights) for weights in (None, probabilities.astype(np.float64), clicked)
    )
    return Reliability(
        bins=tuple(
            Bin(float(predicted[b] / count[b]), float(observed[b] / count[b]), int(count[b]))
            for b in np.flatnonzero(count)
        ),
        calibration_error=float(np.abs(predicted - observed).sum() / len(labels)),
        brier=float(np.square(probabilities - clicked).mean()),
        log_loss=-float((xlogy(clicked, probabilities) + xlog1py(1 - clicked, -probabilities)).mean()),
    )
