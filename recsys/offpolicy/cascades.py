"""Off-policy estimators for lists that weigh what was logged from the top down: whole lists and cascades."""

import numpy as np

from recsys.errors import DataError
from recsys.offpolicy.estimate import (
    Estimate,
    check_probabilities,
    from_influence,
    from_values,
    overlap_of,
    refuse_bad,
)
from recsys.offpolicy.list_log import ListLog, mean_weight, overlap_of_lists
from recsys.offpolicy.policies import ListPolicy, inside_of
from recsys.statistics.numbers import Floats


def slate(log: ListLog, target: ListPolicy, top: int | None = None) -> Estimate:
    """IPS of whole lists: mean of (clicks of the list) * product of w over its counted positions.

    Assumes nothing of how users read but that counted clicks do not depend on uncounted places. Unbiased. The weight is
    that of one list among all orders, so that it fails first: a handful of positions is what logs usually carry.
    (Horvitz and Thompson 1952 with the list as the action; 'standard IPS' in McInerney et al. 2020.)

    Raises
    ------
    DataError
        When support is missing.
    """
    counted = log.counted(top)
    sizes = np.diff(log.starts)
    last = log.starts[:-1] + (sizes if top is None else np.minimum(sizes, top)) - 1
    whole = _products(log, target)[last]
    overlap = overlap_of(whole, whole, log.clusters)
    return from_values("slate IPS", whole * log.total(log.reward * counted), log.clusters, overlap)


def cascade(log: ListLog, target: ListPolicy, top: int | None = None) -> Estimate:
    """Reward-interaction IPS: mean of the sum over positions of click * product of w down to that position.

    Assumes that users read from the top: a click depends on its item, its position and what stands above. Unbiased.
    (McInerney, Brost, Chandar, Mehrotra and Carterette 2020, before normalisation.)

    Raises
    ------
    DataError
        When support is missing.
    """
    counted = log.counted(top)
    weights = _products(log, target)
    overlap = overlap_of_lists(weights[counted], mean_weight(log, weights, counted), log)
    return from_values("cascade IPS", log.total(weights * log.reward * counted), log.clusters, overlap)


def cascade_normalised(log: ListLog, target: ListPolicy, top: int | None = None) -> Estimate:
    """Reward-interaction IPS with the weights of each position brought to mean 1 (RIPS; McInerney et al. 2020).

    Assumes what `cascade` does. A sum of ratios, one per position over the lists that reach it, so its bias falls as
    1 / lists; the interval is of the linearisation.

    Raises
    ------
    DataError
        When support is missing.
    """
    counted = log.counted(top)
    weights, place = _products(log, target), log.position
    overlap = overlap_of_lists(weights[counted], mean_weight(log, weights, counted), log)
    weight, earned, lists = (
        np.bincount(place, weights=values)[1:] for values in (weights, weights * log.reward, np.ones(len(weights)))
    )
    rate = np.divide(earned, weight, out=np.zeros_like(earned), where=weight > 0)
    scale = np.divide(lists, weight, out=np.zeros_like(earned), where=weight > 0)
    # Lists of several lengths: the positions that a list has are what every policy fills.
    at = place - 1
    value = log.total(rate[at] * counted)
    influence = value - value.mean() + log.total(scale[at] * weights * (log.reward - rate[at]) * counted)
    return from_influence("cascade SNIPS", float(value.mean()), influence, log.clusters, overlap)


def cascade_doubly_robust(
    log: ListLog, target: ListPolicy, predicted: Floats, expected: Floats, top: int | None = None
) -> Estimate:
    """Cascade IPS of what a reward model missed, plus what it expects of each next item.

    Assumes what `cascade` does; unbiased whatever the model, as long as it did not learn from these lists. Sum over
    positions of W above * d + W * (r - q), with W the product of w down to the position (after Kiyohara et al. 2022,
    whose model predicts all clicks from a position on; here it predicts the position's own click).

    Parameters
    ----------
    log, target, top
        As in `cascade`.
    predicted
        [C] q: predicted reward of the logged item at its position.
    expected
        [C] d: its mean over the target policy's choice given the items above, see `policies.expected_next`.

    Raises
    ------
    DataError
        When a prediction is missing or not finite, or support is missing.
    """
    for name, values in {"predictions": predicted, "expected predictions": expected}.items():
        if len(values) != len(log.reward):
            raise DataError(f"there are {len(values)} {name} for {len(log.reward)} candidates; give one per candidate")
        refuse_bad(values, ~np.isfinite(values), f"{name} that are not finite", "predict every candidate")
    counted = log.counted(top)
    weights = _products(log, target)
    above = np.where(log.position == 1, 1.0, np.concatenate([[1.0], weights[:-1]]))
    overlap = overlap_of_lists(weights[counted], mean_weight(log, weights, counted), log)
    values = above * expected + weights * (log.reward - predicted)
    return from_values("cascade doubly robust", log.total(values * counted), log.clusters, overlap)


def _products(log: ListLog, target: ListPolicy) -> Floats:
    """Return [C] the product of w from the first position down to the row's."""
    if len(target.probability) != len(log.reward):
        raise DataError(
            f"the target policy has {len(target.probability)} probabilities for {len(log.reward)} logged candidates; "
            "give one per row of the log, in its order"
        )
    check_probabilities(log.propensity, target.probability)
    inside = inside_of(log.starts)
    ratios = np.ones(inside.shape)
    ratios[inside] = target.probability / log.propensity
    return np.asarray(np.cumprod(ratios, axis=1)[inside], dtype=np.float64)
