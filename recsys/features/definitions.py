"""Declarations: what a behavioural feature counts, per which key, over which window, smoothed how."""

from datetime import timedelta
from typing import Annotated, Literal, Protocol

import numpy as np
import numpy.typing as npt
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from recsys.data.clock import Duration, format_duration
from recsys.features.counters import Ints
from recsys.features.lists import divide
from recsys.features.log import CHANCE, CLICK, OUTCOME, UNIT
from recsys.features.lookup import Lookup

Floats = npt.NDArray[np.float64]
Per = tuple[str, ...]
Window = Annotated[Duration, Field(gt=timedelta(0))]

SKIP = "skip"
"""Stream of showings whose label is known and 0."""

_frozen = ConfigDict(extra="forbid", allow_inf_nan=False)


class Feature(Protocol):
    """One behavioural feature: a name, and a number per candidate."""

    @property
    def name(self) -> str:
        """Column name, derived from the declaration."""

    @property
    def per(self) -> Per:
        """Key columns; a feature per item differs within a list, one per user does not."""

    @property
    def meaning(self) -> str:
        """What it says, in words."""

    @property
    def formula(self) -> str:
        """How it is computed."""

    @property
    def missing(self) -> str:
        """What it is where nothing is known."""

    def values(self, lookup: Lookup) -> Floats:
        """Compute the feature for every candidate, shape [Q], NaN where it is not known."""


@dataclass(frozen=True, config=_frozen)
class Count:
    """How many rows of a stream the key had in the window.

    Attributes
    ----------
    of
        Stream: `showing`, `skip` (a showing whose label is known and 0), `click` or an event kind.
    per
        Key columns.
    window
        How far back from `as_of`; None is without limit.
    """

    of: str
    per: Per
    window: Window | None = None
    kind: Literal["count"] = "count"

    @property
    def name(self) -> str:
        """`<stream>_count_<key>_<window>`."""
        return f"{self.of}_count{_suffix(self.per, self.window)}"

    @property
    def meaning(self) -> str:
        """How often it happened."""
        return f"{self.of} rows of the {_key(self.per)} {_within(self.window)}"

    @property
    def formula(self) -> str:
        """A plain count."""
        return f"count({self.of})"

    @property
    def missing(self) -> str:
        """Never missing."""
        return "0 where it never happened"

    def values(self, lookup: Lookup) -> Floats:
        """Count; 0 for a key that never occurred."""
        if self.of == SKIP:
            shown, clicked, _ = lookup.amounts(OUTCOME, self.per, self.window)
            count: Ints = shown - clicked
        else:
            count = lookup.amounts(self.of, self.per, self.window)[0]
        return count.astype(np.float64)


@dataclass(frozen=True, config=_frozen)
class Rate:
    """Smoothed click rate with back-off: `(clicks + prior * next) / (showings + prior)`.

    `next` is the same rate of the next key of `backoff`, over the same window; after the last key it is the click rate
    of everything known before `as_of`. A key without showings so gets the rate of what it belongs to.

    Attributes
    ----------
    per
        Key columns.
    window
        How far back from `as_of`; None is without limit.
    prior
        Strength of the next rate, in showings.
    backoff
        Keys from narrow to wide, such as `(("category",),)` for an item.
    """

    per: Per
    window: Window | None
    prior: Annotated[float, Field(gt=0)]
    backoff: tuple[Per, ...] = ()
    kind: Literal["rate"] = "rate"

    @property
    def name(self) -> str:
        """`click_rate_<key>_<window>`, with `_over_<key>` for every key that it backs off to."""
        over = "".join(f"_over_{'_'.join(per)}" for per in self.backoff)
        return f"click_rate{_suffix(self.per, None)}{over}{_window(self.window)}"

    @property
    def meaning(self) -> str:
        """How often a showing led to a click."""
        return f"click rate of the {_key(self.per)} {_within(self.window)}, smoothed"

    @property
    def formula(self) -> str:
        """Additive smoothing towards the next wider key."""
        over = [*(f"rate({_key(per)})" for per in self.backoff), "rate of everything"]
        steps = " and so on with ".join(over)
        return f"(clicks + {self.prior:g} * r) / (showings + {self.prior:g}), r = {steps}"

    @property
    def missing(self) -> str:
        """The wider rate."""
        return "the wider rate where the key was never shown; missing as long as nothing was ever shown"

    def values(self, lookup: Lookup) -> Floats:
        """Compute the rate; NaN as long as nothing was ever shown."""
        shown, clicked, _ = lookup.amounts(OUTCOME, (), None)
        rate = divide(clicked, shown)
        for per in (*reversed(self.backoff), self.per):
            shown, clicked, _ = lookup.amounts(OUTCOME, per, self.window)
            rate = (clicked + self.prior * rate) / (shown + self.prior)
        return rate


