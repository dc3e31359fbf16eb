import re
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from recsys.data.clock import TimeSettings, format_duration, parse_duration
from recsys.schema import TIME


def as_of(clock, moments):
    return pl.DataFrame({"timestamp": moments}, schema={"timestamp": TIME}).select(clock.as_of(pl.col("timestamp")))[
        "timestamp"
    ]


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("10m", 600), ("6h", 21600), ("1d", 86400), ("0s", 0), ("07m", 420)]
)
def test_durations_are_read(text, seconds):
    assert parse_duration(text) == timedelta(seconds=seconds)


@given(st.integers(0, 10**8 - 1).map(lambda seconds: timedelta(seconds=seconds)))
def test_durations_are_written_as_they_are_read(duration):
    assert parse_duration(format_duration(duration)) == duration
    assert parse_duration(duration) == duration


@pytest.mark.parametrize(("seconds", "text"), [(90, "90s"), (7200, "2h"), (5400, "90m"), (172800, "2d")])
def test_durations_are_written_in_the_largest_unit_that_divides_them(seconds, text):
    assert format_duration(timedelta(seconds=seconds)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "10",
        "m",
        "10 m",
        "1.5h",
        "-1h",
        "10M",
        "1w",
        "1h30m",
        "1h\n",
        "100000000d",
        600,
        None,
        timedelta(0, -1),
        timedelta(0, 0.5),
    ],
)
def test_other_durations_are_refused(text):
    with pytest.raises(ValueError, match="is not a duration; write a whole number and a unit, such as '10m', '6h'"):
        parse_duration(text)


def test_settings_are_written_as_they_are_read():
    clock = TimeSettings(freshness="1d", feedback_delay="90m", zone="Asia/Tokyo")
    written = {"freshness": "1d", "made_at": "", "feedback_delay": "90m", "click_delay": None, "zone": "Asia/Tokyo"}
    written["lateness"] = "1d"
    assert clock.model_dump(mode="json") == written
    assert TimeSettings.model_validate(written) == clock
    sooner = TimeSettings(feedback_delay="90m", click_delay="1m")
    assert sooner.model_dump(mode="json")["click_delay"] == "1m"
    assert TimeSettings.model_validate(sooner.model_dump(mode="json")) == sooner


@pytest.mark.parametrize(
    ("click_delay", "after", "words"),
    [(None, 90, "90m"), ("0s", 0, "90m, clicks after 0d"), ("90m", 90, "90m, clicks after 90m")],
)
def test_a_click_is_known_with_all_labels_or_sooner(click_delay, after, words):
    clock = TimeSettings(feedback_delay="90m", click_delay=click_delay)
    assert clock.clicks_known_after == timedelta(minutes=after)
    assert clock.delays_in_words == words


@pytest.mark.parametrize(("click_delay", "feedback_delay"), [("11m", "10m"), ("1s", "0s"), ("2d", "25h")])
def test_a_click_that_is_known_after_its_list_is_refused(click_delay, feedback_delay):
    words = f"click_delay {click_delay} is longer than feedback_delay .*, after which all labels of a list are known; shorten"
    with pytest.raises(ValidationError, match=words):
        TimeSettings(click_delay=click_delay, feedback_delay=feedback_delay)


@pytest.mark.parametrize("zone", ["Mars", "", "../etc/passwd", "/etc/passwd", "Europe", "UTC+1"])
def test_unknown_zones_are_refused(zone):
    with pytest.raises(
        ValidationError, match=f"{re.escape(repr(zone))} is not a time zone; write a name such as 'UTC' or"
    ):
        TimeSettings(zone=zone)


@pytest.mark.parametrize(
    "values", [{"freshness": "2d"}, {"feedback_delay": "soon"}, {"feedback_delay": -5}, {"fresh": "live"}]
)
def test_other_settings_are_refused(values):
    with pytest.raises(ValidationError):
        TimeSettings(**values)


