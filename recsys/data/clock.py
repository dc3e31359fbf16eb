"""The one clock: durations, the daily cut, and when a row of behaviour becomes known."""

import re
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import numpy.typing as npt
import polars as pl
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    model_validator,
)

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_duration(text: object) -> timedelta:
    """Turn `"90s"`, `"10m"`, `"6h"` or `"1d"` into a timedelta; a timedelta passes when it can be written like that.

    Raises
    ------
    ValueError
        When it is not a whole number of up to eight digits followed by one of s, m, h, d.

    Examples
    --------
    >>> parse_duration("10m")
    datetime.timedelta(seconds=600)
    """
    if isinstance(text, timedelta) and text >= timedelta(0) and text.microseconds == 0:
        return text
    match = re.fullmatch(r"(\d{1,8})([smhd])", text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f"{text!r} is not a duration; write a whole number and a unit, such as '10m', '6h' or '1d'")
    return timedelta(seconds=int(match[1]) * _UNITS[match[2]])


def format_duration(duration: timedelta) -> str:
    """Write a duration in the largest unit that divides it: the inverse of `parse_duration`.

    Examples
    --------
    >>> format_duration(timedelta(hours=48))
    '2d'
    """
    seconds = int(duration.total_seconds())
    unit = next(unit for unit in "dhms" if seconds % _UNITS[unit] == 0)
    return f"{seconds // _UNITS[unit]}{unit}"


Duration = Annotated[timedelta, BeforeValidator(parse_duration), PlainSerializer(format_duration)]


def utc(moment: object) -> datetime:
    """Turn a moment, or the text of one, into a datetime in UTC; what names no zone is UTC, a date is its midnight.

    Raises
    ------
    ValueError
        When it is no moment, or lies outside the calendar once it is in UTC.

    Examples
    --------
    >>> utc("2023-05-24T09:00:00+02:00")
    datetime.datetime(2023, 5, 24, 7, 0, tzinfo=datetime.timezone.utc)
    """
    try:
        found = datetime.fromisoformat(str(moment) if isinstance(moment, str | date) else "")
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except ValueError as error:
        raise ValueError(f"{moment!r} is not a time; write it as 2023-05-24T07:00:00Z") from error
    except OverflowError as error:
        raise ValueError(f"{moment} lies outside the years 1 to 9999 in UTC") from error


Moment = Annotated[AwareDatetime, BeforeValidator(utc)]


def known_zone(zone: str) -> str:
    """Refuse what names no time zone, with a ValueError."""
    try:
        ZoneInfo(zone)
        pl.Series([0], dtype=pl.Datetime("us", "UTC")).dt.convert_time_zone(zone).dt.hour()
    except (ZoneInfoNotFoundError, ValueError, OSError, pl.exceptions.ComputeError) as error:
        raise ValueError(f"{zone!r} is not a time zone; write a name such as 'UTC' or 'Europe/Copenhagen'") from error
    return zone


def _hour_and_minute(text: object) -> object:
    if text != "" and not (isinstance(text, str) and re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9]", text)):
        raise ValueError(
            f'{text!s} is not an hour and a minute of [time] zone; write it in quotes, from "00:00" to "23:59", '
            'such as "04:00"'
        )
    return text


SHOWN_UNTIL = "shown_until"
"""Column of made lists: when the last of the logged lists was shown that one stands for, see `recsys.data.made`."""


