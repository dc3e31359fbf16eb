"""Which behavioural features are computed: families of declarations, and declarations of one's own."""

from collections.abc import Callable
from datetime import timedelta
from difflib import get_close_matches
from functools import lru_cache
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from recsys.data.clock import Duration, format_duration
from recsys.features.definitions import SKIP, Count, Counted, Lift, Mean, Rate, Share, Trend
from recsys.features.feature import Feature
from recsys.features.moments import Age, HoursSince, Number, Pace, Same, Uncounted
from recsys.past.behaviour import Kept
from recsys.past.streams import CLICK, LAST, OUTCOME, SHOWING, Per
from recsys.schema import KNOWN_AT

Declaration = Annotated[Counted | Uncounted, Field(discriminator="kind")]
"""A feature that settings can hold and a model folder can record."""

Family = Literal[
    "popularity",
    "trend",
    "freshness",
    "activity",
    "affinity",
    "exposure",
    "transitions",
    "context",
    "values",
    "field",
    "factors",
]
FAMILIES: tuple[Family, ...] = get_args(Family)
FOR_LOGGED, FOR_MADE = FAMILIES[:-2], FAMILIES[:-1]
"""What lists that were shown are ranked by; those that candidate sources make need where items stand in the field."""

_ITEM, _USER, _BOTH = ("item",), ("user",), ("user", "item")

_ROW = ("user", "item", "request_id", "user_id", "item_id", "timestamp")
_TAKEN = {
    "affinity": (*_ROW, "available_at", KNOWN_AT),
    "numbers": (*_ROW, "available_at", KNOWN_AT),
    "users": (*_ROW, KNOWN_AT),
    "context": _ROW,
    "scores": _ROW,
    "events": (CLICK, SHOWING, OUTCOME, SKIP),
    "values": (SHOWING, OUTCOME, SKIP),
}
"""Names that mean something else where features are computed."""


