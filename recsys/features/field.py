"""Where candidates stand in the field of all items: what the sources of candidates rank by, for whatever is asked."""

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from recsys.features.columns import FACTORS, RECENT_PLACE, field_columns, popular_columns
from recsys.past.clicks import FADES, READ, UNIT
from recsys.past.factors import Factors
from recsys.past.field import GRID, Covisits, Popularity, refreshed
from recsys.past.streams import Ints, pick

if TYPE_CHECKING:
    from recsys.features.settings import FeatureSettings
    from recsys.past.log import Log
    from recsys.past.lookup import Asked

Floats = npt.NDArray[np.float64]

_AT_ONCE = 2_000
"""Requests whose neighbours are gathered at once; any other number gives the same answers."""

REFERENCES = 20
"""So many items of the field, at most, every candidate is compared with instead of its list."""


def half_lives(settings: "FeatureSettings") -> tuple[timedelta, ...]:
    """Give after which ages a click counts half in the field: a sixteenth of the longest window to four times it."""
    longest = max((*settings.windows, timedelta(days=1)))
    return tuple(timedelta(seconds=longest * times // timedelta(seconds=16)) for times in (1, 4, 16, 64))


def usual_half_life(settings: "FeatureSettings") -> timedelta:
    """Give the one that serves where nothing says which is better: the longest window."""
    return half_lives(settings)[2]


class Field(NamedTuple):
    """The field at one moment.

    Attributes
    ----------
    popular
        Says how popular items are by one of `half_lives`.
    covisited
        What stands beside what.
    factors
        Gives the factors of items; only who asks needs the extra.
    """

    popular: Callable[[timedelta], Popularity]
    covisited: Covisits
    factors: Callable[[], Factors]


def fields_of(log: "Log", as_of: Ints, settings: "FeatureSettings") -> Iterator[tuple[Field, Ints]]:
    """Give the field that each moment knows, the earliest first, and which of the moments know it.

    How popular items are is counted anew after a twelfth of the half-life, in whole hours; which stand beside each
    other once a day, or where a hundredth of the half-life is longer, after so many whole days; factors once a day or
    after a twentieth.
    """
    lives, zone, daily = half_lives(settings), log.time.zone, log.time.freshness != "live"
    hour, day = timedelta(hours=1), timedelta(days=1)
    steps = [max(1, life // (12 * hour)) * hour for life in lives]
    steps += [max(1, lives[-1].days // times) * day for times in (100, 20)]
    cuts = np.stack([refreshed(as_of, every, zone, daily) for every in steps])
    moments, which = np.unique(cuts, axis=1, return_inverse=True)
    order = np.argsort(which, kind="stable")
    begins = np.searchsorted(which[order], np.arange(moments.shape[1]))
    for (*popular, beside, factored), rows in zip(moments.T.tolist(), np.split(order, begins)[1:], strict=True):
        yield (
            Field(
                partial(_popularity, log, dict(zip(lives, popular, strict=True))),
                log.fields.of(log, Covisits, beside, lives[-1]),
                partial(log.fields.of, log, Factors, factored, lives[-1]),
            ),
            rows,
        )


def _popularity(log: "Log", cuts: Mapping[timedelta, int], half_life: timedelta) -> Popularity:
    return log.fields.of(log, Popularity, cuts[half_life], half_life)


def field_values(asked: "Asked", settings: "FeatureSettings") -> Mapping[str, Floats]:
    """Compute the columns of `field_columns` and, where they are asked for, `FACTORS`, each of shape [Q]."""
    rows, first, lengths = asked.rows, asked.starts[:-1], asked.lengths
    names = [*field_columns(half_lives(settings)), *(FACTORS if "factors" in settings.families else ())]
    found = {name: np.full(len(rows.as_of), np.nan) for name in names}
    users, as_of = rows.codes["user"][first], rows.as_of[first]
    for field, requests in fields_of(asked.log, as_of, settings):
        for start in range(0, len(requests), _AT_ONCE):
            some = requests[start : start + _AT_ONCE]
            many = lengths[some]
            which = np.repeat(np.arange(len(some)), many)
            places = np.arange(len(which)) - np.repeat(np.cumsum(many) - many, many) + np.repeat(first[some], many)
            items = rows.codes["item"][places]
            history = asked.log.last_clicks(users[some], as_of[some], READ)[0]
            values = _in_field(field, half_lives(settings), items, which, history)
            if "factors" in settings.families:
                values |= _by_factors(field.factors(), items, which, history)
            for name, of in values.items():
                found[name][places] = of
    return found | {RECENT_PLACE: _recent_places(asked)}


def _in_field(field: Field, lives: tuple[timedelta, ...], items: Ints, which: Ints, history: Ints) -> dict[str, Floats]:
    """Look up items of some users; an item that came after the field was counted has no click in it."""
    count = len(field.covisited.order)
    inside = np.where((items >= 0) & (items < count), items, count)
    scores, places = field.covisited.find(history)
    entries = np.repeat(np.arange(len(history)), np.diff(scores.indptr)) * count + scores.indices
    wanted = which * count + inside
    at = np.searchsorted(entries, wanted)
    known = (pick(entries, at, -1) == wanted) & (inside < count)
    nobody = np.all(history < 0, axis=1, keepdims=True)[which, 0]
    covisited = np.where(known, pick(scores.data, at, 0) / (FADES * GRID), 0.0)
    found = {
        "covisited": np.where(nobody, np.nan, covisited),
        "covisited_place": np.where(known, pick(places, at, 0), np.nan),
    }
    for life in lives:
        popular = field.popular(life)
        count = len(popular.order)
        inside = np.where((items >= 0) & (items < count), items, count)
        clicks = pick(popular.clicks, inside, 0)
        place = np.where(clicks > 0, pick(popular.places, inside, 0), np.nan)
        found |= dict(zip(popular_columns(life), (clicks / UNIT, place), strict=True))
    return found


def _by_factors(factors: Factors, items: Ints, which: Ints, history: Ints) -> dict[str, Floats]:
    """Look up how well items of some users match, and their place among all that have factors."""
    column = pick(factors.column, np.where((items >= 0) & (items < len(factors.column)), items, -1), -1)
    matches, places = np.full(len(items), np.nan), np.full(len(items), np.nan)
    for some, scores in factors.match(history):
        ascending = np.sort(scores, axis=1)
        for user in range(len(scores)):
            begin, end = np.searchsorted(which, [some.start + user, some.start + user + 1])
            own = begin + np.flatnonzero(column[begin:end] >= 0)
            matches[own] = scores[user, column[own]]
            places[own] = scores.shape[1] - np.searchsorted(ascending[user], matches[own], side="right") + 1.0
    return {"factors": matches, "factors_place": np.where(np.isnan(matches), np.nan, places)}


def _recent_places(asked: "Asked") -> Floats:
    """Count the items that came out after each candidate and by its request, and one."""
    register, rows = asked.log.register, asked.rows
    out = pick(register.out_at, rows.codes["item"], np.inf)
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
        clicked = field.popular(usual_half_life(settings)).ranked
        if len(clicked):
            places = np.unique(np.rint(np.geomspace(1, len(clicked), REFERENCES)).astype(np.int64)) - 1
            found[requests, : len(places)] = clicked[places]
    return found
