"""One function a source: how it ranks the field for some users, each at a moment."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from recsys.past.streams import Ints, Singles, pick
from recsys.sources.merging import Ranked
from recsys.sources.settings import SourceName

if TYPE_CHECKING:
    from recsys.features.field import Field
    from recsys.past.log import Log
    from recsys.sources.index import Index
    from recsys.vectors.matrix import Matrix
    from recsys.vectors.reader import Reader

Floats = npt.NDArray[np.float64]

_PER_UNIT = 2**22
"""Dot products of item vectors are whole multiples of one over this, see `recsys.vectors.encoded.GRID`."""

_COARSE, _AT_ONCE = 2**5, 2**14
"""Parts of one in which sums of vectors are cut, and vectors that are multiplied at once."""


@dataclass(frozen=True, eq=False)
class Asking:
    """Users who are to get a list.

    Attributes
    ----------
    log, reader
        What is known.
    field
        What all moments know alike of it.
    half_life
        That of popularity.
    users
        User codes, -1 for unknown ones, shape [R].
    as_of, timestamp
        When no more may be known of behaviour, and of items, microseconds, each of shape [R].
    history
        Item codes of the last clicks, when each became known, and when it happened, each of shape [R, H].
    taken
        Places of users times n plus codes of the items that are no candidates for them, ascending.
    index
        What `nearest` looks in; None where it looks at all items.
    """

    log: "Log"
    reader: "Reader | None"
    field: "Field"
    half_life: timedelta
    users: Ints
    as_of: Ints
    timestamp: Ints
    history: tuple[Ints, Ints, Ints]
    taken: Ints
    index: "Index | None" = None

    @cached_property
    def most_taken(self) -> int:
        """How many items are no candidates for one user, at most."""
        return int(np.bincount(self.taken // len(self.log.items)).max(initial=0)) if len(self.taken) else 0

    def fits(self, requests: Ints, items: Ints) -> npt.NDArray[np.bool_]:
        """Say which items are out and not taken; codes of -1 are not."""
        out = pick(self.log.register.out_at, items, np.inf)
        there = ~(out > self.timestamp[requests])
        keys = requests * len(self.log.items) + items
        at = np.searchsorted(self.taken, keys)
        found: npt.NDArray[np.bool_] = there & (pick(self.taken, at, -1) != keys)
        return found

    def first(self, requests: Ints, items: Ints, size: int) -> Ranked:
        """Keep the first so many of every user that fit; rows come by user, best first."""
        fit = self.fits(requests, items)
        requests, items = requests[fit], items[fit]
        places = np.arange(len(requests)) - np.searchsorted(requests, requests) + 1
        kept = places <= size
        return Ranked(requests[kept], items[kept], places[kept])

    def wide(self, items: Ints, size: int) -> Ranked:
        """Keep the first so many of rows of items, shape [R, P]."""
        return self.first(np.repeat(np.arange(len(items)), items.shape[1]), items.ravel(), size)


def rank_field(name: SourceName, asking: Asking, size: int) -> Ranked:
    """Let a source find up to `size` candidates for every user."""
    return _SOURCES[name](asking, size)


def _popular(asking: Asking, size: int) -> Ranked:
    """Rank by clicks; go on down the field until everybody has enough of what may be a candidate."""
    every, reach = asking.field.popular(asking.half_life).ranked, size + asking.most_taken
    while True:
        best = every[:reach]
        found = asking.wide(np.broadcast_to(best, (len(asking.users), len(best))), size)
        if reach >= len(every) or len(found.requests) == size * len(asking.users):
            return found
        reach *= 2


def _recent(asking: Asking, size: int) -> Ranked:
    out, order = asking.log.register.out_at, asking.log.items.order
    dated = np.flatnonzero(np.isfinite(out))
    dated = dated[np.lexsort((-order[dated], out[dated]))]
    last = np.searchsorted(out[dated], asking.timestamp, side="right")
    places = last[:, None] - 1 - np.arange(min(size + asking.most_taken, len(dated)))
    return asking.wide(np.where(places < 0, -1, pick(dated, places, -1)), size)


def _covisited(asking: Asking, size: int) -> Ranked:
    scores, places = asking.field.covisited.find(asking.history[0])
    users = np.repeat(np.arange(len(asking.users)), np.diff(scores.indptr))
    best = np.lexsort((asking.log.items.order[scores.indices], places, users))
    return asking.first(users[best], scores.indices[best].astype(np.int64), size)


def _nearest(asking: Asking, size: int) -> Ranked:
    """Rank by the mean dot product of an item's text with those of the last clicks: all, or what an index finds."""
    log, reader = asking.log, asking.reader
    assert reader is not None  # who names this source has one
    vectors = reader.vectors
    # An item without a text is near to nothing, though all of them have one vector.
    places = np.where(pick(vectors.texted, reader.places, False), reader.places, -1)
    rows = np.append(places, -1)
    codes = np.arange(len(log.items))
    known = log.register.items.at(codes, np.full(len(codes), asking.field.covisited.cut))
    texts = rows[np.where(known < 0, log.register.items.firsts, known)]
    there = np.flatnonzero(texts >= 0)
    items, _, happened = asking.history
    read = rows[log.register.items.at(items, happened)]
    some = np.flatnonzero((read >= 0).any(axis=1))
    if not len(there) or not len(some):
        return asking.first(codes[:0], codes[:0], size)
    clicked = np.where((read[some] >= 0)[:, :, None], vectors.history[read[some]].astype(np.float64), 0.0).sum(axis=1)

    def exactly(users: Ints) -> Ranked:
        products = _exact_products(clicked[np.searchsorted(some, users)], vectors.candidate, texts[there])
        return _by_products(asking, users, there, products, size)

    if asking.index is None:
        return exactly(some)
    count = min(len(there), 4 * size + asking.most_taken)
    near = asking.index.near(vectors.candidate, texts[there], clicked.astype(np.float32), count)
    products = np.einsum("rd,rkd->rk", clicked, vectors.candidate[texts[there][near]].astype(np.float64))
    found = _by_products(asking, some, np.where(near < 0, -1, there[near]), products, size)
    # Where too little of what the index gave may be a candidate, all items are looked at.
    few = some[np.bincount(found.requests, minlength=len(asking.users))[some] < min(size, len(there))]
    if not len(few):
        return found
    kept = ~np.isin(found.requests, few)
    joined = [np.concatenate([one[kept], other]) for one, other in zip(found, exactly(few), strict=True)]
    order = np.argsort(joined[0], kind="stable")
    return Ranked(*(each[order] for each in joined))