def test_a_live_request_knows_everything_before_its_own_moment():
    moments = [datetime(2024, 5, 1, 13, 7, 11, 5, tzinfo=UTC)]
    assert as_of(TimeSettings(zone="Asia/Tokyo"), moments).to_list() == moments


MOMENTS = st.datetimes(datetime(2018, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))
# Midnight does not exist on some days in Sao Paulo (2018) and Cairo, clocks change at it in Beirut.
ZONES = st.sampled_from(
    ["UTC", "Europe/Copenhagen", "America/New_York", "Asia/Kathmandu", "America/Sao_Paulo", "Africa/Cairo"]
)


@settings(deadline=None, max_examples=300)
@given(moment=MOMENTS, zone=ZONES)
def test_the_daily_cut_is_the_last_local_midnight(moment, zone):
    (found,) = as_of(TimeSettings(freshness="1d", zone=zone), [moment])
    assert found <= moment
    assert found == datetime.combine(moment.astimezone(ZoneInfo(zone)).date(), time(), ZoneInfo(zone)).astimezone(UTC)


@pytest.mark.parametrize(
    ("moment", "midnight"),
    [
        ("2024-03-31T12:00", "2024-03-30T23:00"),  # summer time began at two in the night
        ("2024-03-31T22:30", "2024-03-31T22:00"),
        ("2024-10-27T12:00", "2024-10-26T22:00"),  # and ended at three
        ("2024-10-27T22:59", "2024-10-26T22:00"),
        ("2024-10-27T23:00", "2024-10-27T23:00"),
    ],
)
def test_the_daily_cut_follows_summer_time(moment, midnight):
    (found,) = as_of(
        TimeSettings(freshness="1d", zone="Europe/Copenhagen"), [datetime.fromisoformat(moment).replace(tzinfo=UTC)]
    )
    assert found == datetime.fromisoformat(midnight).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "day"),
    [("America/Sao_Paulo", "2018-11-04"), ("Africa/Cairo", "2024-04-26"), ("America/Havana", "2023-11-05")],
)
def test_a_day_without_one_midnight_has_a_cut_that_is_never_later_than_its_requests(zone, day):
    start = datetime.fromisoformat(day).replace(tzinfo=UTC)
    moments = [start + timedelta(minutes=30 * step) for step in range(80)]
    cuts = as_of(TimeSettings(freshness="1d", zone=zone), moments).to_list()
    local = ZoneInfo(zone)
    assert cuts == sorted(cuts)
    for cut, moment in zip(cuts, moments, strict=True):
        assert moment - timedelta(hours=25) < cut <= moment
        assert cut.astimezone(local).date() == moment.astimezone(local).date()


@pytest.mark.parametrize(("freshness", "hour"), [("live", 11), ("1d", 22)])
def test_labels_are_known_after_the_delay_and_as_of(freshness, hour):
    clock = TimeSettings(freshness=freshness, feedback_delay="1h", zone="Europe/Copenhagen")
    known = clock.labelled_until(datetime(2026, 1, 5, 12, tzinfo=UTC))
    assert known == datetime(2026, 1, 5 if freshness == "live" else 4, hour, tzinfo=UTC)


def nightly(made_at="04:00", zone="Europe/Copenhagen") -> TimeSettings:
    return TimeSettings(freshness="nightly", made_at=made_at, zone=zone)


@settings(deadline=None, max_examples=300)
@given(moment=MOMENTS, zone=ZONES, at=st.times())
def test_a_list_is_made_at_the_last_making_that_is_not_later(moment, zone, at):
    clock, local = nightly(f"{at:%H:%M}", zone), ZoneInfo(zone)
    around = [moment.astimezone(local).date() + timedelta(days=day) for day in range(-2, 2)]
    # The first of two equal times on the clock, and later by what clocks leap: what Python's `fold=0` is.
    makings = [datetime.combine(day, at.replace(second=0, microsecond=0), local).astimezone(UTC) for day in around]
    (found,) = as_of(clock, [moment])
    assert found == max(making for making in makings if making <= moment)
    assert as_of(clock, [found]).to_list() == [found]
    opening = clock.opening(moment)
    assert opening == min(making for making in [*makings, datetime.max.replace(tzinfo=UTC)] if making >= moment) or (
        opening > max(makings)
    )
    assert clock.known_at(opening) == opening


