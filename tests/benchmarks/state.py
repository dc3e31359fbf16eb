"""The state of a million users: its size, how long a process needs to load it, and how fast it takes updates."""

import hashlib
import json
import resource
import subprocess
import sys
import tempfile
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from recsys.data.tables import read_table
from recsys.features.plan import build_features
from recsys.features.settings import declare
from recsys.past.behaviour import Behaviour
from recsys.past.log import Log
from recsys.past.lookup import Asked, Lookup
from recsys.past.tail import Tail
from recsys.settings import Settings, load_settings
from tests.benchmarks.timing import timed

USERS, ITEMS, LISTS, EVENTS = 1_000_000, 100_000, 500_000, 4_000_000
LIST = 12
"""Candidates of a list; showings and events together are ten million rows."""

BATCHES, BATCH, SINGLE = 20, 1_000, 200
"""Updates: so many of so many events, and so many of one event."""

START, DAYS = datetime(2024, 1, 1, tzinfo=UTC), 30
CONFIG = "pipelines/world.toml"


def bench_state() -> list[dict[str, object]]:
    """Write a state, load it in two fresh processes, tell both the same, and hold their features equal."""
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        _behaviour(np.random.default_rng(1)).save(folder)
        gib = sum(file.stat().st_size for file in folder.iterdir()) / 2**30
        first, again = _serve(folder, "steps"), _serve(folder, "once")
    assert first["features"] == again["features"], "a process that was started again gives other features"
    rows = f"{USERS:,} users, {ITEMS:,} items, {LISTS * LIST:,} showings and {EVENTS:,} events"
    batches, singles = float(first["batches"]), float(first["singles"])
    updates = (
        f"{BATCHES} updates of {BATCH:,} events, features of one list of {LIST} after each; {singles:,.1f} a second "
        f"where each brings one event, {first['list_ms']:.0f} ms for the list; a second process that was told the same "
        "gives equal features"
    )
    load = f"{rows}: tables read and counters of every feature built in a fresh process, {first['gib']:.1f} GiB at most"
    return [
        {"name": "state-gib", "ratio": round(gib, 2), "against": "GiB", "note": f"on disk, {rows}"},
        {"name": "state-load-seconds", "ratio": round(float(first["load"]), 1), "against": "seconds", "note": load},
        {"name": "update-events-per-second", "ratio": round(batches), "against": "events a second", "note": updates},
    ]


def _serve(folder: Path, way: str) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.benchmarks.state", str(folder), way]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _behaviour(rng: np.random.Generator) -> Behaviour:
    """Draw users, items, lists and events; some items and users have far more of both."""
    categories, subcategories = rng.integers(20, size=ITEMS), rng.integers(400, size=ITEMS)
    items = pl.DataFrame(
        {
            "item_id": np.arange(ITEMS),
            "available_at": pl.repeat(START, ITEMS, dtype=pl.Datetime("us", "UTC"), eager=True),
            "category": pl.Series(categories).cast(pl.String),
            "subcategory": pl.Series(subcategories).cast(pl.String),
        }
    )
    list_users, at = _skewed(USERS, LISTS, rng), _moments(LISTS, rng)
    of_list = np.repeat(np.arange(LISTS), LIST)
    devices = pl.Series(["mobile", "desktop", "tablet"]).gather(rng.integers(3, size=LISTS))
    showings = pl.DataFrame(
        {
            "user_id": list_users[of_list],
            "item_id": _skewed(ITEMS, len(of_list), rng),
            "timestamp": at.gather(of_list),
            "label": (rng.random(len(of_list)) < 0.1).astype(np.int8),
            "list_size": np.full(len(of_list), LIST, dtype=np.int32),
            "device": devices.gather(of_list),
        }
    )
    users = pl.DataFrame({"user_id": np.arange(USERS)})
    return Behaviour(items, users, showings, _events(EVENTS, _moments(EVENTS, rng), rng))


def _events(count: int, known_at: pl.Series, rng: np.random.Generator) -> pl.DataFrame:
    kinds = pl.Series(["click", "view", "like", "share", "comment"])
    return pl.DataFrame(
        {
            "user_id": _skewed(USERS, count, rng),
            "item_id": _skewed(ITEMS, count, rng),
            "event": kinds.gather(rng.choice(5, size=count, p=[0.4, 0.4, 0.1, 0.05, 0.05])),
            "known_at": known_at,
            "value": pl.repeat(None, count, dtype=pl.Float64, eager=True),
        }
    )


