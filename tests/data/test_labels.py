from dataclasses import replace
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from pydantic import ValidationError

from recsys.data.clock import TimeSettings
from recsys.data.labels import (
    LabelSettings,
    fully_labelled,
    grade_labels,
    labels_in_time,
    refuse_late_clicks,
    warn_of_moved,
    with_clicks,
)
from recsys.data.tables import Dataset
from recsys.errors import DataError, SettingsError
from recsys.schema import TIME

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
GRADES = {"click": 1, "purchase": 3}


def make_data(showings, events):
    """Build tables from (user, item, hour, label) and (user, item, kind, hour, hours until it became known)."""
    requests = pl.DataFrame(
        [(number, user, NOON + hour * HOUR, item, label) for number, (user, item, hour, label) in enumerate(showings)],
        schema={"request_id": pl.Int64, "user_id": pl.Int64, "timestamp": TIME, "item_id": pl.Int64, "label": pl.Int8},
        orient="row",
    )
    log = pl.DataFrame(
        [
            (user, item, NOON + hour * HOUR, kind, NOON + (hour + late) * HOUR if late else None)
            for user, item, kind, hour, late in events
        ],
        schema={"user_id": pl.Int64, "item_id": pl.Int64, "timestamp": TIME, "event": pl.String, "known_at": TIME},
        orient="row",
    )
    return Dataset(pl.DataFrame({"item_id": [1, 2]}), log, requests)


SHOWINGS = st.lists(
    st.tuples(st.integers(1, 2), st.integers(1, 2), st.integers(0, 8), st.integers(0, 4)), min_size=1, max_size=8
)
KINDS = st.sampled_from(["click", "purchase", "view"])
EVENTS = st.lists(
    st.tuples(st.integers(1, 2), st.integers(1, 2), KINDS, st.integers(0, 10), st.sampled_from([0, 0, 1, 3])),
    max_size=8,
)
BOTH_KINDS = [(9, 9, "click", 0, 0), (9, 9, "purchase", 0, 0)]
CHECKED = settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))


def by_hand(showings, events, window):
    """Attribute one event after the other."""
    labels, left = [label for *_, label in showings], []
    for number, (user, item, kind, hour, late) in enumerate(events):
        earlier = [
            (shown, place)
            for place, (who, what, shown, _) in enumerate(showings)
            if (who, what) == (user, item) and shown <= hour
        ]
        if kind in GRADES and earlier and hour + late - max(earlier)[0] <= window:
            place = max(earlier)[1]
            labels[place] = max(labels[place], GRADES[kind])
        else:
            left.append(number)
    return labels, left


@pytest.mark.slow
@CHECKED
@given(showings=SHOWINGS, events=EVENTS, window=st.integers(0, 6))
def test_attribution_is_that_of_a_plain_loop(showings, events, window):
    events = events + BOTH_KINDS
    data = make_data(showings, events)
    graded = grade_labels(data, LabelSettings(grades=GRADES, attribution=window * HOUR))
    labels, left = by_hand(showings, events, window)
    assert graded.requests["label"].to_list() == labels
    assert_frame_equal(graded.requests.drop("label"), data.requests.drop("label"))
    assert graded.requests.schema == data.requests.schema
    assert_frame_equal(graded.events, data.events[left])


@pytest.mark.slow
@CHECKED
@given(showings=SHOWINGS, events=EVENTS, seed=st.integers(0, 9))
def test_the_order_of_rows_changes_nothing(showings, events, seed):
    data = make_data(showings, events + BOTH_KINDS)
    settings_ = LabelSettings(grades=GRADES, attribution=3 * HOUR)
    shuffled = replace(
        data,
        requests=data.requests.sample(fraction=1, shuffle=True, seed=seed),
        events=data.events.sample(fraction=1, shuffle=True, seed=seed),
    )
    one, other = grade_labels(data, settings_), grade_labels(shuffled, settings_)
    assert_frame_equal(one.requests, other.requests.sort("request_id", "item_id"))
    assert_frame_equal(one.events, other.events, check_row_order=False)


@pytest.mark.slow
@CHECKED
@given(showings=SHOWINGS, events=EVENTS, window=st.integers(0, 6), delay=st.integers(0, 6))
def test_no_label_is_known_before_its_event(showings, events, window, delay):
    labels = LabelSettings(grades=GRADES, attribution=window * HOUR)
    known_after = labels.clock(TimeSettings(feedback_delay=delay * HOUR)).feedback_delay
    data = make_data([(*showing[:3], 0) for showing in showings], events + BOTH_KINDS)
    graded = grade_labels(data, labels)
    for before, row in zip(showings, graded.requests.rows(named=True), strict=True):
        if row["label"]:
            moments = [
                NOON + (hour + late) * HOUR
                for user, item, kind, hour, late in events
                if (user, item) == before[:2] and GRADES.get(kind) == row["label"] and hour >= before[2]
            ]
            assert min(moments) <= row["timestamp"] + known_after


