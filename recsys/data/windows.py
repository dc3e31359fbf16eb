"""The four windows of time: text, ranker, valid and test, in order and never overlapping."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import polars as pl
from pydantic import BaseModel, ConfigDict, model_validator

from recsys.data.clock import Moment, TimeSettings, utc
from recsys.errors import DataError

Window = Literal["text", "ranker", "valid", "test"]
WINDOWS: tuple[Window, ...] = ("text", "ranker", "valid", "test")


class WindowSettings(BaseModel):
    """Where the windows lie: by times or by shares of the requests.

    Attributes
    ----------
    cuts
        Five times that never fall: four windows between them, each from its first moment up to the next. Times
        without a zone are UTC. Equal neighbours leave a window empty (`test` in production).
    fractions
        Four shares of the requests, in order of time, that add up to 1; used when there are no cuts, 0.4, 0.3, 0.1 and
        0.2 where there are no shares either. A window ends between two moments, so that requests of one moment stay
        together.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    cuts: tuple[Moment, ...] | None = None
    fractions: tuple[float, float, float, float] | None = None

    @model_validator(mode="after")
    def _check(self) -> "WindowSettings":
        if self.cuts is not None and self.fractions is not None:
            raise ValueError("cuts and fractions are both set; keep one of them")
        if self.cuts is not None:
            if len(self.cuts) != 5:
                raise ValueError(
                    f"cuts holds {len(self.cuts)} times; write five, from the start of text to the end of test"
                )
            if list(self.cuts) != sorted(self.cuts):
                raise ValueError(f"cuts are not in order of time: {[cut.isoformat() for cut in self.cuts]}")
        if self.fractions is not None and not (min(self.fractions) >= 0 and abs(sum(self.fractions) - 1) <= 1e-9):
            raise ValueError(f"fractions {list(self.fractions)} must be at least 0 and add up to 1")
        return self


_ONE_A_DAY = "; nightly lists are made once a day, so a window needs a day with lists at least"


@dataclass(frozen=True)
class Block:
    """A stretch of time that the encoder learns from at once.

    Attributes
    ----------
    window
        Where it lies.
    start, end
        Its first moment, and the first moment after it.
    """

    window: Window
    start: datetime
    end: datetime


@dataclass(frozen=True)
class Windows:
    """Four windows between five times.

    Attributes
    ----------
    cuts
        Five UTC times; window k holds the requests from `cuts[k]` up to, not including, `cuts[k + 1]`.
    """

    cuts: tuple[datetime, ...]

    @classmethod
    def from_json(cls, cuts: list[str]) -> "Windows":
        """Read what `to_json` wrote.

        Raises
        ------
        TypeError, ValueError
            When it is something else.
        """
        zones = [datetime.fromisoformat(cut).tzinfo for cut in cuts] if isinstance(cuts, list) else []
        if len(zones) != len(WINDOWS) + 1 or None in zones:
            raise ValueError(f"windows are {len(WINDOWS) + 1} moments with a zone, not {cuts}")
        moments = tuple(utc(cut) for cut in cuts)
        if list(moments) != sorted(moments):
            raise ValueError(f"windows are not in order of time: {cuts}")
        return cls(moments)

    def to_json(self) -> list[str]:
        """Write the times as ISO 8601 strings."""
        return [cut.isoformat() for cut in self.cuts]

    @property
    def learnt_until(self) -> datetime:
        """The first moment that a model of these windows has not learnt from: the end of valid."""
        return self.cuts[3]

    def bounds(self, window: Window) -> tuple[datetime, datetime]:
        """Return the first moment of a window and the first moment after it."""
        place = WINDOWS.index(window)
        return self.cuts[place], self.cuts[place + 1]

    def blocks(self, longest: timedelta) -> list[Block]:
        """Return the stretches of time that are learnt from one after the other.

        The text window is the first block; ranker and valid are cut into blocks of `longest`, the last one of a window
        may be shorter.

        Raises
        ------
        ValueError
            When `longest` is not above 0.
        """
        if longest <= timedelta(0):
            raise ValueError(f"a block of {longest} is no stretch of time; give at least one second")
        blocks = [Block("text", *self.bounds("text"))]
        for window in WINDOWS[1:3]:
            start, end = self.bounds(window)
            while start < end:
                blocks.append(Block(window, start, min(start + longest, end)))
                start += longest
        return blocks

    def of(
        self, requests: pl.DataFrame, window: Window, label_delay: timedelta | None = None, shown: str = "timestamp"
    ) -> pl.DataFrame:
        """Return the rows of `requests` in a window.

        Parameters
        ----------
        requests
            Rows with a `timestamp`; a request has one timestamp, so it is taken whole or not at all.
        window
            Which one.
        label_delay
            When given, only requests whose labels are known before the window's end: training windows.
        shown
            Column that holds since when `label_delay` counts, see `TimeSettings.shown`.
        """
        start, end = self.bounds(window)
        inside = (pl.col("timestamp") >= start) & (pl.col("timestamp") < end)
        if label_delay is not None:
            inside &= pl.col(shown) + label_delay < end
        return requests.filter(inside)


def place_windows(
    requests: pl.DataFrame, settings: WindowSettings, since: datetime | None = None, time: TimeSettings | None = None
) -> Windows:
    """Turn settings into times, given the logged requests, or the lists that were made.

    Parameters
    ----------
    requests
        Rows with `request_id` and `timestamp`.
    settings
        Where the windows lie.
    since
        Shares are those of the requests from this moment on; cuts are taken as they are.
    time
        Under nightly a cut moves to the next making: a window then holds whole days of made lists, as it would in any
        case, and ends when the labels of the last one are known.

    Raises
    ------
    DataError
        When there is no request, or a window other than `test` would be empty.
    """
    if requests.is_empty():
        raise DataError("requests holds no row, so there is nothing to learn from; import lists that were shown")
    if since is not None and settings.cuts is None:
        last = requests["timestamp"].dt.to_string("iso:strict").sort()[-1]
        requests = requests.filter(pl.col("timestamp") >= since)
        if requests.is_empty():
            raise DataError(
                f"no request is left for [windows] fractions: they begin at {since.isoformat()}, where the model of "
                f"--from has learnt until, and requests end at {last}; import later requests"
            )
    if settings.cuts is not None:
        windows = Windows(settings.cuts)
    else:
        windows = Windows(_cuts_by_share(requests, settings.fractions or (0.4, 0.3, 0.1, 0.2)))
    made = time is not None and time.nightly
    if time is not None:
        windows = Windows(tuple(map(time.opening, windows.cuts)))
    first, last = requests["timestamp"].dt.to_string("iso:strict").sort()[[0, -1]]
    for window in WINDOWS[:3]:
        if windows.of(requests, window).is_empty():
            start, end = (moment.isoformat() for moment in windows.bounds(window))
            raise DataError(
                f"the {window} window, {start} to {end}, holds no request; requests run from {first} to {last}; "
                f"move [windows] cuts or fractions{_ONE_A_DAY if made else ''}"
            )
    return windows


def _cuts_by_share(requests: pl.DataFrame, fractions: tuple[float, ...]) -> tuple[datetime, ...]:
    times = requests.unique("request_id")["timestamp"].sort()
    end = times[-1] + timedelta(microseconds=1)
    ends = [round(sum(fractions[: k + 1]) * len(times)) for k in range(4)]
    return (times[0], *(end if place >= len(times) else times[place] for place in ends))
