"""Tables as they were: what was known before a moment, for whoever asks how it would have gone from then on."""

from dataclasses import replace
from datetime import datetime

import polars as pl

from recsys.data.clock import TimeSettings
from recsys.data.tables import Dataset
from recsys.schema import KNOWN_AT, TIME


def known_before(dataset: Dataset, moment: datetime, time: TimeSettings) -> Dataset:
    """Cut tables at a moment.

    Lists shown from then on are not there, nor events that became known then, nor later versions of items and users;
    what has no `known_at` was always known. A label is empty where it was not known: a click until its `clicked_at`, or
    `click_delay` after the list, all else until `feedback_delay` after it. Who clicks later than that is known by then
    as not having clicked. Other columns that are recorded after the list come with the last of its labels.

    Parameters
    ----------
    dataset
        Tables in the types of the package, see `Dataset.plain`.
    moment
        What became known at it is not known before it.
    time
        The clock of the labels, see `LabelSettings.clock`.
    """
    before = pl.lit(moment, TIME)
    known_at = pl.max_horizontal("timestamp", *{KNOWN_AT} & {*dataset.events.columns})
    return replace(
        dataset,
        items=_versions_before(dataset.items, before),
        users=None if dataset.users is None else _versions_before(dataset.users, before),
        events=dataset.events.filter(known_at < before),
        requests=_lists_before(dataset.requests, before, time, dataset.about.recorded_after),
    )


def _versions_before(table: pl.DataFrame, before: pl.Expr) -> pl.DataFrame:
    if KNOWN_AT not in table.columns:
        return table
    return table.filter(pl.col(KNOWN_AT).is_null() | (pl.col(KNOWN_AT) < before))


def _lists_before(
    requests: pl.DataFrame, before: pl.Expr, time: TimeSettings, recorded_after: tuple[str, ...]
) -> pl.DataFrame:
    shown = requests.filter(pl.col("timestamp") < before)
    given = "clicked_at" in shown.columns
    moment = pl.col("clicked_at") if given else pl.lit(None, TIME)
    settled = pl.col("timestamp") + time.feedback_delay < before
    clicked = pl.coalesce(moment, pl.col("timestamp") + time.clicks_known_after) < before
    later = (moment >= before).fill_null(value=False)
    label = (
        pl.when(later & settled)
        .then(pl.lit(0).cast(shown.schema["label"]))
        .when(pl.when(pl.col("label") > 0).then(clicked).otherwise(settled))
        .then("label")
        .alias("label")
    )
    outcome = [name for name in ("views", "clicks", *recorded_after) if name in shown.columns]
    outcome = [name for name in dict.fromkeys(outcome) if name not in ("label", "clicked_at")]
    return shown.with_columns(
        label,
        *(pl.when(settled).then(pl.col(name)).alias(name) for name in outcome),
        *([pl.when(~later).then(moment).alias("clicked_at")] if given else []),
    )
