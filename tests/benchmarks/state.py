"""The state of a million users: its size, how soon a process answers from it and holds how much, and its updates."""

import hashlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl

from recsys.data.tables import read_table
from recsys.features.plan import compute_features, counted_keys
from recsys.features.table import FeatureTable
from recsys.model.folder import keeping
from recsys.past.behaviour import Behaviour
from recsys.past.blocks import map_table
from recsys.past.log import Log
from recsys.past.lookup import Asked
from recsys.past.stored import read_log, write_log
from recsys.past.tail import Tail
from recsys.settings import Settings, load_settings
from tests.benchmarks.timing import timed

USERS, ITEMS, LISTS, EVENTS = 1_000_000, 100_000, 500_000, 4_000_000
LIST = 12
"""Candidates of a list; showings and events together are ten million rows."""

BATCHES, BATCH, SINGLE = 20, 1_000, 200
"""Updates: so many of so many events, and so many of one event."""

START, DAYS = datetime(2024, 1, 1, tzinfo=UTC), 30
END = START + timedelta(days=DAYS)
CONFIG = "pipelines/world.toml"


def bench_state() -> list[dict[str, object]]:
    """Write a state, load it in three fresh processes, tell two of them the same, and hold their features equal."""
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        seconds, _ = timed(lambda: _write(folder))
        gib = sum(file.stat().st_size for file in folder.iterdir()) / 2**30
        first = _serve(folder, "steps")
        waiting = subprocess.Popen(
            [*_command(folder), "waits"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert waiting.stdin is not None
        assert waiting.stdout is not None
        waiting.stdout.readline()
        again = _serve(folder, "once")  # shares what the one that waits has mapped
        waiting.stdin.close()
        waiting.wait()
    assert first["features"] == again["features"], "a process that was started again gives other features"
    rows = f"{USERS:,} users, {ITEMS:,} items, {LISTS * LIST:,} showings and {EVENTS:,} events"
    batches, singles = float(first["batches"]), float(first["singles"])
    load = f"{rows}: folder mapped and a first list of {LIST}, in a fresh process whose imports are done"
    own = f"private, {first['mapped']:.2f} GiB of them mapped; a second process has {again['private']:.2f} of its own"
    lists = f"the next list {first['after_ms']:.1f} ms where a usual one takes {first['list_ms']:.1f}"
    return [
        _row("state-gib", gib, "GiB", f"on disk, {rows}, written in {seconds:.0f} s"),
        _row("state-load", float(first["load"]), "seconds", load),
        _row("state-resident-gib", float(first["private"]), "GiB", own),
        _row("update-batch", batches, "events a second", f"{BATCHES} updates of {BATCH:,} events; {lists}"),
        _row("update-single", singles, "events a second", f"{SINGLE} updates of one event; {lists}"),
    ]


def _row(name: str, ratio: float, against: str, note: str) -> dict[str, object]:
    return {"name": name, "ratio": round(ratio, 2), "against": against, "note": note}


def _command(folder: Path) -> list[str]:
    return [sys.executable, "-m", "tests.benchmarks.state", str(folder)]


def _serve(folder: Path, way: str) -> dict[str, float]:
    done = subprocess.run([*_command(folder), way], check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _write(folder: Path) -> None:
    settings, behaviour = load_settings(CONFIG), _behaviour(np.random.default_rng(1))
    keys, log = counted_keys(settings.features), Log(behaviour, settings.clock, settings.text.history)
    end = (END - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    write_log(folder, log.compacted(end, keeping(settings), keys), keys)
    subprocess.run(["sync"], check=True)  # pages that wait to be written would count as somebody's own


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
    """Bring a process to where it answers, as `Ranker.load` does."""
    tables = [read_table(folder, name) for name in ("items", "users")]
    behaviour = Behaviour(*tables, *(map_table(folder / f"{name}.arrow") for name in ("showings", "events")))
    log = Log(behaviour, settings.clock, settings.text.history)
    log.register, log.layers, log.earliest = read_log(folder, behaviour, log.time, log.history)
    _count(log, settings)
    return Tail.on(log)


def _count(log: Log, settings: Settings) -> None:
    for layer in log.layers:
        layer.prepare(counted_keys(settings.features))


def _updates() -> pl.DataFrame:
    """Draw events after the end of the state, in order of time."""
    rng, count = np.random.default_rng(2), BATCHES * BATCH + SINGLE
    return _events(count, _after(END, 1_000_000 * np.arange(count)), rng).rename({"known_at": "timestamp"})


def _list(user: int, moment: datetime) -> pl.DataFrame:
    """Make a list of candidates."""
    items = np.random.default_rng(user).choice(ITEMS, LIST, replace=False)
    base = {"request_id": [user] * LIST, "user_id": [user] * LIST, "item_id": items, "device": ["mobile"] * LIST}
    return pl.DataFrame(base).with_columns(timestamp=pl.lit(moment, pl.Datetime("us", "UTC")))


def _features(tail: Tail, asked: pl.DataFrame, settings: Settings) -> FeatureTable:
    return compute_features(Asked.of(asked, tail.log), settings.features, None)


def _take(tail: Tail, parts: list[pl.DataFrame], settings: Settings) -> tuple[Tail, float, list[float]]:
    """Take updates; give the seconds they took, and those of one list after each."""
    took, lists = 0.0, []
    for part in parts:
        asked = _list(part["user_id"][0], part["timestamp"].max() + timedelta(seconds=1))
        begun = time.perf_counter()
        tail = tail.grown(part, None)
        _count(tail.log, settings)
        took += time.perf_counter() - begun
        lists.append(timed(partial(_features, tail, asked, settings))[0])
    return tail, took, lists


def _measure(folder: Path, way: str) -> dict[str, float | str]:
    settings, moment = load_settings(CONFIG), END + timedelta(seconds=1)
    load, tail = timed(lambda: _load(folder, settings))
    first, _ = timed(lambda: _features(tail, _list(1, moment), settings))
    memory, events = _memory(), _updates()
    if way == "waits":
        for layer in tail.log.layers:
            for counted in (layer.counters(counted_keys(settings.features)), layer.read):
                for counters in (counted.shared, *counted.own.values()):
                    counters.blocks.data.sum()
        print(flush=True)
        sys.stdin.read()
        return {}
    if way == "once":
        return {"load": load + first, **memory, "features": _digest(tail.grown(events, None), events, settings)}
    asked = [_list(user, moment) for user in range(300)] * 2
    usual = [timed(partial(_features, tail, each, settings))[0] for each in asked]
    many = [events[start : start + BATCH] for start in range(0, BATCHES * BATCH, BATCH)]
    ones = [events[row : row + 1] for row in range(BATCHES * BATCH, len(events))]
    tail, batches, _ = _take(tail, many, settings)
    tail, singles, after = _take(tail, ones, settings)
    return {
        "load": load + first,
        **memory,
        "batches": BATCHES * BATCH / batches,
        "singles": SINGLE / singles,
        "list_ms": 1000 * statistics.median(usual[300:]),
        "after_ms": 1000 * statistics.median(after),
        "features": _digest(tail, events, settings),
    }


def _memory() -> dict[str, float]:
    """GiB of memory that only this process holds, and how much of that is mapped from files."""
    sizes = dict(line.split(":") for line in Path("/proc/self/smaps_rollup").read_text().splitlines()[1:])
    clean, dirty = (int(sizes[f"Private_{kind}"].split()[0]) / 2**20 for kind in ("Clean", "Dirty"))
    return {"private": clean + dirty, "mapped": clean}


def _digest(tail: Tail, events: pl.DataFrame, settings: Settings) -> str:
    """Hash the features of the lists of some users who are in the updates."""
    moment = events["timestamp"].max() + timedelta(seconds=1)
    seen = hashlib.sha256()
    for user in events["user_id"].unique().sort()[:20]:
        seen.update(_features(tail, _list(user, moment), settings).frame().write_ipc(None).getvalue())
    return seen.hexdigest()


if __name__ == "__main__":
    print(json.dumps(_measure(Path(sys.argv[1]), sys.argv[2])))
