"""Declarations: what a behavioural feature counts, per which key, over which window, smoothed how."""

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from recsys.data.clock import format_duration
from recsys.features.feature import FROZEN, Answer, Ask, Floats, Told, Window, spoken, suffix, within
from recsys.features.within_list import divide
from recsys.past.streams import CHANCE, CLICK, OUTCOME, UNIT, Amount, Per

SKIP = "skip"
"""Stream of showings whose label is known and 0."""


@dataclass(frozen=True, config=FROZEN)
class Count:
    """How many rows of a stream the key had in the window.

    Attributes
    ----------
    of
        Stream: `showing`, `skip` (a showing whose label is known and 0), `click` or an event kind.
    per
        Key columns.
    window
        How far back from `as_of`; without limit when there is none.
    """

    of: str
    per: Per
    window: Window | None = None
    kind: Literal["count"] = "count"

    @property
    def name(self) -> str:
        """`<stream>_count_<key>_<window>`."""
        return f"{self.of}_count{suffix(self.per, self.window)}"

    @property
    def told(self) -> Told:
        """What the catalogue says."""
        return Told(
            meaning=f"{self.of} rows of the {spoken(self.per)} {within(self.window)}",
            formula=f"count({self.of})",
            missing="0 where it never happened",
        )

    @property
    def asks(self) -> tuple[Ask, ...]:
        """The rows, or showings and the clicks on them."""
        if self.of == SKIP:
            return tuple(Amount(OUTCOME, self.per, self.window, which) for which in (0, 1))
        return (Amount(self.of, self.per, self.window),)

    @property
    def numbers(self) -> tuple[float, ...]:
        """None."""
        return ()

    @staticmethod
    def formula(numbers: Sequence[Floats], *asked: Answer) -> Floats:
        """Count; 0 for a key that never occurred."""
        count = asked[0] if len(asked) == 1 else asked[0] - asked[1]
        return count.astype(np.float64)


@dataclass(frozen=True, config=FROZEN)
class Rate:
    """Smoothed click rate with back-off: `(clicks + prior * next) / (showings + prior)`.

    `next` is the same rate of the next key of `backoff`, over the same window; after the last key it is the click rate
    of everything known before `as_of`. A key without showings so gets the rate of what it belongs to.

    Attributes
    ----------
    per
        Key columns.
    window
        How far back from `as_of`; without limit when there is none.
    prior
        Strength of the next rate, in showings.
    backoff
        Keys from narrow to wide, such as `(("category",),)` for an item.
    """

    per: Per
    window: Window | None = None
    prior: Annotated[float, Field(gt=0)] = 20.0
    backoff: tuple[Per, ...] = ()
    kind: Literal["rate"] = "rate"

    @property
    def name(self) -> str:
        """`click_rate_<key>_<window>`, with `_over_<key>` for every key that it backs off to."""
        over = "".join(f"_over_{'_'.join(per)}" for per in self.backoff)
        return f"click_rate{suffix(self.per)}{over}{'' if self.window is None else '_' + format_duration(self.window)}"

    @property
    def told(self) -> Told:
        """What the catalogue says."""
        over = [*(f"rate({spoken(per)})" for per in self.backoff), "rate of everything"]
        steps = " and so on with ".join(over)
        return Told(
            meaning=f"click rate of the {spoken(self.per)} {within(self.window)}, smoothed",
            formula=f"(clicks + {self.prior:g} * r) / (showings + {self.prior:g}), r = {steps}",
            missing="the wider rate where the key was never shown; missing as long as nothing was ever shown",
        )

    @property
    def asks(self) -> tuple[Ask, ...]:
        """Showings and the clicks on them: of everything, and of the keys from wide to narrow."""
        keys = [((), None), *((per, self.window) for per in (*reversed(self.backoff), self.per))]
        return tuple(Amount(OUTCOME, per, window, which) for per, window in keys for which in (0, 1))

    @property
    def numbers(self) -> tuple[float, ...]:
        """The prior."""
        return (self.prior,)

    @staticmethod
    def formula(numbers: Sequence[Floats], *asked: Answer) -> Floats:
        """Compute the rate; NaN as long as nothing was ever shown."""
        prior, rate = numbers[0], divide(asked[1], asked[0])
        for shown, clicked in zip(asked[2::2], asked[3::2], strict=True):
            rate = (clicked + prior * rate) / (shown + prior)
        return rate


@dataclass(frozen=True, config=FROZEN)
class Lift:
    """Clicks over those that chance would give, each with a prior: `(clicks + prior) / (chance + prior)`.

    A showing in a list of n candidates counts 1 / n to chance, so that an item which stands in short lists, where
    clicks come easily, is not taken for a better one.

    Attributes
    ----------
    per
        Key columns.
    window
        How far back from `as_of`; without limit when there is none.
    prior
        Strength of a lift of 1, in clicks.
    """

    per: Per
    window: Window | None = None
    prior: Annotated[float, Field(gt=0)] = 1.0
    kind: Literal["lift"] = "lift"

    @property
    def name(self) -> str:
        """`click_lift_<key>_<window>`."""
        return f"click_lift{suffix(self.per, self.window)}"

    @property
    def told(self) -> Told:
        """What the catalogue says."""
        return Told(
            meaning=f"clicks on the {spoken(self.per)} {within(self.window)} over those of chance, by list size",
            formula=f"(clicks + {self.prior:g}) / (sum(1 / list size) + {self.prior:g})",
            missing="1 where the key was never shown",
        )

    @property
    def asks(self) -> tuple[Ask, ...]:
        """Clicks, and those of chance."""
        return tuple(Amount(OUTCOME, self.per, self.window, which) for which in (1, 2))

    @property
    def numbers(self) -> tuple[float, ...]:
        """The prior."""
        return (self.prior,)

    @staticmethod
    def formula(numbers: Sequence[Floats], *asked: Answer) -> Floats:
        """Compute the lift; 1 where nothing was shown."""
        (prior,), (clicked, chance) = numbers, asked
        lift: Floats = (clicked + prior) / (chance * CHANCE + prior)
        return lift