@pytest.mark.parametrize(
    ("made_at", "moment", "made"),
    [
        ("02:30", "2024-03-31T12:00", "2024-03-31T01:30"),  # 02:30 does not exist: made at 03:30 of summer time
        ("02:30", "2024-03-31T01:29", "2024-03-30T01:30"),
        ("02:30", "2024-10-27T12:00", "2024-10-27T00:30"),  # 02:30 comes twice: made at the first
        ("02:30", "2024-10-27T01:10", "2024-10-27T00:30"),
        ("04:00", "2024-10-27T02:59", "2024-10-26T02:00"),  # a day of 25 hours
        ("04:00", "2024-10-27T03:00", "2024-10-27T03:00"),
    ],
)
def test_makings_follow_summer_time(made_at, moment, made):
    (found,) = as_of(nightly(made_at), [datetime.fromisoformat(moment).replace(tzinfo=UTC)])
    assert found == datetime.fromisoformat(made).replace(tzinfo=UTC)


@pytest.mark.parametrize("zone", ["Pacific/Apia", "Asia/Tehran", "America/Havana", "Australia/Lord_Howe"])
def test_the_next_making_is_never_earlier(zone):
    clock, start = nightly("00:30", zone), datetime(2011, 12, 25, tzinfo=UTC)  # Apia went without the 30th
    moments = [start + timedelta(hours=7 * step) for step in range(400)]
    makings = as_of(clock, moments).to_list()
    assert makings == sorted(makings)
    for moment, making in zip(moments, makings, strict=True):
        assert moment - timedelta(hours=49) < making <= moment
        assert clock.opening(moment) >= moment
        assert clock.known_at(clock.opening(moment) - timedelta(microseconds=1)) < moment


@pytest.mark.parametrize("moment", [datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)])
def test_a_moment_without_end_stays_as_it_is(moment):
    assert nightly().opening(moment) == moment


def test_other_freshnesses_open_at_any_moment():
    moment = datetime(2024, 5, 1, 13, 7, 11, 5, tzinfo=UTC)
    assert TimeSettings().opening(moment) == TimeSettings(freshness="1d").opening(moment) == moment


@pytest.mark.parametrize(
    "made_at",
    ["25:00", "24:00", "4:00", "04:60", "04:00:00", "04:00+02:00", "04:00Z", "04", "0\u0664:00", time(4), 400],
)
def test_other_times_of_day_are_refused(made_at):
    with pytest.raises(ValidationError, match=r"is not an hour and a minute of \[time\] zone; write it in quotes, fr"):
        TimeSettings(freshness="nightly", made_at=made_at)


def test_nightly_lists_and_the_time_they_are_made_at_come_together():
    with pytest.raises(
        ValidationError, match='freshness = "nightly" needs made_at, .*; write for example made_at = "0'
    ):
        TimeSettings(freshness="nightly")
    for freshness in ("live", "1d"):
        with pytest.raises(ValidationError, match=f'"nightly" alone, not with "{freshness}"; remove it, or set fresh'):
            TimeSettings(freshness=freshness, made_at="04:00")


def test_nightly_labels_are_known_after_the_delay_before_the_making():
    clock = TimeSettings(freshness="nightly", made_at="04:00", feedback_delay="1h")
    assert clock.labelled_until(datetime(2026, 1, 5, 12, tzinfo=UTC)) == datetime(2026, 1, 5, 3, tzinfo=UTC)
    assert (clock.shown, TimeSettings().shown) == ("shown_until", "timestamp")
    assert (clock.in_words(), TimeSettings(freshness="1d").in_words()) == ("nightly, made at 04:00 UTC", "1d")
