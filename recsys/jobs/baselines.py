"""Simple rules that learn nothing: what a model must beat, under the same clock as its features."""

import numpy as np
import numpy.typing as npt

from recsys.evaluation.evaluation import CHOSEN_BEFORE, POPULARITY
from recsys.features.declared import values_of
from recsys.features.definitions import Rate
from recsys.past.lookup import Lookup
from recsys.past.streams import CLICK, Amount

Floats = npt.NDArray[np.float64]

BOUGHT = "purchase"
"""The kind of event that is a choice, beside clicks; it counts as one more."""


def baseline_scores(name: str, lookup: Lookup, seed: int) -> Floats:
    """Score candidates by one of `recsys.evaluation.evaluation.BASELINES`, shape [Q].

    Parameters
    ----------
    name
        Which one; a seeded random order unless it names another.
    lookup
        What is known of the candidates before each request's `as_of`.
    seed
        Seed of the random order.
    """
    if name == POPULARITY:
        return popularity(lookup)
    return (
        chosen_before(lookup) if name == CHOSEN_BEFORE else np.random.default_rng(seed).random(len(lookup.rows.as_of))
    )


def popularity(lookup: Lookup) -> Floats:
    """Return the smoothed click rate of every candidate's item before `as_of`, 0 where nothing was shown before."""
    return np.nan_to_num(values_of(Rate(("item",)), lookup))


def chosen_before(lookup: Lookup) -> Floats:
    """Put what the user chose before `as_of` first, the most often chosen at the top, and all else by popularity.

    The whole part of a score is how often this user clicked or bought the item, its fraction the item's popularity,
    which is below 1.
    """
    often = lookup.read([Amount(kind, ("user", "item")) for kind in (CLICK, BOUGHT)]).sum(axis=0)
    scores: Floats = often + popularity(lookup)
    return scores
