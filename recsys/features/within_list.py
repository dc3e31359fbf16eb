"""A candidate compared with the rest of its list: rank, share and gap, whatever the order of the rows."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]
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


@dataclass(frozen=True)
class WithinList:
    """What each value is beside the others of its list.

    Attributes
    ----------
    rank
        Place, 1 = largest, ties share their mean place; NaN where the value is NaN; shape [Q].
    share
        Part of the list's sum; NaN where the value is NaN or the sum is not above 0; shape [Q].
    gap
        Value less the largest of the list, at most 0; NaN where the value is NaN; shape [Q].
    """

    rank: Singles
    share: Singles
    gap: Singles


def compare_in_list(values: Singles, starts: Ints, logits: bool = False) -> WithinList:
    """Compare values with the others of their lists.

    Values are added in the order of their size, so that the answer does not depend on the order of rows.

    Parameters
    ----------
    values
        Numbers, rows of one list together, shape [Q].
    starts
        First row of every list and, last, Q; no list is empty; shape [R + 1].
    logits
        Take the share of `exp(value)` and not of the value, of which what lies below 0 counts as 0.

    Examples
    --------
    >>> found = compare_in_list(np.array([5, 9, 5, np.nan, 1], np.float32), np.array([0, 4, 5]))
    >>> found.rank.tolist(), found.gap.tolist()
    ([2.5, 1.0, 2.5, nan, 1.0], [-4.0, 0.0, -4.0, nan, 0.0])
    """
    if len(values) == 0 or np.isnan(values).all():
        return WithinList(values, values, values)
    lengths = np.diff(starts)
    values = values + np.float32(0)  # -0 becomes 0
    order, ends, sizes = _sort(values, starts)
    largest = values[order[starts[1:] - 1]]  # NaN sorts below all others
    gap = values - np.repeat(largest, lengths)
    parts = np.exp(gap) if logits else np.maximum(values, np.float32(0))
    sums = np.add.reduceat(np.nan_to_num(parts[order].astype(np.float64), copy=False, nan=0.0), starts[:-1])
    share = divide(parts.astype(np.float64), np.repeat(sums, lengths))
    rank = np.empty(len(values), dtype=np.float32)
    rank[order] = np.repeat(starts[1:], lengths) - np.repeat(ends - (sizes + 1) / 2, sizes)
    rank[np.isnan(values)] = np.nan
    return WithinList(rank, share.astype(np.float32), gap)


def compare_columns(columns: Singles, starts: Ints, logits: bool = False) -> WithinList:
    """Compare several columns of the same lists, as `compare_in_list` does one.

    Parameters
    ----------
    columns
        K columns of numbers, shape [K, Q].
    starts, logits
        As of `compare_in_list`.

    Returns
    -------
    What each value is beside the others of its column and list, each of shape [K, Q].
    """
    count, rows = columns.shape
    every = np.append((np.arange(count)[:, None] * rows + starts[:-1]).ravel(), count * rows)
    joined = compare_in_list(columns.ravel(), every, logits)
    return WithinList(*(part.reshape(count, rows) for part in (joined.rank, joined.share, joined.gap)))


def _sort(values: Singles, starts: Ints) -> tuple[Ints, Ints, Ints]:
    """Sort the rows of every list by value.

    Returns
    -------
    The sorted rows, shape [Q], and, of every run of equal values in one list, its end among them and its size.
    """
    lengths = np.diff(starts)
    lists = np.repeat(np.arange(len(lengths)) << 32, lengths)
    bits = int(lengths.max()).bit_length()
    if len(lengths).bit_length() + bits <= 31:
        # List, value and place in the list fit into one integer, and sorting integers is faster than their places.
        first = np.repeat(starts[:-1], lengths)
        keys = ((lists + _sortable(values)) << bits) + (np.arange(len(values)) - first)
        keys.sort()
        order = (keys & ((1 << bits) - 1)) + first
        keys >>= bits
    else:
        keys = lists + _sortable(values)
        order = np.argsort(keys)
        keys = keys[order]
    ends = np.append(np.flatnonzero(keys[1:] != keys[:-1]) + 1, len(keys))
    return order, ends, np.diff(ends, prepend=0)


def _sortable(values: Singles) -> npt.NDArray[np.uint32]:
    """Turn numbers into integers in the same order, NaN below all."""
    bits = values.view(np.int32)
    ascending = (bits ^ ((bits >> 31) | np.int32(-(2**31)))).view(np.uint32)
    return ascending + np.uint32(0x7FFFFF)  # what lies above infinity begins again from 0
