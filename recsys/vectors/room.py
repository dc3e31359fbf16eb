"""Room behind the rows of arrays, so that rows can be appended without a copy of those before."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

_PART = 4
"""When rows find no room, all are copied into arrays that are longer by this part of them, and by `_FEW` at least."""

_FEW = 1_000


class Room:
    """Arrays whose rows are appended in place; what was given of them before keeps its length and its numbers.

    The room itself takes no memory until it is filled: the system gives pages that are written to.

    Parameters
    ----------
    arrays
        With as many rows each; they are copied.
    more
        For how many further rows there shall be room at least.
    """

    def __init__(self, arrays: Sequence[NDArray[np.float32]], more: int) -> None:
        self._filled = len(arrays[0])
        length = self._filled + max(more, self._filled // _PART, _FEW)
        self._arrays = [np.empty((length, *array.shape[1:]), array.dtype) for array in arrays]
        for whole, array in zip(self._arrays, arrays, strict=True):
            whole[: self._filled] = array

    def fits(self, rows: int, more: int) -> bool:
        """Say whether rows can be appended to the first `rows`: nothing else was, and there is room."""
        return rows == self._filled and rows + more <= len(self._arrays[0])

    def filled(self, new: Iterable[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        """Append rows to each array; give all rows."""
        start = self._filled
        for whole, rows in zip(self._arrays, new, strict=True):
            self._filled = start + len(rows)
            whole[start : self._filled] = rows
        return [whole[: self._filled] for whole in self._arrays]
