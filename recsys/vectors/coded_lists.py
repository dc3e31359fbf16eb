"""Requests as arrays: the only form in which the text stage sees behaviour."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from recsys.errors import DataError


@dataclass(frozen=True, eq=False)
class CodedLists:
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
    queries
        int32 [R]; the request's own text, a code like those of items, -1 where there is none; all -1 when left out.

    Raises
    ------
    DataError
        When the shapes do not fit each other or an age is negative or not a number.
    """

    starts: NDArray[np.int64]
    items: NDArray[np.int32]
    history: NDArray[np.int32]
    ages: NDArray[np.float32]
    queries: NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))

    def __post_init__(self) -> None:
        if self.starts.dtype.kind != "i":
            raise DataError(f"starts holds {self.starts.dtype}, not integers")
        if self.starts.ndim != 1 or len(self.starts) == 0 or self.starts[0] != 0 or (self.lengths < 0).any():
            raise DataError("starts must hold R + 1 offsets that begin at 0 and never fall")
        if self.items.ndim != 1 or self.starts[-1] != len(self.items):
            raise DataError(f"starts ends at {self.starts[-1]} but items has the shape {self.items.shape}")
        if self.history.ndim != 2 or len(self.history) != len(self) or self.history.shape != self.ages.shape:
            raise DataError(
                f"history {self.history.shape} and ages {self.ages.shape} must both have the shape "
                f"[{len(self)} requests, places]"
            )
        if not len(self.queries):
            object.__setattr__(self, "queries", np.full(len(self), -1, np.int32))
        if self.queries.shape != (len(self),):
            raise DataError(f"queries has the shape {self.queries.shape} but there are {len(self)} requests")
        known = self.ages[self.history >= 0]
        if known.size and not known.min() >= 0:
            raise DataError("ages must be hours of at least 0 wherever history is known; clicks lie before as_of")

    def __len__(self) -> int:
        """Return the number of requests."""
        return len(self.starts) - 1

    @property
    def codes(self) -> NDArray[np.int32]:
        """Every code that occurs, and -1 perhaps, in order and each once."""
        return np.unique(np.concatenate([self.items, self.history.ravel(), self.queries]))

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """int64 [R]; candidates per request."""
        return np.diff(self.starts)

    def block(self, first: int, last: int) -> "CodedLists":
        """Return the requests `first` up to, not including, `last`."""
        return self.take(np.arange(first, last))

    def take(self, requests: NDArray[np.int64]) -> "CodedLists":
        """Return some requests, int64 [B], in that order."""
        places = self.places(requests)
        starts = np.concatenate([[0], np.cumsum(self.lengths[requests])])
        history, ages = self.history[requests], self.ages[requests]
        return CodedLists(starts, self.items[places], history, ages, self.queries[requests])

    def places(self, requests: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return where the candidates of some requests stand among all candidates."""
        lengths = self.lengths[requests]
        ends = np.cumsum(lengths)
        first = np.repeat(self.starts[requests] - (ends - lengths), lengths)
        places: NDArray[np.int64] = first + np.arange(len(first))
        return places
