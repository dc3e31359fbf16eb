from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.data.clock import TimeSettings, parse_duration
from recsys.data.tables import Dataset
from recsys.model.prepared import behaviour_of
from recsys.past.behaviour import Kept, known_events
from recsys.past.log import Log
from recsys.past.lookup import Asked, Lookup, cut_requests, request_starts, user_numbers
from recsys.past.reads import Key
from recsys.past.streams import Moment
from recsys.schema import TIME

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
    log = Log(behaviour_of(Dataset(items, events, tools.showings([])), Kept()), TimeSettings(**time))
    rows = pl.DataFrame(asked, schema={"user_id": pl.Int64, "item_id": pl.Int64, "timestamp": TIME}, orient="row")
    return Lookup(log, log.rows(rows))


def test_a_window_holds_its_first_moment_and_not_as_of(tools):
    lookup = make_lookup(tools, [(1, 1, NOON), (1, 1, NOON - 2 * HOUR), (1, 2, NOON), (9, 9, NOON)])
    per = ("user", "item")
    assert lookup.amount("click", per, None).tolist() == [2, 1, 0, 0]
    assert lookup.amount("click", per, 2 * HOUR).tolist() == [1, 1, 0, 0]
    assert lookup.amount("click", per, 2 * HOUR - timedelta(seconds=1)).tolist() == [0, 1, 0, 0]
    assert lookup.amount("click", per, 1 * HOUR).tolist() == [0, 1, 0, 0]
    assert lookup.amount("click", (), None).tolist() == [2, 1, 2, 2]


def test_the_longest_window_that_can_be_written_is_as_good_as_none(tools):
    lookup = make_lookup(tools, [(1, 1, NOON)])
    assert lookup.amount("click", ("user",), parse_duration("99999999d")).tolist() == [2]


def test_hours_since_the_last_row_that_is_known(tools):
    lookup = make_lookup(tools, [(1, 1, NOON), (1, 1, NOON - 2 * HOUR), (1, 1, NOON - 3 * HOUR), (9, 1, NOON)])
    asked = [Moment("click", ("user",)), Moment("click", ("user",), first=True), Moment("like", ("user",))]
    last, first, never = lookup.hours(lookup.read(asked))
    np.testing.assert_array_equal(last, [2, 1, np.nan, np.nan])
    np.testing.assert_array_equal(first, [3, 1, np.nan, np.nan])
    np.testing.assert_array_equal(never, [np.nan] * 4)


def test_candidates_have_the_keys_of_their_users_last_click(tools):
    lookup = make_lookup(tools, [(1, 2, NOON), (1, 1, NOON - 3 * HOUR), (9, 1, NOON), (1, 9, NOON - 2 * HOUR)])
    assert lookup.codes["last_item"].tolist() == [0, -1, -1, 0]
    assert lookup.codes["item"].tolist() == [1, 0, 0, -1]
    assert lookup.amount("click", ("last_item",), None).tolist() == [1, 0, 0, 0]


def test_the_amounts_of_a_log_are_those_of_its_layers_together(tools):
    log = make_lookup(tools, []).log
    tail = replace(log.behaviour, events=tools_events(tools, [(1, 1, "click", NOON - HOUR, timedelta(0), 2.5)]))
    whole = log.with_tail(tail)
    rows = pl.DataFrame({"user_id": [1, 1], "item_id": [1, 2], "timestamp": [NOON, NOON]}).cast({"timestamp": TIME})
    lookup = Lookup(whole, whole.rows(rows))
    for window, clicks in ((None, 3), (2 * HOUR, 2)):
        amounts = [lookup.amount("click", ("item",), window, which).tolist() for which in (0, 1, 2)]
        assert amounts == [[clicks, 0], [2560, 0], [1, 0]]
    moments = lookup.read([Moment("click", ("item",), first) for first in (False, True)])
    assert lookup.hours(moments)[:, 0].tolist() == [1, 3]


def test_features_asked_of_nobody_build_the_counters(tools):
    log = make_lookup(tools, []).log
    for per in (("user",), ("last_item", "item"), ()):
        assert Lookup.of_nobody(log).amount("click", per, HOUR).shape == (0,)
        assert (Key("click", per),) in log.layers[0]._counted


def test_the_age_of_an_item_counts_to_the_request_under_either_freshness(tools):
    asked = [(1, 1, NOON), (1, 1, NOON - 4 * HOUR), (1, 2, NOON), (1, 9, NOON)]
    for freshness in ("live", "1d"):
        found = make_lookup(tools, asked, freshness=freshness).hours_since_available()
        np.testing.assert_array_equal(found, [3, -1, np.nan, np.nan])


def test_no_candidates_get_no_answers(tools):
    lookup = make_lookup(tools, [])
    assert lookup.amount("outcome", ("user",), HOUR, 2).shape == (0,)
    assert lookup.hours(lookup.read([Moment("click", ())])).shape == (1, 0)
    assert lookup.hours_since_available().shape == (0,)


@given(lengths=st.lists(st.integers(1, 6), max_size=12), rows=st.integers(1, 15))
def test_batches_hold_whole_requests(lengths, rows):
    ids = [request for request, length in enumerate(lengths) for _ in range(length)]
    candidates = pl.DataFrame(
        {"request_id": ids, "item_id": range(len(ids))}, schema_overrides={"request_id": pl.Int64}
    )
    starts = request_starts(candidates)
    parts = [candidates[starts[first] : starts[last]] for first, last in cut_requests(starts, rows)]
    assert [row for part in parts for row in part.rows()] == candidates.rows()
    assert all(len(part) >= rows for part in parts[:-1])
    for part in parts:
        last = lengths[part["request_id"][-1]]
        assert part["request_id"].to_list().count(part["request_id"][-1]) == last
        assert len(part) - last < rows


def test_candidates_are_sorted_by_request_and_item(tools):
    rows = pl.DataFrame({"request_id": ["b", "a", "b", "a"], "item_id": [2, 9, 1, 3]})
    asked = Asked.of(rows, make_lookup(tools, []).log)
    assert asked.candidates.rows() == [("a", 3), ("a", 9), ("b", 1), ("b", 2)]
    assert asked.starts.tolist() == [0, 2, 4]
    assert asked.lengths.tolist() == [2, 2]
    assert Asked.of(rows.clear(), asked.log).starts.tolist() == [0]


@pytest.mark.slow
@given(st.lists(st.integers(0, 5), max_size=20))
def test_starts_are_those_of_a_plain_loop(ids):
    ids = sorted(ids)
    starts = [place for place, value in enumerate(ids) if place == 0 or ids[place - 1] != value]
    found = request_starts(pl.DataFrame({"request_id": ids}, schema={"request_id": pl.Int64}))
    assert found.tolist() == [*starts, len(ids)]


def test_each_user_has_one_number_in_the_order_of_ids() -> None:
    requests = pl.DataFrame({"user_id": ["b", "b", "a", "c", "b"]})
    assert user_numbers(requests, np.array([0, 2, 3, 4, 5])).tolist() == [1, 0, 2, 1]
    assert user_numbers(requests.head(2), np.array([0, 2])).tolist() == [0]
