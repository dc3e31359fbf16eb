"""Off-policy estimators for lists that weigh items at positions, whatever stands above them."""

import numpy as np

from recsys.errors import DataError
from recsys.offpolicy.estimate import Estimate, from_values, refuse_bad
from recsys.offpolicy.list_log import ListLog, mean_weight, overlap_of_lists
from recsys.offpolicy.policies import ListPolicy, inside_of
from recsys.statistics.numbers import Floats

_NEGLIGIBLE = 1e-6  # placements below are not told from 0: they are computed by numerical integration


def item_position(log: ListLog, target: ListPolicy, logging: ListPolicy, top: int | None = None) -> Estimate:
    """IPS of items at positions: mean of the sum of click * P_target(item at position) / P_logging(item at position).

    Assumes that a click depends on its item and its position alone. Unbiased. The probabilities are those over all that
    may stand above, not the logged propensities (the item-position model of Li et al. 2018).

    Raises
    ------
    DataError
        When support is missing, with how many pairs of item and position.
    """
    counted = log.counted(top)
    depth = target.placements.shape[1] if top is None else min(top, target.placements.shape[1])
    wanted, shown = target.placements[:, :depth], logging.placements[:, :depth]
    _check_placements(log, target, logging)
    missing, pairs = (int((wanted > _NEGLIGIBLE).sum(where=where)) for where in (shown <= 0, True))
    if missing:
        raise DataError(
            f"support is missing: the target policy may put an item where the logging policy never does, in {missing} "
            f"of {pairs} pairs of item and position; log more random orders, or use position_based"
        )
    seen = _at(log, logging.placements)
    refuse_bad(seen, seen <= 0, "places where the logging policy puts no item", "pass the policy that logged the lists")
    weights = _at(log, target.placements) / seen
    overlap = overlap_of_lists(weights[counted], mean_weight(log, weights, counted), log)
    return from_values("item-position IPS", log.total(weights * log.reward * counted), log.clusters, overlap)


def position_based(
    log: ListLog, target: ListPolicy, curve: Floats, logging: ListPolicy | None = None, top: int | None = None
) -> Estimate:
    """IPS of items by how much they are looked at: mean of the sum of click * E_target / E_logging.

    Assumes that P(click) = curve[position] * (chance of the item), with the curve known. E is the item's expected
    curve: under the target policy over its placements (down to `top`), under the logging policy likewise (Li et al.
    2018), or, where no logging policy is given, the curve at the logged position (Joachims, Swaminathan and Schnabel
    2017), which needs no randomness in the log. Unbiased either way if the curve is right.

    Parameters
    ----------
    log, target, top
        As in `cascade`.
    curve
        [P] chance of looking at position 1, 2, ...; any scale, at least 0.
    logging
        The policy that logged, if known.

    Raises
    ------
    DataError
        When the curve is too short or negative, or an item that the target policy shows is never looked at in the log.
    """
    longest = int(np.diff(log.starts).max())
    if len(curve) < longest or not (curve >= 0).all():
        raise DataError(f"the curve has {len(curve)} numbers for lists of up to {longest}; give one >= 0 per position")
    _check_placements(log, target, *(() if logging is None else (logging,)))
    curve, place = curve[:longest], log.position
    depth = longest if top is None else min(top, longest)
    log.counted(top)  # refuses a top below 1
    wanted = target.placements[:, :depth] @ curve[:depth]
    seen = curve[place - 1] if logging is None else logging.placements @ curve
    missing = int(((wanted > 0) & (seen <= 0)).sum())
    if missing:
        raise DataError(
            f"support is missing: the curve says that {missing} of {len(seen)} logged candidates were never looked at, "
            "and the target policy shows them; log them at positions that are read"
        )
    weights = np.divide(wanted, seen, out=np.zeros_like(wanted), where=seen > 0)
    looked = curve[place - 1]
    normaliser = log.total(weights * looked) / log.total(looked * (place <= depth))
    return from_values(
        "position-based IPS",
        log.total(weights * log.reward),
        log.clusters,
        overlap_of_lists(weights, normaliser, log),
    )


def pseudo_inverse(log: ListLog, target: ListPolicy, top: int | None = None) -> Estimate:
    """Slate pseudo-inverse: mean of (clicks of the list) * q' pinv(Gamma) s, for lists logged in random order.

    Assumes that the expected clicks of a list are a sum over its pairs of item and position; the clicks need not be
    known one by one (Swaminathan et al. 2017). Gamma, the second moments of the pairs s, has a closed form for random
    orders of n candidates on m counted places: with a = sum over counted places of q(logged item, place) - m / n and
    b = sum over the items there of (probability of being counted - m / n) / m, the weight is
    1 + (n - 1) (a - b) + n (n - 1) / (n - m) b, and 1 + (n - 1) a where m = n.

    Raises
    ------
    DataError
        When the log's order was not uniformly random.
    """
    counted, place, sizes = log.counted(top), log.position, np.diff(log.starts)
    uniform = 1 / (np.repeat(sizes, sizes) - place + 1)
    refuse_bad(
        log.propensity,
        ~np.isclose(log.propensity, uniform, rtol=1e-6),
        "propensities that are not those of a uniformly random order",
        "pass the requests shown in random order only, or use item_position",
    )
    _check_placements(log, target)
    depth = target.placements.shape[1] if top is None else min(top, target.placements.shape[1])
    places = np.minimum(sizes, depth)
    share = places / sizes
    a = log.total(_at(log, target.placements) * counted) - share
    among: Floats = target.placements[:, :depth].sum(axis=1)
    b = log.total((among - np.repeat(share, sizes)) * counted) / places
    spread = np.divide(sizes * (sizes - 1.0), sizes - places, out=np.zeros(len(sizes)), where=sizes > places)
    weights = 1 + (sizes - 1) * (a - b) + spread * b
    overlap = overlap_of_lists(weights, weights, log)
    return from_values("pseudo-inverse", weights * log.total(log.reward * counted), log.clusters, overlap)


def _at(log: ListLog, placements: Floats) -> Floats:
    """Return [C] the placement of each row's item at its logged position."""
    return np.asarray(placements[np.arange(len(placements)), log.position - 1], dtype=np.float64)


def _check_placements(log: ListLog, *policies: ListPolicy) -> None:
    longest = int(np.diff(log.starts).max())
    for policy in policies:
        if policy.placements.shape != (len(log.reward), longest):
            raise DataError(
                f"placements have shape {policy.placements.shape} for {len(log.reward)} candidates in lists of up to "
                f"{longest}; give one row per candidate and one column per position"
            )
        unknown = int(np.isnan(policy.placements).any(axis=1).sum())
        if unknown:
            raise DataError(
                f"the placements of {unknown} candidates are unknown; a policy's whole distribution is needed"
            )
        sums = np.add.reduceat(policy.placements, log.starts[:-1], axis=0)
        wrong = ~np.isclose(sums, inside_of(log.starts), atol=1e-4)
        if (policy.placements < 0).any() or wrong.any():
            raise DataError(
                f"placements sum to {sums[wrong][:1].sum():.4g} at a position of {int(wrong.any(axis=1).sum())} lists "
                "where 1 is expected; the target policy orders the logged candidates and no others"
            )
