"""Past clicks as lists: what a user clicked next, beside what others clicked and what anybody might have."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from recsys.encoders.settings import TextSettings
from recsys.errors import DataError
from recsys.learning.blocks import Step
from recsys.vectors.coded_lists import CodedLists

Clicks = tuple[CodedLists, NDArray[np.float32]]
"""Past clicks in order of time, one candidate each, and what was recorded of each, such as the seconds read: [clicks],
NaN where nothing was."""

CLICKS_READ = 20
"""Clicks before a past one that are read: enough to tell it from others, at a fraction of the cost of all."""


@dataclass(frozen=True, eq=False)
class PastClicks:
    """Clicks of users, each with what its user had clicked before, to be told from drawn items.

    The loss of a drawn list is that of a shown one, with minus the log of how likely each item is to be drawn given
    beside its score. Which item of the list was clicked is told best by p(item) / q(item), the chance of a click over
    that of a draw: the score learns log p up to a constant of the user (van den Oord et al. 2018, "Representation
    Learning with Contrastive Predictive Coding"; negatives of other clicks and uniform ones mixed: Yang et al. 2020,
    "Mixed Negative Sampling for Learning Two-tower Neural Networks in Recommendations").

    Attributes
    ----------
    lists
        In order of time, one candidate each, of known items; each user has a known click before.
    shown
        int64, ascending; the items that uniform draws choose from.
    settings
        `clicks_per_step`, `negatives` and `uniform`.
    weights
        float32 [clicks], 0 to 2; how much each counts.

    Raises
    ------
    DataError
        When a list does not hold one item.
    """

    lists: CodedLists
    shown: NDArray[np.int64]
    settings: TextSettings
    weights: NDArray[np.float32]

    def __post_init__(self) -> None:
        if (self.lists.lengths != 1).any():
            raise DataError("a past click is one item; its list must hold one candidate")

    @classmethod
    def of(cls, clicks: Clicks, shown: NDArray[np.integer], settings: TextSettings) -> "PastClicks":
        """Keep the clicks on known items of users who clicked a known one before.

        `shown` are codes of items, in any order and number, -1 for unknown ones. A click of the value v counts
        2 v / (v + the median of all), 1 where nothing was recorded and 0 below 0.
        """
        lists, values = clicks
        told = np.flatnonzero((lists.items >= 0) & (lists.history >= 0).any(axis=1))
        items = np.unique(np.concatenate([shown, lists.items[told]]))
        return cls(lists.take(told), items[items >= 0].astype(np.int64), settings, _weights(values[told]))

    def __len__(self) -> int:
        """Return the number of clicks."""
        return len(self.lists)

    @property
    def codes(self) -> NDArray[np.int64]:
        """Every code that a step may hold, in order and each once."""
        return np.union1d(self.lists.codes, self.shown)

    @cached_property
    def _shares(self) -> NDArray[np.float64]:
        """Which part of all clicks is on each item code, [largest code + 1]."""
        found: NDArray[np.float64] = np.bincount(self.lists.items, minlength=int(self.codes.max()) + 1) / len(self)
        return found

    def draw(self, random: np.random.Generator) -> Step:
        """Draw clicks that lie beside each other in time as lists: first what was clicked, then the drawn items.

        An item that is drawn though the user clicked it before is left out of that list. One that is drawn though it is
        what was clicked stays: which of both was clicked is what cannot be told.
        """
        count, drawn = min(len(self), self.settings.clicks_per_step), self.settings.negatives
        # After the last comes the first, so that every click is drawn as often.
        rows = (random.integers(len(self)) + np.arange(count)) % len(self)
        clicks = self.lists.take(rows)
        anywhere = random.random(drawn) < self.settings.uniform
        others = np.where(anywhere, random.choice(self.shown, drawn), random.choice(clicks.items, drawn))
        items = np.hstack([clicks.items[:, None].astype(np.int64), np.tile(others, (count, 1))])
        chance = (1 - self.settings.uniform) * self._shares + self.settings.uniform / len(self.shown)
        own = (items[:, :, None] == clicks.history[:, None, :]).any(axis=2)
        own[:, 0] = False
        labels = np.zeros(items.shape, np.float32)
        labels[:, 0] = self.weights[rows]
        return Step(
            items=torch.from_numpy(np.where(own, -1, items)),
            labels=torch.from_numpy(labels),
            showings=torch.ones(items.shape),
            given=torch.from_numpy(-np.log(chance[items]).astype(np.float32)),
            history=torch.from_numpy(clicks.history.astype(np.int64)),
            ages=torch.from_numpy(clicks.ages),
            queries=torch.from_numpy(clicks.queries.astype(np.int64)),
        )


def _weights(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return how much clicks count by what was recorded of them, NaN where nothing was; both are [clicks]."""
    known = np.isfinite(values)
    if not known.any():
        return np.ones(len(values), np.float32)
    recorded = np.clip(values, 0, None)
    usual = np.median(recorded[known])
    both = recorded + usual
    return np.where(known & (both > 0), 2 * recorded / np.where(both > 0, both, 1), 1).astype(np.float32)