def test_moved_events_leave_the_log_and_the_others_stay():
    data = make_data(
        [(1, 1, 0, 0), (1, 2, 0, 1)],
        [(1, 1, "purchase", 2, 0), (1, 1, "view", 2, 0), (1, 2, "click", 1, 0), (2, 1, "purchase", 2, 0)],
    )
    graded = grade_labels(data, LabelSettings(grades=GRADES))
    assert graded.requests["label"].to_list() == [3, 1]
    assert graded.events.select("user_id", "event").rows() == [(1, "view"), (2, "purchase")]
    assert graded.items is data.items


def test_an_event_belongs_to_the_latest_list_before_it():
    data = make_data([(1, 1, 0, 0), (1, 1, 4, 0), (1, 1, 6, 0)], [(1, 1, "purchase", 5, 0), (1, 1, "click", 9, 0)])
    assert grade_labels(data, LabelSettings(grades=GRADES)).requests["label"].to_list() == [0, 3, 1]


def test_a_logged_label_never_falls():
    data = make_data([(1, 1, 0, 4)], [(1, 1, "click", 1, 0)])
    assert grade_labels(data, LabelSettings(grades={"click": 1})).requests["label"].to_list() == [4]


@pytest.mark.parametrize(("late", "label"), [(2, 3), (3, 0)])
def test_attribution_counts_until_the_event_became_known(late, label):
    data = make_data([(1, 1, 0, 0)], [(1, 1, "purchase", 1, late)])
    graded = grade_labels(data, LabelSettings(grades={"purchase": 3}, attribution="3h"))
    assert graded.requests["label"].to_list() == [label]
    assert len(graded.events) == (label == 0)


def test_events_without_known_at_are_known_when_they_happen():
    data = make_data([(1, 1, 0, 0)], [(1, 1, "purchase", 3, 0)])
    data = replace(data, events=data.events.drop("known_at"))
    graded = grade_labels(data, LabelSettings(grades={"purchase": 3}, attribution="3h"))
    assert graded.requests["label"].to_list() == [3]
    assert graded.events.columns == data.events.columns


def test_no_grades_change_nothing():
    data = make_data([(1, 1, 0, 0)], [(1, 1, "click", 1, 0)])
    assert grade_labels(data, LabelSettings()) is data
    clock = TimeSettings(feedback_delay="10m")
    assert LabelSettings(attribution="9d").clock(clock) is clock


def test_graded_labels_are_known_when_the_attribution_window_has_passed():
    labels = LabelSettings(grades={"click": 1}, attribution="6h")
    assert labels.clock(TimeSettings(feedback_delay="10m")).feedback_delay == 6 * HOUR
    assert labels.clock(TimeSettings(feedback_delay="1d", zone="Asia/Tokyo")) == TimeSettings(
        feedback_delay="1d", zone="Asia/Tokyo"
    )


def test_a_kind_that_never_occurs_is_refused():
    data = make_data([(1, 1, 0, 0)], [(1, 1, "click", 1, 0), (1, 1, "view", 1, 0)])
    message = r"grades names 'purchase', an event that never occurs; events holds click, view"
    with pytest.raises(SettingsError, match=message):
        grade_labels(data, LabelSettings(grades=GRADES))


@pytest.mark.parametrize(
    "values", [{"grades": {"click": 0}}, {"grades": {"click": 31}}, {"grade": {"click": 1}}, {"attribution": "day"}]
)
def test_other_settings_are_refused(values):
    with pytest.raises(ValidationError):
        LabelSettings(**values)


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_of_two_lists_at_one_moment_the_larger_request_is_graded(order):
    data = make_data([(1, 1, 0, 0), (1, 1, 0, 0)], [(1, 1, "click", 1, 0)])
    graded = grade_labels(replace(data, requests=data.requests[order]), LabelSettings(grades={"click": 1}))
    assert graded.requests.sort("request_id")["label"].to_list() == [0, 1]