def _skewed(size: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """Draw places; the first tenth of them gets nearly half of the draws."""
    return (size * rng.random(count) ** 3).astype(np.int64)


def _moments(count: int, rng: np.random.Generator) -> pl.Series:
    return _after(START, np.sort(rng.integers(DAYS * 86_400_000_000, size=count)))


def _after(moment: datetime, microseconds: np.ndarray) -> pl.Series:
    frame = pl.DataFrame({"passed": microseconds})
    return frame.select(pl.lit(moment, pl.Datetime("us", "UTC")) + pl.col("passed").cast(pl.Duration("us"))).to_series()


def _load(folder: Path, settings: Settings) -> Tail:
    """Bring a process to where the first list costs what every list costs, as `Ranker.load` does."""
    behaviour = Behaviour(*(read_table(folder, field.name) for field in fields(Behaviour)))
    log = Log(behaviour, settings.clock, settings.text.history)
    nobody = Lookup.of_nobody(log)
    for feature in declare(settings.features):
        feature.values(nobody)
    return Tail.on(log)


def _updates() -> pl.DataFrame:
    """Draw events after the end of the state, in order of time."""
    rng, count = np.random.default_rng(2), BATCHES * BATCH + SINGLE
    later = _after(START + timedelta(days=DAYS), 1_000_000 * np.arange(count))
    return _events(count, later, rng).rename({"known_at": "timestamp"})


def _list(user: int, moment: datetime) -> pl.DataFrame:
    """Make a list of candidates."""
    items = np.random.default_rng(user).choice(ITEMS, LIST, replace=False)
    base = {"request_id": [user] * LIST, "user_id": [user] * LIST, "item_id": items, "device": ["mobile"] * LIST}
    return pl.DataFrame(base).with_columns(timestamp=pl.lit(moment, pl.Datetime("us", "UTC")))


def _take(tail: Tail, parts: list[pl.DataFrame], settings: Settings) -> tuple[Tail, pl.DataFrame]:
    """Take updates, and compute the features of one list after each."""
    for part in parts:
        tail = tail.grown(part, None)
        asked = _list(part["user_id"][0], part["timestamp"].max() + timedelta(seconds=1))
        table = build_features(Asked.of(asked, tail.log), settings.features, None)
    return tail, table


def _measure(folder: Path, way: str) -> dict[str, float | str]:
    settings = load_settings(CONFIG)
    load, tail = timed(lambda: _load(folder, settings))
    events = _updates()
    if way == "once":
        tail = tail.grown(events, None)
        return {"load": load, "features": _digest(tail, events, settings)}
    many = [events[start : start + BATCH] for start in range(0, BATCHES * BATCH, BATCH)]
    ones = [events[row : row + 1] for row in range(BATCHES * BATCH, len(events))]
    in_batches, (tail, _) = timed(lambda: _take(tail, many, settings))
    one_by_one, (tail, _) = timed(lambda: _take(tail, ones, settings))
    asked = _list(0, events["timestamp"].max() + timedelta(seconds=1))
    once, _ = timed(lambda: build_features(Asked.of(asked, tail.log), settings.features, None))
    return {
        "load": load,
        "gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "batches": BATCHES * BATCH / in_batches,
        "singles": SINGLE / one_by_one,
        "list_ms": 1000 * once,
        "features": _digest(tail, events, settings),
    }


def _digest(tail: Tail, events: pl.DataFrame, settings: Settings) -> str:
    """Hash the features of the lists of some users who are in the updates."""
    moment = events["timestamp"].max() + timedelta(seconds=1)
    seen = hashlib.sha256()
    for user in events["user_id"].unique().sort()[:20]:
        table = build_features(Asked.of(_list(user, moment), tail.log), settings.features, None)
        seen.update(table.write_ipc(None).getvalue())
    return seen.hexdigest()


if __name__ == "__main__":
    print(json.dumps(_measure(Path(sys.argv[1]), sys.argv[2])))
