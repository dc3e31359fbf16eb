"""Time and memory of the feature table as the log grows tenfold, each size in a process of its own."""

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from recsys.data.tables import Dataset
from recsys.features.plan import build_features
from recsys.jobs.judging import ROWS_PER_BATCH
from recsys.model.prepared import behaviour_of
from recsys.past.log import Log
from recsys.past.lookup import Asked
from recsys.settings import load_settings
from recsys.world import WorldSettings, make_world

SMALL, LARGE = 1_000_000, 10_000_000
"""Candidate rows of the two logs; users grow with them, items and days do not."""

CONFIG = "pipelines/world.toml"


def bench_growth() -> list[dict[str, object]]:
    """Compute every behavioural column of all candidates, batch by batch; the columns are dropped, as streaming would."""
    small, large = _measured(SMALL), _measured(LARGE)
    took = f"{small['seconds']:.0f} s for {small['rows']:,.0f} candidate rows and {small['events']:,.0f} events"
    took += f", {large['seconds']:.0f} s for {large['rows']:,.0f} and {large['events']:,.0f}"
    speed = f"{small['rows'] / small['seconds']:,.0f} and {large['rows'] / large['seconds']:,.0f} rows a second"
    busy = f"{small['busy']:.0f} and {large['busy']:.0f} s of processor time"
    note = f"{took}: {speed}, {busy}, {large['columns']:.0f} columns"
    gib = round(large["gib"], 2)
    peak = f"peak of the whole process that holds tables, log and counters, {small['gib']:.2f} GiB at the smaller size"
    return [
        {
            "name": "features-growth",
            "ratio": round(large["seconds"] / small["seconds"], 1),
            "against": "a tenth of the rows",
            "note": note,
        },
        {"name": "features-memory-gib", "ratio": gib, "against": "GiB", "note": f"{large['rows']:,.0f} rows: {peak}"},
    ]


def _measured(rows: int) -> dict[str, float]:
    """Simulate a world and compute its features, in two fresh processes."""
    with tempfile.TemporaryDirectory() as folder:
        for step in ("world", "features"):
            done = subprocess.run(
                [sys.executable, "-m", "tests.benchmarks.growth", step, str(rows), str(Path(folder) / "data")],
                check=True,
                stdout=subprocess.PIPE,
                text=True,
            )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _write_world(rows: int, folder: Path) -> None:
    settings = WorldSettings(items=10_000, users=rows // 25, requests=rows // 12, browsing=4)
    make_world(settings).dataset.write(folder)


def _compute(folder: Path) -> dict[str, float]:
    settings = load_settings(CONFIG)
    dataset = Dataset.read(folder)
    started, busy = time.perf_counter(), time.process_time()
    log = Log(behaviour_of(dataset, settings.features.kept), settings.clock, settings.text.history)
    columns = 0
    for part in Asked.of(dataset.requests, log).parts(ROWS_PER_BATCH):
        columns = len(build_features(part, settings.features, None).columns)
    return {
        "seconds": time.perf_counter() - started,
        "busy": time.process_time() - busy,
        "gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "rows": len(dataset.requests),
        "events": len(dataset.events),
        "columns": columns,
    }


if __name__ == "__main__":
    if sys.argv[1] == "world":
        _write_world(int(sys.argv[2]), Path(sys.argv[3]))
    else:
        print(json.dumps(_compute(Path(sys.argv[3]))))
