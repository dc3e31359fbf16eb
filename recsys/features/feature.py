"""What every declared feature has: a name, keys, words for the catalogue, and a number per candidate."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
from pydantic import ConfigDict, Field

from recsys.data.clock import Duration, format_duration
from recsys.past.streams import Amount, Ints, Moment, Per

Floats = npt.NDArray[np.float64]
Window = Annotated[Duration, Field(gt=timedelta(0))]

FROZEN = ConfigDict(extra="forbid", allow_inf_nan=False)
"""How declarations are checked when they are made."""


class Told(NamedTuple):
    """What the catalogue says of a feature: its meaning, its formula, and what it is where nothing is known."""

    meaning: str
    formula: str
    missing: str


class Code(NamedTuple):
    """What is asked of a candidate: the code of a key column, -1 where unknown."""

    name: str


class Available(NamedTuple):
    """What is asked of a candidate: the hours since its item could first be shown."""


class Stated(NamedTuple):
    """What is asked of a candidate: a number that the table of items holds."""

    name: str


Ask = Amount | Moment | Code | Available | Stated
"""What a feature may ask of candidates, known before each one's `as_of`; of a moment the hours since then come back."""

Answer = Ints | Floats
"""What comes back, one element a candidate."""


class Feature(Protocol):
    """One behavioural feature: a name, what it asks, and a formula that makes a number of the answers."""

    @property
    def name(self) -> str:
        """Column name, derived from the declaration."""

    @property
    def per(self) -> Per:
        """Key columns; a feature per item differs within a list, one per user does not."""

    @property
    def told(self) -> Told:
        """What the catalogue says."""

    @property
    def asks(self) -> tuple[Ask, ...]:
        """What is asked."""

    @property
    def numbers(self) -> tuple[float, ...]:
        """Numbers of the declaration that the formula reads."""

    @staticmethod
    def formula(numbers: Sequence[Floats], *asked: Answer) -> Floats:
        """Compute the feature element by element, NaN where it is not known.

        Numbers and answers may be of several declarations of one kind at once, in rows.
        """


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
