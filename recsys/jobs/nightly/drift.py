"""Drift: are the rows of the last day like those that a model has learnt from? Reasons in words."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from recsys.data.tables import Dataset
from recsys.jobs.nightly.settings import GateSettings
from recsys.past.behaviour import Kept
from recsys.shown import plain
from recsys.statistics.numbers import Floats
from recsys.statistics.stability import stability

DAY, HOUR = timedelta(days=1), timedelta(hours=1)

_USUAL = 14
"""Days that say what is usual."""

_FEWEST_DAYS, _FEWEST_ROWS = 3, 50
"""With fewer days, or rows a day, nothing is usual."""

_SILENT = 30
"""A kind of rows is taken as stopped after a silence in which so many would usually have come."""


@dataclass(frozen=True)
class DataProfile:
    """What rows of some days are like.

    Attributes
    ----------
    days
        Rows of each kind (`lists`, `events of kind ...`, `users`) on each day, the last day first.
    hours
        Rows of each kind in each hour of the last days, the last hour first.
    shares
        Of each category, by table and column, the share of rows with each value, most frequent first.
    rows
        How many rows that was.
    nulls
        Of each column, the share of rows without a value.
    moves
        Of each category, the largest stability index of a single day against all of them.
    """

    days: Mapping[str, list[int]]
    hours: Mapping[str, list[int]]
    shares: Mapping[str, Mapping[str, float]]
    rows: Mapping[str, int]
    nulls: Mapping[str, float]
    moves: Mapping[str, float]

    @classmethod
    def of(cls, dataset: Dataset, until: datetime, days: int, kept: Kept) -> "DataProfile":
        """Look at the last days before a moment.

        Parameters
        ----------
        dataset
            Tables in the types of the package.
        until
            The end of the last day.
        days
            How many.
        kept
            The columns that a model reads.
        """
        since = until - days * DAY
        recent = pl.col("timestamp").is_between(since, until, closed="left")
        requests, events = dataset.requests.filter(recent), dataset.events.filter(recent)
        lists = requests.unique("request_id", keep="first")
        streams = {"lists": lists["timestamp"]}
        for (kind,), rows in events.group_by("event", maintain_order=True):
            streams[f"events of kind {plain(str(kind))}"] = rows["timestamp"]
        active = pl.concat([frame.select("user_id", "timestamp") for frame in (lists, events)])
        item_rows = pl.concat([frame.select("item_id", "timestamp") for frame in (requests, events)])
        items = item_rows.join(dataset.items.unique("item_id", keep="last"), on="item_id", how="left")
        columns = {f"items.{name}": items[name] for name in (*kept.affinity, *kept.numbers) if name in items.columns}
        columns |= {f"requests.{name}": lists[name] for name in kept.context if name in lists.columns}
        moments = {"items": items["timestamp"], "requests": lists["timestamp"]}
        categories = {
            name: (of.cast(pl.String), moments[name.partition(".")[0]])
            for name, of in columns.items()
            if name.partition(".")[2] not in kept.numbers
        }
        return cls(
            {name: _per(DAY, of, until, days) for name, of in streams.items()} | {"users": _users(active, until, days)},
            {name: _per(HOUR, of, until, 24 * days) for name, of in streams.items()},
            {name: _shares(of) for name, (of, _) in categories.items()},
            {name: len(of) for name, of in columns.items()},
            {name: of.null_count() / len(of) for name, of in columns.items() if len(of)},
            {name: _largest_move(of, at, until) for name, (of, at) in categories.items()},
        )

    @classmethod
    def usual(cls, dataset: Dataset, until: datetime, kept: Kept) -> "DataProfile":
        """Look at the days that say what is usual, those of the tables if these are fewer."""
        first = dataset.requests["timestamp"].min()
        told = (until - first) // DAY if isinstance(first, datetime) else 0
        return cls.of(dataset, until, max(1, min(_USUAL, told)), kept)

    def to_json(self) -> dict[str, Any]:
        """Return plain objects."""
        return asdict(self)


def data_drift(usual: DataProfile, now: DataProfile, gate: GateSettings) -> list[str]:
    """Say in words in what the last day is unlike the usual ones; nothing where it is like them.

    Parameters
    ----------
    usual
        Days before a model was trained.
    now
        The last day.
    gate
        How much is too much.
    """
    return [*_volumes(usual, now, gate), *_silences(usual, now), *_values(usual, now, gate)]


def _volumes(usual: DataProfile, now: DataProfile, gate: GateSettings) -> list[str]:
    reasons = []
    for name, days in usual.days.items():
        median, least, rows = float(np.median(days)), min(days), sum(now.days.get(name, [0]))
        few = rows < gate.users * least if name == "users" else rows < gate.volume * median
        if len(days) >= _FEWEST_DAYS and median >= _FEWEST_ROWS and few:
            needed = gate.users * least if name == "users" else gate.volume * median
            setting = "users" if name == "users" else "volume"
            reasons.append(
                f"{name}: {rows:,} in the last day, where a usual day has {median:,.0f}; at least {needed:,.0f} are "
                f"wanted ([gate] {setting})"
            )
    return reasons


def _silences(usual: DataProfile, now: DataProfile) -> list[str]:
    reasons = []
    for name, hours in usual.hours.items():
        if len(hours) < 24 * _FEWEST_DAYS:
            continue
        expected = np.cumsum(np.reshape(hours, (-1, 24)).mean(axis=0))  # the hour before the night first
        current = now.hours.get(name, [0] * 24)
        silent = next((hour for hour, rows in enumerate(current) if rows), len(current))
        if 0 < silent < len(current) and expected[silent - 1] >= _SILENT:
            reasons.append(
                f"{name}: none in the last {silent} hours, where {expected[silent - 1]:,.0f} are usual: the feed "
                "has stopped"
            )
    return reasons


def _values(usual: DataProfile, now: DataProfile, gate: GateSettings) -> list[str]:
    reasons = []
    for name, known in usual.shares.items():
        current, rows = now.shares.get(name, {}), now.rows.get(name, 0)
        if rows < _FEWEST_ROWS or usual.rows[name] < _FEWEST_ROWS:
            continue
        new = {value: share for value, share in current.items() if value not in known}
        if sum(new.values()) > gate.unknown:
            most = max(new, key=lambda value: new[value])
            reasons.append(
                f"{name}: {sum(new.values()):.0%} of the rows have values that training has not seen, most of them "
                f"{plain(most)!r} ([gate] unknown)"
            )
            continue
        index, allowed = stability(known, _among(current, known)), gate.psi + usual.moves[name]
        if index > allowed:
            moved = max({*known, *current}, key=lambda value: abs(current.get(value, 0) - known.get(value, 0)))
            reasons.append(
                f"{name}: the values have moved (stability index {index:.2f}, up to {allowed:.2f} is usual), most of "
                f"all {plain(moved)!r}, from {known.get(moved, 0):.0%} to {current.get(moved, 0):.0%} of the rows "
                "([gate] psi)"
            )
    for name, share in usual.nulls.items():
        current_share = now.nulls.get(name, share)
        if now.rows.get(name, 0) >= _FEWEST_ROWS and current_share - share > gate.nulls:
            reasons.append(
                f"{name}: {current_share:.0%} of the rows have no value, where {share:.0%} are usual ([gate] nulls)"
            )
    return reasons


def _among(current: Mapping[str, float], known: Mapping[str, float]) -> dict[str, float]:
    """Give the shares of known values among the rows that have one."""
    whole = sum(share for value, share in current.items() if value in known)
    return {value: share / whole for value, share in current.items() if value in known} if whole else {}


def _largest_move(column: pl.Series, moments: pl.Series, until: datetime) -> float:
    """Hold each day of some against all of them together."""
    frame = pl.DataFrame({"value": column, "timestamp": moments}).with_columns(_day=_days_before(until))
    whole = _shares(frame["value"])
    return max((stability(whole, _shares(day["value"])) for day in frame.partition_by("_day")), default=0.0)


def _days_before(until: datetime) -> pl.Expr:
    """Say by how many whole days a row lies before a moment; its last day is 0."""
    return ((pl.lit(until) - pl.col("timestamp")).dt.total_microseconds() - 1) // (DAY // timedelta(microseconds=1))


def _per(span: timedelta, moments: pl.Series, until: datetime, count: int) -> list[int]:
    """Count rows by how many spans before a moment they lie."""
    passed = (pl.lit(until) - pl.col("timestamp")).dt.total_microseconds() - 1
    places = moments.to_frame("timestamp").select(passed // (span // timedelta(microseconds=1))).to_series()
    found: list[int] = np.bincount(places.to_numpy(), minlength=count)[:count].tolist()
    return found


def _users(active: pl.DataFrame, until: datetime, days: int) -> list[int]:
    of_day = active.with_columns(_day=_days_before(until)).group_by("_day").agg(pl.col("user_id").n_unique())
    found = dict(of_day.iter_rows())
    return [int(found.get(day, 0)) for day in range(days)]


def _shares(column: pl.Series) -> dict[str, float]:
    known = column.drop_nulls()
    counts = known.value_counts(sort=True, name="rows")
    shares: Floats = counts["rows"].to_numpy() / max(len(known), 1)
    return dict(zip(counts[column.name].to_list(), shares.round(6).tolist(), strict=True))