def _exact_products(clicked: Floats, vectors: "Singles | Matrix", rows: Ints) -> Floats:
    """Multiply sums of vectors, float64 [U, d], with some of the vectors, exactly, in the width that they have.

    A sum of at most `READ` vectors is cut into whole multiples of 2**-5 and what is left, at most 2**-6 each: both have
    products with a vector that float32 holds in any order, see `recsys.vectors.encoded.GRID`.
    """
    coarse = np.rint(clicked * _COARSE) / _COARSE
    parts = np.concatenate([coarse, clicked - coarse]).astype(np.float32)
    found = np.empty((len(clicked), len(rows)))
    for begin in range(0, len(rows), _AT_ONCE):
        products = (parts @ vectors[rows[begin : begin + _AT_ONCE]].T).astype(np.float64)
        found[:, begin : begin + _AT_ONCE] = products[: len(clicked)] + products[len(clicked) :]
    return found


def _by_products(asking: Asking, users: Ints, items: Ints, products: Floats, size: int) -> Ranked:
    """Rank items of some users by products, shape [U, P]; items are the same for all, shape [P], or of each."""
    every = np.broadcast_to(items, products.shape)
    # Of two equally near ones, the smaller id is nearer.
    later = len(asking.log.items) - 1 - pick(asking.log.items.order, every, 0)
    keys = np.rint(products * _PER_UNIT).astype(np.int64) * len(asking.log.items) + later
    fit = asking.fits(np.repeat(users, products.shape[1]), every.ravel()).reshape(keys.shape)
    keys[~fit | (every < 0)] = np.iinfo(int).min
    count = min(size, keys.shape[1])
    nearest = np.argpartition(keys, -count, axis=1)[:, -count:]
    nearest = np.take_along_axis(nearest, np.argsort(-np.take_along_axis(keys, nearest, 1), axis=1), 1)
    return asking.first(np.repeat(users, count), np.take_along_axis(every, nearest, 1).ravel(), size)


def _again(asking: Asking, size: int) -> Ranked:
    """Rank what users clicked before by how often they did, then by how lately."""
    clicks, order, count = asking.log.clicks, asking.log.items.order, len(asking.log.items)
    which, places = clicks.of_users(asking.users, asking.as_of)
    keys, inverse, often = np.unique(which * count + clicks.items[places], return_inverse=True, return_counts=True)
    last = np.full(len(keys), np.iinfo(np.int64).min)
    np.maximum.at(last, inverse, clicks.moments[places])
    users, items = np.divmod(keys, max(1, count))
    best = np.lexsort((order[items], -last, -often, users))
    return asking.first(users[best], items[best], size)


def _factors(asking: Asking, size: int) -> Ranked:
    """Rank by how well factors match; of two that match alike, the smaller id first."""
    factors = asking.field.factors()
    found = [asking.first(factors.items[:0], factors.items[:0], size)]
    for some, scores in factors.match(asking.history[0]):
        users = np.flatnonzero(~np.isnan(scores).any(axis=1))
        best = np.argsort(-scores[users], axis=1, kind="stable")  # their items come by id
        of_each = np.repeat(some.start + users, best.shape[1])
        found.append(asking.first(of_each, factors.items[best].ravel(), size))
    return Ranked(*(np.concatenate(of) for of in zip(*found, strict=True)))


_SOURCES: Mapping[SourceName, Callable[[Asking, int], Ranked]] = {
    "popular": _popular,
    "recent": _recent,
    "covisited": _covisited,
    "nearest": _nearest,
    "again": _again,
    "factors": _factors,
}
