"""Requests as arrays: the only form in which the text stage sees behaviour."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.errors import DataError


@dataclass(frozen=True, eq=False)
class Lists:
    """Candidate lists and what their users clicked before; training wants them in order of time, signals do not care.

    R requests, C candidates in all, H places of history. Items are codes: rows of the catalogue, -1 = unknown.

    Attributes
    ----------
    starts
        int64 [R + 1]; request r holds the candidates `starts[r]` up to, not including, `starts[r + 1]`.
    items
        int32 [C]; the candidates.
    history
        int32 [R, H]; the user's last clicks, most recent first, -1 where there is none.
    ages
        float32 [R, H]; hours between the click and the request's `as_of`, at least 0; read only where `history` is
        known.

    Raises
    ------
    DataError
        When the shapes do not fit each other or an age is negative or not a number.
    """

    starts: NDArray[np.int64]
    items: NDArray[np.int32]
    history: NDArray[np.int32]
    ages: NDArray[np.float32]

    def __post_init__(self) -> None:
        if self.starts.ndim != 1 or len(self.starts) == 0 or self.starts[0] != 0 or np.any(np.diff(self.starts) < 0):
            raise DataError("starts must hold R + 1 offsets that begin at 0 and never fall")
        if self.items.ndim != 1 or self.starts[-1] != len(self.items):
            raise DataError(f"starts ends at {self.starts[-1]} but items has the shape {self.items.shape}")
        if self.history.ndim != 2 or len(self.history) != len(self) or self.history.shape != self.ages.shape:
            raise DataError(
                f"history {self.history.shape} and ages {self.ages.shape} must both have the shape "
                f"[{len(self)} requests, places]"
            )
        known = self.ages[self.history >= 0]
        if known.size and not known.min() >= 0:
            raise DataError("ages must be hours of at least 0 wherever history is known; clicks lie before as_of")

    def __len__(self) -> int:
        """Return the number of requests."""
        return len(self.starts) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """int64 [R]; candidates per request."""
        return np.diff(self.starts)

    def block(self, first: int, last: int) -> "Lists":
        """Return the requests `first` up to, not including, `last`."""
        starts = self.starts[first : last + 1]
        items = self.items[starts[0] : starts[-1]]
        return Lists(starts - starts[0], items, self.history[first:last], self.ages[first:last])


def pad(starts: NDArray[np.int64], requests: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Lay the candidates of some requests out as a rectangle.

    Parameters
    ----------
    starts
        int64 [R + 1]; see `Lists`.
    requests
        int64 [B]; which requests.

    Returns
    -------
    places
        int64 [B, longest]; where each candidate stands among all candidates, 0 where there is none.
    present
        bool [B, longest]; where there is a candidate.

    Examples
    --------
    >>> places, present = pad(np.array([0, 2, 3]), np.array([1, 0]))
    >>> places.tolist(), present.tolist()
    ([[2, 0], [0, 1]], [[True, False], [True, True]])
    """
    lengths = starts[requests + 1] - starts[requests]
    place = np.arange(lengths.max(initial=0))
    present = place < lengths[:, None]
    return np.where(present, starts[requests][:, None] + place, 0), present
