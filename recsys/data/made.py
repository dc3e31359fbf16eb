"""Nightly lists: one for each user and day, made once and before all that they are judged on, of what was out then."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.data.clock import SHOWN_UNTIL, TimeSettings

Moments = npt.NDArray[np.float64]

Availability = Callable[[pl.Series], Moments]
"""From ids of items to when each could first be shown, microseconds; NaN where it is not known, which counts as out."""


@dataclass(frozen=True)
class NotOut:
    """What lists lose because they are made before some items are out.

    Attributes
    ----------
    candidates
        Candidates that were not out at the making.
    clicks, of_clicks
        How many of them were clicked, and how many candidates were, those that were out included; None where nothing
        is known of clicks.
    """

    candidates: int
    clicks: int | None = None
    of_clicks: int | None = None

    @classmethod
    def of(cls, made: "Made") -> "NotOut":
        """Count what made lists leave out."""
        labels = [part.schema.get("label", pl.Null()) for part in (made.lists, made.left_out)]
        if not all(dtype.is_numeric() or dtype == pl.Boolean for dtype in labels):
            return cls(len(made.left_out))
        listed, lost = (int((part["label"].cast(pl.Int64) > 0).sum()) for part in (made.lists, made.left_out))
        return cls(len(made.left_out), lost, lost + listed)

    def joined(self, other: "NotOut") -> "NotOut":
        """Count other lists, too."""
        clicks, of_clicks = (
            None if own is None or more is None else own + more
            for own, more in ((self.clicks, other.clicks), (self.of_clicks, other.of_clicks))
        )
        return NotOut(self.candidates + other.candidates, clicks, of_clicks)

    @property
    def share(self) -> float | None:
        """Share of the clicks, 0 to 1, that fell on items that were not out; None without a click."""
        return self.clicks / self.of_clicks if self.clicks is not None and self.of_clicks else None

    def to_json(self) -> dict[str, int | float | None]:
        """Return plain numbers; what is not known is None."""
        return {**vars(self), "share": self.share}

    def in_words(self) -> str:
        """Say it in one sentence."""
        said = f"{self.candidates:,} candidates were not out when their lists were made, and are left out"
        if self.clicks is None or self.of_clicks is None:
            return f"{said}."
        share = f" ({self.share:.1%})".replace("%", " %") if self.share is not None else ""
        return f"{said}; {self.clicks:,} of {self.of_clicks:,} clicks{share} fell on them."


@dataclass(frozen=True)
class Made:
    """Lists as they are asked for, or learnt and judged from.

    Attributes
    ----------
    lists
        Candidates that were out, `timestamp` the moment that counts.
    left_out
        Rows of the same columns, of items that were not out at that moment; none where lists are not made.
    """

    lists: pl.DataFrame
    left_out: pl.DataFrame


def at_the_making(candidates: pl.DataFrame, available_at: Availability, time: TimeSettings) -> Made:
    """Move candidates to the making of the day in which their moment lies, and leave out what was not out then.

    Parameters
    ----------
    candidates
        Rows with a `timestamp`; each request stays one list.
    available_at
        Tells when items could first be shown.
    time
        Under another freshness than nightly, candidates stay as they are.
    """
    if not time.nightly:
        return Made(candidates, candidates.head(0))
    moved = candidates.with_columns(time.as_of(pl.col("timestamp")).alias("timestamp"))
    late = pl.Series(available_at(moved["item_id"]) > moved["timestamp"].dt.epoch("us").to_numpy())
    return Made(moved.filter(~late), moved.filter(late))


def made_lists(requests: pl.DataFrame, available_at: Availability, time: TimeSettings) -> Made:
    """Turn logged requests into what is learnt and judged from: under nightly, one made list for each user and day.

    A made list holds each item once that any of the user's lists between two makings held, with the largest label of
    them, null where one of them is not known yet. Its `timestamp` is the making, its `request_id` that of the first of
    these lists (of two at one moment, the smaller id). What only a request knew is gone, but `views` and `clicks` add
    up.

    Parameters
    ----------
    requests
        Rows of the requests table, requests whole.
    available_at
        As of `at_the_making`.
    time
        Under another freshness than nightly, requests stay as they are.

    Returns
    -------
    `request_id`, `user_id`, `timestamp`, `item_id`, `label`, `shown_until` (when the last of the lists was shown: the
    labels are known `feedback_delay` later), and `views` and `clicks` where requests hold them; by making, request and
    item.
    """
    if not time.nightly:
        return Made(requests, requests.clear())
    counts = [pl.col(name).sum() for name in ("views", "clicks") if name in requests.columns]
    day = ["user_id", "timestamp"]
    moved = at_the_making(requests.with_columns(pl.col("timestamp").alias(SHOWN_UNTIL)), available_at, time)
    whole = pl.concat([moved.lists, moved.left_out])
    of_day = whole.group_by(day).agg(
        pl.col("request_id").sort_by(SHOWN_UNTIL, "request_id").first(), pl.col(SHOWN_UNTIL).max()
    )
    order = ["request_id", "user_id", "timestamp", "item_id", "label", SHOWN_UNTIL]

    def united(rows: pl.DataFrame) -> pl.DataFrame:
        known = pl.when(pl.col("label").is_not_null().all()).then(pl.col("label").max())
        items = rows.group_by(*day, "item_id").agg(known, *counts)
        named = items.join(of_day, on=day).select(*order, *(name for name in items.columns if name not in order))
        return named.sort("timestamp", "request_id", "item_id")

    return Made(united(moved.lists), united(moved.left_out))
