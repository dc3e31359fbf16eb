"""A batch on the demonstration's model: what a row costs beside its trees, and how memory grows with rows."""

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import lightgbm
import numpy as np
import polars as pl

from recsys.data.cutting import in_parts
from recsys.data.tables import Dataset
from recsys.features.plan import counted_keys
from recsys.jobs.ranked_parts import RankedParts, rank_lists
from recsys.jobs.score import ROWS_PER_PART
from recsys.jobs.train import train
from recsys.model.ready import Ready
from recsys.settings import load_settings
from recsys.world import WorldSettings, make_world

CONFIG = "pipelines/world.toml"

SMALL, LARGE = 1_000_000, 5_000_000
"""Candidates of the two batches."""

LIST = 50
"""Candidates of a list."""


def bench_scoring() -> list[dict[str, object]]:
    """Train on the demonstration's world, and score two batches of it, each in a process of its own with one thread."""
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        dataset = make_world(WorldSettings()).dataset
        dataset.write(folder / "data")
        train(dataset, load_settings(CONFIG, ["text.epochs=0"]), folder / "model")
        found = [_scored(folder, rows) for rows in (SMALL, LARGE)]
    small, large = found
    row = (large["busy"] - large["trees"]) / large["rows"]
    start = f"{large['rows']:,.0f} candidates in lists of {LIST}, {large['columns']:.0f} columns"
    return [
        {
            "name": "score",
            "ratio": round(1e6 * row, 1),
            "against": "core-microseconds a row beyond predict's own",
            "note": f"{start}: {large['busy']:.0f} s from a ready state to rankings, of which trees {large['trees']:.0f}",
        },
        {
            "name": "score-memory-gib",
            "ratio": round(large["gib"], 2),
            "against": "GiB",
            "note": f"{start}; {small['gib']:.2f} GiB for {small['rows']:,.0f}",
        },
    ]


def _scored(folder: Path, rows: int) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.benchmarks.scoring", str(folder), str(rows)]
    for step in ("write", "score"):
        done = subprocess.run([*command, step], check=True, stdout=subprocess.PIPE, text=True, env=_ONE_THREAD)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _write(folder: Path, rows: int) -> None:
    """Write candidates: lists of random items for random users, at the end of the log."""
    dataset, rng = Dataset.read(folder / "data"), np.random.default_rng(0)
    users, items = dataset.requests["user_id"].unique().sort(), dataset.items["item_id"]
    lists = rows // LIST
    offsets = rng.integers(len(items), size=lists)[:, None] + rng.permutation(len(items))[:LIST]
    of_list = np.repeat(np.arange(lists), LIST)
    last = dataset.requests.sort("timestamp").tail(1).drop("label", "position", "propensity", strict=False)
    pl.DataFrame(
        {
            "request_id": of_list,
            "user_id": users.gather(rng.integers(len(users), size=lists)[of_list]),
            "item_id": items.gather((offsets % len(items)).ravel()),
            **{name: last[name].new_from_index(0, len(of_list)) for name in last.columns if name not in _IDS},
        }
    ).write_parquet(folder / "candidates.parquet")


_ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}
"""With more of them, what one thread does beside would count as what the trees of another take."""

_IDS = ("request_id", "user_id", "item_id")


def _score(folder: Path, rows: int) -> dict[str, float]:
    """Score, and see how long the trees alone took: predict is watched while it runs."""
    trees, columns = [0.0], [0]
    predict = lightgbm.Booster.predict

    def watched(booster: lightgbm.Booster, data: np.ndarray, **options: object) -> object:
        begun = time.process_time()
        found = predict(booster, data, **{**options, "num_threads": 1})
        trees[0] += time.process_time() - begun
        columns[0] = data.shape[1]
        return found

    lightgbm.Booster.predict = watched
    ready, _ = Ready.today(folder / "model", Dataset.read(folder / "data"))
    for layer in ready.log.rows_known:
        layer.prepare(counted_keys(ready.model.settings.features))
    begun, night = time.process_time(), RankedParts(folder / "out")
    with in_parts(folder / "candidates.parquet", folder / "parts", ROWS_PER_PART) as parts:
        for place, part in enumerate(parts):
            night.commit(place, rank_lists(ready, part, part, None))
    busy = time.process_time() - begun
    shutil.rmtree(folder / "out")
    gib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"rows": rows, "busy": busy, "trees": trees[0], "columns": columns[0], "gib": gib}


if __name__ == "__main__":
    if sys.argv[3] == "write":
        _write(Path(sys.argv[1]), int(sys.argv[2]))
    else:
        print(json.dumps(_score(Path(sys.argv[1]), int(sys.argv[2]))))
