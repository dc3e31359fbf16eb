"""Rules of ranked lists, as they are declared."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from recsys.data.clock import Duration
from recsys.past.streams import SHOWING, Amount
from recsys.schema import KNOWN_AT

Reach = Duration | Literal["always"]
"""How far back a rule looks."""

Value = str | int | bool
"""What an attribute may hold, in a rule."""

_OWN = ("user", "item")
_NO_ATTRIBUTES = ("item_id", "user_id", KNOWN_AT, "available_at")
_DECLARED = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


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

    model_config = _DECLARED

    attribute: str
    most: int = Field(ge=1)
    first: int = Field(default=10, ge=1, le=10_000)


class Boost(BaseModel):
    """Items of some values are ordered as if their scores were higher, or lower.

    Attributes
    ----------
    attribute
        A column of items.
    values
        Values of it.
    by
        What is added to the score that lists are ordered by; below 0 it takes away. The score itself stays.
    """

    model_config = _DECLARED

    attribute: str
    values: tuple[Value, ...] = Field(min_length=1)
    by: float


class Diversity(BaseModel):
    """The first places are filled one after the other, by what is good and unlike those above.

    Attributes
    ----------
    by
        `"mmr"`: marginal relevance, (1 - weight) times the score, 0 for the worst of those among which it is chosen and
        1 for the best, less weight times the likeness, up to 1, to the nearest item above; `"dpp"`: the likeliest set
        of a determinantal point process, filled greedily: (1 - weight) times the sum of such scores and weight times
        log det of likenesses; `"calibrated"`: values of an attribute as often as in the user's last 20 clicks.
    over
        What items are like: `"text"`, by their vectors, or a column of items, by its value; `"calibrated"` needs one.
    weight
        How much that counts against the score, from 0, nothing, to 1.
    first
        How many places are filled so; the rest keeps its order.
    among
        Among how many of the best candidates.
    """

    model_config = _DECLARED

    by: Literal["mmr", "dpp", "calibrated"] = "mmr"
    over: str = "text"
    weight: float = Field(default=0.3, ge=0, le=1)
    first: int = Field(default=10, ge=1, le=1_000)
    among: int = Field(default=100, ge=2, le=10_000)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.by == "calibrated" and self.over == "text":
            raise ValueError('by = "calibrated" counts values; name a column of items in over, such as a category')
        if self.among < self.first:
            raise ValueError(f"among = {self.among} is less than first = {self.first}; choose among at least as many")
        return self


class Exploration(BaseModel):
    """Some places are left to chance, so that what nobody has seen can be learnt; their probabilities are written down.

    Attributes
    ----------
    by
        `"epsilon"`: at each place, with probability `epsilon`, any of the candidates that are left, all alike;
        `"plackett_luce"`: one of those that are left by softmax of score, boosts included, / `temperature`, which
        goes with no diversity; `"none"`: the best.
    epsilon
        See there.
    temperature
        In units of the score; the larger, the more is left to chance.
    first
        How many places are left to chance; the rest keeps its order.
    new_place
        A place, 1 the first and also beyond `first`, that goes to an item that came out lately and that no cap holds
        back, all of those alike; none when left out.
    new_within
        How lately.
    seed
        Starts every draw; the same seed, request and moment give the same list.
    """

    model_config = _DECLARED

    by: Literal["epsilon", "plackett_luce", "none"] = "epsilon"
    epsilon: float = Field(default=0.05, ge=0, le=1)
    temperature: float = Field(default=0.1, gt=0)
    first: int = Field(default=10, ge=1, le=1_000)
    new_place: int | None = Field(default=None, ge=1, le=1_000)
    new_within: Duration = timedelta(days=1)
    seed: int = Field(default=0, ge=0, lt=2**31)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.by == "none" and self.new_place is None:
            raise ValueError('by = "none" leaves nothing to chance; name a new_place, or leave exploration out')
        return self


class ListRules(BaseModel):
    """Rules of lists that may hold for all users, or for some.

    Attributes
    ----------
    chosen
        Kinds of events, such as `click` or `purchase`, after which an item is left out for the same user, and for how
        long: `{ click = "30d" }`, or `"always"`. A click on a list is a `click`.
    seen
        How long an item that was shown to the user is left out.
    available
        Whether items that are not in the table of items, or not out yet, are left out.
    newest
        How long after it came out an item may be listed; of which that is not known, it may.
    unavailable
        Values of columns of items, such as `{ stock = [0] }`, whose items are left out.
    boosts
        What is added to the score that lists are ordered by, for items of some values.
    fixed
        Places, 1 the first, and the item that stands there, with probability 1, where it is a candidate that no other
        rule leaves out. Where two segments fix items to one place, the one of the highest score has it; what is fixed
        for all may not be fixed otherwise for some.
    caps
        At most so many items of one value among the first places.
    """

    model_config = _DECLARED

    chosen: dict[str, Reach] = Field(default_factory=dict)
    seen: Reach | None = None
    available: bool = False
    newest: Duration | None = None
    unavailable: dict[str, tuple[Value, ...]] = Field(default_factory=dict)
    boosts: tuple[Boost, ...] = ()
    fixed: dict[Annotated[int, Field(ge=1, le=10_000)], int | str] = Field(default_factory=dict)
    caps: tuple[Cap, ...] = ()

    @model_validator(mode="after")
    def _check_rules(self) -> Self:
        items = [*map(str, self.fixed.values())]
        for item in self.fixed.values():
            if items.count(str(item)) > 1:
                places = " and ".join(str(place) for place, of in self.fixed.items() if str(of) == str(item))
                raise ValueError(f"fixed puts {item!r} at {places}; an item has one place")
        for boost in self.boosts:
            for value in boost.values:
                if value in self.unavailable.get(boost.attribute, ()):
                    raise ValueError(
                        f"boosts name {value!r} of {boost.attribute!r}, which unavailable leaves out; one of them is "
                        "not meant"
                    )
        return self

    @property
    def leaves_out(self) -> bool:
        """Whether candidates are left out."""
        return bool(self.own_asks or self.available or self.newest is not None or self.unavailable)

    @property
    def own_asks(self) -> tuple[Amount, ...]:
        """What is read of each candidate: more than nothing of any leaves it out."""
        kinds = {**self.chosen, **({} if self.seen is None else {SHOWING: self.seen})}
        return tuple(
            Amount(kind, _OWN, reach if isinstance(reach, timedelta) else None) for kind, reach in kinds.items()
        )

    @property
    def own_attributes(self) -> tuple[str, ...]:
        """The columns of items that are read."""
        boosted, capped = (each.attribute for each in self.boosts), (each.attribute for each in self.caps)
        return tuple(dict.fromkeys((*self.unavailable, *boosted, *capped)))


class Segment(ListRules):
    """Further rules that hold for some users alone.

    Attributes
    ----------
    users
        Columns of users and the values of those whom the rules hold for, such as `{ plan = ["free", "trial"] }`; of
        several columns all must fit.
    """

    users: dict[str, Annotated[tuple[Value, ...], Field(min_length=1)]] = Field(min_length=1)


class RuleSettings(ListRules):
    """What is done to each list after its candidates are scored; in a batch and in `Ranker` alike.

    First candidates are left out, then boosts count, then places are filled for diversity, and last come fixed places,
    caps, and what is left to chance.

    Attributes
    ----------
    segments
        Further rules for some users; those above hold for them, too.
    diversity
        How the first places are kept from being all alike; not at all when left out.
    exploration
        What is left to chance; nothing when left out.
    """

    segments: tuple[Segment, ...] = ()
    diversity: Diversity | None = None
    exploration: Exploration | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        for segment in self.segments:
            for place, item in segment.fixed.items():
                if place in self.fixed and str(self.fixed[place]) != str(item):
                    raise ValueError(
                        f"segments fix {item!r} at place {place}, where fixed has {self.fixed[place]!r}; a place has "
                        "one item"
                    )
                if str(item) in map(str, self.fixed.values()) and str(self.fixed.get(place)) != str(item):
                    raise ValueError(f"segments fix {item!r} at place {place}, and fixed elsewhere; it has one place")
        for name in {*self.attributes, *self.user_attributes} & {*_NO_ATTRIBUTES}:
            raise ValueError(f"{name!r} is no attribute of items or users; name a column such as a category")
        if self.exploration is not None and self.exploration.by == "plackett_luce" and self.diversity is not None:
            raise ValueError(
                'exploration by "plackett_luce" draws by scores alone, which undoes diversity; choose "epsilon", or '
                "leave diversity out"
            )
        return self

    @property
    def of_lists(self) -> Iterator[tuple[ListRules, dict[str, tuple[Value, ...]]]]:
        """Give the rules, and the users whom each hold for: all, where no column is named."""
        yield self, {}
        for segment in self.segments:
            yield segment, segment.users

    @property
    def asks(self) -> tuple[Amount, ...]:
        """What is read of candidates by any rule."""
        return tuple(dict.fromkeys(ask for rules, _ in self.of_lists for ask in rules.own_asks))

    @property
    def longest(self) -> timedelta:
        """The longest reach that ends."""
        return max((ask.window for ask in self.asks if ask.window is not None), default=timedelta(0))

    @property
    def attributes(self) -> tuple[str, ...]:
        """The columns of items that any rule reads."""
        named = [name for rules, _ in self.of_lists for name in rules.own_attributes]
        if self.diversity is not None and self.diversity.over != "text":
            named.append(self.diversity.over)
        return tuple(dict.fromkeys(named))

    @property
    def user_attributes(self) -> tuple[str, ...]:
        """The columns of users that are read."""
        return tuple(dict.fromkeys(name for segment in self.segments for name in segment.users))

    def __bool__(self) -> bool:
        """Tell whether there is any rule."""
        return self != RuleSettings()
