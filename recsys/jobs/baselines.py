"""Simple rules that learn nothing: what a model must beat, under the same clock as its features."""

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.evaluation.evaluation import CHOSEN_BEFORE, COVISITATION, POPULARITY, RANDOM, RECENCY
from recsys.features.declared import values_of
from recsys.features.definitions import Count, Rate
from recsys.features.moments import Age
from recsys.past.lookup import Asked, Lookup
from recsys.past.streams import CLICK, MICROSECONDS_PER_HOUR, Amount
from recsys.statistics.hashes import mix
from recsys.statistics.ties import tie_keys

Floats = npt.NDArray[np.float64]

BOUGHT = "purchase"
"""The kind of event that is a choice, beside clicks; it counts as one more."""


def baseline_scores(name: str, asked: Asked, seed: int) -> Floats:
    """Score candidates by one of `recsys.evaluation.evaluation.BASELINES`, shape [Q].

    Parameters
    ----------
    name
        Which one.
    asked
        The candidates, and what is known of them before each request's `as_of`.
    seed
        Seed of the random order.
    """
    if name == RANDOM:
        return random(asked.candidates, seed)
    rule = {POPULARITY: popularity, RECENCY: recency, CHOSEN_BEFORE: chosen_before, COVISITATION: covisitation}[name]
    return rule(asked.lookup)


def random(candidates: pl.DataFrame, seed: int) -> Floats:
    """Draw a number from 0 to 1 for each candidate of each request, the same whatever is asked beside it."""
    keys = tie_keys(candidates["request_id"], candidates["item_id"])
    scores: Floats = mix(keys ^ mix(np.array([seed], np.uint64))) / 2.0**64
    return scores


def popularity(lookup: Lookup) -> Floats:
    """Return the smoothed click rate of every candidate's item before `as_of`, 0 where nothing was shown before."""
    return np.nan_to_num(values_of(Rate(("item",)), lookup))


def recency(lookup: Lookup) -> Floats:
    """Put what came out last first, and what came out nobody knows when last of all.

    What comes out at `as_of` or later is new, and no newer than other such items.
    """
    rows = lookup.rows
    ages = values_of(Age(), lookup) - (rows.timestamp - rows.as_of) / MICROSECONDS_PER_HOUR
    known = np.where(np.isnan(ages), np.nanmax(ages, initial=0.0) + 1.0, np.maximum(ages, 0.0))
    scores: Floats = -known
    return scores


def covisitation(lookup: Lookup) -> Floats:
    """Put what was clicked most often right after what the user clicked last first, and all else by popularity.

    The whole part of a score is how often, known before `as_of`; its fraction is the item's popularity.
    """
    scores: Floats = values_of(Count(CLICK, ("last_item", "item")), lookup) + popularity(lookup)
    return scores


def chosen_before(lookup: Lookup) -> Floats:
    """Put what the user chose before `as_of` first, the most often chosen at the top, and all else by popularity.

    The whole part of a score is how often this user clicked or bought the item, its fraction the item's popularity,
    which is below 1.
    """
    often = lookup.read([Amount(kind, ("user", "item")) for kind in (CLICK, BOUGHT)]).sum(axis=0)
    scores: Floats = often + popularity(lookup)
    return scores
