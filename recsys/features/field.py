"""Where candidates stand in the field of all items: what the sources of candidates rank by, for whatever is asked."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from recsys.past.counters import Ints
from recsys.past.field import GRID, READ, UNIT, Field, field_at, refreshed

if TYPE_CHECKING:
    from recsys.features.settings import FeatureSettings
    from recsys.past.log import Log
    from recsys.past.lookup import Asked

Floats = npt.NDArray[np.float64]

_AT_ONCE = 2_000
"""Requests whose neighbours are gathered at once; any other number gives the same answers."""

REFERENCES = 20
"""So many items of the field, at most, every candidate is compared with instead of its list."""


def half_life(settings: "FeatureSettings") -> timedelta:
    """Give after which age a click counts half in the field: four times the longest window."""
    return 4 * max((*settings.windows, timedelta(days=1)))


def fields_of(log: "Log", as_of: Ints, settings: "FeatureSettings") -> Iterator[tuple[Field, Ints]]:
    """Give the field that each moment knows, the earliest first, and which of the moments know it.

    It is counted anew once a day, or where a hundredth of the half-life is longer, after so many whole days.
    """
    every = timedelta(days=max(1, half_life(settings).days // 100))
    cuts = refreshed(as_of, every, log.time.zone, log.time.freshness != "live")
    order = np.argsort(cuts, kind="stable")
    moments, begins = np.unique(cuts[order], return_index=True)
    for cut, rows in zip(moments.tolist(), np.split(order, begins)[1:], strict=True):
        yield field_at(log, cut, half_life(settings)), rows


def field_values(asked: "Asked", settings: "FeatureSettings") -> Mapping[str, Floats]:
    """Compute the columns of `recsys.features.columns.FIELD`, each of shape [Q]."""
    rows, first, lengths = asked.rows, asked.starts[:-1], asked.lengths
    found = {name: np.full(len(rows.as_of), np.nan) for name in ("popular", "popular_place")}
    found |= {name: np.full(len(rows.as_of), np.nan) for name in ("covisited", "covisited_place")}
    users, as_of = rows.codes["user"][first], rows.as_of[first]
    for field, requests in fields_of(asked.log, as_of, settings):
        for start in range(0, len(requests), _AT_ONCE):
            some = requests[start : start + _AT_ONCE]
            many = lengths[some]
            which = np.repeat(np.arange(len(some)), many)
            places = np.arange(len(which)) - np.repeat(np.cumsum(many) - many, many) + np.repeat(first[some], many)
            items = rows.codes["item"][places]
            history = asked.log.last_clicks(users[some], as_of[some], READ)[0]
            for name, values in _in_field(field, items, which, history).items():
                found[name][places] = values
    return found | {"recent_place": _recent_places(asked)}


def _in_field(field: Field, items: Ints, which: Ints, history: Ints) -> dict[str, Floats]:
    """Look up items of some users; an item that came after the field was counted has no click in it."""
    count = len(field.popular)
    inside = np.where((items >= 0) & (items < count), items, count)
    scores, places = field.find(history)
    entries = np.repeat(np.arange(len(history)), np.diff(scores.indptr)) * count + scores.indices
    wanted = which * count + inside
    at = np.searchsorted(entries, wanted)
    known = (np.append(entries, -1)[at] == wanted) & (inside < count)
    nobody = np.all(history < 0, axis=1, keepdims=True)[which, 0]
    covisited = np.where(known, np.append(scores.data, 0)[at] / (UNIT * GRID), 0.0)
    clicks = np.append(field.popular, 0)[inside]
    return {
        "popular": clicks / UNIT,
        "popular_place": np.where(clicks > 0, np.append(field.popular_places, 0)[inside], np.nan),
        "covisited": np.where(nobody, np.nan, covisited),
        "covisited_place": np.where(known, np.append(places, 0)[at], np.nan),
    }


def _recent_places(asked: "Asked") -> Floats:
    """Count the items that came out after each candidate and by its request, and one."""
    register, rows = asked.log.register, asked.rows
    out = np.append(register.out_at, np.inf)[rows.codes["item"]]
    dated = np.sort(register.out_at[np.isfinite(register.out_at)])
    later = np.searchsorted(dated, rows.timestamp, side="right") - np.searchsorted(dated, out, side="right")
    return np.where(np.isfinite(out) & (out <= rows.timestamp), later + 1.0, np.nan)


def references(asked: "Asked", settings: "FeatureSettings") -> Ints:
    """Give the items that candidates are compared with: some of the field, from the most popular to the least.

    They stand at places 1 to the last that was clicked, each about as many times further than the one before, so that
    what is near the top is told apart, and what is far from it, too.

    Returns
    -------
    Item codes for each request, -1 where there are fewer, shape [R, `REFERENCES`].
    """
    as_of = asked.rows.as_of[asked.starts[:-1]]
    found = np.full((len(as_of), REFERENCES), -1)
    for field, requests in fields_of(asked.log, as_of, settings):
        clicked = field.by_popularity
        if len(clicked):
            places = np.unique(np.rint(np.geomspace(1, len(clicked), REFERENCES)).astype(np.int64)) - 1
            found[requests, : len(places)] = clicked[places]
    return found