@dataclass(frozen=True, config=FROZEN)
class Share:
    """Affinity: the part of the rows of `within` that fell on the whole key, `count(key) / count(within)`.

    Attributes
    ----------
    per
        Key columns, such as user and category.
    within
        Key columns of the whole, such as user.
    window
        How far back from `as_of`; without limit when there is none.
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
        return f"{self.of}_share{suffix(self.per, self.window)}"

    @property
    def told(self) -> Told:
        """What the catalogue says."""
        return Told(
            meaning=f"part of the {self.of} rows of the {spoken(self.within)} that were of the {spoken(self.per)}",
            formula=f"count({spoken(self.per)}) / count({spoken(self.within)}), {within(self.window)}",
            missing=f"missing where the {spoken(self.within)} has none",
        )

    @property
    def asks(self) -> tuple[Ask, ...]:
        """The part and the whole."""
        return tuple(Amount(self.of, key, self.window) for key in (self.per, self.within))

    @property
    def numbers(self) -> tuple[float, ...]:
        """None."""
        return ()

    @staticmethod
    def formula(numbers: Sequence[Floats], *asked: Answer) -> Floats:
        """Compute the share; NaN without a row in the whole."""
        part, whole = asked
        return divide(part, whole)


@dataclass(frozen=True, config=FROZEN)
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
        return f"click_trend{suffix(self.per, self.short)}_{format_duration(self.long)}"

    @property
    def told(self) -> Told:
        """What the catalogue says."""
        short, long = format_duration(self.short), format_duration(self.long)
        return Told(
            meaning=f"whether clicks on the {spoken(self.per)} become more (above 1) or fewer (below 1)",
            formula=f"((clicks in {short} + 1) / {short}) / ((clicks in {long} + 1) / {long})",
            missing="long / short where nothing was clicked",
        )

    @property
    def asks(self) -> tuple[Ask, ...]:
        """Clicks in both windows."""
        return tuple(Amount(CLICK, self.per, window) for window in (self.short, self.long))

    @property
    def numbers(self) -> tuple[float, ...]:
        """Both windows in seconds."""
        return self.short.total_seconds(), self.long.total_seconds()

    @staticmethod
    def formula(numbers: Sequence[Floats], *asked: Answer) -> Floats:
        """Compute the ratio; above 1 the key is on the rise."""
        recent, usual = ((clicks + 1.0) / seconds for clicks, seconds in zip(asked, numbers, strict=True))
        trend: Floats = recent / usual
        return trend


@dataclass(frozen=True, config=FROZEN)
class Mean:
    """Smoothed mean of the `value` of events: `(sum + prior * overall) / (events with a value + prior)`.

    Attributes
    ----------
    of
        Stream: `click` or an event kind; clicks on lists carry no value.
    per
        Key columns.
    window
        How far back from `as_of`; without limit when there is none.
    prior
        Strength of the mean of everything known before `as_of`, in events.
    """

    of: str
    per: Per
    window: Window | None = None
    prior: Annotated[float, Field(gt=0)] = 20.0
    kind: Literal["mean"] = "mean"

    @property
    def name(self) -> str:
        """`<stream>_value_<key>_<window>`."""
        return f"{self.of}_value{suffix(self.per, self.window)}"

    @property
    def told(self) -> Told:
        """What the catalogue says."""
        return Told(
            meaning=f"mean value of the {self.of} rows of the {spoken(self.per)} {within(self.window)}, smoothed",
            formula=f"(sum(value) + {self.prior:g} * mean of all) / (count(value) + {self.prior:g})",
            missing="the mean of all where the key has none; missing as long as there is no value at all",
        )

    @property
    def asks(self) -> tuple[Ask, ...]:
        """Values and how many there are: of the key, and of everything."""
        keys = ((self.per, self.window), ((), None))
        return tuple(Amount(self.of, per, window, which) for per, window in keys for which in (1, 2))

    @property
    def numbers(self) -> tuple[float, ...]:
        """The prior."""
        return (self.prior,)

    @staticmethod
    def formula(numbers: Sequence[Floats], *asked: Answer) -> Floats:
        """Compute the mean; NaN as long as no value is known."""
        (prior,), (total, count, all_total, all_count) = numbers, asked
        mean: Floats = (total * UNIT + prior * divide(all_total, all_count) * UNIT) / (count + prior)
        return mean


Counted = Count | Rate | Lift | Share | Trend | Mean
"""Declarations that add up rows."""
