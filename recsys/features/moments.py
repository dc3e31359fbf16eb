"""Declarations that count nothing: when something happened, and what the tables say."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic.dataclasses import dataclass

from recsys.features.feature import FROZEN, Answer, Ask, Available, Code, Floats, Stated, Told, spoken, suffix
from recsys.features.within_list import divide
from recsys.past.streams import LAST, Amount, Moment, Per


@dataclass(frozen=True, config=FROZEN)
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
        return f"hours_since_{'first_' if self.first else ''}{self.of}{suffix(self.per)}"

    @property
    def told(self) -> Told:
        """What the catalogue says."""
        return Told(
            meaning=f"hours since the {'first' if self.first else 'last'} {self.of} of the {spoken(self.per)}",
            formula=f"as_of - {'min' if self.first else 'max'}(known_at)",
            missing="missing where it never happened",
        )

    @property
    def asks(self) -> tuple[Ask, ...]:
        """The moment."""
        return (Moment(self.of, self.per, self.first),)

    @property
    def numbers(self) -> tuple[float, ...]:
        """None."""
        return ()

    @staticmethod
    def formula(numbers: Sequence[Floats], *asked: Answer) -> Floats:
        """Give the hours; NaN when it never happened."""
        return asked[0].astype(np.float64, copy=False)


@dataclass(frozen=True, config=FROZEN)
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
        return f"hours_between_{self.of}{suffix(self.per)}"

    @property
    def told(self) -> Told:
        """What the catalogue says."""
        return Told(
            meaning=f"mean hours between one {self.of} of the {spoken(self.per)} and the next",
            formula="(max(known_at) - min(known_at)) / (count - 1)",
            missing="missing below two rows",
        )

    @property
    def asks(self) -> tuple[Ask, ...]:
        """The first moment, the last one, and how many rows there are."""
        first, last = (Moment(self.of, self.per, first) for first in (True, False))
        return first, last, Amount(self.of, self.per)

    @property
    def numbers(self) -> tuple[float, ...]:
        """None."""
        return ()

    @staticmethod
    def formula(numbers: Sequence[Floats], *asked: Answer) -> Floats:
        """Compute the hours; NaN below two rows."""
        first, last, count = asked
        return divide(first - last, count - 1)


@dataclass(frozen=True, config=FROZEN)
class Age:
    """Hours between `available_at` of the item and the request's own time, under nightly the making of its list."""

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
    def told(self) -> Told:
        """What the catalogue says."""
        return Told(
            meaning="hours since the item could first be shown",
            formula="timestamp - available_at",
            missing="missing where `available_at` is not known; negative when the item was not out yet",
        )

    @property
    def asks(self) -> tuple[Ask, ...]:
        """The age."""
        return (Available(),)

    @property
    def numbers(self) -> tuple[float, ...]:
        """None."""
        return ()

    @staticmethod
    def formula(numbers: Sequence[Floats], *asked: Answer) -> Floats:
        """Give the age; NaN where `available_at` is not known, negative when the item was not out yet."""
        return asked[0].astype(np.float64, copy=False)


@dataclass(frozen=True, config=FROZEN)
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
        return ("item", f"{LAST}{self.attribute}")

    @property
    def told(self) -> Told:
        """What the catalogue says."""
        return Told(
            meaning=f"whether the {self.attribute} is that of the user's last click",
            formula=f"1 if {self.attribute} = last_{self.attribute} else 0",
            missing="missing without a click, or where one of the two has no value",
        )

    @property
    def asks(self) -> tuple[Ask, ...]:
        """Both values."""
        return Code(self.attribute), Code(f"{LAST}{self.attribute}")

    @property
    def numbers(self) -> tuple[float, ...]:
        """Whether items are compared: one without a code is another one, and later rows may give it one."""
        return (float(self.attribute == "item"),)

    @staticmethod
    def formula(numbers: Sequence[Floats], *asked: Answer) -> Floats:
        """Compare; NaN where one of the two is not known."""
        (items,), (own, last) = numbers, asked
        unknown = (last < 0) | ((own < 0) & (items == 0))
        return np.where(unknown, np.nan, (own == last).astype(np.float64))


@dataclass(frozen=True, config=FROZEN)
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
    def told(self) -> Told:
        """What the catalogue says."""
        return Told(
            meaning=f"`{self.attribute}` of the item",
            formula=f"items.{self.attribute}",
            missing="missing where it is empty or the item is not in the table",
        )

    @property
    def asks(self) -> tuple[Ask, ...]:
        """The number."""
        return (Stated(self.attribute),)

    @property
    def numbers(self) -> tuple[float, ...]:
        """None."""
        return ()

    @staticmethod
    def formula(numbers: Sequence[Floats], *asked: Answer) -> Floats:
        """Give the number."""
        return asked[0].astype(np.float64, copy=False)


Uncounted = HoursSince | Pace | Same | Age | Number
"""Declarations that add up nothing."""
