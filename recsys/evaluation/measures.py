"""Measures of an order as values: one number per request, ties in score taken at their exact expected value.

A candidate with a label above 0 is a positive; only nDCG tells grades apart. A request without a positive has no value
(NaN). A candidate with a score of -inf is not listed: it takes no place and earns nothing, as a document that a run
does not retrieve in TREC, but it still counts among the positives; AUC ties it last.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import partial

import numpy as np
from scipy.special import gammaln

from recsys.errors import SettingsError
from recsys.evaluation.ordered_lists import (
    OrderedLists,
    Ties,
    blocks,
    check_labels,
    check_scores,
    make_lists,
    spread,
)
from recsys.statistics.numbers import Floats, Integers, Labels, Scores, divide

POOLED = "AUC pooled"
"""AUC over all candidates of all requests as one list: a mean without an interval (one resample is one more sort)."""


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
    of: Callable[[OrderedLists], Floats] = field(compare=False, repr=False)

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
        [C] any numbers but NaN; higher is better, -inf is a candidate that is not listed.
    starts
        [R + 1] candidates of request r are rows `starts[r]` up to `starts[r + 1]`; `starts[R]` is C.

    Returns
    -------
    Floats
        [M, R], NaN where a measure is not defined for a request.

    Raises
    ------
    DataError
        When scores are unsigned or NaN, or a label is outside 0 to 52.

    Examples
    --------
    >>> labels, scores = np.array([0, 1, 1, 0]), np.array([0.3, 0.9, 0.5, 0.5])
    >>> per_request([AUC, MRR], labels, scores, np.array([0, 2, 4])).tolist()
    [[1.0, 0.5], [1.0, 0.75]]
    """
    check_scores(scores, starts)
    check_labels(labels)
    values = np.empty((len(measures), len(starts) - 1))
    for first, last in blocks(starts):
        rows = slice(starts[first], starts[last])
        lists = make_lists(labels[rows], scores[rows], starts[first : last + 1] - starts[first])
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
        [C] any numbers but NaN; those of -inf are tied last.
    """
    positive = labels > 0
    above, below = np.sort(scores[positive]), np.sort(scores[~positive])
    if not len(above) or not len(below):
        return float("nan")
    wins = np.searchsorted(below, above, "left").sum() + np.searchsorted(below, above, "right").sum()
    return float(wins / (2 * len(above) * len(below)))


def ndcg(k: int) -> Measure:
    """Return nDCG@k: gain 2^label - 1, discount log2(rank + 1), over the ideal of the same list (Burges 2005).

    Needs one positive. A list shorter than k is judged whole. The ideal holds candidates that are not listed, too.

    Raises
    ------
    SettingsError
        When k is below 1.
    """
    return _at(k, "nDCG", _ndcg)


def average_precision(k: int | None = None) -> Measure:
    """Return MAP, or MAP@k: the precision at the place of each positive within the first k, over all positives.

    MAP@k divides by all positives of the request, listed or not, not by the smaller of them and k: the definition of
    trec_eval's `map_cut` and ir-measures' `AP@k` (Buckley and Voorhees 2000). A request with more than k positives
    hence stays below 1. Needs one positive. A list shorter than k is judged whole.

    Raises
    ------
    SettingsError
        When k is below 1.

    Examples
    --------
    >>> labels, scores = np.array([1, 0, 1]), np.array([3.0, 2.0, 1.0])
    >>> per_request([average_precision(), average_precision(1)], labels, scores, np.array([0, 3])).round(3).tolist()
    [[0.833], [0.5]]
    """
    return Measure("MAP", _average_precision) if k is None else _at(k, "MAP", _average_precision)


def hit(k: int) -> Measure:
    """Return hit@k: whether a positive stands in the first k places (ir-measures' `Success@k`).

    Under ties it is the probability of that. Needs one positive. A list shorter than k is judged whole.

    Raises
    ------
    SettingsError
        When k is below 1.
    """
    return _at(k, "hit", _hit)


def recall(k: int) -> Measure:
    """Return recall@k: the share of a request's positives, listed or not, that stand in the first k places.

    Needs one positive. A list shorter than k is judged whole. A request with more than k positives stays below 1.

    Raises
    ------
    SettingsError
        When k is below 1.
    """
    return _at(k, "recall", _recall)


def precision(k: int) -> Measure:
    """Return precision@k: positives in the first k places over k.

    It divides by k even where the list is shorter, as trec_eval and ir-measures do: empty places earn nothing. Needs
    one positive, so that it is the mean over the same requests as the other measures; ir-measures gives 0 without.

    Raises
    ------
    SettingsError
        When k is below 1.
    """
    return _at(k, "precision", _precision)


def parse_measure(text: str) -> Measure:
    """Return the measure that prints as `text`.

    Raises
    ------
    SettingsError
        When no measure prints so; the message names the nearest that does, and all of them.

    Examples
    --------
    >>> parse_measure("nDCG@10") == ndcg(10)
    True
    """
    stem, at, places = text.partition("@")
    if not at and stem in _WHOLE:
        return _WHOLE[stem]
    if stem in _CUT and re.fullmatch("[1-9][0-9]{0,8}", places):
        return _CUT[stem](int(places))
    k = places if re.fullmatch("[1-9][0-9]{0,8}", places) else "10"
    names = [*_WHOLE, *(f"{stem}@{k}" for stem in _CUT)]
    folded = {name.casefold(): name for name in names}
    nearest = get_close_matches(text.casefold(), folded, n=1)
    known = ", ".join([*_WHOLE, *(f"{stem}@k" for stem in _CUT)])
    meant = f"did you mean {folded[nearest[0]]!r}? There are" if nearest else "there are"
    raise SettingsError(f"no measure is called {text!r}; {meant} {known}")


def _at(k: int, name: str, of: Callable[..., Floats]) -> Measure:
    if not 1 <= k < 10**9:
        raise SettingsError(f"{name}@{k} looks at no place; write {name}@1 or more, below a thousand million")
    return Measure(f"{name}@{k}", partial(of, k=k))


def _auc(lists: OrderedLists) -> Floats:
    """Share of pairs of a positive and a negative in the right order, ties one half (Mann-Whitney)."""
    ties = lists.by_score
    negatives = lists.sizes - lists.positives
    tied = ties.size - ties.positives
    below = negatives[ties.request] - (ties.above - ties.positives_above) - tied
    return divide(lists.total(ties, ties.positives * (below + tied / 2)), lists.positives * negatives)


def _mrr(lists: OrderedLists) -> Floats:
    """Mean of 1 / rank over all positives (the MRR of the MIND news recommendation task)."""
    ties = lists.ranked
    reciprocal = _mean_over_places(ties, 1 / np.arange(1, lists.longest + 1))
    return divide(lists.total(ties, ties.positives * reciprocal), lists.positives)


def _first_hit_mrr(lists: OrderedLists) -> Floats:
    """Reciprocal rank of the first positive.

    When the first run with a positive has n candidates, m of them positive, its first positive stands at place j of
    the run with probability C(n - j, m - 1) / C(n, m), for j from 1 to n - m + 1.
    """
    first = _first(lists.ranked)
    possible = first.size - first.positives + 1
    run, place = spread(possible)
    log_factorial = gammaln(np.arange(1, lists.longest + 2))
    weight = log_factorial[first.size[run] - place] - log_factorial[possible[run] - place]
    weight = np.exp(weight - (log_factorial[first.size - 1] - log_factorial[first.size - first.positives])[run])
    summed = np.bincount(run, weights=weight / (first.above[run] + place), minlength=len(possible))
    weights = np.bincount(run, weights=weight, minlength=len(possible))
    return _with_positive(lists, lists.total(first, summed / weights))


def _ndcg(lists: OrderedLists, k: int) -> Floats:
    ranks = np.arange(1, lists.longest + 1)
    discount = np.where(ranks <= k, 1 / np.log2(ranks + 1), 0.0)
    gained, ideal = (
        lists.total(ties, ties.gain * _mean_over_places(ties, discount)) for ties in (lists.ranked, lists.by_label)
    )
    return divide(gained, ideal)


def _average_precision(lists: OrderedLists, k: int | None = None) -> Floats:
    """Average precision.

    A positive of a run of n candidates, m of them positive, stands at each place j of the run with probability 1 / n;
    each of the other m - 1 positives then stands above it with probability (j - 1) / (n - 1).
    """
    ties = lists.ranked
    run, place = spread(_places(ties, lists.longest if k is None else k))
    tied_above = (place - 1) * ((ties.positives - 1) / np.maximum(ties.size - 1, 1))[run]
    at_place = (1 + ties.positives_above[run] + tied_above) / (ties.above[run] + place)
    summed = np.bincount(run, weights=at_place, minlength=len(ties.size))
    return divide(lists.total(ties, ties.positives * summed / ties.size), lists.positives)


def _hit(lists: OrderedLists, k: int) -> Floats:
    """Probability of a positive in the first k places.

    When r of the n places of the first run with a positive are among the first k, m of its candidates being positive,
    none of them is in with probability C(n - m, r) / C(n, r): the product of (n - max(m, r) - j) / (n - j) for j from 0
    to min(m, r) - 1. Later runs then have no place.
    """
    first = _first(lists.ranked)
    places = _places(first, k)
    run, place = spread(np.minimum(places, first.positives))
    factors = (first.size - np.maximum(places, first.positives))[run] - (place - 1)
    chances = factors / (first.size[run] - (place - 1))
    missed = np.ones(len(places))
    begins = np.flatnonzero(place == 1)
    if len(begins):
        missed[run[begins]] = np.multiply.reduceat(chances, begins)
    return _with_positive(lists, lists.total(first, 1 - missed))


def _recall(lists: OrderedLists, k: int) -> Floats:
    return divide(_found(lists, k), lists.positives)


def _precision(lists: OrderedLists, k: int) -> Floats:
    return _with_positive(lists, _found(lists, k) / k)


AUC = Measure("AUC", _auc)
"""AUC: needs a positive and a negative; ties count one half, candidates that are not listed are tied last."""

MRR = Measure("MRR", _mrr)
"""Mean of 1 / rank over all positives of a request (the MRR of MIND); one that is not listed adds 0."""

FIRST_HIT_MRR = Measure("first-hit MRR", _first_hit_mrr)
"""1 / rank of the first positive (TREC's reciprocal rank); 0 where no positive is listed."""

_WHOLE: Mapping[str, Measure] = {str(measure): measure for measure in (AUC, MRR, FIRST_HIT_MRR, average_precision())}
_CUT: Mapping[str, Callable[[int], Measure]] = {
    "nDCG": ndcg,
    "MAP": average_precision,
    "hit": hit,
    "recall": recall,
    "precision": precision,
}


def _mean_over_places(ties: Ties, values: Floats) -> Floats:
    """Mean of `values` [longest] over the places of each run: what each of its candidates gets, in expectation."""
    summed: Floats = np.concatenate([[0.0], np.cumsum(values)])
    means: Floats = (summed[ties.above + ties.size] - summed[ties.above]) / ties.size
    return means


def _places(ties: Ties, k: int) -> Integers:
    """Count the places of each run that are among the first k."""
    return np.clip(k - ties.above, 0, ties.size)


def _found(lists: OrderedLists, k: int) -> Floats:
    """Positives in the first k places, in expectation: [R]."""
    ties = lists.ranked
    return lists.total(ties, ties.positives * _places(ties, k) / ties.size)


def _first(ties: Ties) -> Ties:
    """Return the first run of each request."""
    return ties.take(np.diff(ties.request, prepend=-1) > 0)


def _with_positive(lists: OrderedLists, values: Floats) -> Floats:
    return np.where(lists.positives > 0, values, np.nan)
