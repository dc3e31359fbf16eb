from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from recsys.data.clock import TimeSettings, parse_duration
from recsys.data.tables import TIME, Dataset
from recsys.features.behaviour import Behaviour, Kept
from recsys.features.log import Log
from recsys.features.lookup import Lookup

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


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
    assert lookup.amounts("click", per, None).tolist() == [[2, 1, 0, 0]]
    assert lookup.amounts("click", per, 2 * HOUR).tolist() == [[1, 1, 0, 0]]
    assert lookup.amounts("click", per, 2 * HOUR - timedelta(seconds=1)).tolist() == [[0, 1, 0, 0]]
    assert lookup.amounts("click", per, 1 * HOUR).tolist() == [[0, 1, 0, 0]]
    assert lookup.amounts("click", (), None).tolist() == [[2, 1, 2, 2]]


def test_the_longest_window_that_can_be_written_is_as_good_as_none(tools):
    lookup = make_lookup(tools, [(1, 1, NOON)])
    assert lookup.amounts("click", ("user",), parse_duration("99999999d")).tolist() == [[2]]


def test_hours_since_the_last_row_that_is_known(tools):
    lookup = make_lookup(tools, [(1, 1, NOON), (1, 1, NOON - 2 * HOUR), (1, 1, NOON - 3 * HOUR), (9, 1, NOON)])
    np.testing.assert_array_equal(lookup.hours_since("click", ("user",)), [2, 1, np.nan, np.nan])
    np.testing.assert_array_equal(lookup.hours_since("like", ("user",)), [np.nan] * 4)


def test_the_age_of_an_item_counts_to_the_request_under_either_freshness(tools):
    asked = [(1, 1, NOON), (1, 1, NOON - 4 * HOUR), (1, 2, NOON), (1, 9, NOON)]
    for freshness in ("live", "1d"):
        found = make_lookup(tools, asked, freshness=freshness).hours_since_available()
        np.testing.assert_array_equal(found, [3, -1, np.nan, np.nan])


def test_no_candidates_get_no_answers(tools):
    lookup = make_lookup(tools, [])
    assert lookup.amounts("outcome", ("user",), HOUR).shape == (2, 0)
    assert lookup.hours_since("click", ()).shape == (0,)
    assert lookup.hours_since_available().shape == (0,)
