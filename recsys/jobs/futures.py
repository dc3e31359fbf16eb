"""Two logs that differ in nothing but what becomes known from a moment on."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys.data.clock import TimeSettings
from recsys.data.tables import Dataset
from recsys.schema import KNOWN_AT, TIME

ROWS = 20_000
"""Showings, and events, that are kept around a request: a feature that reads the future shows it in these."""

_KINDS = 20
"""Kinds of events that are added, at most."""

_DELETED, _AT_ONCE, _LATER, _KEPT = range(4)


def two_futures(
    dataset: Dataset, asked: pl.DataFrame, clock: TimeSettings, random: np.random.Generator
) -> tuple[Dataset, Dataset]:
    """Cut a log to the rows around a request and change all that may not be known to it.

    In the second log what is known at `as_of` or later is deleted, moved within that, given to the asking user and to
    each other's items, and labels that are not known yet are turned around: clicks from the click delay or `clicked_at`
    on, all others from the feedback delay on. Versions of items and users known at the request's moment or later are
    deleted, moved and given each other's contents, and those that are asked about get others at that moment. Both logs
    get lists of the same candidates whose labels, or clicks, become known at `as_of`, and the second one events on
    every candidate that do, though they happened before.

    Parameters
    ----------
    dataset
        The log; `items` is cut to what the rows name.
    asked
        The rows of one of its requests.
    clock
        When rows become known.
    random
        Source of the changes.
    """
    as_of = clock.known_at(asked["timestamp"][0])
    edges = sorted({as_of - clock.feedback_delay, as_of - clock.clicks_known_after})
    moments = [*edges, as_of, asked["timestamp"][0]]
    others = dataset.requests.filter(pl.col("request_id") != asked["request_id"][0])
    # A made list has fewer columns than what was logged, and as a showing lies where all is later: at its making.
    shown = pl.concat([asked, *_edge_lists(asked, edges), _nearest(others, "timestamp", moments)], how="diagonal")
    if "clicked_at" not in shown.columns:
        shown = shown.with_columns(clicked_at=pl.lit(None, TIME))
    known_at = pl.max_horizontal("timestamp", *{"known_at"} & set(dataset.events.columns))
    done = dataset.events.with_columns(known_at.alias("known_at"), pl.col("event").cast(pl.String))
    done = _nearest(done, "known_at", moments)
    named = pl.concat([shown["item_id"], done["item_id"].cast(shown.schema["item_id"])]).unique()
    items = dataset.items.filter(pl.col("item_id").is_in(named.implode()))
    other_shown, other_done = (
        _other_showings(shown, asked, as_of, clock, random),
        _other_events(done, asked, as_of, random),
    )
    others = _other_versions(items, "item_id", asked, random)
    users = None if dataset.users is None else _other_versions(dataset.users, "user_id", asked, random)
    return Dataset(items, done, shown, dataset.users), Dataset(others, other_done, other_shown, users)


def _edge_lists(asked: pl.DataFrame, moments: list[datetime]) -> Iterator[pl.DataFrame]:
    """Give lists of the same candidates at some moments, without a click."""
    own = {"clicked_at": pl.lit(None, TIME)} if "clicked_at" in asked.columns else {}
    for number, moment in enumerate(moments, 1):
        yield asked.with_columns(
            pl.lit(f"-{number}").cast(asked.schema["request_id"]).alias("request_id"),
            pl.lit(moment, TIME).alias("timestamp"),
            pl.lit(0).cast(asked.schema["label"]).alias("label"),
            **own,
        )


def _nearest(frame: pl.DataFrame, moment: str, moments: list[datetime]) -> pl.DataFrame:
    """Keep the `ROWS` rows whose moments are nearest to one of `moments`."""
    if len(frame) <= ROWS:
        return frame
    away = pl.min_horizontal((pl.col(moment) - each).dt.total_microseconds().abs() for each in moments)
    return frame[np.sort(np.argpartition(frame.select(away).to_series().to_numpy(), ROWS)[:ROWS])]


def _other_showings(
    shown: pl.DataFrame, asked: pl.DataFrame, as_of: datetime, clock: TimeSettings, random: np.random.Generator
) -> pl.DataFrame:
    """Turn around the labels that are not known before `as_of`, and scatter the lists that are shown from then on."""
    clicked, shown_at = (pl.col("label") > 0) | pl.col("clicked_at").is_not_null(), pl.col("timestamp")
    click_known = pl.coalesce("clicked_at", shown_at + clock.clicks_known_after)
    unknown = pl.when(clicked).then(click_known >= as_of).otherwise(shown_at + clock.feedback_delay >= as_of)
    soon = ~clicked & (shown_at + clock.clicks_known_after < as_of)  # as a click it would be known already
    turned = (1 - clicked.cast(pl.Int8)).cast(shown.schema["label"])
    shown = shown.with_columns(
        label=pl.when(unknown).then(turned).otherwise("label"),
        clicked_at=pl.when(unknown).then(pl.when(soon).then(pl.lit(as_of, TIME))).otherwise("clicked_at"),
    )
    lists = shown["request_id"].rank("dense").to_numpy().astype(np.int64) - 1
    return _scatter(shown, "timestamp", lists, asked, as_of, random)


def _other_events(
    done: pl.DataFrame, asked: pl.DataFrame, as_of: datetime, random: np.random.Generator
) -> pl.DataFrame:
    """Scatter the events that become known from `as_of` on, and add some that become known at that very moment."""
    kinds = pl.Series("event", ["click", *done["event"].unique().sort().head(_KINDS)]).unique(maintain_order=True)
    known = [pl.lit(as_of - timedelta(hours=1), TIME).alias("timestamp"), pl.lit(as_of, TIME).alias("known_at")]
    added = asked.select("user_id", "item_id", *known).join(kinds.to_frame(), how="cross")
    scattered = _scatter(done, "known_at", np.arange(len(done)), asked, as_of, random)
    scattered = scattered.with_columns(timestamp=pl.min_horizontal("timestamp", "known_at"))
    return pl.concat([scattered, added], how="diagonal_relaxed")


def _other_versions(table: pl.DataFrame, key: str, asked: pl.DataFrame, random: np.random.Generator) -> pl.DataFrame:
    """Scatter the versions that become known from the request on, and add some that become known right then."""
    if KNOWN_AT not in table.columns:
        return table
    moment = asked["timestamp"][0]
    later = (table[KNOWN_AT] >= moment).fill_null(value=False).to_numpy()
    fate, hours = random.integers(_KEPT + 1, size=len(table)), random.integers(0, 48, size=len(table))
    when = pl.lit(moment, TIME) + pl.duration(hours=pl.lit(pl.Series(np.where(fate == _LATER, hours, 0))))
    moved = pl.when(pl.Series(later & (fate < _KEPT))).then(when).otherwise(KNOWN_AT)
    contents = table.drop(key, KNOWN_AT)
    places = np.arange(len(table))
    places[later] = random.permutation(places[later])
    scattered = pl.concat([table.select(key, moved.alias(KNOWN_AT)), contents[places]], how="horizontal")
    ids = asked[key].unique(maintain_order=True).cast(table.schema[key])
    added = contents[random.integers(len(table), size=len(ids))] if len(table) else contents.clear(len(ids))
    added = pl.concat([ids.to_frame().with_columns(pl.lit(moment, TIME).alias(KNOWN_AT)), added], how="horizontal")
    kept = scattered.filter(pl.Series(~later | (fate != _DELETED)))
    return pl.concat([kept, added]).unique([key, KNOWN_AT], keep="last", maintain_order=True).select(table.columns)


def _scatter(
    frame: pl.DataFrame,
    moment: str,
    groups: NDArray[np.int64],
    asked: pl.DataFrame,
    as_of: datetime,
    random: np.random.Generator,
) -> pl.DataFrame:
    """Delete groups of rows whose moments are `as_of` or later, move them, and give them to other users and items."""
    later = (frame[moment] >= as_of).to_numpy()
    size = int(groups.max(initial=-1)) + 1
    fate = random.integers(_KEPT + 1, size=size)[groups]
    asking = later & (random.random(size) < 0.5)[groups]
    hours = pl.Series(random.integers(1, 48, size=size)[groups] * 3_600_000_000).cast(pl.Duration("us"))
    places = np.arange(len(frame))
    places[later] = random.permutation(places[later])
    when = (
        pl.when(pl.Series(later & (fate == _AT_ONCE)))
        .then(pl.lit(as_of, TIME))
        .when(pl.Series(later & (fate == _LATER)))
        .then(pl.col(moment) + hours)
        .otherwise(moment)
    )
    user = pl.when(pl.Series(asking)).then(pl.lit(asked["user_id"][0])).otherwise("user_id")
    scattered = frame.with_columns(
        when.alias(moment), user.cast(frame.schema["user_id"]).alias("user_id"), frame["item_id"].gather(places)
    )
    return scattered.filter(pl.Series(~later | (fate != _DELETED)))
