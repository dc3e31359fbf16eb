"""Off-policy estimators for lists: the clicks per list that another policy would have earned.

Each assumes something of how users read, and the less it assumes the more its weights vary:

    slate           a click may depend on the whole list down to the last counted position
    cascade         a click depends on its item, its position and the items above
    pseudo_inverse  the clicks of a list are a sum over its pairs of item and position
    item_position   a click depends on its item and its position
    position_based  a click is the chance of looking at the position, which is known, times that of the item

A user who reads as position_based says satisfies all five. All take it that both policies order the same candidates and
that a list was logged whole. `top` counts the clicks of the first positions only.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys.errors import DataError, SettingsError
from recsys.evaluation.measures import Floats, Integers
from recsys.evaluation.offpolicy.estimate import (
    Estimate,
    Overlap,
    check_probabilities,
    effective_size,
    from_influence,
    from_values,
    judge,
    refuse_bad,
)
from recsys.evaluation.offpolicy.policies import ListPolicy, inside_of

Flags = NDArray[np.bool_]

_NEGLIGIBLE = 1e-6  # placements below are not told from 0: they are computed by numerical integration


@dataclass(frozen=True)
class ListLog:
    """Logged lists: C rows by request and then by position, R requests.

    Attributes
    ----------
    reward
        [C] finite, such as 1 for a click.
    propensity
        [C] the logging policy's probability of the item at its position given those above, above 0, at most 1.
    starts
        [R + 1] the list of request r is rows `starts[r]` up to `starts[r + 1]`, position 1 first; none is empty.
    clusters
        [R] the user of each request, numbered from 0.

    Raises
    ------
    DataError
        When there is no list, lengths differ or a number is impossible; with counts and examples.
    """

    reward: Floats
    propensity: Floats
    starts: Integers
    clusters: Integers

    def __post_init__(self) -> None:
        if len(self.starts) < 2 or not (np.diff(self.starts) > 0).all():
            raise DataError("the log holds no list or an empty one; every request needs the candidates it showed")
        rows, lists = int(self.starts[-1]), len(self.starts) - 1
        for name, column in {"reward": self.reward, "propensity": self.propensity}.items():
            if len(column) != rows:
                raise DataError(f"{name} has {len(column)} values for {rows} candidates; give one per candidate")
        if len(self.clusters) != lists:
            raise DataError(f"clusters has {len(self.clusters)} values for {lists} lists; give one per list")
        refuse_bad(self.reward, ~np.isfinite(self.reward), "rewards that are not finite", "write 0 for nothing")
        check_probabilities(self.propensity, np.zeros(rows))

    @property
    def position(self) -> Integers:
        """[C] place in the list, 1 = first."""
        return np.arange(1, len(self.reward) + 1) - np.repeat(self.starts[:-1], np.diff(self.starts))

    def total(self, values: Floats) -> Floats:
        """Sum `values` [C] over each list: [R]."""
        return np.add.reduceat(values, self.starts[:-1])

    def counted(self, top: int | None) -> Flags:
        """[C] whether the position is among the first `top`, or any when None.

        Raises
        ------
        SettingsError
            When `top` is below 1.
        """
        if top is not None and top < 1:
            raise SettingsError(f"top is {top}, which counts no position; write 1 or more")
        return np.ones(len(self.reward), dtype=bool) if top is None else self.position <= top


def read_lists(requests: pl.DataFrame) -> tuple[ListLog, Integers]:
    """Make a log of lists from a table of requests.

    Parameters
    ----------
    requests
        `request_id`, `user_id`, `position`, `label` (above 0 is a click) and `propensity`, rows in any order.

    Returns
    -------
    tuple
        The log, and [C] the row of the table that each row of the log comes from: bring scores into the log's order
        by `scores[rows]`.

    Raises
    ------
    DataError
        When a column is missing, the positions of a list are not 1, 2, 3, ..., or as in `ListLog`.
    """
    names = ("request_id", "user_id", "position", "label", "propensity")
    missing = [name for name in names if name not in requests.columns]
    if missing:
        raise DataError(f"requests have no column {', '.join(missing)}; off-policy estimates need what was logged")
    rows = requests.select(names).with_row_index("row").sort("request_id", "position")
    expected = pl.int_range(1, pl.len() + 1).over("request_id")
    wrong = rows.filter(pl.col("position").ne_missing(expected))["request_id"].unique().sort()
    if len(wrong):
        raise DataError(
            f"the positions of {len(wrong)} lists are not 1, 2, 3, ... without a gap, such as those of request "
            f"{wrong[0]}; log whole lists"
        )
    lists = rows.group_by("request_id", maintain_order=True).agg(pl.len(), pl.col("user_id").first())
    log = ListLog(
        reward=(rows["label"] > 0).cast(pl.Float64).to_numpy(),
        propensity=rows["propensity"].cast(pl.Float64).fill_null(np.nan).to_numpy(),
        starts=np.concatenate([[0], np.cumsum(lists["len"].to_numpy(), dtype=np.int64)]),
        clusters=(lists["user_id"].rank("dense") - 1).cast(pl.Int64).to_numpy(),
    )
    return log, rows["row"].to_numpy().astype(np.int64)


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
    overlap = _overlap(np.repeat(whole, sizes)[counted], whole, log)
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
    overlap = _overlap(weights[counted], _mean(log, weights, counted), log)
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
    overlap = _overlap(weights[counted], _mean(log, weights, counted), log)
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
        When a prediction is not finite or support is missing.
    """
    for name, values in {"predictions": predicted, "expected predictions": expected}.items():
        refuse_bad(values, ~np.isfinite(values), f"{name} that are not finite", "predict every candidate")
    counted = log.counted(top)
    weights = _products(log, target)
    above = np.where(log.position == 1, 1.0, np.concatenate([[1.0], weights[:-1]]))
    overlap = _overlap(weights[counted], _mean(log, weights, counted), log)
    values = above * expected + weights * (log.reward - predicted)
    return from_values("cascade doubly robust", log.total(values * counted), log.clusters, overlap)


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
    overlap = _overlap(weights[counted], _mean(log, weights, counted), log)
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
        _overlap(weights, normaliser, log),
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
    overlap = _overlap(weights, weights, log)
    return from_values("pseudo-inverse", weights * log.total(log.reward * counted), log.clusters, overlap)


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
    products: Floats = np.cumprod(ratios, axis=1)[inside]
    return products


def _at(log: ListLog, placements: Floats) -> Floats:
    """Return [C] the placement of each row's item at its logged position."""
    found: Floats = placements[np.arange(len(placements)), log.position - 1]
    return found


def _mean(log: ListLog, weights: Floats, counted: Flags) -> Floats:
    """Return [R] the mean weight of each list's counted positions."""
    return log.total(weights * counted) / log.total(counted.astype(np.float64))


def _overlap(weights: Floats, normaliser: Floats, log: ListLog) -> Overlap:
    """Judge weights of rows, brought to the scale of lists."""
    lists = len(log.starts) - 1
    largest = float(weights.max())
    heaviest = largest / max(float(np.abs(weights).sum()), np.finfo(float).tiny)
    found = Overlap(effective_size(weights) / len(weights) * lists, largest)
    return judge(found, heaviest, normaliser, log.clusters)


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
