"""Training requests as padded steps of neighbours in time, and steps as updates of the encoder."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from recsys.errors import DataError
from recsys.vectors.coded_lists import CodedLists
from recsys.vectors.padding import pad


@dataclass(frozen=True, eq=False)
class Outcomes:
    """What became of C candidates.

    Attributes
    ----------
    labels
        float32 [C], at least 0; above 0 is positive, and more counts more. In aggregated logs the number of clicks.
    showings
        float32 [C], at least 0; how many showings the row stands for: 1, or more in aggregated logs.
    popularity
        float32 [C]; log of how many times the usual click rate the item was known to have when it was shown; all 0
        when left out.

    Raises
    ------
    DataError
        When they differ in length.
    """

    labels: NDArray[np.float32]
    showings: NDArray[np.float32]
    popularity: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))

    def __post_init__(self) -> None:
        if not len(self.popularity):
            object.__setattr__(self, "popularity", np.zeros(len(self.labels), np.float32))
        for name in ("showings", "popularity"):
            shape = getattr(self, name).shape
            if self.labels.shape != shape:
                raise DataError(f"labels has the shape {self.labels.shape}, {name} {shape}")

    @classmethod
    def of(cls, labels: NDArray[np.floating], popularity: NDArray[np.floating] | None = None) -> "Outcomes":
        """Return outcomes of candidates that were shown once each."""
        known = np.zeros(len(labels)) if popularity is None else popularity
        return cls(labels.astype(np.float32), np.ones(len(labels), np.float32), known.astype(np.float32))

    def take(self, places: NDArray[np.int64]) -> "Outcomes":
        """Return the outcomes of some candidates."""
        return Outcomes(self.labels[places], self.showings[places], self.popularity[places])


class Step(NamedTuple):
    """B requests, padded: C places for candidates, H for clicks; item codes, -1 = none or unknown.

    Attributes
    ----------
    items
        int64 [B, C].
    labels, showings
        float32 [B, C]; see `Outcomes`.
    given
        float32 [B, C]; what is added to scores while learning, and forgotten afterwards.
    history, ages
        int64 and float32 [B, H]; ages in hours.
    queries
        int64 [B]; code of the request's text, -1 = none.
    """

    items: Tensor
    labels: Tensor
    showings: Tensor
    given: Tensor
    history: Tensor
    ages: Tensor
    queries: Tensor


class Updates(Dataset[list[Step]]):
    """The requests `first` up to, not including, `last`, in steps of `size`, and those in updates of `steps`.

    Parameters
    ----------
    lists, outcomes
        See `recsys.learning.training.fit_text`.
    first, last
        Which requests.
    size
        Requests per step; the last step may be smaller.
    steps
        Steps per update; the last update may hold fewer.
    popularity
        How much of what was known of popularity is given, see `TextSettings`.
    """

    def __init__(
        self,
        lists: CodedLists,
        outcomes: Outcomes,
        first: int,
        last: int,
        size: int,
        steps: int,
        popularity: float = 0.0,
    ) -> None:
        self._lists = lists
        self._outcomes = outcomes
        self._edges = np.append(np.arange(first, last, size), last)
        self._steps = steps
        self._popularity = popularity

    def __len__(self) -> int:
        """Return the number of updates."""
        return -(-(len(self._edges) - 1) // self._steps)

    def __getitem__(self, place: int) -> list[Step]:
        """Return the steps of one update."""
        first = place * self._steps
        return [self._step(number) for number in range(first, min(first + self._steps, len(self._edges) - 1))]

    def _step(self, number: int) -> Step:
        requests = np.arange(self._edges[number], self._edges[number + 1])
        places, present = pad(self._lists.starts, requests)

        def padded(values: NDArray[np.float32]) -> Tensor:
            return torch.from_numpy(np.where(present, values[places], 0).astype(np.float32))

        return Step(
            items=torch.from_numpy(np.where(present, self._lists.items[places], -1).astype(np.int64)),
            labels=padded(self._outcomes.labels),
            showings=padded(self._outcomes.showings),
            given=self._popularity * padded(self._outcomes.popularity),
            history=torch.from_numpy(self._lists.history[requests].astype(np.int64)),
            ages=torch.from_numpy(self._lists.ages[requests].astype(np.float32)),
            queries=torch.from_numpy(self._lists.queries[requests].astype(np.int64)),
        )


class Shuffled(Sampler[int]):
    """The numbers 0 to n - 1 in an order drawn from seed and epoch alone, so that a resumed run finds it again.

    Parameters
    ----------
    count
        n.
    seed
        Of the draw.
    """

    def __init__(self, count: int, seed: int) -> None:
        self._count = count
        self._seed = seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Say which pass comes next; Lightning calls this."""
        self._epoch = epoch

    def __len__(self) -> int:
        """Return n."""
        return self._count

    def __iter__(self) -> Iterator[int]:
        """Yield the numbers; drawn with the first one, for Lightning says which pass it is only after asking."""
        yield from np.random.default_rng([self._seed, self._epoch]).permutation(self._count).tolist()
