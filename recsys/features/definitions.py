"""Declarations: what a behavioural feature counts, per which key, over which window, smoothed how."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

import numpy as np
import numpy.typing as npt

from recsys.data.clock import format_duration
from recsys.features.counters import Ints
from recsys.features.lists import divide
from recsys.features.lookup import Lookup

Floats = npt.NDArray[np.float64]
Per = tuple[str, ...]


class Feature(Protocol):
    """One behavioural feature: a name, and a number per candidate."""

    @property
    def name(self) -> str:
        """Column name, derived from the declaration."""

    @property
    def per(self) -> Per:
        """Key columns; a feature per item differs within a list, one per user does not."""

    def values(self, lookup: Lookup) -> Floats:
        """Compute the feature for every candidate, shape [Q], NaN where it is not known."""


@dataclass(frozen=True)
class Count:
    """How many rows of a stream the key had in the window.

    Attributes
    ----------
    of
        Stream: `showing`, `click` or an event kind.
    per
        Key columns.
    window
        How far back from `as_of`; None is without limit.
    """

    of: str
    per: Per
    window: timedelta | None = None

    @property
    def name(self) -> str:
        """`<stream>_count_<key>_<window>`."""
        return f"{self.of}_count{_suffix(self.per, self.window)}"

    def values(self, lookup: Lookup) -> Floats:
        """Count; 0 for a key that never occurred."""
        count: Ints = lookup.amounts(self.of, self.per, self.window)[0]
        return count.astype(np.float64)


@dataclass(frozen=True)
class Rate:
    """Smoothed click rate: `(clicks + prior * overall) / (showings + prior)`.

    `overall` is the click rate of everything known before `as_of`, so a key without showings gets that rate.

    Attributes
    ----------
    per
        Key columns.
    window
        How far back from `as_of`; None is without limit.
    prior
        Strength of the overall rate, in showings.
    """

    per: Per
    window: timedelta | None
    prior: float

    @property
    def name(self) -> str:
        """`click_rate_<key>_<window>`."""
        return f"click_rate{_suffix(self.per, self.window)}"

    def values(self, lookup: Lookup) -> Floats:
        """Compute the rate; NaN as long as nothing was ever shown."""
        shown, clicked = lookup.amounts("outcome", self.per, self.window)
        all_shown, all_clicked = lookup.amounts("outcome", (), None)
        rate: Floats = (clicked + self.prior * divide(all_clicked, all_shown)) / (shown + self.prior)
        return rate


@dataclass(frozen=True)
class Share:
    """Affinity: the part of the clicks of `within` that fell on the whole key, `clicks(key) / clicks(within)`.

    Attributes
    ----------
    per
        Key columns, such as user and category.
    within
        Key columns of the whole, such as user.
    """

    per: Per
    within: Per

    @property
    def name(self) -> str:
        """`click_share_<key>`."""
        return f"click_share{_suffix(self.per, None)}"

    def values(self, lookup: Lookup) -> Floats:
        """Compute the share; NaN without a click in the whole."""
        part, whole = (lookup.amounts("click", key, None)[0] for key in (self.per, self.within))
        return divide(part, whole)


@dataclass(frozen=True)
class HoursSince:
    """Hours between the last row of a stream for the key and `as_of`.

    Attributes
    ----------
    of
        Stream: `showing`, `click` or an event kind.
    per
        Key columns.
    """

    of: str
    per: Per

    @property
    def name(self) -> str:
        """`hours_since_<stream>_<key>`."""
        return f"hours_since_{self.of}{_suffix(self.per, None)}"

    def values(self, lookup: Lookup) -> Floats:
        """Compute the hours; NaN when it never happened."""
        return lookup.hours_since(self.of, self.per)


@dataclass(frozen=True)
class Trend:
    """Clicks per hour in a short window over clicks per hour in a long one, each with one click added.

    Attributes
    ----------
    per
        Key columns.
    short, long
        The two windows, both ending at `as_of`.
    """

    per: Per
    short: timedelta
    long: timedelta

    @property
    def name(self) -> str:
        """`click_trend_<key>_<short>_<long>`."""
        return f"click_trend{_suffix(self.per, self.short)}_{format_duration(self.long)}"

    def values(self, lookup: Lookup) -> Floats:
        """Compute the ratio; above 1 the key is on the rise."""
        recent = (lookup.amounts("click", self.per, self.short)[0] + 1.0) / self.short.total_seconds()
        usual = (lookup.amounts("click", self.per, self.long)[0] + 1.0) / self.long.total_seconds()
        trend: Floats = recent / usual
        return trend


@dataclass(frozen=True)
class Age:
    """Hours between `available_at` of the item and the request's own time, under either freshness."""

    name: str = "item_age_hours"
    per: Per = ("item",)

    def values(self, lookup: Lookup) -> Floats:
        """Compute the age; NaN where `available_at` is not known, negative when the item was not out yet."""
        return lookup.hours_since_available()


def _suffix(per: Per, window: timedelta | None) -> str:
    key = "_".join(per) if per else "overall"
    return f"_{key}" if window is None else f"_{key}_{format_duration(window)}"
