from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recsys.data.clock import TimeSettings
from recsys.data.tables import Dataset
from recsys.model.prepared import behaviour_of
from recsys.past.behaviour import Kept
from recsys.past.history import read_history
from recsys.past.log import Log

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)


@pytest.mark.slow
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), length=st.integers(1, 5))
def test_histories_are_those_of_a_plain_loop(tools, data, length):
    case = data.draw(tools.case())
    log = Log(behaviour_of(case.dataset, Kept()), case.time, history=case.history)
    rows = log.rows(case.candidates)
    found = read_history(log, rows.codes["user"], rows.as_of, length)
    items = log.items.values.to_list()
    clicks = [
        (row["user_id"], row.get("clicked_at") or row["timestamp"] + case.time.clicks_known_after, row["item_id"])
        for row in case.dataset.requests.rows(named=True)
        if row["label"] > 0
    ] + [
        (row["user_id"], max(row["timestamp"], row["known_at"] or row["timestamp"]), row["item_id"])
        for row in case.dataset.events.rows(named=True)
        if row["event"] in ("click", *case.history)
    ]
    for place, asked in enumerate(case.candidates.rows(named=True)):
        as_of = case.as_of(asked["request_id"])
        past = sorted((known_at, item) for user, known_at, item in clicks if user == asked["user_id"])
        last = [row for row in past if row[0] < as_of][::-1][:length]
        padding = length - len(last)
        assert found.items[place].tolist() == [items.index(item) for _, item in last] + [-1] * padding
        hours = [np.float32((as_of - known_at) / timedelta(hours=1)) for known_at, _ in last]
        assert found.hours[place].tolist() == hours + [0.0] * padding


def log_of(tools, clicks):
    items = Dataset(tools.events([]).select("item_id"), tools.events(clicks), tools.showings([]))
    return Log(behaviour_of(items, Kept()), TimeSettings())


def micro(moment):
    return np.array([int(moment.timestamp() * 1_000_000)])


def test_the_most_recent_click_comes_first(tools):
    log = log_of(tools, [(1, item, "click", NOON - timedelta(hours=item), timedelta(0)) for item in (3, 1, 2)])
    history = read_history(log, np.array([0]), micro(NOON), 2)
    assert log.items.values.gather(history.items[0]).to_list() == [1, 2]
    assert history.hours.tolist() == [[1.0, 2.0]]
    assert history.hours.dtype == np.float32


def test_a_click_at_as_of_is_not_known(tools):
    log = log_of(tools, [(1, 3, "click", NOON, timedelta(0))])
    assert read_history(log, np.array([0]), micro(NOON), 1).items.tolist() == [[-1]]
    assert read_history(log, np.array([0]), micro(NOON) + 1, 1).items.tolist() == [[0]]


def test_unknown_users_and_empty_logs_have_no_history(tools):
    log = log_of(tools, [(1, 3, "click", NOON - timedelta(hours=1), timedelta(0))])
    assert read_history(log, np.array([-1]), micro(NOON), 2).items.tolist() == [[-1, -1]]
    assert read_history(log_of(tools, []), np.array([-1]), micro(NOON), 2).hours.tolist() == [[0.0, 0.0]]


def test_other_kinds_of_events_are_read_where_they_are_named(tools):
    rows = [(1, item, kind, NOON - timedelta(hours=item), timedelta(0)) for item, kind in ((3, "like"), (2, "buy"))]
    log = log_of(tools, rows)
    for history, items in [((), [-1, -1]), (("buy",), [0, -1]), (("like",), [1, -1]), (("like", "buy"), [0, 1])]:
        named = replace(log, history=history)
        assert read_history(named, np.array([0]), micro(NOON), 2).items.tolist() == [items]


@pytest.mark.parametrize("kind", ["click", "buy"])
def test_history_across_the_tail_is_that_of_one_log(tools, kind):
    parts = [
        [(1, 3, kind, NOON, timedelta(0)), (1, 8, "click", NOON, timedelta(0))],
        [(1, 5, kind, NOON, timedelta(0))],
    ]
    base, tail = (log_of(tools, rows).behaviour for rows in parts)
    log = Log(base, TimeSettings(), history=("buy",)).with_tail(tail)
    found = read_history(log, np.array([0]), micro(NOON) + 1, 4)
    ids = [*log.items.values, *log.items.later.values]
    assert [ids[code] for code in found.items[0] if code >= 0] == [8, 5, 3]


def test_clicks_at_one_moment_stand_in_the_order_of_their_items_across_the_tail_too(tools):
    at_once = [[(1, item, "click", NOON, timedelta(0)) for item in items] for items in ((2, 8), (4, 9, 6, 2, 8, 1))]
    base, tail = (log_of(tools, clicks).behaviour for clicks in at_once)
    log, whole = Log(base, TimeSettings()).with_tail(tail), Log(base.joined(tail), TimeSettings())
    assert log.fits
    for length in (3, 8):
        found = [
            read_history(each, each.users.encode(pl.Series("user_id", [1])), micro(NOON) + 1, length)
            for each in (log, whole)
        ]
        ids = [*log.items.values, *log.items.later.values]
        assert [ids[code] for code in found[0].items[0]] == [9, 8, 8, 6, 4, 2, 2, 1][:length]
        assert whole.items.values.gather(found[1].items[0]).to_list() == [9, 8, 8, 6, 4, 2, 2, 1][:length]
