"""Training requests as padded blocks of neighbours in time."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from recsys.text.lists import Lists, pad


class Step(NamedTuple):
    """B requests, padded: C places for candidates, H for clicks; item codes, -1 = none or unknown.

    Attributes
    ----------
    items, labels
        int64 and float32 [B, C].
    history, ages
        int64 and float32 [B, H]; ages in hours.
    """

    items: Tensor
    labels: Tensor
    history: Tensor
    ages: Tensor


class Blocks(Dataset[Step]):
    """The requests `first` up to, not including, `last`, in blocks of `size`.

    Parameters
    ----------
    lists, labels
        See `recsys.text.training.fit_text`.
    first, last
        Which requests.
    size
        Requests per block; the last block may be smaller.
    """

    def __init__(self, lists: Lists, labels: NDArray[np.float32], first: int, last: int, size: int) -> None:
        self._lists = lists
        self._labels = labels
        self._edges = np.append(np.arange(first, last, size), last)

    def __len__(self) -> int:
        """Return the number of blocks."""
        return len(self._edges) - 1

    def __getitem__(self, place: int) -> Step:
        """Return one block."""
        requests = np.arange(self._edges[place], self._edges[place + 1])
        places, present = pad(self._lists.starts, requests)
        return Step(
            items=torch.from_numpy(np.where(present, self._lists.items[places], -1).astype(np.int64)),
            labels=torch.from_numpy(np.where(present, self._labels[places], 0).astype(np.float32)),
            history=torch.from_numpy(self._lists.history[requests].astype(np.int64)),
            ages=torch.from_numpy(self._lists.ages[requests].astype(np.float32)),
        )
