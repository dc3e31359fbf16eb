"""A serving process: what a short list costs beside its trees alone, and what thousands of rounds leave in memory."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from datetime import timedelta
from pathlib import Path

import polars as pl

from recsys import Ranker, train
from recsys.features.plan import compute_features
from recsys.settings import load_settings
from recsys.world import WorldSettings, make_world
from tests.benchmarks.timing import timed

CONFIG = "pipelines/world.toml"
SIZES = (20, 100, 500)
"""Candidates of a list."""

LISTS, WARM, ROUNDS = 300, 1_000, 5_000
"""Lists that are timed; rounds of one list and one event, and after how many of them memory is looked at first."""


def bench_serving() -> list[dict[str, object]]:
    """Train on a small world and serve it in a fresh process."""
    world = make_world(WorldSettings(seed=1, items=600, users=200, days=6, requests=3_000))
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        train(world.dataset, load_settings(CONFIG, ["text.epochs=0"]), folder / "model")
        world.dataset.requests.drop("label").write_parquet(folder / "requests.parquet")
        command = [sys.executable, "-m", "tests.benchmarks.serving", str(folder)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    rounds = f"{ROUNDS:,} rounds of a list and an event: {found['warm_mib']:.0f} MiB after {WARM:,}"
    return [
        *(_row(size, found) for size in SIZES),
        {
            "name": "serve-memory",
            "ratio": round(found["mib"] / found["warm_mib"], 3),
            "against": f"resident memory after round {WARM:,}",
            "note": rounds,
        },
    ]


def _row(size: int, found: dict[str, float]) -> dict[str, object]:
    median, late, trees = (found[f"{name}_{size}"] for name in ("list", "late", "trees"))
    note = f"median of {LISTS} lists of {size}: {median:.1f} ms, of which predict {trees:.2f} ms; 99 % within {late:.1f} ms"
    return {"name": f"serve-{size}", "ratio": round(median - trees, 1), "against": "ms", "note": note}


def _times(ranker: Ranker, asked: pl.DataFrame) -> dict[str, float]:
    """Milliseconds of a list, the median and the 99th of a hundred, and of its trees alone."""
    for _ in range(20):
        ranker.rank(asked)
    times = [1000 * timed(lambda: ranker.rank(asked))[0] for _ in range(LISTS)]
    ready, trees = ranker._ready, ranker._ready.model.ranker
    table = compute_features(ready.ask(asked), ready.model.settings.features, ready.reader)
    matrix = trees.contract.matrix(table)
    alone = [1000 * timed(lambda: trees.booster.predict(matrix, num_threads=1))[0] for _ in range(LISTS)]
    late = statistics.quantiles(times, n=100)[-1]
    return {"list": statistics.median(times), "late": late, "trees": statistics.median(alone)}


def _measure(folder: Path) -> dict[str, float]:
    ranker = Ranker.load(folder / "model")
    requests = pl.read_parquet(folder / "requests.parquet")
    items, found = requests["item_id"].unique(maintain_order=True), dict[str, float]()
    for size in reversed(SIZES):
        asked = requests.tail(1).drop("item_id").join(items.head(size).to_frame(), how="cross")
        found |= {f"{name}_{size}": each for name, each in _times(ranker, asked).items()}
    moment = max(ranker.known_until or asked["timestamp"][0], asked["timestamp"][0])
    for number in range(1, ROUNDS + 1):
        moment += timedelta(seconds=1)
        event = asked.head(1).select("user_id", "item_id", event=pl.lit("view"), timestamp=pl.lit(moment))
        ranker.rank(asked.with_columns(timestamp=pl.lit(moment)))
        ranker.update(events=event)
        if number == WARM:
            found["warm_mib"] = _resident()
    return found | {"mib": _resident()}


def _resident() -> float:
    """MiB of memory that the process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    print(json.dumps(_measure(Path(sys.argv[1]))))
