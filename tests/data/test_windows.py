import json
from datetime import UTC, date, datetime, timedelta, timezone
from itertools import pairwise
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from recsys.data.clock import TimeSettings
from recsys.data.windows import WINDOWS, Windows, WindowSettings, place_windows
from recsys.errors import DataError
from recsys.schema import TIME

START = datetime(2024, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def make_requests(hours, candidates=2):
    """Build requests at whole hours from the start, each with some candidates."""
    return pl.DataFrame(
        [(number, START + hour * HOUR, item) for number, hour in enumerate(hours) for item in range(candidates)],
        schema={"request_id": pl.Int64, "timestamp": TIME, "item_id": pl.Int64},
        orient="row",
    )


def at(*hours):
    return tuple(START + hour * HOUR for hour in hours)


def sizes(requests, windows):
    return [windows.of(requests, window)["request_id"].n_unique() for window in WINDOWS]


def test_cuts_are_the_windows():
    requests = make_requests(range(10))
    windows = place_windows(requests, WindowSettings(cuts=at(0, 3, 6, 8, 9)))
    assert sizes(requests, windows) == [3, 3, 2, 1]
    assert windows.bounds("valid") == at(6, 8)
    assert windows.of(requests, "ranker")["timestamp"].unique().sort().to_list() == list(at(3, 4, 5))


def test_fractions_count_requests_in_order_of_time():
    requests = make_requests([*range(20)]).sample(fraction=1, shuffle=True, seed=1)
    assert sizes(requests, place_windows(requests, WindowSettings())) == [8, 6, 2, 4]
    uneven = WindowSettings(fractions=(0.5, 0.25, 0.25, 0))
    windows = place_windows(requests, uneven)
    assert sizes(requests, windows) == [10, 5, 5, 0]
    assert windows.cuts[-1] == windows.cuts[-2] == START + 19 * HOUR + timedelta(microseconds=1)


def test_fractions_share_out_what_comes_since_a_moment():
    requests = make_requests(range(30))
    windows = place_windows(requests, WindowSettings(), since=START + 10 * HOUR)
    assert windows.cuts[0] == START + 10 * HOUR
    assert sizes(requests, windows) == [8, 6, 2, 4]
    assert place_windows(requests, WindowSettings(), since=START + 9.5 * HOUR) == windows
    cuts = WindowSettings(cuts=at(0, 3, 6, 8, 9))
    assert place_windows(requests, cuts, since=START + 10 * HOUR) == place_windows(requests, cuts)
    with pytest.raises(
        DataError, match=r"no request is left for .* begin at 2024-01-02T06:00:00\+00:00, where .* end at"
    ):
        place_windows(requests, WindowSettings(), since=START + 30 * HOUR)
    with pytest.raises(DataError, match=r"the text window, .* holds no request; requests run from 2024-01-02T05"):
        place_windows(requests, WindowSettings(), since=START + 29 * HOUR)


def test_fractions_weigh_requests_and_not_candidates():
    long = make_requests([0], candidates=50)
    rest = make_requests(range(1, 10), candidates=1).with_columns(pl.col("request_id") + 1)
    requests = pl.concat([long, rest])
    windows = place_windows(requests, WindowSettings(fractions=(0.3, 0.3, 0.2, 0.2)))
    assert sizes(requests, windows) == [3, 3, 2, 2]


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(
    hours=st.lists(st.integers(0, 12), min_size=4, max_size=30),
    shares=st.tuples(*[st.integers(1, 6)] * 3, st.integers(0, 6)),
)
def test_every_request_falls_whole_in_one_window(hours, shares):
    requests = make_requests(hours)
    fractions = tuple(share / sum(shares) for share in shares)
    try:
        windows = place_windows(requests, WindowSettings(fractions=fractions))
    except DataError:
        assume(False)
    parts = [windows.of(requests, window) for window in WINDOWS]
    assert sum(len(part) for part in parts) == len(requests)
    assert pl.concat(parts)["request_id"].n_unique() == len(hours)
    assert sum(part["request_id"].n_unique() for part in parts) == len(hours)
    filled = [part["timestamp"] for part in parts if len(part)]
    for earlier, later in pairwise(filled):
        assert earlier.max() < later.min()


@settings(max_examples=80, deadline=None)
@given(hours=st.lists(st.integers(0, 12), min_size=6, max_size=20), delay=st.integers(0, 5))
def test_labels_that_are_not_known_at_the_end_are_left_out(hours, delay):
    requests = make_requests(hours)
    windows = Windows(at(0, 4, 8, 10, 13))
    for window in WINDOWS:
        start, end = windows.bounds(window)
        found = windows.of(requests, window, delay * HOUR)["request_id"].unique().to_list()
        expected = [
            number
            for number, hour in enumerate(hours)
            if start <= START + hour * HOUR < end and START + (hour + delay) * HOUR < end
        ]
        assert sorted(found) == expected


def test_a_label_known_exactly_at_the_end_is_left_out():
    windows = Windows(at(0, 4, 8, 10, 13))
    assert windows.of(make_requests([3]), "text", HOUR).is_empty()
    assert len(windows.of(make_requests([3]), "text", HOUR - timedelta(microseconds=1))) == 2


@pytest.mark.parametrize(
    ("hours", "window", "span"),
    [
        ((20, 30, 40, 50, 60), "text", "2024-01-01T20:00:00+00:00 to 2024-01-02T06:00:00"),
        ((0, 5, 5, 8, 9), "ranker", "2024-01-01T05:00:00+00:00 to 2024-01-01T05:00:00"),
        ((0, 5, 20, 30, 40), "valid", "2024-01-01T20:00:00+00:00 to 2024-01-02T06:00:00"),
    ],
)
def test_a_window_that_must_not_be_empty_is_named(hours, window, span):
    requests = make_requests(range(10))
    with pytest.raises(DataError) as fault:
        place_windows(requests, WindowSettings(cuts=at(*hours)))
    message = str(fault.value)
    assert message.startswith(f"the {window} window, {span}")
    assert "holds no request; requests run from 2024-01-01T00:00:00" in message
    assert "to 2024-01-01T09:00:00" in message
    assert message.endswith("move [windows] cuts or fractions")


def test_requests_of_one_moment_cannot_be_cut():
    with pytest.raises(DataError, match=r"the text window, .* holds no request"):
        place_windows(make_requests([1] * 10), WindowSettings())


def test_no_request_is_refused():
    with pytest.raises(DataError, match="requests holds no row, so there is nothing to learn from; import lists"):
        place_windows(make_requests([]), WindowSettings())


def test_the_test_window_may_be_empty():
    requests = make_requests(range(10))
    assert sizes(requests, place_windows(requests, WindowSettings(cuts=at(0, 3, 6, 10, 10)))) == [3, 3, 4, 0]


@pytest.mark.parametrize(
    "write",
    [
        lambda moment: moment.isoformat(),
        lambda moment: moment.replace(tzinfo=None),
        lambda moment: moment.replace(tzinfo=None).isoformat(),
        lambda moment: moment.astimezone(timezone(timedelta(hours=-5))),
        lambda moment: moment.astimezone(timezone(timedelta(hours=5, minutes=45))).isoformat(),
        lambda moment: moment.astimezone(ZoneInfo("Europe/Copenhagen")),
        lambda moment: moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
    ],
)
def test_cuts_may_be_written_in_any_zone_and_are_utc(write):
    requests = make_requests(range(10))
    windows = place_windows(requests, WindowSettings(cuts=[write(moment) for moment in at(0, 3, 6, 8, 9)]))
    assert windows.cuts == at(0, 3, 6, 8, 9)
    assert windows.to_json()[1] == "2024-01-01T03:00:00+00:00"
    assert sizes(requests, windows) == [3, 3, 2, 1]


def test_cuts_across_the_end_of_summer_time_keep_their_order():
    zone = ZoneInfo("Europe/Copenhagen")  # at 03:00 clocks went back to 02:00
    cuts = [datetime(2024, 10, 27, hour, 30, fold=fold, tzinfo=zone) for hour, fold in ((1, 0), (2, 0), (2, 1), (3, 0))]
    windows = WindowSettings(cuts=[*cuts, datetime(2024, 10, 28, tzinfo=zone)]).cuts
    assert [cut.hour for cut in windows] == [23, 0, 1, 2, 23]


def test_days_are_their_first_moment():
    days = [date(2024, 1, day) for day in range(1, 6)]
    assert WindowSettings(cuts=days).cuts == at(0, 24, 48, 72, 96)
    assert WindowSettings(cuts=[day.isoformat() for day in days]) == WindowSettings(cuts=days)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"cuts": at(0, 1, 2)}, "cuts holds 3 times; write five, from the start of text to the end of test"),
        ({"cuts": at(0, 2, 1, 3, 4)}, r"cuts are not in order of time: \['2024-01-01T00:00:00"),
        ({"cuts": ["now", *at(1, 2, 3, 4)]}, "'now' is not a time; write it as 2023-05-24T07:00:00Z"),
        ({"cuts": at(0, 1, 2, 3, 4), "fractions": (0.4, 0.3, 0.1, 0.2)}, "cuts and fractions are both set; keep one"),
        ({"fractions": (0.5, 0.5, 0.5, -0.5)}, "must be at least 0 and add up to 1"),
        ({"fractions": (0.4, 0.3, 0.1, 0.1)}, r"fractions \[0.4, 0.3, 0.1, 0.1\] must be at least 0 and add up to 1"),
        ({"fractions": [float("nan")] * 4}, "must be at least 0 and add up to 1"),
        ({"fractions": (0.5, 0.5)}, "fractions.2\n  Field required"),
        ({"cut": at(0, 1, 2, 3, 4)}, "Extra inputs are not permitted"),
    ],
)
def test_wrong_settings_are_refused(values, message):
    with pytest.raises(ValidationError, match=message):
        WindowSettings(**values)