class FeatureSettings(BaseModel):
    """The families of behavioural features, and what they are made of.

    Attributes
    ----------
    families
        Which of them; each is told under the settings; `recsys features` writes a page of what they hold. `"field"`,
        which says where items stand among all there are, is for lists that candidate sources make; `"factors"` goes
        with the source of that name.
    compared
        What a candidate is compared with: `"list"`, the others of its list, or `"field"`, some items of the whole
        field, the same whatever is asked beside it, so that short and long lists have features alike.
    deviations
        Whether it is also told how many standard deviations a candidate lies above the mean of those.
    windows
        How far back counts and rates look, beside without limit; ascending.
    horizon
        How far back what has no window counts, such as 90d: rows since the midnight before `as_of` less so much, so
        that "since the first" is since the first of these; at least the longest window, and a day. Without limit when
        left out. What users read last (the history of texts, `last_*` keys) is not bounded by it, nor is the field,
        whose clicks fade; an outcome counts as long as its showing.
    affinity
        Item columns for which user affinities and rates are computed; also categories of their own.
    numbers
        Item columns that are numbers, such as a price.
    users
        User columns that are categories, such as an age group; also keys for rates of items among such users.
    events
        Event kinds beside `click` that are counted per item.
    values
        Event kinds, `click` perhaps among them, whose `value` counts, such as the seconds read.
    context
        Columns of requests that are categories known before the list is shown, such as the device; also keys for rates
        of items under them.
    scores
        Columns of requests that are numbers known before the list is shown, such as the score of a retrieval.
    vouched
        Columns that look like leaks and are used all the same, `item_id` and computed features among them: you say that
        they are known before the list is shown. Where that is wrong, every figure of the model is too good and the
        ranker fails where it serves. What an importer declares to be recorded after the list is refused nevertheless.
    prior
        Strength of the wider rate in smoothed rates, in showings.
    declarations
        Features of your own; in Python such as `Count("like", ("user", "category"), "7d")`.
    without
        Features of the families that are left out, by their names, and with each what compares it within its list;
        `recsys tune` finds those that earn nothing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    families: tuple[Family, ...] = FOR_LOGGED
    compared: Literal["list", "field"] = "list"
    deviations: bool = False
    windows: tuple[Duration, ...] = (timedelta(hours=1), timedelta(hours=6), timedelta(days=1))
    horizon: Duration | None = None
    affinity: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    events: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    context: tuple[str, ...] = ()
    scores: tuple[str, ...] = ()
    vouched: tuple[str, ...] = ()
    prior: float = Field(default=20.0, gt=0)
    declarations: tuple[Declaration, ...] = ()
    without: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> "FeatureSettings":
        if list(self.windows) != sorted(set(self.windows)) or timedelta(0) in self.windows:
            written = [format_duration(window) for window in self.windows]
            raise ValueError(f"windows {written} must be above 0s and ascend without a repeat")
        if self.horizon is not None and self.horizon < max(self.longest, timedelta(days=1)):
            longest = format_duration(max(self.longest, timedelta(days=1)))
            raise ValueError(
                f"horizon = {format_duration(self.horizon)} is shorter than {longest}, the longest window, of windows "
                "and declarations, or a day; lengthen it, shorten them, or leave it out"
            )
        for setting, taken in _TAKEN.items():
            names: tuple[str, ...] = getattr(self, setting)
            for name in names:
                if name in taken or name.startswith(LAST):
                    raise ValueError(f"{setting} names {name!r}, which has a meaning of its own here; leave it out")
                if names.count(name) > 1:
                    raise ValueError(f"{setting} names {name!r} more than once")
        for name in self.without:
            if self.without.count(name) > 1:
                raise ValueError(f"without names {name!r} more than once")
        keys = (*self.affinity, *self.users, *self.context)
        for name in keys:
            if keys.count(name) > 1:
                raise ValueError(f"affinity, users and context name {name!r} twice; rename one of the columns")
        for feature in self.declarations:
            self._check_keys(feature)
            self._check_stream(feature)
            _check_parts(feature)
        made = [feature.name for feature in declare(self)]
        for name in made:
            if made.count(name) > 1:
                raise ValueError(f"two declarations are called {name!r}; leave one of them out")
        return self

    @property
    def longest(self) -> timedelta:
        """The longest window of any feature."""
        own = [getattr(each, name, None) for each in self.declarations for name in ("window", "short", "long")]
        return max((*self.windows, *(each for each in own if each is not None)), default=timedelta(0))

    def _check_keys(self, feature: Declaration) -> None:
        """Refuse keys that are no columns, and last clicks of what is no click."""
        known = ["user", "item", *self.affinity, *self.users, *self.context]
        last = [f"{LAST}{name}" for name in ("item", *self.affinity)]
        keys = keys_of(feature)
        for name in keys:
            if name in (*known, *last):
                continue
            near = get_close_matches(name, [*known, *last], n=1)
            raise ValueError(
                f"{feature.name} is kept per {name!r}, which is no key"
                + (f"; did you mean {near[0]!r}?" if near else f"; keys are {', '.join([*known, *last])}.")
                + " Attributes are named in affinity, users or context"
            )
        if any(name in last for name in keys):
            if isinstance(feature, Rate | Lift):
                called = "rate" if isinstance(feature, Rate) else "lift"
                raise ValueError(
                    f"{feature.name} is a {called} per last click, which only clicks have; declare a Share"
                )
            if getattr(feature, "of", CLICK) != CLICK:
                raise ValueError(f"{feature.name} is kept per last click, which only clicks have; count {CLICK!r}")

    def _check_stream(self, feature: Declaration) -> None:
        """Refuse streams that a declaration cannot read, and numbers that are not kept."""
        of = getattr(feature, "of", CLICK)
        if of == SKIP and not isinstance(feature, Count):
            raise ValueError(f"{feature.name} is made of {SKIP!r}, which can only be counted; declare a Count")
        if isinstance(feature, Mean) and of in (SHOWING, OUTCOME):
            raise ValueError(f"{feature.name} is a mean of {of!r}, which has no value; name an event kind")
        if isinstance(feature, HoursSince | Pace) and of == OUTCOME:
            raise ValueError(f"{feature.name} is made of {OUTCOME!r}; name {SHOWING!r}, {CLICK!r} or an event kind")
        if isinstance(feature, Number) and feature.attribute not in self.numbers:
            raise ValueError(f"{feature.name} needs {feature.attribute!r} in numbers, which makes it; name it there")

    @property
    def kept(self) -> Kept:
        """The columns that features are made of."""
        return Kept(self.affinity, self.numbers, self.users, self.context)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Every event kind that a feature counts."""
        own = [getattr(feature, "of", CLICK) for feature in self.declarations]
        return tuple(dict.fromkeys(kind for kind in (*self.events, *self.values, *own) if kind not in _TAKEN["events"]))


