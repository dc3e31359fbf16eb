from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.data.clock import TimeSettings
from recsys.data.tables import TIME, Dataset
from recsys.features.behaviour import Behaviour, Kept
from recsys.features.log import CLICK, OUTCOME, SHOWING, Log

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)
HOUR, NOW = timedelta(hours=1), timedelta(0)


def micro(moment):
    return int(moment.timestamp() * 1_000_000)


def make_log(tools, **time):
    """Build a log of three items in two categories, a fourth without one, and item 9 outside the catalogue."""
    items = pl.DataFrame(
        {"item_id": [4, 3, 2, 1], "category": [None, "b", "a", "b"], "available_at": [NOON, None, None, NOON - HOUR]},
        schema_overrides={"available_at": TIME},
    )
    events = tools.events([(5, 9, "click", NOON, HOUR), (6, 1, "like", NOON, NOW)])
    showings = tools.showings([(7, NOON, {1: 1, 2: 0}), (5, NOON + HOUR, {3: 2})])
    return Log(Behaviour.of(Dataset(items, events, showings), Kept(("category",))), TimeSettings(**time))


def test_every_user_and_item_has_a_code(tools):
    log = make_log(tools)
    assert log.users.values.to_list() == [5, 6, 7]
    assert log.items.values.to_list() == [1, 2, 3, 4, 9]
    assert log.attributes["category"].tolist() == [1, 0, 1, -1, -1]
    assert log.listed.tolist() == [True] * 4 + [False]
    np.testing.assert_array_equal(log.available_at, [micro(NOON - HOUR), np.nan, np.nan, micro(NOON), np.nan])


def counted(log, of, moment):
    """Amounts of all rows of a stream that are known before a moment."""
    counter = log.counter(of, ())
    key, as_of = np.zeros(1, dtype=np.int64), np.array([micro(moment)])
    return counter.amounts(counter.first(key), counter.before(key, as_of))[:, 0].tolist()


def test_a_showing_is_known_at_once_and_its_outcome_after_the_delay(tools):
    log = make_log(tools, feedback_delay="2h")
    instant = timedelta(microseconds=1)
    assert counted(log, SHOWING, NOON) == [0]
    assert counted(log, SHOWING, NOON + instant) == [2]
    assert counted(log, OUTCOME, NOON + 2 * HOUR) == [0, 0]
    assert counted(log, OUTCOME, NOON + 2 * HOUR + instant) == [2, 1]
    assert counted(log, OUTCOME, NOON + 4 * HOUR) == [3, 2]


def test_clicks_are_labels_after_the_delay_and_events_when_known(tools):
    log = make_log(tools, feedback_delay="2h")
    assert counted(log, CLICK, NOON + HOUR) == [0]
    assert counted(log, CLICK, NOON + 2 * HOUR) == [1]
    assert counted(log, CLICK, NOON + 2.5 * HOUR) == [2]
    assert counted(log, CLICK, NOON + 4 * HOUR) == [3]
    assert counted(log, "like", NOON + HOUR) == [1]
    assert counted(log, "purchase", NOON + HOUR) == [0]


def test_candidates_get_codes_and_the_moment_that_freshness_says(tools):
    asked = pl.DataFrame(
        {"user_id": [7, 8], "item_id": [3, 8], "timestamp": [NOON, NOON + 12 * HOUR]},
        schema_overrides={"timestamp": TIME},
    )
    live, daily = (make_log(tools, freshness=freshness).rows(asked) for freshness in ("live", "1d"))
    assert {name: codes.tolist() for name, codes in live.codes.items()} == {
        "user": [2, -1],
        "item": [2, -1],
        "category": [1, -1],
    }
    assert live.as_of.tolist() == live.timestamp.tolist() == [micro(NOON), micro(NOON + 12 * HOUR)]
    assert daily.as_of.tolist() == [micro(NOON - 12 * HOUR), micro(NOON + 12 * HOUR)]
    assert daily.timestamp.tolist() == live.timestamp.tolist()


@given(data=st.data(), per=st.lists(st.sampled_from(["user", "item", "category"]), unique=True))
def test_keys_are_equal_exactly_when_all_their_parts_are(tools, data, per):
    log = make_log(tools)
    largest = {"user": 2, "item": 4, "category": 1}
    rows = data.draw(st.lists(st.tuples(*(st.integers(-1, largest[name]) for name in largest)), max_size=30))
    codes = dict(zip(largest, np.array(rows, dtype=np.int64).reshape(-1, 3).T, strict=True))
    keys = log.combine(codes, tuple(per)).tolist()
    parts = list(zip(*(codes[name].tolist() for name in per), strict=True)) if per else [()] * len(rows)
    assert [key < 0 for key in keys] == [-1 in part for part in parts]
    known = [(key, part) for key, part in zip(keys, parts, strict=True) if key >= 0]
    assert len(set(known)) == len({key for key, _ in known}) == len({part for _, part in known})


def test_counters_are_built_once(tools):
    log = make_log(tools)
    assert log.counter(CLICK, ("user",)) is log.counter(CLICK, ("user",))
    assert log.counter(CLICK, ("user",)) is not log.counter(CLICK, ("item",))


def test_clicks_at_one_moment_stand_in_the_order_of_their_items(tools):
    rows = [(1, item, "click", NOON, NOW) for item in (3, 1, 2)]
    orders = []
    for order in ([0, 1, 2], [2, 1, 0], [1, 0, 2]):
        events = tools.events([rows[place] for place in order])
        log = Log(Behaviour.of(Dataset(events.select("item_id"), events, tools.showings([])), Kept()), TimeSettings())
        orders.append(log.items.values.gather(log.clicks[1]).to_list())
    assert orders == [[1, 2, 3]] * 3


@pytest.mark.parametrize("empty", ["items", "events", "requests"])
def test_an_empty_table_is_no_fault(tools, empty):
    full = make_log(tools).behaviour
    tables = {"items": full.items, "showings": full.showings, "events": full.events}
    name = "showings" if empty == "requests" else empty
    log = Log(Behaviour(**(tables | {name: tables[name].clear()})), TimeSettings())
    assert counted(log, CLICK, NOON + 9 * HOUR) == [{"items": 3, "events": 2, "requests": 1}[empty]]
