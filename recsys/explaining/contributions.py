"""What each feature, and each family of them, adds to a candidate's score beside the others of its list."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from recsys.features.plan import PlannedColumn
from recsys.features.table import FeatureTable
from recsys.past.streams import Ints
from recsys.ranking.trees import TreeRanker
from recsys.statistics.numbers import Floats

OTHERS = 20
"""With so many others of its list, at most, a candidate is compared: evenly from the best to the worst."""


@dataclass(frozen=True, eq=False)
class Contributions:
    """Why K candidates have their scores and not those of others of their lists.

    Attributes
    ----------
    columns
        The P columns of the plan; what compares one within its list counts as that column.
    others
        Mean score of the others that each candidate is compared with; where it has none, what the trees say of nobody,
        shape [K].
    by_column
        What each column adds to that, shape [K, P]; a row's sum is the candidate's score less `others`.
    told
        The same beside nobody: what differs between two candidates of a list is what one has over the other, [K, P].
    weights
        By how much, on average, what each family adds differs between the candidate and another one, shape [K, F]:
        about how far the score would move if it had another one's values.
    """

    columns: tuple[PlannedColumn, ...]
    others: Floats
    by_column: Floats
    told: Floats
    weights: Floats

    @cached_property
    def families(self) -> tuple[str, ...]:
        """Names of the F families, in the order of the plan."""
        return families_of(self.columns)

    @cached_property
    def by_family(self) -> Floats:
        """What each family adds, shape [K, F]."""
        return self.by_column @ _members(self.columns)

    @cached_property
    def first(self) -> Ints:
        """The families of each candidate, those that weigh most first, shape [K, F]."""
        return np.argsort(-self.weights, axis=1, kind="stable")


def families_of(columns: Sequence[PlannedColumn]) -> tuple[str, ...]:
    """Name the families of columns, each once, in their order."""
    return tuple(dict.fromkeys(column.family for column in columns))


def contributions(
    ranker: TreeRanker,
    table: FeatureTable,
    columns: tuple[PlannedColumn, ...],
    lists: tuple[Ints, Ints],
    rows: Ints,
    request: Ints,
) -> Contributions:
    """Compare candidates with others of their lists.

    A score means something beside other scores of its list alone. So what the trees say of a candidate, feature by
    feature (`TreeRanker.contributions`), is held against what they say of others of its list; what they all have in
    common speaks for none of them.

    Parameters
    ----------
    ranker, table, columns
        The trees, the features of Q candidates, and the plan that they follow.
    lists
        Rows that are compared, by request and from the best to the worst, shape [L], and the first of each request and,
        last, L, shape [R + 1].
    rows, request
        Which candidates, and the request of each, shapes [K].
    """
    order, starts = lists
    own_rows = dict(of_each(request))
    beside = {which: compared_with(order[starts[which] : starts[which + 1]]) for which in own_rows}
    needed = np.unique(np.concatenate([rows, *beside.values()]))
    told = ranker.contributions(table, needed)
    firsts = np.cumsum([0, *(len(column.columns) for column in columns[:-1])])
    by_column, nobody = np.add.reduceat(told[:, :-1], firsts, axis=1), told[:, -1]
    by_family = by_column @ _members(columns)
    place, held = np.searchsorted(needed, rows), np.empty((len(rows), len(columns)))
    mean, weights = np.empty(len(rows)), np.empty((len(rows), by_family.shape[1]))
    for which, compared in beside.items():
        own = own_rows[which]
        one, others = place[own], np.searchsorted(needed, compared)
        counted = (one[:, None] != others).astype(np.float64)  # nobody is compared with itself
        counted /= np.maximum(counted.sum(axis=1, keepdims=True), 1)
        held[own] = by_column[one] - counted @ by_column[others]
        mean[own] = nobody[one] + counted @ by_column[others].sum(axis=1)
        far = np.abs(by_family[one][:, None] - by_family[others])
        alone = counted.sum(axis=1) == 0
        weights[own] = np.where(alone[:, None], np.abs(by_family[one]), np.einsum("ko,kof->kf", counted, far))
    return Contributions(columns, mean, held, by_column[place], weights)


def of_each(request: Ints) -> Iterator[tuple[int, Ints]]:
    """Give each number that occurs, and the places where it does, in order; all in the time of one sort.

    Examples
    --------
    >>> [(which, places.tolist()) for which, places in of_each(np.array([3, 1, 3]))]
    [(1, [1]), (3, [0, 2])]
    """
    order = np.argsort(request, kind="stable")
    numbers, firsts = np.unique(request[order], return_index=True)
    if len(order):
        yield from zip(numbers.tolist(), np.split(order, firsts[1:]), strict=True)


def compared_with(ranked: Ints) -> Ints:
    """Choose whom candidates of a list are compared with, from its rows from the best to the worst."""
    size = min(len(ranked), OTHERS + 1)  # one of them may be the candidate
    return ranked[np.unique(np.linspace(0, len(ranked) - 1, size).astype(np.int64))]


def _members(columns: Sequence[PlannedColumn]) -> Floats:
    """Say which column is of which family, 1 or 0, shape [P, F]."""
    families = families_of(columns)
    return np.array([[float(column.family == family) for family in families] for column in columns])
