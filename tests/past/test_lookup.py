from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from recsys.data.clock import TimeSettings, parse_duration
from recsys.data.tables import TIME, Dataset
from recsys.past.behaviour import Behaviour, Kept, known_events
from recsys.past.log import Log
from recsys.past.lookup import Lookup

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def tools_events(tools, rows):
    return known_events(tools.events(rows))


def make_lookup(tools, asked, **time):
    """Item 1 was clicked by user 1 two and three hours before noon and is out since nine o'clock."""
    items = pl.DataFrame(
        {"item_id": [1, 2], "available_at": [NOON - 3 * HOUR, None]}, schema_overrides={"available_at": TIME}
    )
    events = tools.events([(1, 1, "click", NOON - hours * HOUR, timedelta(0)) for hours in (3, 2)])
    log = Log(Behaviour.of(Dataset(items, events, tools.showings([])), Kept()), TimeSettings(**time))
    rows = pl.DataFrame(asked, schema={"user_id": pl.Int64, "item_id": pl.Int64, "timestamp": TIME}, orient="row")
    return Lookup(log, log.rows(rows))


def test_a_window_holds_its_first_moment_and_not_as_of(tools):
    lookup = make_lookup(tools, [(1, 1, NOON), (1, 1, NOON - 2 * HOUR), (1, 2, NOON), (9, 9, NOON)])
    per = ("user", "item")
    assert lookup.amounts("click", per, None)[0].tolist() == [2, 1, 0, 0]
    assert lookup.amounts("click", per, 2 * HOUR)[0].tolist() == [1, 1, 0, 0]
    assert lookup.amounts("click", per, 2 * HOUR - timedelta(seconds=1))[0].tolist() == [0, 1, 0, 0]
    assert lookup.amounts("click", per, 1 * HOUR)[0].tolist() == [0, 1, 0, 0]
    assert lookup.amounts("click", (), None)[0].tolist() == [2, 1, 2, 2]


def test_the_longest_window_that_can_be_written_is_as_good_as_none(tools):
    lookup = make_lookup(tools, [(1, 1, NOON)])
    assert lookup.amounts("click", ("user",), parse_duration("99999999d"))[0].tolist() == [2]


def test_hours_since_the_last_row_that_is_known(tools):
    lookup = make_lookup(tools, [(1, 1, NOON), (1, 1, NOON - 2 * HOUR), (1, 1, NOON - 3 * HOUR), (9, 1, NOON)])
    np.testing.assert_array_equal(lookup.hours_since("click", ("user",)), [2, 1, np.nan, np.nan])
    np.testing.assert_array_equal(lookup.hours_since("click", ("user",), first=True), [3, 1, np.nan, np.nan])
    np.testing.assert_array_equal(lookup.hours_since("like", ("user",)), [np.nan] * 4)


def test_candidates_have_the_keys_of_their_users_last_click(tools):
    lookup = make_lookup(tools, [(1, 2, NOON), (1, 1, NOON - 3 * HOUR), (9, 1, NOON), (1, 9, NOON - 2 * HOUR)])
    assert lookup.codes["last_item"].tolist() == [0, -1, -1, 0]
    assert lookup.codes["item"].tolist() == [1, 0, 0, -1]
    assert lookup.amounts("click", ("last_item",), None)[0].tolist() == [1, 0, 0, 0]


def test_the_amounts_of_a_log_are_those_of_its_layers_together(tools):
    log = make_lookup(tools, []).log
    tail = replace(log.behaviour, events=tools_events(tools, [(1, 1, "click", NOON - HOUR, timedelta(0), 2.5)]))
    whole = log.with_tail(tail)
    rows = pl.DataFrame({"user_id": [1, 1], "item_id": [1, 2], "timestamp": [NOON, NOON]}).cast({"timestamp": TIME})
    lookup = Lookup(whole, whole.rows(rows))
    assert lookup.amounts("click", ("item",), None).tolist() == [[3, 0], [2560, 0], [1, 0]]
    assert lookup.amounts("click", ("item",), 2 * HOUR).tolist() == [[2, 0], [2560, 0], [1, 0]]
    assert lookup.hours_since("click", ("item",))[0] == 1
    assert lookup.hours_since("click", ("item",), first=True)[0] == 3


def test_features_asked_of_nobody_build_the_counters(tools):
    log = make_lookup(tools, []).log
    for per in (("user",), ("last_item", "item"), ()):
        assert Lookup.of_nobody(log).amounts("click", per, HOUR).shape == (3, 0)
        assert ("click", per) in log.layers[0]._counters


def test_the_age_of_an_item_counts_to_the_request_under_either_freshness(tools):
    asked = [(1, 1, NOON), (1, 1, NOON - 4 * HOUR), (1, 2, NOON), (1, 9, NOON)]
    for freshness in ("live", "1d"):
        found = make_lookup(tools, asked, freshness=freshness).hours_since_available()
        np.testing.assert_array_equal(found, [3, -1, np.nan, np.nan])


def test_no_candidates_get_no_answers(tools):
    lookup = make_lookup(tools, [])
    assert lookup.amounts("outcome", ("user",), HOUR).shape == (3, 0)
    assert lookup.hours_since("click", ()).shape == (0,)
    assert lookup.hours_since_available().shape == (0,)
