"""What is tried: the ranker's settings, each in its range, and whole families of features with and without."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from recsys.data.clock import format_duration, parse_duration
from recsys.features.plan import feature_names, plan
from recsys.settings import Settings

Value = str | int | float | bool

FAMILY = "family "
"""What begins the name of a choice whether a family of features is there."""

NEVER = "none"
"""The half-life of those who forget nothing."""

_FRACTION = 1 / 20
"""Largest number of rows in a leaf, as a share of all."""

_HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included; evenly by their logarithms where `log`, whole ones where `whole`."""

    low: float
    high: float
    log: bool = True
    whole: bool = False

    def holds(self, value: object) -> bool:
        """Tell whether it is one of its numbers."""
        kinds = int if self.whole else int | float
        return isinstance(value, kinds) and not isinstance(value, bool) and self.low <= value <= self.high

    def holding(self, value: float) -> "Range":
        """Widen it, so that it holds a value."""
        return Range(min(self.low, value), max(self.high, value), self.log and value > 0, self.whole)


@dataclass(frozen=True)
class OneOf:
    """Some values without an order."""

    values: tuple[Value, ...]

    def holds(self, value: object) -> bool:
        """Tell whether it is one of them."""
        return any(type(each) is type(value) and each == value for each in self.values)


Space = Mapping[str, Range | OneOf]


def space_of(settings: Settings, rows: int, span: timedelta) -> Space:
    """Say what is tried.

    Parameters
    ----------
    settings
        Where it starts: each range holds their values.
    rows
        How many rows trees learn from.
    span
        How long the window is that they learn from.
    """
    ranges = {
        "learning_rate": Range(0.01, 0.2),
        "leaves": Range(4, 127, whole=True),
        "rows_per_leaf": Range(10, max(20, int(rows * _FRACTION)), whole=True),
        "feature_fraction": Range(0.1, 1.0, log=False),
        "row_fraction": Range(0.4, 1.0, log=False),
        "l2": Range(0.1, 1000.0),
        "truncation": Range(5, 60, whole=True),
    }
    space: dict[str, Range | OneOf] = {
        name: each.holding(getattr(settings.ranker, name)) for name, each in ranges.items()
    }
    objectives = ["lambdarank", "rank_xendcg"]
    if settings.ranker.position_bias in {"examination", "additive"}:  # which do not go with it
        objectives.remove("rank_xendcg")
    space["objective"] = OneOf(tuple(dict.fromkeys((*objectives, settings.ranker.objective))))
    hours = [max(1, round(span / _HOUR / share)) for share in (1, 3, 9)]
    lives = dict.fromkeys(format_duration(hour * _HOUR) for hour in hours)
    space["half_life"] = OneOf(tuple(dict.fromkeys((NEVER, *lives, _half_life(settings)))))
    if len(settings.features.families) > 1:
        space |= {f"{FAMILY}{family}": OneOf((True, False)) for family in settings.features.families}
    return space


def start_of(settings: Settings, space: Space) -> dict[str, Value]:
    """Give the values that settings have now."""
    start: dict[str, Value] = {
        name: getattr(settings.ranker, name) for name in space if not name.startswith(FAMILY) and name != "half_life"
    }
    start["half_life"] = _half_life(settings)
    return start | {name: True for name in space if name.startswith(FAMILY)}


def applied(settings: Settings, values: Mapping[str, Value]) -> Settings:
    """Put values into settings, numbers rounded to three figures: nobody needs more."""
    lived = str(values["half_life"])
    ranker: dict[str, object] = {
        name: float(f"{value:.3g}") if isinstance(value, float) else value
        for name, value in values.items()
        if not name.startswith(FAMILY)
    }
    ranker["half_life"] = None if lived == NEVER else parse_duration(lived)
    families = tuple(name for name in settings.features.families if values.get(f"{FAMILY}{name}", True))
    features = settings.features.model_copy(update={"families": families, "without": ()})
    known = {column.name for column in plan(features)}
    without = tuple(name for name in settings.features.without if name in known)
    features = features.model_copy(update={"without": without})
    gone = set(feature_names(settings.features)) - set(feature_names(features))
    vouched = tuple(name for name in features.vouched if name not in gone)
    ranker["monotone"] = {name: way for name, way in settings.ranker.monotone.items() if name not in gone}
    return settings.model_copy(
        update={
            "ranker": settings.ranker.model_copy(update=ranker),
            "features": features.model_copy(update={"vouched": vouched}),
        }
    )


def _half_life(settings: Settings) -> str:
    lived = settings.ranker.half_life
    return NEVER if lived is None else format_duration(lived)
