"""Lists of unequal length as rectangles, with little padding."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray


def pad(starts: NDArray[np.int64], rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Lay some of R lists out as a rectangle.

    Parameters
    ----------
    starts
        int64 [R + 1]; list r holds the elements `starts[r]` up to, not including, `starts[r + 1]`.
    rows
        int64 [B]; which lists.

    Returns
    -------
    places
        int64 [B, longest]; where each element stands among all elements, 0 where there is none.
    present
        bool [B, longest]; where there is an element.

    Examples
    --------
    >>> places, present = pad(np.array([0, 2, 3]), np.array([1, 0]))
    >>> places.tolist(), present.tolist()
    ([[2, 0], [0, 1]], [[True, False], [True, True]])
    """
    lengths = starts[rows + 1] - starts[rows]
    place = np.arange(lengths.max(initial=0))
    present = place < lengths[:, None]
    return np.where(present, starts[rows][:, None] + place, 0), present


def similar_blocks(lengths: NDArray[np.int64], most: int) -> Iterator[NDArray[np.int64]]:
    """Yield the lists of some lengths, int64 [n], in blocks of similar length, so that little is padded.

    A block holds at least one list and, padded, at most `most` elements.

    Examples
    --------
    >>> [block.tolist() for block in similar_blocks(np.array([5, 1, 2]), 4)]
    [[1, 2], [0]]
    """
    order = np.argsort(lengths, kind="stable")
    first = 0
    while first < len(order):
        last = first + 1
        while last < len(order) and (last + 1 - first) * lengths[order[last]] <= most:
            last += 1
        yield order[first:last]
        first = last
