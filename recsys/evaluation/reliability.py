"""Whether click probabilities mean what they say: reliability by bins, calibration error, Brier score and log loss."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

import numpy as np
from scipy.special import xlog1py, xlogy

from recsys.errors import DataError, SettingsError
from recsys.statistics.numbers import Floats, Integers, Labels

DRAWS = 200
"""How often clicks are drawn to say what chance alone does to the calibration error."""

BANDS = {"up to 4": 4, "5 to 6": 6, "7 to 10": 10, "11 to 20": 20, "more than 20": math.inf}
"""Sizes of lists that are looked at apart, each with the largest that belongs to it."""


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
    by_chance
        The calibration error that probabilities which are exactly right would stay within 95 times of 100: its 95th
        percentile where clicks are drawn from the probabilities.
    brier
        Brier score: mean squared difference of probability and click (Brier 1950).
    log_loss
        Mean of -ln of the probability of what happened; infinite when something happened that was given none.
    """

    bins: tuple[Bin, ...]
    calibration_error: float
    by_chance: float
    brier: float
    log_loss: float

    @property
    def count(self) -> int:
        """How many candidates."""
        return sum(each.count for each in self.bins)

    def to_json(self) -> dict[str, object]:
        """Return plain objects for `json.dumps`; an infinite log loss is None."""
        log_loss = self.log_loss if math.isfinite(self.log_loss) else None
        return {**asdict(self), "bins": [asdict(each) for each in self.bins], "log_loss": log_loss}


@dataclass(frozen=True)
class ListReliability(Reliability):
    """The same for whole lists.

    Attributes
    ----------
    by_size
        Band of sizes, the same for its lists alone; bands without a list are left out.
    unknown
        Candidates that no probability is given for; they count nowhere.
    """

    by_size: Mapping[str, Reliability] = field(default_factory=dict)
    unknown: int = 0

    @property
    def rows(self) -> dict[str, Reliability]:
        """All lists, then those of each band of sizes, by what people call them."""
        return {"all lists": self} | {f"lists of {band}": found for band, found in self.by_size.items()}

    def to_json(self) -> dict[str, object]:
        """Return plain objects for `json.dumps`; an infinite log loss is None."""
        return super().to_json() | {"by_size": {band: found.to_json() for band, found in self.by_size.items()}}


def list_reliability(labels: Labels, probabilities: Floats, starts: Integers, seed: int) -> ListReliability | None:
    """Compare click probabilities with what happened, over all and by the size of the list.

    Parameters
    ----------
    labels, probabilities
        As of `reliability`, rows of one list together; NaN where there is no probability.
    starts
        First row of every list and, last, C; shape [R + 1].
    seed
        As of `reliability`.

    Returns
    -------
    None when no candidate has a probability.
    """
    lengths = np.diff(starts)
    sizes, given = np.repeat(lengths, lengths), ~np.isnan(probabilities)
    if not given.any():
        return None
    bands = np.searchsorted(list(BANDS.values()), sizes)
    by_size = {
        band: reliability(labels[rows], probabilities[rows], seed=seed)
        for place, band in enumerate(BANDS)
        if (rows := given & (bands == place)).any()
    }
    whole = reliability(labels[given], probabilities[given], seed=seed)
    return ListReliability(**vars(whole), by_size=by_size, unknown=int((~given).sum()))


def reliability(labels: Labels, probabilities: Floats, bins: int = 10, seed: int = 0) -> Reliability:
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
    seed
        Of the clicks that are drawn from the probabilities.

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
        by_chance=_by_chance(of, probabilities, seed),
        brier=float(np.square(probabilities - clicked).mean()),
        log_loss=-float((xlogy(clicked, probabilities) + xlog1py(1 - clicked, -probabilities)).mean()),
    )


def _by_chance(of: Integers, probabilities: Floats, seed: int) -> float:
    """Give the 95th percentile of the calibration error of clicks that are drawn from the probabilities.

    Parameters
    ----------
    of, probabilities
        Bin and probability of each candidate, shape [C].
    """
    random = np.random.default_rng(seed)
    order = np.argsort(of, kind="stable")
    starts, chances = np.flatnonzero(np.diff(of[order], prepend=-1)), probabilities[order]
    errors = [
        np.abs(np.add.reduceat((random.random(len(chances)) < chances) - chances, starts)).sum() / len(chances)
        for _ in range(DRAWS)
    ]
    return float(np.percentile(errors, 95))
