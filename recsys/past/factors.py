"""Factors: what a matrix of users and the items they clicked comes to in a few numbers for each item; an extra."""

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy import sparse

from recsys.lazy import need
from recsys.past.clicks import FADING, UNIT, Clicks, weigh
from recsys.past.streams import Ints, pick

if TYPE_CHECKING:
    from collections.abc import Iterator

Floats = npt.NDArray[np.float64]

_SIZE, _REGULARIZATION, _ALPHA, _ITERATIONS = 32, 1.0, 10.0, 15
"""Of `implicit.cpu.als.AlternatingLeastSquares`; chosen on two shops, see `pipelines/LOG.md`."""

_PER_UNIT = 2**16
"""Factors are whole multiples of one over this, so that no order of adding their products matters."""

_CELLS = 4_000_000
"""Users times items that are held against each other at once; any other number gives the same."""


@dataclass(frozen=True, eq=False)
class Factors:
    """Factors of the items that were clicked before one moment (Hu, Koren and Volinsky 2008).

    Attributes
    ----------
    model
        What users are fitted by, or None where nothing was clicked.
    column
        The row of each of n items among those with factors, -1 where it has none, shape [n].
    items
        The item of each row, by id, shape [m].
    """

    model: Any
    column: Ints
    items: Ints

    @classmethod
    def of(cls, clicks: Clicks, order: Ints, cut: int, half_life: timedelta) -> "Factors":
        """Fit the clicks that are known before a moment, microseconds; the same clicks give the same bits.

        Raises
        ------
        ModelError
            When the extra is not installed.
        """
        als = need_implicit()
        known, weights = weigh(clicks, cut, half_life)
        items = np.unique(known.items)
        items = items[np.argsort(order[items])]
        column = np.full(len(order), -1)
        column[items] = np.arange(len(items))
        if not len(items):
            return cls(None, column, items)
        users = _turns(known.users, column[known.items], weights)
        counts = sparse.coo_array((weights, (users, column[known.items])), (users.max() + 1, len(items))).tocsr()
        matrix = sparse.csr_matrix((counts.data / UNIT, counts.indices, counts.indptr), counts.shape, np.float32)
        model = als.AlternatingLeastSquares(
            factors=_SIZE, regularization=_REGULARIZATION, alpha=_ALPHA, iterations=_ITERATIONS, num_threads=1,
            random_state=0,
        )  # fmt: skip
        with _one_thread():
            model.fit(matrix, show_progress=False)
        return cls(model, column, items)

    def match(self, history: Ints) -> "Iterator[tuple[slice, Floats]]":
        """Say how well every item with factors matches what users clicked last.

        Parameters
        ----------
        history
            Item codes, most recent first, -1 where there is no further click, shape [R, H].

        Yields
        ------
        Some of the users, and their numbers, higher is better, NaN where nothing that the user clicked has factors,
        shape [r, m].
        """
        read = pick(self.column, np.where(history < len(self.column), history, -1), -1)
        known = read >= 0
        if self.model is None:
            yield slice(0, len(history)), np.empty((len(history), 0))
            return
        fading = np.broadcast_to((FADING ** np.arange(history.shape[1])).astype(np.float32), history.shape)[known]
        ends = np.concatenate([[0], np.cumsum(known.sum(axis=1))])
        clicked = sparse.csr_matrix((fading, read[known], ends), (len(history), len(self.items)), np.float32)
        clicked.sum_duplicates()
        with _one_thread():
            users = self.model.recalculate_user(np.arange(len(history)), clicked)
        users, items = (np.rint(of.astype(np.float64) * _PER_UNIT) for of in (users, self.model.item_factors))
        users[~known.any(axis=1)] = np.nan
        block = max(1, _CELLS // len(self.items))
        for start in range(0, len(history), block):
            some = slice(start, min(start + block, len(history)))
            yield some, users[some] @ items.T / _PER_UNIT**2


def need_implicit() -> Any:
    """Import the module that fits factors, or say what to type, see `recsys.lazy.need`."""
    return need("implicit.cpu.als", "factors", '"factors" in [candidates] sources or [features] families')


def _turns(users: Ints, columns: Ints, weights: Ints) -> Ints:
    """Give users numbers by what they clicked, whatever their codes; those who clicked alike are alike."""
    rows = pl.DataFrame({"user": users, "item": columns, "weight": weights})
    hashes = rows.select("user", of=pl.struct("item", "weight").hash(0)).group_by("user").agg(pl.col("of").sum())
    turns = hashes.sort("of", "user").select("user", turn=pl.int_range(pl.len()))
    return rows.join(turns, on="user", maintain_order="left")["turn"].to_numpy()


def _one_thread() -> Any:
    """Keep the linear algebra to one thread: more would add up in another order."""
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1)