class TimeSettings(BaseModel):
    """What the ranker will know when it works.

    Attributes
    ----------
    freshness
        `"live"`: a request knows everything up to its own moment; `"1d"`: everything up to the last midnight;
        `"nightly"`: lists are made once a day, at `made_at`, and everything is of that moment until the next making.
    made_at
        Hour and minute in `zone` at which nightly lists are made for the day that follows, such as `"04:00"`; with
        `"nightly"` alone. Where clocks leap over it, that day's lists are made as much later on the clock as they leap;
        where clocks show it twice, at the first time.
    feedback_delay
        How long after a list was shown all its labels are known, those of what was not clicked too. What is clicked
        later counts in no rate.
    click_delay
        How long after a list was shown a click on it is known, where `clicked_at` of requests does not say when; as
        long as `feedback_delay` when left out. Rates wait for the whole list; all else takes a click once it is known.
    zone
        Time zone of the daily cut: of midnight, or of `made_at`.
    lateness
        How much later than it became known a row may come to a process that serves, counted from the first moment that
        its state answers for; what comes later is left out and counted.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    freshness: Literal["live", "1d", "nightly"] = "live"
    made_at: Annotated[str, BeforeValidator(_hour_and_minute)] = ""
    feedback_delay: Duration = timedelta(minutes=10)
    click_delay: Duration | None = None
    zone: Annotated[str, AfterValidator(known_zone)] = "UTC"
    lateness: Duration = timedelta(days=1)

    @model_validator(mode="after")
    def _check(self) -> "TimeSettings":
        if self.click_delay is not None and self.click_delay > self.feedback_delay:
            raise ValueError(
                f"click_delay {format_duration(self.click_delay)} is longer than feedback_delay "
                f"{format_duration(self.feedback_delay)}, after which all labels of a list are known; shorten the "
                "first or lengthen the second"
            )
        if self.nightly and not self.made_at:
            raise ValueError(
                'freshness = "nightly" needs made_at, the hour and minute in zone at which lists are made; write for '
                'example made_at = "04:00"'
            )
        if self.made_at and not self.nightly:
            raise ValueError(
                f'made_at = "{self.made_at}" has a meaning with freshness = "nightly" alone, not with '
                f'"{self.freshness}"; remove it, or set freshness = "nightly"'
            )
        return self

    @property
    def clicks_known_after(self) -> timedelta:
        """How long after a list was shown a click on it is known, where nothing says when it was."""
        return self.feedback_delay if self.click_delay is None else self.click_delay

    @property
    def delays_in_words(self) -> str:
        """Say for a report when labels are known."""
        clicks = "" if self.click_delay is None else f", clicks after {format_duration(self.click_delay)}"
        return f"{format_duration(self.feedback_delay)}{clicks}"

    @property
    def nightly(self) -> bool:
        """Whether lists are made once a day."""
        return self.freshness == "nightly"

    @property
    def shown(self) -> str:
        """Column of what is learnt from that holds when the last list was shown that a row's labels are of."""
        return SHOWN_UNTIL if self.nightly else "timestamp"

    def in_words(self) -> str:
        """Say under which freshness, for people."""
        return f"nightly, made at {self.made_at} {self.zone}" if self.nightly else self.freshness

    def as_of(self, timestamp: pl.Expr) -> pl.Expr:
        """Return the moment after which nothing may be known, for requests at `timestamp` (UTC)."""
        if self.freshness == "live":
            return timestamp
        if self.nightly:
            return self._made_before(timestamp)
        return timestamp.dt.convert_time_zone(self.zone).dt.truncate("1d").dt.convert_time_zone("UTC")

    def _made_before(self, timestamp: pl.Expr) -> pl.Expr:
        """Return the last making that is not after `timestamp`."""
        hour, minute = map(int, self.made_at.split(":"))
        midnight = timestamp.dt.convert_time_zone(self.zone).dt.replace_time_zone(None).dt.truncate("1d")
        # The date alone does not say which making was the last one: clocks may have been moved since, by a day at most.
        makings = [self._on_clock(midnight + timedelta(days=day, hours=hour, minutes=minute)) for day in (1, 0, -1, -2)]
        return pl.max_horizontal(pl.when(each <= timestamp).then(each) for each in makings)

    def _on_clock(self, local: pl.Expr) -> pl.Expr:
        """Return when clocks of the zone show a moment: the first time, or later by what they leap over it."""
        shown, before = (
            each.dt.replace_time_zone(self.zone, ambiguous="earliest", non_existent="null").dt.convert_time_zone("UTC")
            for each in (local, local - timedelta(days=1))
        )
        return pl.coalesce(shown, before + timedelta(days=1))

    def opening(self, moment: datetime) -> datetime:
        """Return the first moment of a request at `moment` (UTC) or later: under nightly, of a making.

        A moment before 1970 or after 2200, where no list is, stays as it is.
        """
        if not self.nightly or not 1970 <= moment.year <= 2200:
            return moment
        later = (self.known_at(moment + timedelta(hours=hours)) for hours in (0, 24, 26, 50))  # days have 23 to 25
        return next(making for making in later if making >= moment)

    def known_at(self, moment: datetime) -> datetime:
        """Return what `as_of` gives for one request."""
        found: datetime = pl.select(self.as_of(pl.lit(moment, pl.Datetime("us", "UTC")))).item()
        return found

    def labelled_until(self, moment: datetime) -> datetime:
        """Return the end of the lists whose labels a request at `moment` (UTC) may know."""
        return self.known_at(moment) - self.feedback_delay


_QUARTER = 15 * 60 * 1_000_000
"""Clocks are set forward and back at whole quarters of an hour of UTC, so that one hour holds for all of a quarter."""


def clock_of(moments: npt.NDArray[np.int64], zone: str) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Give the hour, 0 to 23, and the day of the week, 1 = Monday, that clocks of a zone show.

    Parameters
    ----------
    moments
        Microseconds since 1970 UTC, 1990 or later, shape [N].
    zone
        Name of the zone.

    Examples
    --------
    >>> clock_of(np.array([1_700_000_000_000_000]), "Europe/Berlin")
    (array([23]), array([2]))
    """
    quarters, which = np.unique(moments // _QUARTER, return_inverse=True)
    local = [datetime.fromtimestamp(each * _QUARTER // 1_000_000, ZoneInfo(zone)) for each in quarters.tolist()]
    hours, days = (
        np.array(found, dtype=np.int64) for found in ([t.hour for t in local], [t.isoweekday() for t in local])
    )
    return hours[which], days[which]


def daily_cuts(moments: npt.NDArray[np.int64], zone: str) -> npt.NDArray[np.int64]:
    """Give the last midnight of a zone that is not after each of some moments, microseconds since 1970 UTC, shape [N].

    Examples
    --------
    >>> daily_cuts(np.array([1_700_000_000_000_000]), "Europe/Berlin").tolist()
    [1699916400000000]
    """
    quarters, which = np.unique(moments // _QUARTER, return_inverse=True)
    local = pl.Series(quarters * _QUARTER).cast(pl.Datetime("us", "UTC")).dt.convert_time_zone(zone).dt.truncate("1d")
    cuts: npt.NDArray[np.int64] = local.dt.convert_time_zone("UTC").dt.epoch("us").to_numpy()
    return cuts[which]
