from collections import defaultdict
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
from recsys.past import field as field_module
from recsys.past.behaviour import Kept
from recsys.past.clicks import UNIT, Clicks
from recsys.past.field import GRID, Covisits, Fields, Popularity, marks, refreshed, rows_of
from recsys.past.log import Log
from recsys.past.streams import Stream

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def micro(moment):
    return int(moment.timestamp() * 1_000_000)


def clicks_of(rows):
    """Clicks of (user, item, hours before noon), sorted as `Clicks` are."""
    known = sorted((user, micro(NOON - timedelta(hours=hours)), item) for user, item, hours in rows)
    users, moments, items = (np.array([row[place] for row in known], dtype=np.int64) for place in range(3))
    return Clicks(users, items, moments)


def plain_field(rows, half_life_hours):
    """Popularity and co-visits counted by hand."""
    popular, pairs = defaultdict(int), defaultdict(int)
    weight = {place: round(UNIT * 2 ** -(hours / half_life_hours)) for place, (_, _, hours) in enumerate(rows)}
    for place, (_, item, hours) in enumerate(rows):
        popular[item] += weight[place] if hours > 0 else 0
    for user in {user for user, _, _ in rows}:
        own = sorted(
            ((-hours, item, place) for place, (who, item, hours) in enumerate(rows) if who == user and hours > 0)
        )
        for later, (_, item, place) in enumerate(own):
            for _, before, _ in own[max(0, later - 10) : later]:
                if before != item:
                    pairs[item, before] += weight[place]
                    pairs[before, item] += weight[place]
    shares = {
        key: round(GRID * (of / UNIT) / (max(popular[key[0]], 1) / UNIT * max(popular[key[1]], 1) / UNIT) ** (1 / 3))
        for key, of in pairs.items()
    }
    return popular, {key: of for key, of in shares.items() if of > 0}


ROWS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 5), st.sampled_from([-5, 0, 1, 2, 7, 30, 100])), max_size=25
)


@settings(max_examples=150, deadline=None)
@given(ROWS)
def test_a_field_counts_as_a_plain_loop_does_and_only_what_is_known_before_its_moment(rows):
    known = clicks_of(rows), np.arange(6), micro(NOON), timedelta(hours=10)
    found, (popular, pairs) = Popularity.of(*known), plain_field(rows, 10)
    assert found.clicks.tolist() == [popular[item] for item in range(6)]
    dense = Covisits.of(*known).pairs.toarray()
    assert {(a, b): int(dense[a, b]) for a, b in zip(*np.nonzero(dense), strict=True)} == pytest.approx(pairs, abs=1)
    clicked = sorted((item for item in range(6) if popular[item]), key=lambda item: (-popular[item], item))
    assert found.ranked.tolist() == clicked
    assert found.places.tolist() == [1 + sum(o > popular[item] for o in found.clicks) for item in range(6)]


