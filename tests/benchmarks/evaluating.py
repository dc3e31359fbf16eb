"""Time of an evaluation against a peer, and its memory on many candidates in a process of its own."""

import json
import resource
import subprocess
import sys
import time

import ir_measures
import numpy as np
import polars as pl

from recsys.evaluation.evaluation import evaluate_rankers
from recsys.evaluation.measures import AUC, FIRST_HIT_MRR, MRR, average_precision, ndcg, precision, recall
from tests.benchmarks.timing import seconds

SMALL, LARGE = 500_000, 10_000_000
"""Candidate rows that the peer can do in a few seconds, and those whose memory is measured."""

MEASURES = (AUC, MRR, FIRST_HIT_MRR, ndcg(5), ndcg(10), average_precision(), recall(10), precision(10))


def bench_evaluate() -> list[dict[str, object]]:
    """Eight measures of one ranker with intervals, against the six that ir-measures has, without; then memory."""
    large = _measured(LARGE)  # first: a child process counts the memory that its parent held when it began
    requests = make_requests(SMALL)
    scores = np.random.default_rng(1).random(len(requests))
    frame = requests.select(
        query_id=pl.col("request_id").cast(pl.String), doc_id=pl.col("item_id").cast(pl.String), relevance="label"
    ).to_pandas()
    ranking = frame[["query_id", "doc_id"]].assign(score=scores)
    theirs = [ir_measures.parse_measure(name) for name in ("nDCG@5", "nDCG@10", "RR", "AP", "R@10", "P@10")]
    peer, own = seconds(
        lambda: ir_measures.calc_aggregate(theirs, frame, ranking),
        lambda: evaluate_rankers(requests, {"random": scores}, {}, "test", measures=MEASURES),
    )
    speed = f"{len(requests):,} candidate rows: {own:.2f} s for {len(MEASURES)} measures with intervals"
    memory = f"{large['rows']:,.0f} rows, {len(MEASURES)} measures of two rankers and their difference with intervals"
    return [
        {
            "name": "evaluate",
            "ratio": round(peer / own, 1),
            "against": "ir_measures.calc_aggregate",
            "note": f"{speed} against {peer:.2f} s for {len(theirs)} without",
        },
        {
            "name": "evaluate-memory-gib",
            "ratio": round(large["gib"], 2),
            "against": "GiB",
            "note": f"{memory}: peak of the whole process that makes and holds the table, {large['seconds']:.0f} s",
        },
    ]


def make_requests(rows: int) -> pl.DataFrame:
    """Draw requests of 2 to 22 candidates, four per user, a tenth of the candidates clicked."""
    random = np.random.default_rng(0)
    requests = rows // 12
    sizes = random.integers(2, 23, requests)
    of = np.repeat(np.arange(requests), sizes)
    return pl.DataFrame(
        {
            "request_id": of,
            "user_id": random.integers(max(1, requests // 4), size=requests)[of],
            "item_id": np.arange(len(of)),
            "label": (random.random(len(of)) < 0.1).astype(np.int64),
        }
    )


def _measured(rows: int) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.evaluating", str(rows)], check=True, stdout=subprocess.PIPE, text=True
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _evaluate(rows: int) -> dict[str, float]:
    requests = make_requests(rows)
    random = np.random.default_rng(1)
    scores = {name: random.random(len(requests)) for name in ("both", "random")}
    started = time.perf_counter()
    evaluate_rankers(requests, scores, {}, "test", measures=MEASURES)
    return {
        "seconds": time.perf_counter() - started,
        "gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "rows": len(requests),
    }


if __name__ == "__main__":
    print(json.dumps(_evaluate(int(sys.argv[1]))))
