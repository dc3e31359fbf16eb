"""Columns of the feature table that no declaration computes: what texts, the request and the tables say."""

import re
from collections.abc import Iterable
from datetime import timedelta

from recsys.data.clock import format_duration
from recsys.features.feature import Told
from recsys.past.streams import Per

Described = tuple[Per, Told]
"""Key columns, as of a declaration (a column per request is alike in its whole list), and what the catalogue says."""

COMPARISONS = {
    "rank": "place in its list, 1 = largest, equal values share their mean place; missing where the value is",
    "share": "part of the sum of its list, where values below 0 count as 0; of the family text, part of the sum of "
    "exp(value); missing where the value is, or the sum is not above 0",
    "gap": "value less the largest of its list, at most 0; missing where the value is",
}
"""How a feature that differs within a list is compared in it, see `recsys.features.within_list.WithinList`."""

DEVIATION = {
    "deviation": "how many standard deviations of its list it lies above the mean of it; 0 where all are alike, "
    "missing where the value is"
}
"""One more comparison, where `[features] deviations` asks for it."""

_UNKNOWN = "missing where the item has no text vector"
_NO_CLICK = f"{_UNKNOWN}, or no click of the user is known"

SIGNALS: dict[str, Described] = {
    "interest": (
        ("user", "item"),
        Told(
            "how well the text matches the user's last clicks",
            "sum over interests of scale * sum over clicks of attention * (text . click)",
            _NO_CLICK,
        ),
    ),
    "appeal": (
        ("item",),
        Told("how much the text attracts anybody", "linear in the text", _UNKNOWN),
    ),
    "text_score": (
        ("user", "item"),
        Told(
            "what the encoder alone would order by",
            "appeal + interest + query_scale * query_match",
            f"{_UNKNOWN}; where interest or query_match is missing, the sum goes without it",
        ),
    ),
    "nearest_click": (
        ("user", "item"),
        Told(
            "how near the text is to the nearest of the user's last clicks", "max over clicks(text . click)", _NO_CLICK
        ),
    ),
    "last_click": (
        ("user", "item"),
        Told("how near the text is to the user's last click: the same story?", "text . last click", _NO_CLICK),
    ),
    "query_match": (
        ("request", "item"),
        Told(
            "how near the text is to the request's own text",
            "text . request text",
            f"{_UNKNOWN}, or the request has no text",
        ),
    ),
}
"""Text signals, see `recsys.vectors.signals.TextSignals`."""

_NEIGHBOUR_RATE = "(clicks of neighbours + prior * rate of everything) / (showings of neighbours + prior)"
_NEVER_SHOWN = (
    "the rate of everything where no neighbour was shown, or `available_at` is null and so there is none; missing as "
    "long as nothing was ever shown"
)

NEIGHBOURS: dict[str, Described] = {
    "neighbour_click_rate": (
        ("item",),
        Told("click rate so far of the older items with the nearest texts", _NEIGHBOUR_RATE, _NEVER_SHOWN),
    ),
    "neighbour_click_rate_recent": (
        ("item",),
        Told(
            "click rate in the longest window of the older items with the nearest texts", _NEIGHBOUR_RATE, _NEVER_SHOWN
        ),
    ),
    "neighbour_similarity": (
        ("item",),
        Told(
            "how near the nearest text of an older item is",
            "text . nearest older text",
            "missing without such an item, or where `available_at` is null",
        ),
    ),
}
"""Text neighbours, see `recsys.features.plan.neighbour_signals`."""

RECENT_PLACE = "recent_place"

_FIELD: dict[str, Described] = {
    "covisited": (
        ("user", "item"),
        Told(
            "how much the item was chosen beside what the user clicked last, by all users",
            "sum over the user's last clicks of 0.9 ^ place * pairs / (clicks * clicks) ^ (1/3)",
            "missing where no click of the user is known; 0 without a pair",
        ),
    ),
    "covisited_place": (
        ("user", "item"),
        Told("its place by that in the whole field", "1 = largest", "missing without a pair"),
    ),
    RECENT_PLACE: (
        ("item",),
        Told(
            "how many items came out after it until the request, and one",
            "1 + count(items out in (available_at, timestamp])",
            "missing where `available_at` is null",
        ),
    ),
}


def popular_columns(half_life: timedelta) -> tuple[str, str]:
    """Name how popular an item is by clicks that count half after some age, and its place by that."""
    written = format_duration(half_life)
    return f"popular_{written}", f"popular_{written}_place"


