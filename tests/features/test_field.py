"""Where candidates stand in the field, held against plain loops."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from recsys.data.clock import TimeSettings
from recsys.data.tables import Dataset
from recsys.features import field as field_module
from recsys.features.columns import popular_columns
from recsys.features.field import REFERENCES, field_values, half_lives, references, usual_half_life
from recsys.features.settings import FeatureSettings
from recsys.model.prepared import behaviour_of
from recsys.past.behaviour import Kept
from recsys.past.clicks import UNIT
from recsys.past.log import Log
from recsys.past.lookup import Asked
from recsys.schema import TIME

NOON = datetime(2024, 3, 10, 12, tzinfo=UTC)
DAY = timedelta(days=1)
SETTINGS = FeatureSettings(windows=("25d",))


def asked_of(tools, clicks, items, candidates, time=None):
    done = [(user, item, "click", NOON - days * DAY, timedelta(0)) for user, item, days in clicks]
    table = pl.DataFrame(
        {"item_id": list(items), "available_at": list(items.values())}, schema_overrides={"available_at": TIME}
    )
    log = Log(behaviour_of(Dataset(table, tools.events(done), tools.showings([])), Kept()), time or TimeSettings())
    rows = [(user, user, item) for user, listed in candidates.items() for item in listed]
    frame = pl.DataFrame(rows, schema=["request_id", "user_id", "item_id"], orient="row")
    return Asked.of(frame.with_columns(timestamp=pl.lit(NOON, TIME)), log)


CLICKS = [(1, 10, 5), (2, 10, 4), (2, 11, 4), (3, 11, 3), (3, 12, 2), (4, 12, 0)]
ITEMS = {10: NOON - 9 * DAY, 11: NOON - 8 * DAY, 12: None, 13: NOON - DAY, 14: NOON + DAY}


def test_half_lives_reach_from_a_sixteenth_of_the_longest_window_to_four_times_it():
    hours = [life / timedelta(hours=1) for life in half_lives(SETTINGS)]
    assert hours == [37.5, 150, 600, 2400]
    assert usual_half_life(SETTINGS) == 25 * DAY
    assert half_lives(FeatureSettings(windows=()))[2] == DAY


def test_quick_popularity_is_counted_anew_within_the_day_and_slow_one_is_not(tools):
    last = NOON.replace(hour=13) - 2 * DAY  # the steps of the quickest are three hours, of the next one twelve
    clicks = [(1, 10, (NOON - last - timedelta(hours=1)) / DAY), (2, 11, 20)]
    asked = asked_of(tools, clicks, ITEMS, {1: [10, 11]})
    asked = Asked.of(asked.candidates.with_columns(timestamp=pl.lit(last + timedelta(hours=4), TIME)), asked.log)
    found = field_values(asked, SETTINGS)
    for life, known in zip(half_lives(SETTINGS), (True, False, False, False), strict=True):
        assert (found[popular_columns(life)[0]] > 0).tolist() == [known, True]
    daily = Log(asked.log.behaviour, TimeSettings(freshness="1d"))
    found = field_values(Asked.of(asked.candidates, daily), SETTINGS)
    assert all((found[popular_columns(life)[0]] > 0).tolist() == [False, True] for life in half_lives(SETTINGS))


def test_places_are_those_of_the_whole_field_whatever_is_asked(tools):
    asked = asked_of(tools, CLICKS, ITEMS, {1: [10, 11, 12, 13, 14, 99], 9: [11]})
    found = field_values(asked, SETTINGS)
    now = datetime(2024, 3, 9, 16, tzinfo=UTC)  # steps of 200 hours, counted from 1970

    def weight(days):
        return round(UNIT * 2 ** -((now - (NOON - days * DAY)) / (100 * DAY))) / UNIT

    popular = [weight(5) + weight(4), weight(4) + weight(3), weight(2), 0, 0, 0, weight(4) + weight(3)]
    assert found["popular_100d"].tolist() == popular
    np.testing.assert_array_equal(found["popular_100d_place"], [2, 1, 3, np.nan, np.nan, np.nan, 1])
    np.testing.assert_array_equal(found["recent_place"], [3, 2, np.nan, 1, np.nan, np.nan, 2])
    assert (found["covisited"][:2] > 0).tolist() == [False, True]  # user 2 clicked 11 beside 10
    np.testing.assert_array_equal(found["covisited_place"], [np.nan, 1, *[np.nan] * 5])
    assert np.isnan(found["covisited"][6])  # nothing is known of user 9
    assert found["covisited"][2:6].tolist() == [0] * 4


def test_any_number_of_requests_at_once_gives_the_same(tools, monkeypatch):
    asked = asked_of(tools, CLICKS, ITEMS, {user: [10, 11, 12] for user in range(1, 7)})
    whole = field_values(asked, SETTINGS)
    monkeypatch.setattr(field_module, "_AT_ONCE", 2)
    for name, values in field_values(asked, SETTINGS).items():
        np.testing.assert_array_equal(values, whole[name])


@pytest.mark.parametrize(("items", "expected"), [(3, [0, 1, 2]), (0, [])])
def test_few_items_are_all_compared_with(tools, items, expected):
    clicks = [(user, 10 + item, 3) for item in range(items) for user in range(5 - item)]
    asked = asked_of(tools, clicks, dict.fromkeys(range(10, 14)), {1: [10], 2: [11]})
    found = references(asked, SETTINGS)
    assert found.shape == (2, REFERENCES)
    for codes in found:
        assert asked.log.items.by_code.gather(codes[codes >= 0]).to_list() == [10 + place for place in expected]


def test_references_lie_close_at_the_top_and_reach_the_last_that_was_clicked(tools):
    clicks = [(user, item, 3) for item in range(1, 101) for user in range(1 + (100 - item) // 10)]
    found = references(asked_of(tools, clicks, dict.fromkeys(range(1, 120)), {1: [5]}), SETTINGS)[0]
    places = (found[found >= 0]).tolist()
    assert places[:3] == [0, 1, 2]
    assert places[-1] == 99
    assert len(places) <= REFERENCES
    assert all(
        later - before <= (last - later) or before < 3
        for before, later, last in zip(places, places[1:], places[2:], strict=False)
    )
