"""The production-like policy that retrieves candidates and orders them, and what it learns from clicks.

It never sees utility, interests or facets: it knows clicks so far, categories and publication times.
"""

import numpy as np
from numpy.typing import NDArray

from recsys.world.calendar import DAY
from recsys.world.catalogue import CATEGORIES, Catalogue

RECENT, POPULAR, CATEGORY = 0.35, 0.2, 0.3
"""Shares of the candidates from each source; the rest are drawn from all items published."""
HALF_LIFE = 48
"""Hours after which a click counts half as much for popularity."""
POPULARITY_WEIGHT, AFFINITY_WEIGHT, FRESHNESS_WEIGHT = 0.5, 2.0, 0.8
"""Weights in the policy's score, which is a log odds of being placed first."""


class Policy:
    """Retrieval and ordering for many visits of one hour at once; `learn` closes the hour.

    Parameters
    ----------
    catalogue
        The items.
    users
        Number of users.
    """

    def __init__(self, catalogue: Catalogue, users: int) -> None:
        items = len(catalogue.published)
        self._catalogue = catalogue
        self._popularity = np.zeros(items)
        self._category_clicks = np.zeros((users, len(CATEGORIES)))
        self._opened = np.array([-1], dtype=np.int64)  # user * items + item of every click so far, in order
        self._shelf = np.argsort(catalogue.category, kind="stable")
        self._shelf_start = np.searchsorted(catalogue.category[self._shelf], np.arange(len(CATEGORIES)))
        in_category = catalogue.category[None, :] == np.arange(len(CATEGORIES))[:, None]
        self._shelf_length = np.pad(np.cumsum(in_category, axis=1), ((0, 0), (1, 0)))  # by number of items published
        self._best = np.empty(0, dtype=np.int64)
        self._recent_spread = max(5.0, 0.03 * items)
        self._popular_spread = max(5.0, 0.01 * items)

    def affinity(self, users: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the smoothed share of each category in the clicks of each user, shape (users, categories)."""
        clicks = self._category_clicks[users] + 0.5
        return np.asarray(clicks / clicks.sum(axis=1, keepdims=True))

    def retrieve(
        self,
        users: NDArray[np.int64],
        moments: NDArray[np.int64],
        sizes: NDArray[np.int64],
        rng: np.random.Generator,
    ) -> NDArray[np.int64]:
        """Find `sizes` different items for each visit, all published, none opened by that user before this hour.

        Where a user has opened nearly all there is, opened items come again.

        Returns
        -------
        Items in random order, shape (visits, largest size); -1 fills up a short list.
        """
        width = int(sizes.max(initial=1))
        published = np.searchsorted(self._catalogue.published, moments, side="right")
        drawn = self._draw(users, published, 2 * width, rng)
        possible = (drawn < published[:, None]) & _first_of_its_kind(drawn)
        keep = possible & ~self._was_opened(users, drawn)
        keep = np.where(keep.sum(axis=1, keepdims=True) < 2, possible, keep)
        place = np.cumsum(keep, axis=1) - 1
        keep &= place < sizes[:, None]
        found = np.full((len(users), width), -1)
        found[np.nonzero(keep)[0], place[keep]] = drawn[keep]
        return found

    def scores(
        self, users: NDArray[np.int64], moments: NDArray[np.int64], items: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Score the candidates of each visit, shape (visits, width): popularity, category and freshness."""
        age = (moments[:, None] - self._catalogue.published[items]) / DAY
        affinity = np.take_along_axis(self.affinity(users), self._catalogue.category[items], axis=1)
        return (
            POPULARITY_WEIGHT * np.log1p(self._popularity[items])
            + AFFINITY_WEIGHT * affinity
            + FRESHNESS_WEIGHT * np.exp(-np.maximum(age, 0.0))
        )

    def learn(self, users: NDArray[np.int64], items: NDArray[np.int64], moment: int) -> None:
        """Take in the clicks of an hour that ends at `moment`."""
        count = len(self._popularity)
        self._popularity *= 0.5 ** (1 / HALF_LIFE)
        np.add.at(self._popularity, items, 1.0)
        np.add.at(self._category_clicks, (users, self._catalogue.category[items]), 1.0)
        self._opened = np.sort(np.concatenate([self._opened, users * count + items]), kind="stable")
        published = int(np.searchsorted(self._catalogue.published, moment, side="right"))
        self._best = np.argsort(-self._popularity[:published], kind="stable")

    def _draw(
        self, users: NDArray[np.int64], published: NDArray[np.int64], width: int, rng: np.random.Generator
    ) -> NDArray[np.int64]:
        """Draw items from the four sources, repeats possible, shape (visits, width)."""
        source = np.searchsorted(np.cumsum([RECENT, POPULAR, CATEGORY]), rng.random((len(users), width)), side="right")
        depth = rng.exponential(size=source.shape)
        latest = np.broadcast_to(published[:, None], source.shape)
        drawn = (rng.random(source.shape) * latest).astype(np.int64)
        recent = source == 0
        drawn[recent] = (latest[recent] - 1 - (depth[recent] * self._recent_spread).astype(np.int64)) % latest[recent]
        popular = source == 1
        if len(self._best):
            drawn[popular] = self._best[(depth[popular] * self._popular_spread).astype(np.int64) % len(self._best)]
        rows, columns = np.nonzero(source == 2)
        bounds = np.cumsum(self.affinity(users), axis=1)[rows, :-1]
        category = (rng.random((len(rows), 1)) > bounds).sum(axis=1)
        length = np.maximum(self._shelf_length[category, published[rows]], 1)
        back = (depth[rows, columns] * self._recent_spread / len(CATEGORIES) * 2).astype(np.int64)
        drawn[rows, columns] = self._shelf[self._shelf_start[category] + (length - 1 - back) % length]
        return drawn

    def _was_opened(self, users: NDArray[np.int64], items: NDArray[np.int64]) -> NDArray[np.bool_]:
        keys = users[:, None] * len(self._popularity) + items
        place = np.minimum(np.searchsorted(self._opened, keys), len(self._opened) - 1)
        return np.asarray(self._opened[place] == keys)


def plackett_luce(
    scores: NDArray[np.float64], rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Draw an order for each row: each position by softmax over the scores of those that remain.

    Parameters
    ----------
    scores
        Log odds, shape (rows, width); -inf for a place without a candidate, which goes to the end.
    rng
        Gumbel noise added to the scores and sorted gives this very distribution.

    Returns
    -------
    Columns in the order drawn and the probability of each in its position given those above it, both (rows, width);
    the probability of a place without a candidate means nothing.
    """
    order = np.argsort(-(scores + rng.gumbel(size=scores.shape)), axis=1, kind="stable")
    ranked = np.take_along_axis(scores, order, axis=1)
    weight = np.exp(ranked - ranked.max(axis=1, keepdims=True))
    remaining = np.cumsum(weight[:, ::-1], axis=1)[:, ::-1]
    return order, weight / np.maximum(remaining, np.finfo(np.float64).tiny)


def _first_of_its_kind(drawn: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Mark the first occurrence of each value in its row."""
    order = np.argsort(drawn, axis=1, kind="stable")
    ranked = np.take_along_axis(drawn, order, axis=1)
    first = np.ones(drawn.shape, dtype=np.bool_)
    np.put_along_axis(first, order[:, 1:], ranked[:, 1:] != ranked[:, :-1], axis=1)
    return first
