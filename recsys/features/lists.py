"""A candidate compared with the rest of its list: rank and share, whatever the order of the rows."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def divide(part: Floats | Ints, whole: Floats | Ints) -> Floats:
    """Divide element by element, NaN where the whole is not above 0.

    Examples
    --------
    >>> divide(np.array([1, 2]), np.array([4, 0]))
    array([0.25,  nan])
    """
    quotient: Floats = np.full(len(part), np.nan)
    np.divide(part, whole, out=quotient, where=whole > 0)
    return quotient


def rank_in_list(values: Floats, groups: Ints) -> Floats:
    """Place of each value in its list, 1 = largest, ties share their mean place, NaN stays NaN.

    Parameters
    ----------
    values
        Numbers, shape [Q].
    groups
        Number of the list of each row, shape [Q].

    Examples
    --------
    >>> rank_in_list(np.array([5.0, 9.0, 5.0, np.nan, 1.0]), np.array([0, 0, 0, 0, 1]))
    array([2.5, 1. , 2.5, nan, 1. ])
    """
    order = np.lexsort((-values, groups))
    ordered_values, ordered_groups = values[order], groups[order]
    places = np.arange(len(values))
    new_group = np.ones(len(values), dtype=bool)
    new_group[1:] = ordered_groups[1:] != ordered_groups[:-1]
    new_tie = new_group.copy()
    new_tie[1:] |= ordered_values[1:] != ordered_values[:-1]
    group_start = np.maximum.accumulate(np.where(new_group, places, 0))
    tie_starts = places[new_tie]
    tie_ends = np.append(tie_starts[1:], len(values))
    mean_place = (tie_starts + tie_ends - 1) / 2
    ranks = np.empty(len(values))
    ranks[order] = mean_place[np.cumsum(new_tie) - 1] - group_start + 1
    ranks[np.isnan(values)] = np.nan
    return ranks


def share_in_list(values: Floats, groups: Ints) -> Floats:
    """Part of the list's sum that each value makes up, NaN where the value is NaN or the sum is 0.

    Values are added in the order of their size, so that the answer does not depend on the order of rows.

    Parameters
    ----------
    values
        Numbers of at least 0 or NaN, shape [Q].
    groups
        Number of the list of each row, 0 to G - 1, each present, shape [Q].

    Examples
    --------
    >>> share_in_list(np.array([1.0, 3.0, np.nan, 2.0]), np.array([0, 0, 0, 1]))
    array([0.25, 0.75,  nan, 1.  ])
    """
    if len(values) == 0:
        return values
    order = np.lexsort((values, groups))
    present = np.nan_to_num(values[order], nan=0.0)
    starts = np.searchsorted(groups[order], np.arange(groups.max() + 1))
    sums = np.add.reduceat(present, starts)[groups]
    return divide(values, sums)


def softmax_in_list(values: Floats, groups: Ints) -> Floats:
    """Share of `exp(value)` in the list, for numbers of either sign such as logits; NaN where the value is NaN."""
    if len(values) == 0:
        return values
    order = np.argsort(groups, kind="stable")
    starts = np.searchsorted(groups[order], np.arange(groups.max() + 1))
    largest = np.fmax.reduceat(values[order], starts)[groups]
    return share_in_list(np.exp(values - largest), groups)
