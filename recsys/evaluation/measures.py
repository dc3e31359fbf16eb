"""Measures of an order: AUC, MRR and nDCG per request, ties in score taken at their exact expected value."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from recsys.errors import DataError, SettingsError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Scores = NDArray[np.floating]
Labels = NDArray[np.integer]

LARGEST_LABEL = 52
"""Largest label whose gain 2^label - 1 is exact in a float64."""

_BLOCK_ROWS = 1 << 18  # rows worked on at once: fits the processor's cache and keeps memory flat
_BLOCK_REQUESTS = 1 << 16  # numpy sorts 16-bit keys in linear time


@dataclass(frozen=True)
class Ties:
    """Lists cut into runs of candidates with equal keys, in the order of the lists: everything a measure needs.

    Attributes
    ----------
    request
        [T] place of the run's request, never falling.
    above
        [T] candidates of the same request above the run.
    size
        [T] candidates in the run, at least 1.
    positives
        [T] candidates in the run with a label above 0.
    gain
        [T] sum of 2^label - 1 over the run.
    """

    request: Integers
    above: Integers
    size: Integers
    positives: Integers
    gain: Floats


@dataclass(frozen=True)
class Lists:
    """The candidate lists of some requests, in two orders.

    Attributes
    ----------
    requests
        How many requests, R; some may hold no candidate.
    longest
        Candidates in the longest list.
    by_score
        The order to judge: highest score first.
    by_label
        The ideal order of the same lists: highest label first.
    """

    requests: int
    longest: int
    by_score: Ties
    by_label: Ties

    def total(self, ties: Ties, values: Integers | Floats) -> Floats:
        """Sum `values` [T] of the runs of `ties` over each request: [R]."""
        return np.bincount(ties.request, weights=values, minlength=self.requests).astype(np.float64, copy=False)


@dataclass(frozen=True)
class Measure:
    """One number per request; two measures of one name are the same measure.

    Attributes
    ----------
    name
        What it prints as; it says the formula's variant (`nDCG@10`, `first-hit MRR`).
    of
        Lists to one float per request, NaN where the measure is not defined.
    """

    name: str
    of: Callable[[Lists], Floats] = field(compare=False, repr=False)

    def __str__(self) -> str:
        return self.name


def per_request(measures: Sequence[Measure], labels: Labels, scores: Scores, starts: Integers) -> Floats:
    """Compute measures for every request, all from one sort of the scores.

    Parameters
    ----------
    measures
        M measures.
    labels
        [C] graded outcomes, 0 to 52.
    scores
        [C] any numbers but NaN; higher is better.
    starts
        [R + 1] candidates of request r are rows `starts[r]` up to `starts[r + 1]`; `starts[R]` is C.

    Returns
    -------
    Floats
        [M, R], NaN where a measure is not defined for a request.

    Raises
    ------
    DataError
        When a score is NaN or a label is outside 0 to 52.

    Examples
    --------
    >>> labels, scores = np.array([0, 1, 1, 0]), np.array([0.3, 0.9, 0.5, 0.5])
    >>> per_request([AUC, MRR], labels, scores, np.array([0, 2, 4])).tolist()
    [[1.0, 0.5], [1.0, 0.75]]
    """
    _check(labels, scores, starts)
    values = np.empty((len(measures), len(starts) - 1))
    for first, last in _blocks(starts):
        rows = slice(starts[first], starts[last])
        lists = _lists(labels[rows].astype(np.int64), scores[rows], starts[first : last + 1] - starts[first])
        for place, measure in enumerate(measures):
            values[place, first:last] = measure.of(lists)
    return values


def auc_pooled(labels: Labels, scores: Scores) -> float:
    """Return the AUC of all rows as one list, ties one half; NaN without both classes.

    Parameters
    ----------
    labels
        [C] graded outcomes; above 0 is positive.
    scores
        [C] any numbers but NaN.
    """
    positive = labels > 0
    above, below = np.sort(scores[positive]), np.sort(scores[~positive])
    if not len(above) or not len(below):
        return float("nan")
    wins = np.searchsorted(below, above, "left").sum() + np.searchsorted(below, above, "right").sum()
    return float(wins / (2 * len(above) * len(below)))


def ndcg(k: int) -> Measure:
    """Return nDCG@k: gain 2^label - 1, discount log2(rank + 1), over the ideal of the same list (Burges 2005).

    Needs one positive. A list shorter than k is judged whole.

    Raises
    ------
    SettingsError
        When k is below 1.
    """
    if k < 1:
        raise SettingsError(f"nDCG@{k} looks at no place; write nDCG@1 or more")
    return Measure(f"nDCG@{k}", partial(_ndcg, k=k))


def divide(above: Floats, below: Floats) -> Floats:
    """Divide arrays of one shape, with NaN where the divisor is 0."""
    quotient = np.full(above.shape, np.nan)
    np.divide(above, below, out=quotient, where=below != 0)
    return quotient


def _auc(lists: Lists) -> Floats:
    """Share of pairs of a positive and a negative in the right order, ties one half (Mann-Whitney)."""
    ties = lists.by_score
    negatives = ties.size - ties.positives
    positives_of, negatives_of = lists.total(ties, ties.positives), lists.total(ties, negatives)
    negatives_so_far = np.cumsum(negatives)  # over all requests: take off what earlier requests hold
    earlier = (np.cumsum(negatives_of) - negatives_of)[ties.request]
    negatives_below = negatives_of[ties.request] + earlier - negatives_so_far
    return divide(lists.total(ties, ties.positives * (negatives_below + negatives / 2)), positives_of * negatives_of)


def _mrr(lists: Lists) -> Floats:
    """Mean of 1 / rank over all positives (the MRR of the MIND news recommendation task)."""
    ties = lists.by_score
    reciprocal = _mean_over_places(ties, 1 / np.arange(1, lists.longest + 1))
    return divide(lists.total(ties, ties.positives * reciprocal), lists.total(ties, ties.positives))


def _first_hit_mrr(lists: Lists) -> Floats:
    """Reciprocal rank of the first positive.

    When the first run with a positive has n candidates, m of them positive, its first positive stands at place j of
    the run with probability C(n - j, m - 1) / C(n, m), for j from 1 to n - m + 1.
    """
    ties = lists.by_score
    runs = np.flatnonzero(ties.positives)
    runs = runs[np.diff(ties.request[runs], prepend=-1) > 0]
    size, positives = ties.size[runs], ties.positives[runs]
    possible = size - positives + 1
    owner = np.repeat(np.arange(len(runs)), possible)
    place = np.arange(1, len(owner) + 1) - (np.cumsum(possible) - possible)[owner]
    log_factorial = gammaln(np.arange(1, lists.longest + 2))
    weight = log_factorial[size[owner] - place] - log_factorial[possible[owner] - place]
    weight = np.exp(weight - (log_factorial[size - 1] - log_factorial[size - positives])[owner])
    reciprocal = np.bincount(owner, weights=weight / (ties.above[runs][owner] + place), minlength=len(runs))
    values = np.full(lists.requests, np.nan)
    values[ties.request[runs]] = reciprocal / np.bincount(owner, weights=weight, minlength=len(runs))
    return values


def _ndcg(lists: Lists, k: int) -> Floats:
    ranks = np.arange(1, lists.longest + 1)
    discount = np.where(ranks <= k, 1 / np.log2(ranks + 1), 0.0)
    gained, ideal = (
        lists.total(ties, ties.gain * _mean_over_places(ties, discount)) for ties in (lists.by_score, lists.by_label)
    )
    return divide(gained, ideal)


AUC = Measure("AUC", _auc)
MRR = Measure("MRR", _mrr)
FIRST_HIT_MRR = Measure("first-hit MRR", _first_hit_mrr)


def _mean_over_places(ties: Ties, values: Floats) -> Floats:
    """Mean of `values` [longest] over the places of each run: what each of its candidates gets, in expectation."""
    summed: Floats = np.concatenate([[0.0], np.cumsum(values)])
    means: Floats = (summed[ties.above + ties.size] - summed[ties.above]) / ties.size
    return means


def _lists(labels: Labels, scores: Scores, starts: Integers) -> Lists:
    sizes = np.diff(starts)
    return Lists(
        requests=len(sizes),
        longest=int(sizes.max(initial=0)),
        by_score=_ties(labels, -scores, starts),
        by_label=_ties(labels, (LARGEST_LABEL - labels).astype(np.uint8), starts),
    )


def _ties(labels: Labels, keys: NDArray[np.generic], starts: Integers) -> Ties:
    """Sort each request by `keys`, lowest first, and cut it into runs of equal keys."""
    request = np.repeat(np.arange(len(starts) - 1, dtype=np.uint16), np.diff(starts))
    order = np.lexsort((keys, request))  # leaves every request in its own rows
    keys, labels = keys[order], labels[order]
    begins = np.ones(len(keys), dtype=bool)
    begins[1:] = (keys[1:] != keys[:-1]) | (request[1:] != request[:-1])
    first = np.flatnonzero(begins)
    owner = request[first].astype(np.int64)
    return Ties(
        request=owner,
        above=first - starts[owner],
        size=np.diff(first, append=len(keys)),
        positives=np.add.reduceat((labels > 0).astype(np.int64), first),
        gain=np.add.reduceat(np.exp2(labels) - 1, first),
    )


def _blocks(starts: Integers) -> Iterator[tuple[int, int]]:
    """Cut requests into blocks of few rows, at least one request each: (first request, request after the last)."""
    first, requests = 0, len(starts) - 1
    while first < requests:
        last = int(np.searchsorted(starts, starts[first] + _BLOCK_ROWS, "right")) - 1
        last = min(max(last, first + 1), first + _BLOCK_REQUESTS, requests)
        yield first, last
        first = last


def _check(labels: Labels, scores: Scores, starts: Integers) -> None:
    missing = np.isnan(scores)
    if missing.any():
        place = int(np.searchsorted(starts, missing.argmax(), "right")) - 1
        raise DataError(
            f"{missing.sum()} of {len(scores)} scores are NaN, the first in request number {place + 1}; "
            "give every candidate a number"
        )
    if len(labels) and (labels.min() < 0 or labels.max() > LARGEST_LABEL):
        wrong = np.unique(labels[(labels < 0) | (labels > LARGEST_LABEL)])[:3].tolist()
        raise DataError(f"labels hold {wrong}; a label is a grade from 0 to {LARGEST_LABEL}, so map them to grades")
