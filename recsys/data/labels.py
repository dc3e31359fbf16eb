"""Event kinds as graded labels: a purchase within a day of the list counts more than a click."""

from dataclasses import replace
from datetime import timedelta
from typing import Annotated

import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from recsys.data.clock import Duration, TimeSettings
from recsys.data.tables import Dataset
from recsys.errors import SettingsError


class LabelSettings(BaseModel):
    """Which events grade a candidate.

    Attributes
    ----------
    grades
        Grade from 1 to 30 per event kind, such as `{click = 1, purchase = 3}`; none leaves labels as logged.
    attribution
        How long after its list was shown an event still grades the candidate.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    grades: dict[str, Annotated[int, Field(ge=1, le=30)]] = Field(default_factory=dict)
    attribution: Duration = timedelta(days=1)

    def clock(self, time: TimeSettings) -> TimeSettings:
        """Give the clock under which graded labels are known: not before the attribution window has passed."""
        if not self.grades:
            return time
        return time.model_copy(update={"feedback_delay": max(time.feedback_delay, self.attribution)})


def grade_labels(dataset: Dataset, settings: LabelSettings) -> Dataset:
    """Move graded events into the labels of the lists that led to them.

    An event goes to the latest showing of the same item to the same user (of two at one moment, to the larger
    `request_id`), if that lies at most `attribution` before the moment the event became known; the candidate's label
    becomes the largest of its own and its events' grades. Moved events leave `events`, so that every outcome stands in
    one table only.

    Raises
    ------
    SettingsError
        When a graded event kind never occurs.
    """
    if not settings.grades:
        return dataset
    events = dataset.events.with_row_index("_event")
    kinds = set(events["event"].unique())
    for kind in settings.grades:
        if kind not in kinds:
            raise SettingsError(
                f"[labels] grades names {kind!r}, an event that never occurs; events holds {sorted(kinds)}"
            )
    known_at = pl.max_horizontal("known_at", "timestamp") if "known_at" in events.columns else pl.col("timestamp")
    graded = (
        events.filter(pl.col("event").is_in(list(settings.grades)))
        .select(
            "_event",
            "user_id",
            "item_id",
            pl.col("timestamp").alias("_at"),
            known_at.alias("_known_at"),
            pl.col("event").replace_strict(settings.grades, return_dtype=pl.Int64).alias("_grade"),
        )
        .sort("_at")
    )
    showings = (
        dataset.requests.with_row_index("_row")
        .sort("timestamp", "request_id")
        .select("_row", "user_id", "item_id", "timestamp")
    )
    moved = graded.join_asof(
        showings, left_on="_at", right_on="timestamp", by=["user_id", "item_id"], check_sortedness=False
    ).filter(pl.col("_known_at") - pl.col("timestamp") <= settings.attribution)
    best = moved.group_by("_row").agg(pl.col("_grade").max())
    requests = (
        dataset.requests.with_row_index("_row")
        .join(best, on="_row", how="left", maintain_order="left")
        .with_columns(label=pl.max_horizontal("label", pl.col("_grade").cast(dataset.requests.schema["label"])))
        .drop("_row", "_grade")
    )
    left = events.join(moved, on="_event", how="anti", maintain_order="left").drop("_event")
    return replace(dataset, requests=requests, events=left)
