"""Training on ten million candidate rows: how much memory it takes, from tables to model folder."""

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from recsys.data.tables import Dataset
from recsys.jobs.train import train
from recsys.settings import load_settings
from recsys.world import WorldSettings, make_world

CONFIG = "pipelines/world.toml"

SETTINGS = ["text.epochs=0", "text.trainable_layers=0", "ranker.rounds=20"]
"""No text is learnt from, and few trees grow."""

SIZE = {"items": 10_000, "users": 80_000, "requests": 833_333}
"""The world: twelve candidates a list, and as many lists a user as in the demonstration."""


def bench_learning() -> list[dict[str, object]]:
    """Make a large world, and train on it in a process of its own."""
    with tempfile.TemporaryDirectory() as work:
        command = [sys.executable, "-m", "tests.benchmarks.learning", work]
        for step in ("write", "train"):
            done = subprocess.run([*command, step], check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    note = f"{found['rows']:,.0f} candidate rows, from tables to model folder in {found['seconds'] / 60:.0f} minutes"
    return [{"name": "train-memory-gib", "ratio": round(found["gib"], 2), "against": "GiB", "note": note}]


def _train(folder: Path) -> dict[str, float]:
    begun, dataset = time.perf_counter(), Dataset.read(folder / "data")
    rows = len(dataset.requests)
    train(dataset, load_settings(CONFIG, SETTINGS), folder / "model")
    gib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"rows": rows, "seconds": time.perf_counter() - begun, "gib": gib}


if __name__ == "__main__":
    if sys.argv[2] == "write":
        make_world(WorldSettings(**SIZE)).dataset.write(Path(sys.argv[1]) / "data")
    else:
        print(json.dumps(_train(Path(sys.argv[1]))))