@dataclass(frozen=True, config=_frozen)
class Lift:
    """Clicks over those that chance would give, each with a prior: `(clicks + prior) / (chance + prior)`.

    A showing in a list of n candidates counts 1 / n to chance, so that an item which stands in short lists, where clicks
    come easily, is not taken for a better one.

    Attributes
    ----------
    per
        Key columns.
    window
        How far back from `as_of`; None is without limit.
    prior
        Strength of a lift of 1, in clicks.
    """

    per: Per
    window: Window | None
    prior: Annotated[float, Field(gt=0)] = 1.0
    kind: Literal["lift"] = "lift"

    @property
    def name(self) -> str:
        """`click_lift_<key>_<window>`."""
        return f"click_lift{_suffix(self.per, self.window)}"

    @property
    def meaning(self) -> str:
        """How much more often than by chance."""
        return f"clicks on the {_key(self.per)} {_within(self.window)} over those that chance would give, by list size"

    @property
    def formula(self) -> str:
        """A smoothed quotient."""
        return f"(clicks + {self.prior:g}) / (sum(1 / list size) + {self.prior:g})"

    @property
    def missing(self) -> str:
        """Never missing."""
        return "1 where the key was never shown"

    def values(self, lookup: Lookup) -> Floats:
        """Compute the lift; 1 where nothing was shown."""
        _, clicked, chance = lookup.amounts(OUTCOME, self.per, self.window)
        lift: Floats = (clicked + self.prior) / (chance * CHANCE + self.prior)
        return lift


@dataclass(frozen=True, config=_frozen)
class Share:
    """Affinity: the part of the rows of `within` that fell on the whole key, `count(key) / count(within)`.

    Attributes
    ----------
    per
        Key columns, such as user and category.
    within
        Key columns of the whole, such as user.
    window
        How far back from `as_of`; None is without limit.
    of
        Stream, as of `Count` without `skip`.
    """

    per: Per
    within: Per
    window: Window | None = None
    of: str = CLICK
    kind: Literal["share"] = "share"

    @property
    def name(self) -> str:
        """`<stream>_share_<key>_<window>`."""
        return f"{self.of}_share{_suffix(self.per, self.window)}"

    @property
    def meaning(self) -> str:
        """Affinity."""
        return f"part of the {self.of} rows of the {_key(self.within)} that were of the {_key(self.per)}"

    @property
    def formula(self) -> str:
        """A quotient of counts."""
        return f"count({self.of}, {_key(self.per)}) / count({self.of}, {_key(self.within)}), {_within(self.window)}"

    @property
    def missing(self) -> str:
        """Missing without a whole."""
        return f"missing where the {_key(self.within)} has none"

    def values(self, lookup: Lookup) -> Floats:
        """Compute the share; NaN without a row in the whole."""
        part, whole = (lookup.amounts(self.of, key, self.window)[0] for key in (self.per, self.within))
        return divide(part, whole)


@dataclass(frozen=True, config=_frozen)
class HoursSince:
    """Hours between the last row of a stream for the key, or the first, and `as_of`.

    Attributes
    ----------
    of
        Stream: `showing`, `click` or an event kind.
    per
        Key columns.
    first
        Whether the first row counts and not the last: the age of what has no `available_at`, or of a user.
    """

    of: str
    per: Per
    first: bool = False
    kind: Literal["hours_since"] = "hours_since"

    @property
    def name(self) -> str:
        """`hours_since_<stream>_<key>`, or `hours_since_first_<stream>_<key>`."""
        return f"hours_since_{'first_' if self.first else ''}{self.of}{_suffix(self.per, None)}"

    @property
    def meaning(self) -> str:
        """Recency, or age."""
        return f"hours since the {'first' if self.first else 'last'} {self.of} of the {_key(self.per)}"

    @property
    def formula(self) -> str:
        """A difference of moments."""
        return f"as_of - {'min' if self.first else 'max'}(known_at)"

    @property
    def missing(self) -> str:
        """Missing before the first."""
        return "missing where it never happened"

    def values(self, lookup: Lookup) -> Floats:
        """Compute the hours; NaN when it never happened."""
        return lookup.hours_since(self.of, self.per, self.first)