def test_columns_of_any_name_stay_as_they_are():
    names = ["_event", "_row", "_grade", "_at", "_known_at", "event", "row", "grade", "at", "kind"]
    data = make_data(
        [(1, 1, 0, 0), (1, 2, 0, 1)], [(1, 1, "purchase", 2, 0), (1, 1, "view", 2, 0), (2, 1, "click", 1, 0)]
    )
    own = [pl.lit(29).alias(name) for name in names]
    kept = [each for name, each in zip(names, own, strict=True) if name != "event"]
    wide = Dataset(data.items.with_columns(own), data.events.with_columns(kept), data.requests.with_columns(own))
    plain, graded = (grade_labels(each, LabelSettings(grades=GRADES)) for each in (data, wide))
    assert plain.requests["label"].to_list() == [3, 1]
    assert_frame_equal(graded.requests, plain.requests.with_columns(own))
    assert_frame_equal(graded.events, plain.events.with_columns(kept))
    assert graded.items is wide.items


def test_kinds_that_count_as_clicks_are_clicks_too_without_their_value_and_labels_stay():
    data = make_data([(1, 1, 0, 0)], [(1, 2, "purchase", 1, 0), (1, 1, "view", 2, 0), (2, 1, "purchase", 3, 2)])
    data = replace(data, events=data.events.with_columns(value=pl.Series([9.5, 1.0, 2.5])))
    graded = grade_labels(data, LabelSettings(clicks=("purchase",)))
    assert_frame_equal(graded.requests, data.requests)
    assert_frame_equal(graded.events.head(3), data.events)
    clicks = graded.events.tail(2)
    assert clicks["event"].to_list() == ["click", "click"]
    assert clicks["value"].to_list() == [None, None]
    bought = data.events.filter(pl.col("event") == "purchase")
    assert_frame_equal(clicks.drop("event", "value"), bought.drop("event", "value"))
    assert with_clicks(data.events, LabelSettings()) is data.events


def test_kinds_that_grade_a_list_are_no_clicks_on_top():
    data = make_data([(1, 1, 0, 0)], [(1, 1, "purchase", 1, 0), (1, 2, "purchase", 2, 0)])
    graded = grade_labels(data, LabelSettings(grades={"purchase": 3}, clicks=("purchase",)))
    assert graded.requests["label"].to_list() == [3]
    assert graded.events.select("item_id", "event").rows() == [(2, "purchase"), (2, "click")]


def with_moments(minutes, feedback_delay="10m"):
    """A log of one click a list, seen so many minutes after it; None where it is not known."""
    data = make_data([(1, 1, hour, 1) for hour in range(len(minutes))] + [(2, 2, 0, 0)], [])
    after = pl.Series(
        [None if each is None else timedelta(minutes=each) for each in minutes] + [None], dtype=pl.Duration("us")
    )
    requests = data.requests.with_columns(clicked_at=pl.col("timestamp") + after)
    return requests, TimeSettings(feedback_delay=feedback_delay)


def test_without_moments_or_with_moments_in_time_labels_stay():
    requests, time = with_moments([0, 10, None, 3])
    for table in (
        requests,
        requests.drop("clicked_at"),
        requests.clear(),
        requests.with_columns(clicked_at=pl.lit(None, TIME)),
    ):
        assert labels_in_time(table, time) is table


def test_the_label_of_a_late_click_is_taken_back_and_its_moment_stays(caplog):
    requests, time = with_moments([1] * 99 + [11])
    found = labels_in_time(requests, time)
    assert found["label"].to_list() == [1] * 99 + [0, 0]
    assert_frame_equal(found.drop("label"), requests.drop("label"))
    assert found.schema == requests.schema
    assert "1 of 100 clicks have a clicked_at more than 10m after their list" in caplog.text
    assert "[time] feedback_delay = 11m holds all" in caplog.text


@pytest.mark.parametrize(
    ("minutes", "told"),
    [
        (
            [1, 2, 30],
            r"1 of 3 clicks .* more than 10m after .* to 30m, which holds 99% of them, or to 30m, which holds all",
        ),
        (
            [1] * 98 + [12, 60.001],
            r"2 of 100 clicks .* feedback_delay to 12m, which holds 99% of them, or to 3601s, which",
        ),
        ([None] * 500 + [20, 1440], r"2 of 2 clicks .* feedback_delay to 1d, which holds 99% of them, or to 1d, which"),
    ],
)
def test_many_late_clicks_are_not_learnt_from_and_the_delays_that_hold_them_are_named(minutes, told):
    requests, time = with_moments(minutes)
    with pytest.raises(DataError, match=told):
        refuse_late_clicks(requests, time)
    with pytest.raises(DataError, match=told):
        refuse_late_clicks(labels_in_time(requests, time), time)