def _check_parts(feature: Declaration) -> None:
    """Refuse keys and windows of one declaration that do not go together."""
    for key in (feature.per, getattr(feature, "within", ()), *getattr(feature, "backoff", ())):
        for name in key:
            if key.count(name) > 1:
                raise ValueError(f"{feature.name} names {name!r} twice in one key; name it once")
    if isinstance(feature, Share):
        whole = list(dict.fromkeys((*feature.within, *feature.per)))
        if not set(feature.within) <= set(feature.per):
            raise ValueError(f"{feature.name}: per must hold all of within; did you mean per = {whole}?")
        if len(feature.within) == len(feature.per):
            raise ValueError(f"{feature.name}: per and within are the same key, a share of 1; add a column to per")
    if isinstance(feature, Trend) and feature.short >= feature.long:
        short, long = format_duration(feature.short), format_duration(feature.long)
        raise ValueError(f"{feature.name}: short = {short} must be below long = {long}; swap or change them")


def keys_of(feature: Feature) -> Per:
    """List every key column that a feature reads: its own, those of the whole, and those that it backs off to."""
    return (*feature.per, *getattr(feature, "within", ()), *sum(getattr(feature, "backoff", ()), ()))


@lru_cache(maxsize=16)
def declare(settings: FeatureSettings) -> tuple[Declaration, ...]:
    """List the features that the settings ask for, in the order of the feature table."""
    return tuple(feature for family in declare_families(settings).values() for feature in family)


def declare_families(settings: FeatureSettings) -> dict[str, tuple[Declaration, ...]]:
    """List the same features by family; those of one's own come last, as `declarations`."""
    features: dict[str, tuple[Declaration, ...]] = {
        str(family): tuple(each for each in _FAMILIES[family](settings) if each.name not in settings.without)
        for family in settings.families
    }
    return {**features, "declarations": settings.declarations}


def differs_in_list(per: Per, settings: FeatureSettings) -> bool:
    """Tell whether a feature of these keys differs between the candidates of one request."""
    alike = ("user", *settings.users, *settings.context)
    return any(name not in alike and not name.startswith(LAST) for name in per)


def _popularity(settings: FeatureSettings) -> list[Declaration]:
    """Count how often items, and what they belong to, are shown, clicked and so on."""
    features: list[Declaration] = []
    wider = ((settings.affinity[0],),) if settings.affinity else ()
    for window in (*settings.windows, None):
        features += [Rate(_ITEM, window, settings.prior, wider), Lift(_ITEM, window)]
        features += [Count(of, _ITEM, window) for of in (SHOWING, CLICK, *settings.events)]
    features += [HoursSince(SHOWING, _ITEM), HoursSince(CLICK, _ITEM)]
    for name in settings.affinity:
        features += [Rate((name,), window, settings.prior) for window in (*settings.windows[-1:], None)]
    return features


def _trend(settings: FeatureSettings) -> list[Declaration]:
    """Tell whether items are on the rise."""
    pairs = list(zip(settings.windows, settings.windows[1:], strict=False))
    return [Trend(_ITEM, short, long) for short, long in pairs]


