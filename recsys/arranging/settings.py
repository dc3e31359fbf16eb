"""Rules of ranked lists, as they are declared."""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from recsys.data.clock import Duration
from recsys.past.streams import SHOWING, Amount
from recsys.schema import KNOWN_AT

Reach = Duration | Literal["always"]
"""How far back a rule looks."""

_OWN = ("user", "item")


class Cap(BaseModel):
    """At most so many items of one value among the first places.

    Attributes
    ----------
    attribute
        A column of items, such as `"category"`; items without a value are not capped.
    most
        How many, at most.
    first
        Among how many of the first places. Where nothing else is left, the list goes on without the cap.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    attribute: str
    most: int = Field(ge=1)
    first: int = Field(default=10, ge=1, le=10_000)


class RuleSettings(BaseModel):
    """What is done to each list after its candidates are scored; in a batch and in `Ranker` alike.

    Attributes
    ----------
    chosen
        Kinds of events, such as `click` or `purchase`, after which an item is left out for the same user, and for how
        long: `{ click = "30d" }`, or `"always"`. A click on a list is a `click`.
    seen
        How long an item that was shown to the user is left out.
    available
        Whether items that are not in the table of items, or not out yet, are left out.
    unavailable
        Values of columns of items, such as `{ stock = [0] }`, whose items are left out.
    fixed
        Places, 1 the first, and the item that stands there where it is a candidate that no other rule leaves out.
    caps
        At most so many items of one value among the first places.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    chosen: dict[str, Reach] = Field(default_factory=dict)
    seen: Reach | None = None
    available: bool = False
    unavailable: dict[str, tuple[str | int | bool, ...]] = Field(default_factory=dict)
    fixed: dict[Annotated[int, Field(ge=1, le=10_000)], int | str] = Field(default_factory=dict)
    caps: tuple[Cap, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> "RuleSettings":
        items = list(self.fixed.values())
        for item in items:
            if items.count(item) > 1:
                places = " and ".join(str(place) for place, of in self.fixed.items() if of == item)
                raise ValueError(f"fixed puts {item!r} at {places}; an item has one place")
        for name in {*self.attributes} & {"item_id", KNOWN_AT, "available_at"}:
            raise ValueError(f"{name!r} is no attribute of items; name a column such as a category")
        return self

    @property
    def asks(self) -> tuple[Amount, ...]:
        """What is read of each candidate: more than nothing of any leaves it out."""
        kinds = {**self.chosen, **({} if self.seen is None else {SHOWING: self.seen})}
        return tuple(
            Amount(kind, _OWN, reach if isinstance(reach, timedelta) else None) for kind, reach in kinds.items()
        )

    @property
    def longest(self) -> timedelta:
        """The longest reach that ends."""
        return max((ask.window for ask in self.asks if ask.window is not None), default=timedelta(0))

    @property
    def attributes(self) -> tuple[str, ...]:
        """The columns of items that are read."""
        return tuple(dict.fromkeys((*self.unavailable, *(cap.attribute for cap in self.caps))))

    def __bool__(self) -> bool:
        """Tell whether there is any rule."""
        return self != RuleSettings()