def field_columns(half_lives: Iterable[timedelta]) -> dict[str, Described]:
    """Describe where a candidate stands in the field of all items, see `recsys.features.field`."""
    found: dict[str, Described] = {}
    for life in half_lives:
        written, (value, place) = format_duration(life), popular_columns(life)
        popular = Told(
            f"how popular the item was when that was counted last: clicks, which count half after {written}",
            f"sum over clicks of 2 ^ -(age / {written})",
            "0 without a click",
        )
        placed = Told(f"its place by `{value}` among all items", "1 = largest", f"missing where `{value}` is 0")
        found |= {value: (("item",), popular), place: (("item",), placed)}
    return found | _FIELD


_UNFACTORED = "missing where no click on it, or of the user on what has factors, was known then"

FACTORS: dict[str, Described] = {
    "factors": (
        ("user", "item"),
        Told(
            "how well the item matches the user's last clicks by factors of the matrix of users and items",
            "factors(user) . factors(item), by alternating least squares",
            _UNFACTORED,
        ),
    ),
    "factors_place": (
        ("user", "item"),
        Told("its place by that among all items with factors", "1 = largest", _UNFACTORED),
    ),
}
"""What factors say of a candidate, see `recsys.past.factors`."""

BESIDE_FIELD = {
    "rank": "how many of some 20 items of the field, from the most popular to the least, have a larger value, and one; "
    "equal ones count one half; missing where the value is",
    "share": "part of the sum of these and the value, where values below 0 count as 0; of the family text, part of the "
    "sum of exp(value); missing where the value is, or the sum is not above 0",
    "gap": "value less the largest of these; missing where the value is, or all of these are",
}
"""The same where `[features] compared` says that the field and not the list is what candidates are compared with."""

DEVIATION_BESIDE_FIELD = {
    "deviation": "how many standard deviations of these it lies above their mean; 0 where all are alike, missing where "
    "the value is, or all of these are"
}
"""And what one more comparison is there."""

REQUEST: dict[str, Described] = {
    "list_size": (("request",), Told("how many candidates the request has", "count(candidates)", "never missing")),
    "hour": (
        ("request",),
        Told("hour of the day, 0 to 23, in the zone of the daily cut", "hour(timestamp)", "never missing"),
    ),
    "weekday": (
        ("request",),
        Told("day of the week, 1 = Monday, in the zone of the daily cut", "weekday(timestamp)", "never missing"),
    ),
}
"""What a request says by itself."""


def score_column(name: str) -> Described:
    """Describe a column of `FeatureSettings.scores`."""
    told = Told(
        f"`{name}` of the candidate, as given with the request", f"requests.{name}", "missing where it is empty"
    )
    return (("request", "item"), told)


def item_column(name: str) -> Described:
    """Describe a column of `FeatureSettings.affinity` as a category."""
    missing = "missing where it is empty or the item is not in the table"
    return (("item",), Told(f"`{name}` of the item, a category", f"items.{name}", missing))


def user_column(name: str) -> Described:
    """Describe a column of `FeatureSettings.users` as a category."""
    missing = "missing where it is empty or the user is not in the table"
    return (("user",), Told(f"`{name}` of the user, a category", f"users.{name}", missing))


def context_column(name: str) -> Described:
    """Describe a column of `FeatureSettings.context`."""
    meaning = f"`{name}` of the request, a category, or a number where it holds floats"
    return (("request",), Told(meaning, f"requests.{name}", "missing where it is empty"))


def with_comparisons(name: str, deviations: bool = False) -> tuple[str, ...]:
    """Name a column and how it is compared within its list, by deviations from the mean only where asked for."""
    return (name, *(f"{name}_{comparison}" for comparison in (*COMPARISONS, *(DEVIATION if deviations else ()))))


TEXT_COLUMNS = tuple(column for name in (*SIGNALS, *NEIGHBOURS) for column in with_comparisons(name))
"""The columns that come from texts in every table."""

FROM_TEXTS = tuple(column for name in (*SIGNALS, *NEIGHBOURS) for column in with_comparisons(name, deviations=True))
"""All that may; `behaviour` alone is the ranker without them."""


def plain_name(name: str) -> str:
    """Write a name as LightGBM keeps it: letters, digits and underscores; no spaces and no signs that JSON uses."""
    return re.sub(r"\W", "_", name)
