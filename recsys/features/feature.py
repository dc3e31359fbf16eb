"""What every declared feature has: a name, keys, words for the catalogue, and a number per candidate."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
from pydantic import ConfigDict, Field

from recsys.data.clock import Duration, format_duration

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Per = tuple[str, ...]
Window = Annotated[Duration, Field(gt=timedelta(0))]

FROZEN = ConfigDict(extra="forbid", allow_inf_nan=False)
"""How declarations are checked when they are made."""


class Told(NamedTuple):
    """What the catalogue says of a feature: its meaning, its formula, and what it is where nothing is known."""

    meaning: str
    formula: str
    missing: str


class Past(Protocol):
    """All that a feature may ask of Q candidates, known before each one's `as_of`: see `recsys.past.lookup.Lookup`."""

    @property
    def codes(self) -> Mapping[str, Ints]:
        """Key columns, -1 where unknown."""

    def amount(self, of: str, per: Per, window: timedelta | None, which: int = 0) -> Ints:
        """Count the rows of a stream per key in a window, or add up what they hold."""

    def hours_since(self, of: str, per: Per, first: bool = False) -> Floats:
        """Give the hours since the last row of a stream per key, or the first."""

    def hours_since_available(self) -> Floats:
        """Give the hours since the item could first be shown."""

    def number(self, name: str) -> Floats:
        """Give a number that the table of items holds."""


class Feature(Protocol):
    """One behavioural feature: a name, and a number per candidate."""

    @property
    def name(self) -> str:
        """Column name, derived from the declaration."""

    @property
    def per(self) -> Per:
        """Key columns; a feature per item differs within a list, one per user does not."""

    @property
    def told(self) -> Told:
        """What the catalogue says."""

    def values(self, past: Past) -> Floats:
        """Compute the feature for every candidate, shape [Q], NaN where it is not known."""


def suffix(per: Per, window: timedelta | None = None) -> str:
    """Write keys and window as the end of a name."""
    key = "_".join(per) if per else "overall"
    return f"_{key}" if window is None else f"_{key}_{format_duration(window)}"


def spoken(per: Per) -> str:
    """Write keys in words."""
    return " and ".join(per) if per else "whole log"


def within(window: timedelta | None) -> str:
    """Write a window in words."""
    return "so far" if window is None else f"in the last {format_duration(window)}"
