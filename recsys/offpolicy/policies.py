"""Policies over lists: how likely each candidate is at each position, for Plackett-Luce and for fixed orders."""

from dataclasses import dataclass

import numpy as np

from recsys.errors import DataError
from recsys.statistics.numbers import Floats, Integers

WIDEST = 500.0
"""Log odds that the scores of one list may lie apart and still be told apart as probabilities."""

_STEP = 0.3  # of the trapezoid rule in the logarithm of time, whose error falls as exp(-pi^2 / step)
_LEFT, _RIGHT = -34.0, 4.0  # beyond, the integrand is below 1e-14
_BLOCK = 1 << 15  # numbers per place worked on at once: keeps memory flat


@dataclass(frozen=True)
class ListPolicy:
    """What a policy would do with logged lists: C rows, ordered by request and logged position.

    Attributes
    ----------
    probability
        [C] probability of the logged item at its position given the items logged above it.
    placements
        [C, P] probability of the row's item at position 1, ..., P of its list, whatever stands above; 0 beyond the
        end of the list. P is the length of the longest list.
    """

    probability: Floats
    placements: Floats

    @classmethod
    def plackett_luce(cls, scores: Floats, starts: Integers) -> "ListPolicy":
        """Fill each position by softmax over the scores of the candidates that remain (Plackett 1975; Luce 1959).

        Placements are exact to about 1e-7: candidate i arrives at a time ~ Exponential(rate e^score), and the
        probability that k - 1 others came before it is integrated over that time.

        Parameters
        ----------
        scores
            [C] log odds, finite, at most `WIDEST` apart in a list; only differences inside a list matter.
        starts
            [R + 1] candidates of request r are rows `starts[r]` up to `starts[r + 1]`, in logged order.

        Examples
        --------
        >>> policy = ListPolicy.plackett_luce(np.log([3.0, 1.0]), np.array([0, 2]))
        >>> policy.probability.round(6).tolist(), policy.placements.round(6).tolist()
        ([0.75, 1.0], [[0.75, 0.25], [0.25, 0.75]])

        Raises
        ------
        DataError
            When there is no list, a score is not finite, or scores are too far apart.
        """
        _check_scores(scores, starts, np.isfinite(scores))
        inside = inside_of(starts)
        weights = _weights(scores, starts)
        if weights[inside].min() < np.exp(-WIDEST):
            raise DataError(
                f"the scores of a list lie more than {WIDEST:g} apart, which leaves nothing to chance; "
                "divide them by a temperature, or use ListPolicy.ranking"
            )
        chance = weights / np.maximum(_remaining(weights), np.finfo(float).tiny)
        size = max(1, _BLOCK // max(1, inside.shape[1] ** 2))
        blocks = [_race(weights[first : first + size]) for first in range(0, len(weights), size)]
        placements = np.where(inside[:, None, :], np.concatenate(blocks), 0.0)
        return cls(chance[inside], placements[inside])

    @classmethod
    def ranking(cls, scores: Floats, starts: Integers) -> "ListPolicy":
        """Order each list by falling score, ties in random order: what a ranker without randomness does.

        Parameters
        ----------
        scores
            [C] any numbers but NaN; candidates at -inf, which a ranker does not list, stand last in random order.
        starts
            [R + 1] as in `plackett_luce`.

        Raises
        ------
        DataError
            When there is no list, a score is NaN, or a list holds no candidate that is listed.
        """
        _check_scores(scores, starts, ~np.isnan(scores))
        silent = np.flatnonzero(np.maximum.reduceat(scores, starts[:-1]) == -np.inf)
        if len(silent):
            raise DataError(
                f"{len(silent)} lists hold no candidate that is listed, the first is list {silent[0] + 1}; leave out "
                "requests that the ranker does not answer, or say what is shown instead"
            )
        inside = inside_of(starts)
        padded = np.full(inside.shape, np.nan)  # NaN equals nothing and is above nothing
        padded[inside] = scores
        mine, others = padded[:, :, None], padded[:, None, :]
        above, tied = (others > mine).sum(axis=2), (others == mine).sum(axis=2)
        place = np.arange(inside.shape[1])
        here = (place >= above[:, :, None]) & (place < (above + tied)[:, :, None])
        placements = here / np.maximum(tied, 1)[:, :, None]
        below = place[None, :] >= place[:, None]  # [position, positions from it on]
        beaten = ((others > mine) & below).any(axis=2)
        rivals = ((others == mine) & below).sum(axis=2)
        chance = np.where(beaten, 0.0, 1 / np.maximum(rivals, 1))
        return cls(chance[inside], placements[inside])


def inside_of(starts: Integers) -> "np.ndarray[tuple[int, int], np.dtype[np.bool_]]":
    """Return [R, P]: whether a list has that many places; indexing by it walks the rows in order."""
    sizes = np.diff(starts)
    return np.arange(sizes.max(initial=0)) < sizes[:, None]


def plackett_luce_scores(propensity: Floats, starts: Integers) -> Floats:
    """Recover the scores of a Plackett-Luce policy from the propensities of the lists that it logged.

    The share of the whole weight that stands at a place is its propensity times what the places above left over.
    Any log of whole lists can be read so; whether the policy was Plackett-Luce, the log cannot tell.

    Parameters
    ----------
    propensity
        [C] probability of the item given those above it, in logged order.
    starts
        [R + 1] where the lists begin.

    Returns
    -------
    Floats
        [C] log odds of being placed first.

    Raises
    ------
    DataError
        When a last place has a propensity below 1, so that candidates are missing from the list, or an earlier one
        has 1, so that the policy was not Plackett-Luce.
    """
    last = np.zeros(len(propensity), dtype=bool)
    last[starts[1:][np.diff(starts) > 0] - 1] = True
    cut = last & (np.abs(propensity - 1) > 1e-6)
    if cut.any():
        raise DataError(
            f"{cut.sum()} of {last.sum()} lists end with a propensity below 1, such as {propensity[cut][0]:.4g}, so "
            "candidates that could have been shown are missing; log whole lists, or pass the logging policy yourself"
        )
    certain = ~last & (propensity >= 1)
    if certain.any():
        raise DataError(
            f"{certain.sum()} places before the last have propensity 1: the policy left nothing to chance there, so "
            "what else it might have shown is not supported; pass the logging policy as ListPolicy.ranking"
        )
    inside = inside_of(starts)
    left = np.ones(inside.shape)
    left[inside] = np.log1p(-np.where(last, 0.0, propensity))
    spent = np.cumsum(left, axis=1) - left
    scores: Floats = np.log(propensity) + spent[inside]
    return scores


def expected_next(scores: Floats, starts: Integers, predictions: Floats) -> Floats:
    """Return what a Plackett-Luce policy is predicted to earn at each place, given the items logged above it.

    Parameters
    ----------
    scores
        [C] log odds, finite, in logged order.
    starts
        [R + 1] where the lists begin.
    predictions
        [C, P] predicted reward of the row's item at each position.

    Returns
    -------
    Floats
        [C] for the row at position k: the mean of `predictions[:, k]` over the items logged at k or below, by softmax.
    """
    inside = inside_of(starts)
    weights = _weights(scores, starts)
    padded = np.zeros((*inside.shape, inside.shape[1]))
    padded[inside] = predictions
    place = np.arange(inside.shape[1])
    below = place[None, :] >= place[:, None]
    earned = np.einsum("rj,rjk,kj->rk", weights, padded, below, optimize=True)
    means: Floats = (earned / np.maximum(_remaining(weights), np.finfo(float).tiny))[inside]
    return means


def _weights(scores: Floats, starts: Integers) -> Floats:
    """Return [R, P] softmax weights, 0 beyond the end of a list."""
    inside = inside_of(starts)
    padded = np.full(inside.shape, -np.inf)
    padded[inside] = scores
    weights = np.exp(padded - padded.max(axis=1, keepdims=True, initial=-np.finfo(float).max))
    total: Floats = weights / np.maximum(weights.sum(axis=1, keepdims=True), np.finfo(float).tiny)
    return total


def _remaining(weights: Floats) -> Floats:
    """Return [R, P] the weight at each place and below."""
    return np.cumsum(weights[:, ::-1], axis=1)[:, ::-1]


def _race(weights: Floats) -> Floats:
    """Return [R, P, P] the probability that each candidate arrives as number 1, ..., P.

    Parameters
    ----------
    weights
        [R, P] rates, summing to 1 per list; 0 for a place without a candidate.

    The probability that k of the others have arrived at a time is the k-th coefficient of the product of
    (late_j + early_j x) over j, divided by the candidate's own factor: from the low end where it is late, from the
    high end where it is early, so that errors shrink.
    """
    size = weights.shape[1]
    slowest = float(weights[weights > 0].min(initial=1.0))
    times = np.exp(np.arange(_LEFT, _RIGHT - np.log(slowest), _STEP))
    rate = weights[:, None, :] * times[:, None]  # [R, T, P]
    late, early = np.exp(-rate), -np.expm1(-rate)
    arrived = np.zeros((*rate.shape[:2], size + 1))
    arrived[..., 0] = 1.0
    for each in range(size):
        arrived[..., 1:] = arrived[..., 1:] * late[..., [each]] + arrived[..., :-1] * early[..., [each]]
        arrived[..., 0] *= late[..., each]
    density = rate * late * _STEP
    slow = late >= early
    from_low, from_high = np.where(slow, density, 0.0), np.where(slow, 0.0, density)
    placements = np.zeros((len(weights), size, size))
    others = np.zeros(rate.shape)
    for place in range(size):
        others = np.where(slow, (arrived[..., [place]] - early * others) / np.where(slow, late, 1.0), 0.0)
        placements[:, :, place] += np.einsum("rtp,rtp->rp", from_low, others)
    others = np.zeros(rate.shape)
    for place in range(size - 1, -1, -1):
        others = np.where(slow, 0.0, (arrived[..., [place + 1]] - late * others) / np.where(slow, 1.0, early))
        placements[:, :, place] += np.einsum("rtp,rtp->rp", from_high, others)
    return np.clip(placements, 0.0, 1.0)


def _check_scores(scores: Floats, starts: Integers, good: "np.ndarray[tuple[int, ...], np.dtype[np.bool_]]") -> None:
    if len(starts) < 2:
        raise DataError("there is no list; a policy is described by what it does with logged lists")
    if len(scores) != starts[-1]:
        raise DataError(f"there are {len(scores)} scores for {starts[-1]} candidates; give one per row")
    if not good.all():
        place = int(np.flatnonzero(~good)[0])
        raise DataError(
            f"{(~good).sum()} of {len(scores)} scores cannot be used, the first is {scores[place]} in row {place + 1}; "
            "give every candidate a number"
        )