@dataclass(frozen=True, config=_frozen)
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
    short: Window
    long: Window
    kind: Literal["trend"] = "trend"

    @property
    def name(self) -> str:
        """`click_trend_<key>_<short>_<long>`."""
        return f"click_trend{_suffix(self.per, self.short)}_{format_duration(self.long)}"

    @property
    def meaning(self) -> str:
        """Above 1 on the rise."""
        return f"whether clicks on the {_key(self.per)} become more (above 1) or fewer (below 1)"

    @property
    def formula(self) -> str:
        """A quotient of speeds."""
        short, long = format_duration(self.short), format_duration(self.long)
        return f"((clicks in {short} + 1) / {short}) / ((clicks in {long} + 1) / {long})"

    @property
    def missing(self) -> str:
        """Never missing."""
        return "long / short where nothing was clicked"

    def values(self, lookup: Lookup) -> Floats:
        """Compute the ratio; above 1 the key is on the rise."""
        recent = (lookup.amounts(CLICK, self.per, self.short)[0] + 1.0) / self.short.total_seconds()
        usual = (lookup.amounts(CLICK, self.per, self.long)[0] + 1.0) / self.long.total_seconds()
        trend: Floats = recent / usual
        return trend


@dataclass(frozen=True, config=_frozen)
class Mean:
    """Smoothed mean of the `value` of events: `(sum + prior * overall) / (events with a value + prior)`.

    Attributes
    ----------
    of
        Stream: `click` or an event kind; clicks on lists carry no value.
    per
        Key columns.
    window
        How far back from `as_of`; None is without limit.
    prior
        Strength of the mean of everything known before `as_of`, in events.
    """

    of: str
    per: Per
    window: Window | None
    prior: Annotated[float, Field(gt=0)]
    kind: Literal["mean"] = "mean"

    @property
    def name(self) -> str:
        """`<stream>_value_<key>_<window>`."""
        return f"{self.of}_value{_suffix(self.per, self.window)}"

    @property
    def meaning(self) -> str:
        """Such as seconds read, or money spent."""
        return f"mean value of the {self.of} rows of the {_key(self.per)} {_within(self.window)}, smoothed"

    @property
    def formula(self) -> str:
        """Additive smoothing; values count in steps of 1/1024."""
        return f"(sum(value) + {self.prior:g} * mean of all) / (count(value) + {self.prior:g})"

    @property
    def missing(self) -> str:
        """The overall mean."""
        return "the mean of all where the key has none; missing as long as there is no value at all"

    def values(self, lookup: Lookup) -> Floats:
        """Compute the mean; NaN as long as no value is known."""
        _, total, count = lookup.amounts(self.of, self.per, self.window)
        _, all_total, all_count = lookup.amounts(self.of, (), None)
        mean: Floats = (total * UNIT + self.prior * divide(all_total, all_count) * UNIT) / (count + self.prior)
        return mean


@dataclass(frozen=True, config=_frozen)
class Pace:
    """Tempo: mean hours between the rows of a stream for the key, `(last - first) / (count - 1)`.

    Attributes
    ----------
    of
        Stream: `showing`, `click` or an event kind.
    per
        Key columns.
    """

    of: str
    per: Per
    kind: Literal["pace"] = "pace"

    @property
    def name(self) -> str:
        """`hours_between_<stream>_<key>`."""
        return f"hours_between_{self.of}{_suffix(self.per, None)}"

    @property
    def meaning(self) -> str:
        """Tempo."""
        return f"mean hours between one {self.of} of the {_key(self.per)} and the next"

    @property
    def formula(self) -> str:
        """Span over gaps."""
        return "(max(known_at) - min(known_at)) / (count - 1)"

    @property
    def missing(self) -> str:
        """Missing without a gap."""
        return "missing below two rows"

    def values(self, lookup: Lookup) -> Floats:
        """Compute the hours; NaN below two rows."""
        span = lookup.hours_since(self.of, self.per, first=True) - lookup.hours_since(self.of, self.per)
        return divide(span, lookup.amounts(self.of, self.per, None)[0] - 1)