def test_a_click_counts_for_twenty_half_lives_and_then_for_nothing():
    rows = [(0, item, hours) for item, hours in enumerate([1, 20, 21, 22])]
    found = Popularity.of(clicks_of(rows), np.arange(4), micro(NOON), timedelta(hours=1))
    assert found.clicks.tolist() == [UNIT // 2, 1, 0, 0]
    assert found.ranked.tolist() == [0, 1]


def test_what_stands_beside_last_clicks_is_added_up_and_fades_with_each_older_one():
    rows = [(0, 1, 5), (0, 2, 4), (1, 1, 3), (1, 3, 2), (2, 4, 1)]
    field = Covisits.of(clicks_of(rows), np.arange(5), micro(NOON), timedelta(days=9_000_000))
    beside = field.pairs.toarray()
    found = field.find(np.array([[1, 4, -1], [4, 1, 7], [-1, -1, -1]]))
    assert found.scores.toarray()[0].tolist() == (beside[1] * 1024 + beside[4] * 922).tolist()
    assert found.scores.toarray()[1].tolist() == (beside[4] * 1024 + beside[1] * 922).tolist()
    assert found.scores.toarray()[2].tolist() == [0] * 5
    assert found.places.tolist() == [1, 1, 1, 1]  # items 2 and 3 are equal for both users


def test_only_the_nearest_of_an_item_are_kept_and_of_equal_ones_the_smaller_ids(monkeypatch):
    monkeypatch.setattr(field_module, "_MOST", 2)
    rows = [(user, item, 2 + hour) for user, item in enumerate([1, 2, 3, 4]) for hour, item in enumerate([0, item])]
    order = np.array([0, 4, 3, 2, 1])  # the code 4 has the second smallest id
    field = Covisits.of(clicks_of([*rows, (9, 0, 2), (9, 1, 3)]), order, micro(NOON), timedelta(days=9_000_000))
    assert np.flatnonzero(field.pairs.toarray()[0]).tolist() == [1, 4]


def test_a_field_of_no_click_finds_nothing():
    known = clicks_of([]), np.arange(3), micro(NOON), DAY
    assert Popularity.of(*known).clicks.tolist() == [0, 0, 0]
    assert Popularity.of(*known).ranked.tolist() == []
    assert Covisits.of(*known).find(np.array([[0, 1]])).scores.nnz == 0


def test_what_users_did_before_their_moments_is_found_in_its_order():
    clicks = clicks_of([(0, 5, 3), (0, 4, 2), (2, 1, 2), (2, 3, 1)])
    which, places = clicks.of_users(np.array([2, -1, 0, 7, 0]), np.array([micro(NOON)] * 4 + [micro(NOON - 2 * DAY)]))
    assert [*zip(which.tolist(), clicks.items[places].tolist(), strict=True)] == [(0, 1), (0, 3), (2, 5), (2, 4)]
    known = clicks.of_users(np.array([0]), np.array([micro(NOON - timedelta(hours=2))]))[1]
    assert clicks.items[known].tolist() == [5]  # the second became known at that very moment


@pytest.mark.parametrize(
    ("every", "zone", "daily", "expected"),
    [
        (DAY, "UTC", False, "2024-03-01T00:00:00"),
        (DAY, "Asia/Kathmandu", False, "2024-02-29T18:15:00"),
        (DAY, "UTC", True, "2024-03-01T12:00:00"),
        (7 * DAY, "UTC", False, "2024-02-29T00:00:00"),  # weeks of 1970-01-01, a Thursday
        (7 * DAY, "UTC", True, "2024-02-29T00:00:00"),
        (timedelta(hours=5), "Asia/Kathmandu", False, "2024-03-01T08:00:00"),  # five hours of 1970-01-01
        (timedelta(hours=5), "UTC", True, "2024-03-01T12:00:00"),
    ],
)
def test_what_is_counted_is_counted_anew_after_hours_at_the_daily_cut_or_after_days(every, zone, daily, expected):
    found = refreshed(np.array([micro(NOON)]), every, zone, daily)
    assert found.tolist() == [micro(datetime.fromisoformat(expected).replace(tzinfo=UTC))]


def log_of(tools, clicks):
    items = Dataset(tools.events([]).select("item_id"), tools.events(clicks), tools.showings([]))
    return Log(behaviour_of(items, Kept()), TimeSettings())


def test_a_branch_that_was_told_other_clicks_has_a_field_of_its_own(tools):
    log = log_of(tools, [(1, item, "click", NOON - 3 * DAY, timedelta(0)) for item in (1, 2, 3)])
    nothing = replace(log.behaviour, showings=log.behaviour.showings.clear())

    def told(item):
        late = log.behaviour.events.head(1).with_columns(item_id=pl.lit(item, pl.Int64))
        return log.with_tail(replace(nothing, events=late))

    cut = micro(NOON)
    found = [log.fields.of(told(item), Popularity, cut, DAY).clicks.tolist() for item in (2, 3, 2)]
    assert found[0] == found[2] != found[1]


def test_the_same_click_told_twice_counts_twice(tools):
    log = log_of(tools, [(1, item, "click", NOON - 3 * DAY, timedelta(0)) for item in (1, 2, 3)])
    nothing = replace(log.behaviour, showings=log.behaviour.showings.clear())
    again = replace(nothing, events=log.behaviour.events.head(1))
    counted = []
    for _ in range(4):
        counted.append(log.fields.of(log, Popularity, micro(NOON), 300 * DAY).clicks[0])
        log = log.with_tail(again)
    assert counted == [counted[0] * times for times in range(1, 5)]


def test_what_was_counted_last_is_kept_apart_by_what_it_is(tools):
    log, fields = log_of(tools, [(1, 2, "click", NOON - 3 * DAY, timedelta(0))]), Fields()
    seen = [fields.of(log, Popularity, micro(NOON) + cut, DAY) for cut in (1, 2, 1, 3, 4, 1, 4)]
    assert [seen.index(each) for each in seen] == [0, 1, 0, 3, 4, 5, 4]  # the last three
    beside = fields.of(log, Covisits, micro(NOON) + 4, DAY)
    assert isinstance(beside, Covisits)
    assert fields.of(log, Popularity, micro(NOON) + 4, DAY) is seen[-1]
    assert fields.of(log, Popularity, micro(NOON) + 4, 2 * DAY) is not seen[-1]
    assert fields.of(log, Covisits, micro(NOON) + 4, DAY) is beside


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 3)), max_size=12), st.randoms())
def test_marks_tell_sets_of_clicks_apart_whatever_their_order(rows, random):
    def marked(some):
        users, items, moments = (np.array([row[place] for row in some], dtype=np.int64) for place in range(3))
        return marks(Stream({"user": users, "item": items}, moments, moments))[1][-1]

    shuffled = random.sample(rows, len(rows))
    assert marked(rows) == marked(shuffled)
    assert marked([*rows, (1, 1, 2)]) != marked(rows)


def test_all_events_of_a_kind_are_given_by_user_and_moment(tools):
    done = [(2, 7, "like", NOON, timedelta(0)), (1, 9, "like", NOON, timedelta(0)), (1, 8, "click", NOON, timedelta(0))]
    log = log_of(tools, [*done, (1, 7, "like", NOON - DAY, timedelta(0))])
    found, ids = rows_of(log, "like"), log.items.by_code.to_list()
    assert [ids[item] for item in found.items] == [7, 9, 7]
    assert [ids[item] for item in rows_of(log, "click").items] == [8]