@pytest.mark.parametrize("minutes", [[1] * 99 + [11], [10], [None, None]])
def test_few_late_clicks_are_learnt_from(minutes):
    requests, time = with_moments(minutes)
    refuse_late_clicks(requests, time)
    refuse_late_clicks(requests.drop("clicked_at"), time)


@pytest.mark.parametrize(
    ("delays", "known"),
    [
        ({"feedback_delay": "10m"}, ("6h", None)),
        ({"feedback_delay": "10m", "click_delay": "1m"}, ("6h", "6h")),
        ({"feedback_delay": "1d", "click_delay": "7h"}, ("1d", "7h")),
    ],
)
def test_graded_labels_and_clicks_wait_for_the_attribution(delays, known):
    clock = LabelSettings(grades={"purchase": 3}, attribution="6h").clock(TimeSettings(**delays))
    assert clock == TimeSettings(feedback_delay=known[0], click_delay=known[1])


def test_kinds_that_never_occur_or_are_clicks_already_are_refused():
    data = make_data([(1, 1, 0, 0)], [(1, 1, "view", 1, 0)])
    with pytest.raises(SettingsError, match=r"\[labels\] clicks names 'sale', an event that never occurs.*holds view"):
        grade_labels(data, LabelSettings(clicks=("sale",)))
    with pytest.raises(ValidationError, match="clicks names 'click', which is one already; leave it out"):
        LabelSettings(clicks=("click",))


@pytest.mark.parametrize(
    ("labels", "kept"),
    [([0, 1, 0, 2], [1, 1, 2, 2]), ([0, 1, None, 1], [1, 1]), ([None, 1, None, None], [])],
)
def test_lists_that_wait_for_a_label_are_left_out_whole(labels, kept):
    requests = pl.DataFrame({"request_id": [1, 1, 2, 2], "label": labels})
    assert fully_labelled(requests)["request_id"].to_list() == kept


def with_values(*values):
    """One list of user 1 and item 1, and reads of it, an hour later each."""
    data = make_data([(1, 1, 0, 1)], [(1, 1, "read", 1 + number, 0) for number in range(len(values))])
    return replace(data, events=data.events.with_columns(value=pl.Series(values, dtype=pl.Float64)))


@pytest.mark.parametrize(
    ("values", "label", "left"),
    [
        ([30.0], 2, []),
        ([29.9], 1, [29.9]),
        ([5.0, 60.0], 2, [5.0]),
        ([None, 1.0], 1, [None, 1.0]),
    ],
)
def test_an_event_grades_from_its_least_value_on_and_stays_an_event_below(values, label, left):
    graded = grade_labels(with_values(*values), LabelSettings(grades={"read": 2}, least={"read": 30}))
    assert graded.requests["label"].to_list() == [label]
    assert graded.events["value"].to_list() == left


def test_other_kinds_grade_whatever_their_value():
    data = make_data([(1, 1, 0, 0)], [(1, 1, "read", 1, 0), (1, 1, "purchase", 2, 0)])
    data = replace(data, events=data.events.with_columns(value=pl.Series([3.0, None])))
    graded = grade_labels(data, LabelSettings(grades={"read": 2, "purchase": 3}, least={"read": 30}))
    assert graded.requests["label"].to_list() == [3]
    assert graded.events["event"].to_list() == ["read"]


def test_least_values_of_what_is_not_graded_or_has_none_are_refused():
    with pytest.raises(ValidationError, match="least names 'raed', which grades does not; give it a grade there"):
        LabelSettings(grades={"read": 2}, least={"raed": 30})
    for data in (with_values(None), replace(with_values(1.0), events=with_values(1.0).events.drop("value"))):
        with pytest.raises(SettingsError, match=r"\[labels\] least names 'read', and no such event has a `value`"):
            grade_labels(data, LabelSettings(grades={"read": 2}, least={"read": 30}))


def test_features_of_events_that_grade_are_told_what_is_left(caplog) -> None:
    before = pl.DataFrame({"event": ["buy", "buy", "buy", "view"]})
    warn_of_moved(before, before[2:], {"buy": 3}, ("view", "buy"))
    told = "[labels] grades takes 2 of 3 'buy' events for outcomes of lists, and [features] reads 'buy' from the others"
    assert [record.message.startswith(told) for record in caplog.records] == [True]


def test_a_grade_of_clicks_that_are_no_events_is_told_apart(line) -> None:
    dataset = replace(line.dataset, events=line.dataset.events.filter(pl.col("event") != "click"))
    with pytest.raises(
        SettingsError, match="names 'click', an event that never occurs; .*; clicks on lists keep the lab"
    ):
        grade_labels(dataset, LabelSettings(grades={"click": 1}))
