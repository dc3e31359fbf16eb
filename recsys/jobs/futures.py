"""Two logs with one past: what is known before a request's `as_of` is the same, and all that comes after is not."""

from datetime import datetime, timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys.data.clock import TimeSettings
from recsys.data.tables import Dataset
from recsys.schema import TIME

ROWS = 20_000
"""Showings, and events, that are kept around a request: a feature that reads the future shows it in these."""

_KINDS = 20
"""Kinds of events that are added, at most."""

_DELETED, _AT_ONCE, _LATER, _KEPT = range(4)


def two_futures(
    dataset: Dataset, asked: pl.DataFrame, clock: TimeSettings, random: np.random.Generator
) -> tuple[Dataset, Dataset]:
    """Cut a log to the rows around a request and change all that is known at its `as_of` or later.

    In the second log such rows are deleted, moved to `as_of` or later, given to the asking user and to each other's
    items, and labels that are not known yet are turned around. Both logs get lists of the same candidates whose labels
    become known at `as_of`, and the second one events on every candidate that do, though they happened before.

    Parameters
    ----------
    dataset
        The log; `items` is the same in both, cut to what the rows name.
    asked
        The rows of one of its requests.
    clock
        When rows become known.
    random
        Source of the changes.
    """
    as_of, delay = clock.known_at(asked["timestamp"][0]), clock.feedback_delay
    moments = [as_of - delay, as_of, asked["timestamp"][0]]
    edge = asked.with_columns(
        pl.lit("-1").cast(asked.schema["request_id"]).alias("request_id"),
        pl.lit(as_of - delay, TIME).alias("timestamp"),
        pl.lit(0).cast(asked.schema["label"]).alias("label"),
    )
    others = dataset.requests.filter(pl.col("request_id") != asked["request_id"][0])
    shown = pl.concat([asked, edge, _nearest(others, "timestamp", moments)])
    known_at = pl.max_horizontal("timestamp", *{"known_at"} & set(dataset.events.columns))
    done = dataset.events.with_columns(known_at.alias("known_at"), pl.col("event").cast(pl.String))
    done = _nearest(done, "known_at", moments)
    named = pl.concat([shown["item_id"], done["item_id"].cast(shown.schema["item_id"])]).unique()
    items = dataset.items.filter(pl.col("item_id").is_in(named.implode()))
    changed = (_other_showings(shown, asked, as_of, delay, random), _other_events(done, asked, as_of, random))
    return Dataset(items, done, shown, dataset.users), Dataset(items, changed[1], changed[0], dataset.users)


def _nearest(frame: pl.DataFrame, moment: str, moments: list[datetime]) -> pl.DataFrame:
    """Keep the `ROWS` rows whose moments are nearest to one of `moments`."""
    if len(frame) <= ROWS:
        return frame
    away = pl.min_horizontal((pl.col(moment) - each).dt.total_microseconds().abs() for each in moments)
    return frame[np.sort(np.argpartition(frame.select(away).to_series().to_numpy(), ROWS)[:ROWS])]


def _other_showings(
    shown: pl.DataFrame, asked: pl.DataFrame, as_of: datetime, delay: timedelta, random: np.random.Generator
) -> pl.DataFrame:
    """Turn around the labels that are not known before `as_of`, and scatter the lists that are shown from then on."""
    unknown = pl.col("timestamp") + delay >= as_of
    turned = (1 - (pl.col("label") > 0).cast(pl.Int8)).cast(shown.schema["label"])
    shown = shown.with_columns(label=pl.when(unknown).then(turned).otherwise("label"))
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
