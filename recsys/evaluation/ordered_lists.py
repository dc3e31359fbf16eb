"""Candidate lists in the order of their scores, ties kept together: what every measure of an order is computed from."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.errors import DataError
from recsys.statistics.numbers import Floats, Integers, Labels, Scores

LARGEST_LABEL = 52
"""Largest label whose gain 2^label - 1 is exact in a float64."""

_BLOCK_ROWS = 1 << 18  # rows worked on at once: fits the processor's cache and keeps memory flat
_BLOCK_REQUESTS = 1 << 16  # numpy sorts 16-bit keys in linear time


@dataclass(frozen=True)
class Ties:
    """Runs of candidates with equal keys that hold a positive, in the order of the lists; no other run earns anything.

    Attributes
    ----------
    request
        [T] place of the run's request, never falling.
    above
        [T] candidates of the same request above the run.
    size
        [T] candidates in the run, at least 1.
    positives
        [T] candidates in the run with a label above 0, at least 1.
    positives_above
        [T] candidates of the same request above the run with a label above 0.
    gain
        [T] sum of 2^label - 1 over the run.
    """

    request: Integers
    above: Integers
    size: Integers
    positives: Integers
    positives_above: Integers
    gain: Floats

    def take(self, runs: NDArray[np.bool_] | Integers) -> "Ties":
        """Return some runs, in the order of the lists."""
        return Ties(
            self.request[runs],
            self.above[runs],
            self.size[runs],
            self.positives[runs],
            self.positives_above[runs],
            self.gain[runs],
        )


@dataclass(frozen=True)
class OrderedLists:
    """The candidate lists of some requests.

    Attributes
    ----------
    sizes
        [R] candidates of each request, R requests; some may hold none.
    positives
        [R] candidates with a label above 0.
    by_score
        The order to judge: highest score first, candidates that are not listed (score -inf) tied last.
    ranked
        `by_score` without the candidates that are not listed.
    by_label
        The ideal order of the same lists: highest label first.
    """

    sizes: Integers
    positives: Integers
    by_score: Ties
    ranked: Ties
    by_label: Ties

    @property
    def longest(self) -> int:
        """Candidates in the longest list."""
        return int(self.sizes.max(initial=0))

    def total(self, ties: Ties, values: Integers | Floats) -> Floats:
        """Sum `values` [T] of the runs of `ties` over each request: [R]."""
        return np.bincount(ties.request, weights=values, minlength=len(self.sizes)).astype(np.float64, copy=False)


def make_lists(labels: Labels, scores: Scores, starts: Integers) -> OrderedLists:
    """Sort the candidates of each request once by score and its positives once by label.

    Parameters
    ----------
    labels
        [C] graded outcomes, 0 to 52.
    scores
        [C] any numbers but NaN; higher is better, -inf is a candidate that is not listed.
    starts
        [R + 1] candidates of request r are rows `starts[r]` up to `starts[r + 1]`; R is at most 65,536.
    """
    request = np.repeat(np.arange(len(starts) - 1, dtype=np.uint16), np.diff(starts))
    labels = labels.astype(np.int64)
    by_score, listed = _ties(labels, -scores, request, starts)
    positive = np.flatnonzero(labels)
    labels, request = labels[positive], request[positive]
    positives = np.bincount(request, minlength=len(starts) - 1)
    by_label, _ = _ties(labels, -labels.astype(np.int8), request, np.cumsum(positives) - positives)
    ranked = by_score if listed.all() else by_score.take(listed)
    return OrderedLists(np.diff(starts), positives, by_score, ranked, by_label)


def blocks(starts: Integers, rows: int | None = None) -> Iterator[tuple[int, int]]:
    """Cut requests into blocks of few rows, at least one request each: (first request, request after the last)."""
    first, requests = 0, len(starts) - 1
    while first < requests:
        last = int(np.searchsorted(starts, starts[first] + (rows or _BLOCK_ROWS), "right")) - 1
        last = min(max(last, first + 1), first + _BLOCK_REQUESTS, requests)
        yield first, last
        first = last


def spread(sizes: Integers) -> tuple[Integers, Integers]:
    """Give every place of some runs: the run it belongs to, and its place in it from 1.

    Examples
    --------
    >>> [places.tolist() for places in spread(np.array([2, 0, 3]))]
    [[0, 0, 2, 2, 2], [1, 2, 1, 2, 3]]
    """
    run = np.repeat(np.arange(len(sizes)), sizes)
    return run, np.arange(1, len(run) + 1) - (np.cumsum(sizes) - sizes)[run]


def check_scores(scores: Scores, starts: Integers) -> None:
    """Refuse scores that give no order.

    Raises
    ------
    DataError
        When scores have no sign, as counts of unsigned integers, or a score is NaN.
    """
    if scores.dtype.kind in "ub":
        raise DataError(f"scores are {scores.dtype}, which cannot be turned around to sort by; give floats")
    missing = np.isnan(scores)
    if missing.any():
        place = int(np.searchsorted(starts, missing.argmax(), "right")) - 1
        raise DataError(
            f"{missing.sum()} of {len(scores)} scores are NaN, the first in request number {place + 1}; "
            "give every candidate a number"
        )


def check_labels(labels: Labels) -> None:
    """Refuse labels that are no grade.

    Raises
    ------
    DataError
        When a label is outside 0 to 52.
    """
    if len(labels) and (labels.min() < 0 or labels.max() > LARGEST_LABEL):
        wrong = np.unique(labels[(labels < 0) | (labels > LARGEST_LABEL)])[:3].tolist()
        raise DataError(f"labels hold {wrong}; a label is a grade from 0 to {LARGEST_LABEL}, so map them to grades")


def _ties(
    labels: Labels, keys: Scores | NDArray[np.int8], request: NDArray[np.uint16], starts: Integers
) -> tuple[Ties, NDArray[np.bool_]]:
    """Sort each request by `keys`, lowest first; give the runs with a positive and whether their key is below inf."""
    order = np.argsort(keys)
    order = order[np.argsort(request[order], kind="stable")]  # leaves every request in its own rows
    keys, labels = keys[order], labels[order]
    begins = np.ones(len(keys), dtype=bool)
    begins[1:] = (keys[1:] != keys[:-1]) | (request[1:] != request[:-1])
    first = np.flatnonzero(begins)
    size = np.diff(first, append=len(keys))
    positives = np.add.reduceat((labels > 0).astype(np.int64), first) if len(first) else first
    held = np.flatnonzero(positives)
    gain = np.add.reduceat(np.exp2(labels) - 1, first)[held] if len(first) else np.empty(0)
    first, size, positives = first[held], size[held], positives[held]
    owner = request[first].astype(np.int64)
    before = np.cumsum(positives) - positives
    newest = np.maximum.accumulate(np.where(np.diff(owner, prepend=-1) > 0, before, 0))
    return Ties(owner, first - starts[owner], size, positives, before - newest, gain), keys[first] < np.inf