def test_windows_are_read_as_they_are_written():
    windows = Windows(at(0, 1, 2, 3, 4.5))
    assert Windows.from_json(json.loads(json.dumps(windows.to_json()))) == windows


@pytest.mark.parametrize(
    ("cuts", "message"),
    [
        (None, "windows are 5 moments with a zone, not None"),
        (dict.fromkeys("abcde"), "windows are 5 moments with a zone"),
        (["2024-01-01T00:00:00+00:00"] * 4, "windows are 5 moments with a zone"),
        (["2024-01-01"] * 5, "windows are 5 moments with a zone"),
        ([1, 2, 3, 4, 5], "argument must be str"),
        (["0001-01-01T00:00:00+12:00"] * 5, "lies outside the years 1 to 9999 in UTC"),
        ([f"2024-01-0{day}T00:00:00+00:00" for day in (1, 2, 4, 3, 5)], "windows are not in order of time"),
    ],
)
def test_windows_that_nobody_wrote_are_refused(cuts, message):
    with pytest.raises((TypeError, ValueError), match=message):
        Windows.from_json(cuts)


NIGHTLY = TimeSettings(freshness="nightly", made_at="04:00")


def test_cuts_move_to_the_next_making_and_no_list_to_another_window():
    made = make_requests([4 + 24 * day for day in range(8)])
    cuts = WindowSettings(cuts=at(0, 2 * 24, 3 * 24 + 4, 4 * 24 + 5, 99 * 24))
    windows = place_windows(made, cuts, time=NIGHTLY)
    assert windows.cuts == at(4, 2 * 24 + 4, 3 * 24 + 4, 5 * 24 + 4, 99 * 24 + 4)
    assert sizes(made, windows) == sizes(made, place_windows(made, cuts)) == [2, 1, 2, 3]


