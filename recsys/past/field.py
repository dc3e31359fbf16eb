"""The field: what all items were to all users at one moment, by clicks alone; how popular, and chosen beside which."""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple, Protocol, Self, TypeVar

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy import sparse

from recsys.data.clock import daily_cuts
from recsys.past.clicks import FADES, FADING, UNIT, Clicks, weigh
from recsys.past.streams import CLICK, Ints, Stream

if TYPE_CHECKING:
    from recsys.past.log import Log

_BESIDE, _MOST = 10, 200
"""How many clicks of the same user a click is paired with, and how many items are kept beside each item."""

_DEBIASED = 1 / 3
"""Power of the items' own clicks that pairs are divided by: 1/2 would be the cosine, 0 would favour what is popular."""

GRID = 2**20
"""What is kept of a pair of items is a whole multiple of one over this."""

_KEPT = 3


class Beside(NamedTuple):
    """What users may choose next, for R users over n items, sparse.

    Attributes
    ----------
    scores
        [R, n] how much stands for each item in what users clicked last; whole numbers, so that no order of adding them
        matters.
    places
        [nnz] for every entry of `scores` its place among those of its user, 1 = largest; equal ones share the first.
    """

    scores: "sparse.csr_array"
    places: Ints


@dataclass(frozen=True, eq=False)
class Popularity:
    """How popular n items are at one moment.

    Attributes
    ----------
    clicks
        What the clicks on each item that were known before count, `UNIT` for one of the moment itself and half of it
        for one that is a half-life old, shape [n].
    order
        The place of each item's id among all ids, shape [n].
    """

    clicks: Ints
    order: Ints

    @classmethod
    def of(cls, clicks: Clicks, order: Ints, cut: int, half_life: timedelta) -> "Popularity":
        """Count the clicks that are known before a moment, microseconds."""
        some, weights = weigh(clicks, cut, half_life)
        return cls(np.bincount(some.items, weights, len(order)).astype(np.int64), order)

    @cached_property
    def ranked(self) -> Ints:
        """Items that were clicked, the most popular first, of equal ones the smaller id."""
        clicked = np.flatnonzero(self.clicks)
        return clicked[np.lexsort((self.order[clicked], -self.clicks[clicked]))]

    @cached_property
    def places(self) -> Ints:
        """The place of every item, 1 = most popular, equal ones share the first; shape [n]."""
        ascending = np.sort(self.clicks)
        return len(ascending) - np.searchsorted(ascending, self.clicks, side="right") + 1


@dataclass(frozen=True, eq=False)
class Covisits:
    """What clicks known before one moment say of n items beside each other.

    Attributes
    ----------
    cut
        The moment, microseconds.
    clicks
        These clicks.
    weights
        What each of them counts, as of `Popularity`, shape [N].
    order
        The place of each item's id among all ids, shape [n].
    """

    cut: int
    clicks: Clicks
    weights: Ints
    order: Ints

    @classmethod
    def of(cls, clicks: Clicks, order: Ints, cut: int, half_life: timedelta) -> "Covisits":
        """Take the clicks that are known before a moment, microseconds."""
        return cls(cut, *weigh(clicks, cut, half_life), order)

    @cached_property
    def pairs(self) -> "sparse.csr_array":
        """How often two items were clicked by one user, few clicks apart, over the cube root of both items' clicks.

        Whole multiples of one over `GRID`, the largest of each item alone, shape [n, n].
        """
        users, items, _ = self.clicks
        first, second, together = [], [], []
        for back in range(1, _BESIDE + 1):
            same = (users[back:] == users[:-back]) & (items[back:] != items[:-back])
            first += [items[:-back][same], items[back:][same]]
            second += [items[back:][same], items[:-back][same]]
            together += [self.weights[back:][same]] * 2
        where, count = (np.concatenate(first), np.concatenate(second)), len(self.order)
        pairs = sparse.coo_array((np.concatenate(together), where), (count, count)).tocsr()
        each = np.maximum(np.bincount(items, self.weights, count), 1) / UNIT
        row = np.repeat(np.arange(count), np.diff(pairs.indptr))
        # Divided by a power of both items' clicks, so that what everybody clicks is not beside everything.
        shares = pairs.data / UNIT / (each[row] * each[pairs.indices]) ** _DEBIASED
        data = np.rint(GRID * shares).astype(np.int64)
        return _largest(sparse.csr_array((data, pairs.indices, pairs.indptr), pairs.shape), self.order)

    def find(self, history: Ints) -> Beside:
        """Find what stands beside what users clicked last.

        Parameters
        ----------
        history
            Item codes, most recent first, -1 where there is no further click, shape [R, H].
        """
        known = (history >= 0) & (history < len(self.order))
        fading = np.rint(FADES * FADING ** np.arange(history.shape[1])).astype(np.int64)
        weights = np.broadcast_to(fading, history.shape)[known]
        ends = np.concatenate([[0], np.cumsum(known.sum(axis=1))])
        read = sparse.csr_array((weights, history[known], ends), shape=(len(history), len(self.order)))
        scores = sparse.csr_array(read @ self.pairs)
        scores.sort_indices()
        return Beside(scores, _places(scores))