@dataclass(frozen=True, config=_frozen)
class Same:
    """Whether the candidate has the same value of an attribute as the item that the user clicked last.

    Attributes
    ----------
    attribute
        Item attribute, or `item`.
    """

    attribute: str
    kind: Literal["same"] = "same"

    @property
    def name(self) -> str:
        """`same_<attribute>_as_last_click`."""
        return f"same_{self.attribute}_as_last_click"

    @property
    def per(self) -> Per:
        """Differs within a list."""
        return ("item", f"last_{self.attribute}")

    @property
    def meaning(self) -> str:
        """Session continuity."""
        return f"whether the {self.attribute} is that of the user's last click"

    @property
    def formula(self) -> str:
        """1 or 0."""
        return f"1 if {self.attribute} = last_{self.attribute} else 0"

    @property
    def missing(self) -> str:
        """Missing where one of them is unknown."""
        return "missing where one of the two is not known"

    def values(self, lookup: Lookup) -> Floats:
        """Compare; NaN where one of the two is not known."""
        own, last = lookup.codes[self.attribute], lookup.codes[f"last_{self.attribute}"]
        return np.where((own < 0) | (last < 0), np.nan, (own == last).astype(np.float64))


@dataclass(frozen=True, config=_frozen)
class Age:
    """Hours between `available_at` of the item and the request's own time, under either freshness."""

    kind: Literal["age"] = "age"

    @property
    def name(self) -> str:
        """Always the same."""
        return "item_age_hours"

    @property
    def per(self) -> Per:
        """Of the item."""
        return ("item",)

    @property
    def meaning(self) -> str:
        """Freshness."""
        return "hours since the item could first be shown"

    @property
    def formula(self) -> str:
        """A difference of moments; the request's own time under either freshness."""
        return "timestamp - available_at"

    @property
    def missing(self) -> str:
        """Missing where the items table does not say."""
        return "missing where `available_at` is not known; negative when the item was not out yet"

    def values(self, lookup: Lookup) -> Floats:
        """Compute the age; NaN where `available_at` is not known, negative when the item was not out yet."""
        return lookup.hours_since_available()


@dataclass(frozen=True, config=_frozen)
class Number:
    """A number that the table of items holds, such as a price.

    Attributes
    ----------
    attribute
        Column of items.
    """

    attribute: str
    kind: Literal["number"] = "number"

    @property
    def name(self) -> str:
        """`item_<attribute>`."""
        return f"item_{self.attribute}"

    @property
    def per(self) -> Per:
        """Of the item."""
        return ("item",)

    @property
    def meaning(self) -> str:
        """As the table of items has it."""
        return f"`{self.attribute}` of the item"

    @property
    def formula(self) -> str:
        """As it is."""
        return f"items.{self.attribute}"

    @property
    def missing(self) -> str:
        """Missing where the items table does not say."""
        return "missing where it is empty or the item is not in the table"

    def values(self, lookup: Lookup) -> Floats:
        """Look the number up."""
        return lookup.number(self.attribute)


Declaration = Annotated[
    Count | Rate | Lift | Share | HoursSince | Trend | Mean | Pace | Same | Age | Number, Field(discriminator="kind")
]
"""A feature that settings can hold and a model folder can record."""


def _suffix(per: Per, window: timedelta | None) -> str:
    key = "_".join(per) if per else "overall"
    return f"_{key}{_window(window)}"


def _window(window: timedelta | None) -> str:
    return "" if window is None else f"_{format_duration(window)}"


def _key(per: Per) -> str:
    return " and ".join(per) if per else "whole log"


def _within(window: timedelta | None) -> str:
    return "so far" if window is None else f"in the last {format_duration(window)}"
