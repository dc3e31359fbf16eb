"""What a night of millions of users takes: rates measured on this machine, and what they come to when multiplied.

python -m pipelines.cluster measure MODEL DATA --out rates.json
python -m pipelines.cluster plan rates.json
python -m pipelines.cluster learn DATA --config pipelines/world.toml
"""

import argparse
import json
import logging
import pickle
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from pipelines.families import read
from recsys.data.tables import Dataset
from recsys.data.texts import own_texts
from recsys.data.windows import WINDOWS
from recsys.engines.engine import open_engine
from recsys.engines.settings import EngineSettings
from recsys.evaluation.evaluation import evaluate_rankers
from recsys.features.columns import FROM_TEXTS
from recsys.jobs.score import ROWS_PER_PART, Ranking, score_from, write_state
from recsys.jobs.train import grow_with_valid
from recsys.model.folder import Model
from recsys.model.prepared import prepare
from recsys.past.parts import USERS
from recsys.settings import Settings, load_settings
from recsys.shown import counted

LENGTH = 500
"""Candidates of a list."""

HOURS = 4.0
"""In which a night is done."""

CORES, GIB = 64, 256
"""Of a node that is planned with."""


def main() -> None:
    """Measure, or multiply what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    measured = verbs.add_parser("measure", help="score through one process and through Ray, and write the rates")
    measured.add_argument("model", type=Path)
    measured.add_argument("data", type=Path)
    measured.add_argument("--candidates", type=int, default=2_000_000)
    measured.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    measured.add_argument("--out", type=Path, required=True)
    planned = verbs.add_parser("plan", help="print what 10 and 100 million users take, as a table in Markdown")
    planned.add_argument("rates", type=Path)
    planned.add_argument("--users", type=float, nargs="+", default=[1e7, 1e8])
    planned.add_argument("--items", type=float, default=1e6)
    planned.add_argument("--core-price", type=float, default=0.05, help="of a core for an hour")
    planned.add_argument(
        "--row-memory", type=float, default=400, help="bytes for each showing or event while a state is made"
    )
    planned.add_argument(
        "--gpu-texts", type=float, default=10_000, help="texts that a GPU reads a second, which `measure` does not say"
    )
    learnt = verbs.add_parser("learn", help="what fewer negatives and trees of two workers cost, by behaviour alone")
    learnt.add_argument("data", type=Path)
    learnt.add_argument("--config", type=Path)
    learnt.add_argument("--negatives", type=int, nargs="+", default=[8, 4, 2])
    learnt.add_argument("--growers", type=int, default=2)
    learnt.add_argument("--seeds", type=int, default=3)
    one = verbs.add_parser("one", help="one measurement, in a process of its own")
    for name in ("model", "state", "candidates", "out"):
        one.add_argument(name, type=Path)
    one.add_argument("workers", type=int)
    options = parser.parse_args()
    if options.verb == "measure":
        rates = measure(options.model, options.data, options.candidates, options.workers)
        options.out.write_text(json.dumps(rates, indent=2) + "\n")
        print(json.dumps(rates, indent=1))
    elif options.verb == "learn":
        changes = ['ranker.position_bias="none"']
        learn(options.data, load_settings(options.config, changes), options.negatives, options.growers, options.seeds)
    elif options.verb == "one":
        print(json.dumps(measure_one(options.model, options.state, options.candidates, options.out, options.workers)))
    else:
        rates, users = json.loads(options.rates.read_text()), [int(each) for each in options.users]
        print(plan(rates, users, int(options.items), options.core_price, options.gpu_texts, options.row_memory))


def measure(model: Path, data: Path, candidates: int, workers: list[int]) -> dict[str, Any]:
    """Rank lists of 500 drawn items for drawn users, in one process and by so many workers, each in a new process."""
    dataset, settings = Dataset.read(data), Model.load(model).settings
    with tempfile.TemporaryDirectory() as folder:
        lists, state = Path(folder) / "lists.parquet", Path(folder) / "state"
        write_lists(dataset, candidates, lists)
        write_state(model, dataset, state)
        found: dict[str, Any] = {
            "candidates": candidates,
            "events": len(dataset.events) + len(dataset.requests),
            "users": dataset.requests["user_id"].n_unique(),
            "state_bytes": sum(path.stat().st_size for path in state.iterdir()),
            "read_bytes": lists.stat().st_size,
            "part": ROWS_PER_PART,
            "runs": {},
        }
        for count in (0, *workers):  # 0: no cluster
            out = Path(folder) / f"out-{count}"
            command = [sys.executable, "-m", "pipelines.cluster", "one", *map(str, (model, state, lists, out, count))]
            done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 ours
            found["runs"][str(count)] = json.loads(done.stdout.splitlines()[-1])
            print(count, "workers" if count else "no cluster", found["runs"][str(count)], file=sys.stderr, flush=True)
            found["written_bytes"] = sum(path.stat().st_size for path in (out / "rankings").iterdir())
            shutil.rmtree(out)
        part = pl.read_parquet(lists, n_rows=100_000)
        ranked = Ranking(model.absolute(), state.absolute())()(part)
        found["moved_bytes_per_row"] = (len(pickle.dumps(part)) + len(pickle.dumps(ranked))) / len(part)
        _, texts = own_texts(dataset.items, settings.text.fields, settings.text.template)
        some, reader = texts[:500], Model.load(model).text_reader(model)
        reader.encode(some[:50])
        begun = time.process_time()
        reader.encode(some)
        found["texts_per_core_second"] = len(some) / (time.process_time() - begun)
    return found


def write_lists(dataset: Dataset, candidates: int, path: Path) -> None:
    """Write lists of 500 items drawn evenly, for users who asked before; their other columns are those of a request."""
    random, requests = np.random.default_rng(0), dataset.requests
    asked = requests.unique("user_id", keep="last", maintain_order=True).drop("request_id", "item_id", "label")
    items, later = dataset.items["item_id"].unique().sort(), pl.lit(requests["timestamp"]).max() + timedelta(seconds=1)
    count = -(-candidates // LENGTH)
    drawn = asked[np.sort(random.integers(0, len(asked), count))].with_columns(
        request_id=pl.int_range(count, dtype=pl.Int64), timestamp=later
    )
    length = min(LENGTH, len(items))
    rows = pl.concat(
        [
            drawn[start : start + 1_000]
            .select(pl.all().repeat_by(length).list.explode())
            .with_columns(item_id=items[np.concatenate([random.permutation(len(items))[:length] for _ in part])])
            for start in range(0, count, 1_000)
            for part in [range(len(drawn[start : start + 1_000]))]
        ]
    )
    rows.drop("position", "propensity", strict=False).write_parquet(path)


def measure_one(model: Path, state: Path, lists: Path, out: Path, workers: int) -> dict[str, float]:
    """Rank by one process, or by so many workers of a cluster that is started for it."""
    engine = EngineSettings(kind="ray") if workers else EngineSettings()
    if workers:
        import ray

        ray.init(
            address="local", num_cpus=workers, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR
        )
    begun, busy = time.perf_counter(), time.process_time()
    score_from(state, model, lists, out, engine=engine)
    seconds, own = time.perf_counter() - begun, time.process_time() - busy
    rows, peak = pl.scan_parquet(lists).select(pl.len()).collect().item(), _peak_gib()
    if workers:
        asked = ray.remote(_peak_gib)
        of_workers = ray.get([asked.remote() for _ in range(8 * workers)])  # goes to workers that are idle now
    return {
        "rows_per_second": rows / seconds,
        "seconds": seconds,
        "own_core_seconds": own,
        "peak_gib": peak,
        "worker_peak_gib": max(of_workers) if workers else peak,
    }


def _peak_gib() -> float:
    """Give the most memory that this process has held; of `getrusage` it would be that of who started it, too."""
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 2**20


def _runs(rates: dict[str, Any]) -> tuple[dict[str, float], dict[str, float]]:
    """Give what one process did, and the first cluster."""
    alone, cluster = (
        next(run for count, run in rates["runs"].items() if (count == "0") is way) for way in (True, False)
    )
    return alone, cluster


def _measured(rates: dict[str, Any]) -> str:
    """Say what was measured."""
    (alone, _), many = _runs(rates), rates["candidates"]
    clusters = [
        f"Ray with {counted(int(count), 'worker')} {run['rows_per_second']:,.0f}, of which this process takes "
        f"{run['own_core_seconds'] / many * 1e6:.1f} core-seconds a million and {run['peak_gib']:.2f} GiB, a worker "
        f"{run['worker_peak_gib']:.2f} GiB"
        for count, run in rates["runs"].items()
        if count != "0"
    ]
    return (
        f"Measured on this machine, {many:,} candidates in lists of {LENGTH}: one process "
        f"{alone['rows_per_second']:,.0f} candidates a second ({alone['own_core_seconds'] / many * 1e6:.1f} "
        f"core-seconds a million), peak memory {alone['peak_gib']:.2f} GiB; {'; '.join(clusters)}; "
        f"{rates['read_bytes'] / many:.1f} bytes read, {rates['moved_bytes_per_row']:.0f} moved to a worker and back "
        f"and {rates['written_bytes'] / many:.1f} written for each; {rates['state_bytes'] / rates['events']:.0f} bytes "
        f"of state for each showing or event; {rates['texts_per_core_second']:.0f} texts read a second and core."
    )


def plan(rates: dict[str, Any], users: list[int], items: int, price: float, gpu_texts: float, row_memory: float) -> str:
    """Multiply: a table of what nights take; what is measured stands above it.

    What a GPU reads is assumed, for it was not measured, and what a row of behaviour takes while a state is made was
    measured on ten million of them, see `docs/nightly.md`.
    """
    alone, worker = _runs(rates)
    per_event, events = rates["state_bytes"] / rates["events"], rates["events"] / rates["users"]
    lines = [
        _measured(rates),
        "",
        "| Multiplied | " + " | ".join(f"{count / 1e6:,.0f} million users" for count in users) + " |",
        "|---|" + "---|" * len(users),
    ]
    rows = [count * LENGTH for count in users]
    hours = [many / rates["candidates"] * alone["own_core_seconds"] / 3600 for many in rows]
    driver = [many / rates["candidates"] * worker["own_core_seconds"] / 3600 for many in rows]
    encoding = items / rates["texts_per_core_second"] / 3600
    state = [count * events * per_event / 2**30 for count in users]
    told = {
        "candidates": [f"{many / 1e9:,.0f} billion" for many in rows],
        f"tasks of {rates['part']:,}": [f"{many / rates['part']:,.0f}" for many in rows],
        "bytes read": [f"{many / rates['candidates'] * rates['read_bytes'] / 1e9:,.0f} GB" for many in rows],
        "bytes moved, to workers and back": [f"{many * rates['moved_bytes_per_row'] / 1e9:,.0f} GB" for many in rows],
        "core-hours of workers": [f"{each:,.0f}" for each in hours],
        f"workers for a night of {HOURS:g} h": [f"{each / HOURS:,.0f}" for each in hours],
        f"nodes of {CORES} cores": [f"{np.ceil(each / HOURS / CORES):,.0f}" for each in hours],
        "core-hours of the process that cuts, gives out and commits": [f"{each:,.1f}" for each in driver],
        f"commands side by side for {HOURS:g} h, each with its share of users": [
            f"{np.ceil(each / HOURS):,.0f}" for each in driver
        ],
        "memory of a worker, as measured": [f"{worker['worker_peak_gib']:.2f} GiB" for _ in users],
        f"state, with {events:.0f} showings and events a user": [f"{each:,.0f} GiB" for each in state],
        f"memory of the one process that makes it, {row_memory:g} bytes for each (docs/nightly.md)": [
            f"{count * events * row_memory / 2**30:,.0f} GiB" for count in users
        ],
        f"of it mapped by a task, what is of {USERS:,} users": [
            f"{USERS * events * per_event / 2**30:,.2f} GiB" for _ in users
        ],
        f"core-hours to read all texts of {items / 1e6:g} million items once": [f"{encoding:,.1f}" for _ in users],
        f"GPU-hours to read them instead, at {gpu_texts:,.0f} a second (assumed)": [
            f"{items / gpu_texts / 3600:,.2f}" for _ in users
        ],
        f"cost at {price} a core-hour": [
            f"{(own + other + encoding) * price:,.0f}" for own, other in zip(hours, driver, strict=True)
        ],
    }
    return "\n".join([*lines, *(f"| {name} | {' | '.join(cells)} |" for name, cells in told.items())])


def learn(data: Path, settings: Settings, negatives: list[int], growers: int, seeds: int) -> None:
    """Print nDCG@10 on the test window of trees of fewer negatives, and of several workers, against all and one."""
    windows = read(prepare(Dataset.read(data), settings))
    ranker, valid, test = (windows[name].examples.without(FROM_TEXTS) for name in WINDOWS[1:])
    requests = windows["test"].requests
    ways: dict[str, tuple[int | None, int]] = {"all": (None, 1)}
    ways |= {f"at most {count} negatives": (count, 1) for count in negatives}
    ways |= {f"{growers} workers": (None, growers)}
    scores = dict[str, Any]()
    for name, (count, workers) in ways.items():
        engine = EngineSettings(kind="ray" if workers > 1 else "process", growers=workers)
        trees = settings.ranker.model_copy(update={"negatives": count})
        own = settings.model_copy(update={"ranker": trees, "engine": engine})
        with open_engine(engine):  # one cluster for all trees
            each = [
                grow_with_valid(ranker, valid, own.model_copy(update={"seed": seed})).final.score(test.table)
                for seed in range(settings.seed, settings.seed + seeds)
            ]
        scores[name] = np.concatenate(each)
        ids = pl.col("request_id").cast(pl.String)
        marked = [requests.with_columns(request_id=pl.lit(f"{seed}:") + ids) for seed in range(seeds)]
        pair = {"both": scores[name], "all": scores["all"]}
        found = evaluate_rankers(pl.concat(marked), pair, {}, "test").overall
        kept = ranker if count is None else ranker.sampled(count, settings.seed, settings.ranker.objective)
        means = [found.rankers["both"][measure].mean for measure in ("nDCG@10", "AUC")]
        gained = found.differences["both-all"]["nDCG@10"]
        said = f"{name}: {len(kept.labels):,} rows, nDCG@10 {means[0]:.4f}, AUC {means[1]:.4f}"
        print(
            said if name == "all" else f"{said}; {gained.mean:+.4f} ({gained.low:+.4f}..{gained.high:+.4f})", flush=True
        )


if __name__ == "__main__":
    main()