def test_fractions_end_with_the_day_of_the_last_making():
    made = make_requests([4 + 24 * day for day in range(10)])
    for shares in ((0.4, 0.3, 0.1, 0.2), (0.5, 0.3, 0.2, 0.0)):
        windows = place_windows(made, WindowSettings(fractions=shares), time=NIGHTLY)
        assert sizes(made, windows) == [round(10 * share) for share in shares]
        assert windows.cuts[-1] == START + (10 * 24 + 4) * HOUR


def test_the_labels_of_a_made_list_count_since_its_last_list_was_shown():
    hours = (5, 23, 27, 28)
    shown = [START + hour * HOUR for hour in hours for _ in range(2)]
    made = make_requests([4] * len(hours)).with_columns(shown_until=pl.Series(shown, dtype=TIME))
    windows = Windows(at(4, 28, 28, 28, 28))
    for delay, known in ((1, [0, 1]), (0, [0, 1, 2]), (5, [0]), (24, [])):
        found = windows.of(made, "text", delay * HOUR, NIGHTLY.shown)["request_id"].unique().sort()
        assert found.to_list() == known


@pytest.mark.parametrize(("time", "told"), [(NIGHTLY, True), (TimeSettings(), False), (None, False)])
def test_a_window_between_two_makings_says_what_it_needs(time, told):
    made = make_requests([4, 28, 52, 76])
    with pytest.raises(DataError, match="the valid window, .* holds no request") as error:
        place_windows(made, WindowSettings(cuts=at(4, 28, 53, 60, 100)), time=time)
    assert (
        "nightly lists are made once a day, so a window needs a day with lists at least" in str(error.value)
    ) == told