def _freshness(settings: FeatureSettings) -> list[Declaration]:
    """Tell how old items are."""
    return [Age(), *(HoursSince(of, _ITEM, first=True) for of in (SHOWING, CLICK)), *map(Number, settings.numbers)]


def _activity(settings: FeatureSettings) -> list[Declaration]:
    """Tell how much a user does, and how fast."""
    features: list[Declaration] = [
        Rate(_USER, None, settings.prior),
        HoursSince(SHOWING, _USER),
        HoursSince(CLICK, _USER),
    ]
    ends = dict.fromkeys((*settings.windows[:1], *settings.windows[-1:], None))
    features += [Count(of, _USER, window) for of in (SHOWING, CLICK) for window in ends]
    return [*features, HoursSince(CLICK, _USER, first=True), Pace(CLICK, _USER)]


def _affinity(settings: FeatureSettings) -> list[Declaration]:
    """Tell what a user likes: in this session, the shortest window, in the longest one, and ever."""
    features: list[Declaration] = []
    for name in settings.affinity:
        key: Per = ("user", name)
        spans = dict.fromkeys((*settings.windows[:1], *settings.windows[-1:], None))
        features += [Share(key, _USER, window) for window in spans]
        features += [Rate(key, window, settings.prior, ((name,),)) for window in (*settings.windows[-1:], None)]
        features += [Count(CLICK, key), HoursSince(CLICK, key)]
        features += [Count(SKIP, key, window) for window in settings.windows[-1:]]
    return features


def _exposure(settings: FeatureSettings) -> list[Declaration]:
    """Tell whether the user has seen the item, and left it."""
    features: list[Declaration] = [Count(SHOWING, _BOTH, window) for window in (*settings.windows[:1], None)]
    features += [HoursSince(SHOWING, _BOTH), HoursSince(SHOWING, _BOTH, first=True), Count(SKIP, _BOTH)]
    return [*features, Count(CLICK, _BOTH), HoursSince(CLICK, _BOTH)]


def _transitions(settings: FeatureSettings) -> list[Declaration]:
    """Tell what is clicked next after what the user clicked last."""
    features: list[Declaration] = [Count(CLICK, ("last_item", "item"))]
    for name in ("item", *settings.affinity):
        features += [Share((f"{LAST}{name}", name), (f"{LAST}{name}",)), Same(name)]
    for name in settings.affinity:
        last = f"{LAST}{name}"
        features += [Share((last, "item"), (last,), window) for window in (*settings.windows[-1:], None)]
    return features


def _context(settings: FeatureSettings) -> list[Declaration]:
    """Tell how items fare under the context, and among users of the same kind."""
    features: list[Declaration] = []
    for name in (*settings.context, *settings.users):
        for window in (*settings.windows[-1:], None):
            features += [Rate(("item", name), window, settings.prior, (_ITEM,))]
        features += [Count(SHOWING, ("item", name)), *(Share((name, each), (name,)) for each in settings.affinity)]
    return features


def _values(settings: FeatureSettings) -> list[Declaration]:
    """Tell how long, or for how much."""
    features: list[Declaration] = []
    for of in settings.values:
        keys: list[Per] = [_ITEM, _USER, *(("user", name) for name in settings.affinity)]
        features += [Mean(of, key, None, settings.prior) for key in keys]
    return features


def _field(settings: FeatureSettings) -> list[Declaration]:
    """Tell where items stand in the field: how popular, how new, and beside what the user clicked last."""
    return []  # the plan declares its columns


def _factors(settings: FeatureSettings) -> list[Declaration]:
    """Tell how well the item's factors match those of the user's last clicks; needs the extra `factors`."""
    return []  # so are these


_FAMILIES: dict[Family, Callable[[FeatureSettings], list[Declaration]]] = {
    "popularity": _popularity,
    "trend": _trend,
    "freshness": _freshness,
    "activity": _activity,
    "affinity": _affinity,
    "exposure": _exposure,
    "transitions": _transitions,
    "context": _context,
    "values": _values,
    "field": _field,
    "factors": _factors,
}
