from datetime import UTC, datetime, timedelta

import pytest

from recsys.errors import SettingsError
from recsys.jobs.nights import DAY, Nights, moved, refuse_unfit
from recsys.settings import Settings

BEGIN = datetime(2024, 3, 29, 3, tzinfo=UTC)  # four o'clock in Copenhagen, where clocks leap on the 31st


def settings(**sections) -> Settings:
    return Settings.model_validate(sections)


def test_nights_begin_at_one_time_of_day_whatever_the_clocks_do() -> None:
    nights = Nights.of(BEGIN, 3, "Europe/Copenhagen", DAY)
    assert [nights.begins(night).hour for night in range(4)] == [3, 3, 2, 2]
    assert [nights.name(night) for night in range(3)] == ["2024-03-29", "2024-03-30", "2024-03-31"]
    assert Nights.of(BEGIN, 1, "UTC", DAY).begins(1) == BEGIN + DAY


def test_a_moment_without_a_zone_is_utc_and_a_night_has_the_date_of_its_zone() -> None:
    nights = Nights.of(datetime(2024, 3, 29, 23), 1, "Asia/Tokyo", DAY)
    assert nights.begins(0) == datetime(2024, 3, 29, 23, tzinfo=UTC)
    assert nights.name(0) == "2024-03-30"


@pytest.mark.parametrize(("days", "trained"), [(1, [0, 1, 2, 3, 4]), (2, [0, 0, 2, 2, 4]), (7, [0, 0, 0, 0, 0])])
def test_models_are_trained_so_many_days_after_the_last_training(days: int, trained: list[int]) -> None:
    nights = Nights.of(BEGIN, 5, "UTC", days * DAY)
    assert [nights.trained(night) for night in range(5)] == trained


@pytest.mark.parametrize("count", [0, -1])
def test_there_is_a_night_at_least(count: int) -> None:
    with pytest.raises(SettingsError, match=f"nights is {count}; a backtest takes one night at least"):
        Nights.of(BEGIN, count, "UTC", DAY)


@pytest.mark.parametrize(("hours", "told"), [(0, "0d"), (12, "12h"), (36, "36h")])
def test_models_are_trained_at_the_beginning_of_nights_alone(hours: int, told: str) -> None:
    with pytest.raises(SettingsError, match=f"retrain is {told}; nights come once a day, so write whole days, such as"):
        Nights.of(BEGIN, 1, "UTC", timedelta(hours=hours))


def test_cuts_move_until_valid_ends_where_the_night_begins_and_fractions_stay() -> None:
    cuts = [f"2024-03-{day:02}" for day in (1, 8, 12, 14, 20)]
    found = moved(settings(windows={"cuts": cuts}), BEGIN)
    assert found.windows.cuts == tuple(BEGIN + timedelta(days=days) for days in (-13, -6, -2, 0, 6))
    shares = settings(windows={"fractions": [0.3, 0.5, 0.2, 0.0]})
    assert moved(shares, BEGIN) == shares


NIGHTLY = {"freshness": "nightly", "made_at": "04:00"}


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        ({}, {}, "A and B hold the same settings, so that nothing could differ; change one"),
        (
            {"labels": {"grades": {"buy": 3}}},
            {},
            r"A and B learn different labels \(\[labels\] .*'buy': 3.* and .*\); give both the same",
        ),
        (
            {"time": {"zone": "Asia/Tokyo"}},
            {},
            r"A and B have days of different zones \(\[time\] zone 'Asia/Tokyo' and 'UTC'\), and a night is a day of",
        ),
        (
            {"time": NIGHTLY},
            {"time": {**NIGHTLY, "made_at": "05:00"}},
            "those of A nightly, made at 04:00 UTC and those of B nightly, made at 05:00 UTC; compare under one",
        ),
        (
            {"time": NIGHTLY},
            {"features": {"context": ["device"]}},
            r"B reads 'device' of requests \(\[features\] context\), and the nightly lists of the other side are made",
        ),
    ],
)
def test_what_cannot_be_held_against_each_other_is_refused(first, second, told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        refuse_unfit({"A": settings(**first), "B": settings(**second)}, 1, warm=False)


def test_windows_that_begin_before_the_last_training_are_refused_where_it_is_gone_on_from() -> None:
    cuts = [f"2024-03-{day:02}" for day in (1, 8, 12, 14, 20)]
    one = {"B": settings(windows={"cuts": cuts})}
    with pytest.raises(
        SettingsError, match=r"B has \[windows\] cuts over 13 days.* may learn from the 7 days since then"
    ):
        refuse_unfit(one, 7, warm=True)
    assert refuse_unfit(one, 13, warm=True) is None
    assert refuse_unfit(one, 1, warm=False) is None


def test_the_lists_are_made_where_one_side_makes_them() -> None:
    made = settings(time=NIGHTLY)
    assert refuse_unfit({"A": settings(), "B": made}, 1, warm=False) == made.time
