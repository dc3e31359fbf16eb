"""A candidate compared with the rest of its list: rank, share, gap and deviation, whatever the order of the rows."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recsys.compiled import borrowing
from recsys.past.streams import Singles

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


_FEW = 32
"""Lists of up to so many are sorted one by one, longer ones by numpy."""

_PLACE, _LAST = 2**31 - 1, 2**63 - 1
"""The bits of a key that hold the place in the list, and the key of what is not known."""


def divide(part: Floats | Ints, whole: Floats | Ints) -> Floats:
    """Divide element by element, NaN where the whole is not above 0.

    Examples
    --------
    >>> divide(np.array([1, 2]), np.array([4, 0]))
    array([0.25,  nan])
    """
    quotient: Floats = np.full(np.broadcast(part, whole).shape, np.nan)
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


def compare_rows(table: Singles, rows: Ints, starts: Ints, logits: bool, deviations: bool = False) -> None:
    """Compare some rows of a table, each a column of features, within lists; rank, share and gap go to the next rows.

    Values are added in the order of their size, so that the answer does not depend on the order of rows.

    Parameters
    ----------
    table
        Numbers, shape [columns, Q]; rows of one list lie together.
    rows
        Which rows of it.
    starts
        First row of every list and, last, Q; no list is empty; shape [R + 1].
    logits
        Take the share of `exp(value)` and not of the value, of which what lies below 0 counts as 0.
    deviations
        Whether standard deviations above the mean of the list go to the row after those: 0 where all values of a list
        are alike, NaN where the value is NaN.

    Examples
    --------
    >>> table = np.array([[5, 9, 5, np.nan, 1], *np.zeros((3, 5))], np.float32)
    >>> compare_rows(table, np.array([0]), np.array([0, 4, 5]), logits=False)
    >>> table[1].tolist(), table[3].tolist()
    ([2.5, 1.0, 2.5, nan, 1.0], [-4.0, 0.0, -4.0, nan, 0.0])
    """
    keys = np.empty((len(rows), table.shape[1]), dtype=np.int64)
    _fill_keys(table, rows, starts, keys)
    for which in np.flatnonzero(np.diff(starts) > _FEW):  # the others are sorted already
        keys[:, starts[which] : starts[which + 1]].sort(axis=1)
    _fill_gaps(table, rows, starts, keys)
    parts = np.exp(table[rows + 3]) if logits else np.maximum(table[rows], np.float32(0))
    _compare(table, rows, starts, keys, parts)
    if deviations:
        _deviate(table, rows, starts, keys)


@borrowing
def _deviate(table: Singles, rows: Ints, starts: Ints, keys: Ints) -> None:
    """Fill in deviations; keys are sorted list by list, so that sums do not depend on the order of rows."""
    for column in range(len(rows)):
        values, away, own = table[rows[column]], table[rows[column] + 4], keys[column]
        for which in range(len(starts) - 1):
            start, filled, total, squares = starts[which], starts[which], 0.0, 0.0
            while filled < starts[which + 1] and own[filled] != _LAST:
                total += np.float64(values[start + (own[filled] & _PLACE)])
                filled += 1
            mean = total / max(filled - start, 1)
            for turn in range(start, filled):
                squares += (np.float64(values[start + (own[turn] & _PLACE)]) - mean) ** 2
            spread = np.sqrt(squares / max(filled - start, 1))
            alike = filled > start and own[start] >> 31 == own[filled - 1] >> 31
            for place in range(start, starts[which + 1]):
                if np.isnan(values[place]):
                    away[place] = np.float32(np.nan)
                elif alike or spread == 0:
                    away[place] = np.float32(0)
                else:
                    away[place] = np.float32((np.float64(values[place]) - mean) / spread)


@borrowing
def _fill_keys(table: Singles, rows: Ints, starts: Ints, keys: Ints) -> None:
    """Write integers that are in the order of the values, with their place in the list, and sort those of short lists.

    What is not known comes last.
    """
    bits = table.view(np.int32)
    for column in range(len(rows)):
        row = rows[column]
        for which in range(len(starts) - 1):
            start, end = starts[which], starts[which + 1]
            for place in range(start, end):
                if np.isnan(table[row, place]):
                    keys[column, place] = _LAST
                    continue
                whole = np.int64(bits[row, place])
                if whole < 0:
                    whole = -(whole & _PLACE)  # -0 becomes 0
                keys[column, place] = (whole << 31) + (place - start)
            if end - start > _FEW:
                continue
            for place in range(start + 1, end):
                key, before = keys[column, place], place - 1
                while before >= start and keys[column, before] > key:
                    keys[column, before + 1] = keys[column, before]
                    before -= 1
                keys[column, before + 1] = key


@borrowing
def _fill_gaps(table: Singles, rows: Ints, starts: Ints, keys: Ints) -> None:
    """Fill in gaps; keys are sorted list by list."""
    for column in range(len(rows)):
        values, gap, own = table[rows[column]], table[rows[column] + 3], keys[column]
        for which in range(len(starts) - 1):
            start, filled = starts[which], starts[which + 1]
            while filled > start and own[filled - 1] == _LAST:
                filled -= 1
            largest = np.float32(np.nan)
            if filled > start:
                largest = values[start + (own[filled - 1] & _PLACE)] + np.float32(0)
            for place in range(start, starts[which + 1]):
                gap[place] = (values[place] + np.float32(0)) - largest


@borrowing
def _compare(table: Singles, rows: Ints, starts: Ints, keys: Ints, parts: Singles) -> None:
    """Fill in rank and share; keys are sorted list by list, and `parts` is what each value adds to its list."""
    for column in range(len(rows)):
        row, own, part = rows[column], keys[column], parts[column]
        rank, share = table[row + 1], table[row + 2]
        for which in range(len(starts) - 1):
            start, filled, total = starts[which], starts[which], 0.0
            while filled < starts[which + 1] and own[filled] != _LAST:
                total += np.float64(part[start + (own[filled] & _PLACE)])
                filled += 1
            if filled < starts[which + 1]:
                for place in range(start, starts[which + 1]):
                    rank[place] = share[place] = np.nan
            turn = start
            while turn < filled:
                ends = turn + 1
                while ends < filled and own[ends] >> 31 == own[turn] >> 31:
                    ends += 1
                mean_place = filled - (turn + ends - 1) / 2
                first = np.float64(part[start + (own[turn] & _PLACE)])
                own_share = first / total + 0.0 if total > 0 else np.nan  # never -0
                for each in range(turn, ends):
                    place = start + (own[each] & _PLACE)
                    rank[place], share[place] = mean_place, own_share
                turn = ends
