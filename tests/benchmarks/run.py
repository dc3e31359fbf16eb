"""Speed as ratios against a peer in the same run; writes build/bench.json."""

import json
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import ir_measures
import numpy as np
import pandas as pd
import polars as pl

from recsys.data.clock import TimeSettings
from recsys.data.world import WorldSettings, make_world
from recsys.evaluation.evaluation import evaluate_rankers
from recsys.features.behaviour import Behaviour, Kept
from recsys.features.definitions import Count
from recsys.features.log import Log
from recsys.features.lookup import Lookup
from tests.benchmarks.embedding import bench_embedding, read_corpus
from tests.benchmarks.training import bench_training

OUT = Path("build/bench.json")
WINDOWS = (timedelta(hours=1), timedelta(days=1), None)


def seconds(work: Callable[[], object], runs: int = 3) -> float:
    """Fastest of some runs, which is the one that was disturbed least."""
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)


def bench_evaluate(requests: pl.DataFrame) -> dict[str, object]:
    """Five measures of one ranker with intervals, against three of them through ir-measures without."""
    scores = np.random.default_rng(0).random(len(requests))
    frame = requests.select(
        query_id=pl.col("request_id").cast(pl.String), doc_id=pl.col("item_id").cast(pl.String), relevance="label"
    ).to_pandas()
    run = frame[["query_id", "doc_id"]].assign(score=scores)
    measures = [ir_measures.nDCG @ 5, ir_measures.nDCG @ 10, ir_measures.RR]
    peer = seconds(lambda: ir_measures.calc_aggregate(measures, frame, run))
    own = seconds(lambda: evaluate_rankers(requests, {"random": scores}, {}, "test"))
    note = f"{len(requests):,} candidate rows: {own:.2f} s against {peer:.2f} s"
    return {"name": "evaluate", "ratio": round(peer / own, 1), "against": "ir_measures.calc_aggregate", "note": note}


def bench_features(requests: pl.DataFrame, behaviour: Behaviour) -> dict[str, object]:
    """Showings of an item before each request over three windows, against pandas merge_asof on running counts."""

    def own() -> list[np.ndarray]:
        log = Log(behaviour, TimeSettings())
        lookup = Lookup(log, log.rows(requests))
        return [Count("showing", ("item",), window).values(lookup) for window in WINDOWS]

    frame = requests.select("item_id", "timestamp").to_pandas()

    def peer() -> list[np.ndarray]:
        log = frame.sort_values("timestamp", kind="stable")
        log["shown"] = log.groupby("item_id").cumcount() + 1
        counts = []
        for window in WINDOWS:
            ends = merge(log, frame["timestamp"])
            starts = 0 if window is None else merge(log, frame["timestamp"] - window)
            counts.append(ends - starts)
        return counts

    def merge(log: pd.DataFrame, moments: pd.Series) -> np.ndarray:
        wanted = pd.DataFrame({"item_id": frame["item_id"], "timestamp": moments}).sort_values(
            "timestamp", kind="stable"
        )
        found = pd.merge_asof(wanted, log, on="timestamp", by="item_id", allow_exact_matches=False)
        return found["shown"].fillna(0).set_axis(wanted.index).sort_index().to_numpy()

    for mine, theirs in zip(own(), peer(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    own_seconds, peer_seconds = seconds(own), seconds(peer)
    note = (
        f"{len(requests):,} candidate rows, 3 windows: {own_seconds:.2f} s against {peer_seconds:.2f} s, equal values"
    )
    ratio = round(peer_seconds / own_seconds, 1)
    return {"name": "features", "ratio": ratio, "against": "pandas.merge_asof", "note": note}


def main() -> None:
    """Measure everything and write it down."""
    world = make_world(WorldSettings(items=5_000, users=10_000, requests=40_000))
    requests = world.dataset.requests
    rows = [bench_evaluate(requests), bench_features(requests, Behaviour.of(world.dataset, Kept()))]
    corpus = read_corpus()
    rows += [bench_training(corpus), *bench_embedding(corpus)]
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(rows, indent=2) + "\n")
    for row in rows:
        print(f"{row['name']}: {row['ratio']} x {row['against']} ({row['note']})")


if __name__ == "__main__":
    main()