def _largest(pairs: "sparse.csr_array", order: Ints) -> "sparse.csr_array":
    """Keep the largest entries of every row, of equal ones the smaller ids."""
    count, kept = len(order), pairs.data > 0
    for row in np.flatnonzero(np.diff(pairs.indptr) > _MOST):
        start, end = pairs.indptr[row : row + 2]
        keys = pairs.data[start:end] * count + (count - 1 - order[pairs.indices[start:end]])
        kept[start + np.argpartition(keys, -_MOST)[:-_MOST]] = False
    ends = np.concatenate([[0], np.cumsum(kept)])[pairs.indptr]
    return sparse.csr_array((pairs.data[kept], pairs.indices[kept], ends), pairs.shape)


def _places(scores: "sparse.csr_array") -> Ints:
    row = np.repeat(np.arange(scores.shape[0]), np.diff(scores.indptr))
    ranked = np.lexsort((-scores.data, row))
    place = np.arange(len(row)) - scores.indptr[row] + 1  # of the ranked entries, whose rows stay in order
    begins = np.ones(len(row), dtype=bool)
    begins[1:] = (scores.data[ranked][1:] != scores.data[ranked][:-1]) | (row[1:] != row[:-1])
    places = np.empty(len(row), dtype=np.int64)
    places[ranked] = place[begins][np.cumsum(begins) - 1] if len(row) else place
    return places


class Countable(Protocol):
    """What is counted of the clicks that are known before a moment."""

    @classmethod
    def of(cls, clicks: Clicks, order: Ints, cut: int, half_life: timedelta) -> Self:
        """Count; arguments as of `Popularity.of`."""


Counted = TypeVar("Counted", bound=Countable)


@dataclass(eq=False)
class Fields:
    """What was counted last; logs of which one is the other's tail share it, and threads may."""

    _kept: dict[tuple[str, timedelta], dict[tuple[int, int], object]] = field(default_factory=dict)
    _locks: dict[tuple[str, timedelta], Lock] = field(default_factory=lambda: defaultdict(Lock))

    def of(self, log: "Log", what: type[Counted], cut: int, half_life: timedelta) -> Counted:
        """Give what clicks known before a moment say; count it where it is new, or rows were told that change it."""
        marked = (layer.click_marks for layer in log.layers)
        known = sum(int(sums[np.searchsorted(moments, cut)]) for moments, sums in marked) % 2**64
        of_kind = (what.__name__, half_life)
        with self._locks[of_kind]:  # who wants what is there already waits for nothing else to be counted
            kept = self._kept.setdefault(of_kind, {})
            found = kept.get((cut, known))
            if not isinstance(found, what):
                found = kept[cut, known] = what.of(log.clicks, log.items.order, cut, half_life)
                for oldest in list(kept)[:-_KEPT]:
                    del kept[oldest]
            return found


def refreshed(as_of: Ints, every: timedelta, zone: str, daily: bool) -> Ints:
    """Give when something was counted last before some moments, microseconds.

    Parameters
    ----------
    as_of
        Microseconds, shape [Q].
    every
        How often it is: after so much of a day, once a day at the daily cut, or after so many days.
    zone
        Of midnight.
    daily
        Whether the moments are daily cuts themselves, so that only more days than one count.
    """
    if daily and every <= timedelta(days=1):
        return as_of
    if every != timedelta(days=1):
        step = every // timedelta(microseconds=1)
        return as_of // step * step
    return daily_cuts(as_of, zone)


def marks(clicks: Stream) -> tuple[Ints, npt.NDArray[np.uint64]]:
    """Give the moments of clicks, ascending, and before each the sum of a hash of every click until then.

    Added up over layers, modulo 2 ** 64, they tell whether two logs hold the same clicks, each as often.
    """
    rows = pl.DataFrame([clicks.codes["user"], clicks.codes["item"], clicks.moments], schema=["user", "item", "moment"])
    order = np.argsort(clicks.moments, kind="stable")
    hashes = rows.hash_rows(0).to_numpy()[order]
    return clicks.moments[order], np.concatenate([[np.uint64(0)], np.cumsum(hashes, dtype=np.uint64)])


def rows_of(log: "Log", kind: str) -> Clicks:
    """Give all events of a kind, or all clicks, those on lists among them."""
    rows = [layer.click_rows if kind == CLICK else layer.stream(kind) for layer in log.layers]
    users, items = (np.concatenate([each.codes[name] for each in rows]) for name in ("user", "item"))
    moments = np.concatenate([each.moments for each in rows])
    order = np.lexsort((log.items.order[items], moments, users))
    return Clicks(users[order], items[order], moments[order])
