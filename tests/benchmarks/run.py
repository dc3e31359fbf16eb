"""Figures against a peer in the same run, or against a limit; writes build/bench.json.

`python -m tests.benchmarks.run` measures everything, `python -m tests.benchmarks.run features state` what is named.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path

from tests.benchmarks.evaluating import bench_evaluate
from tests.benchmarks.features import bench_features
from tests.benchmarks.growth import bench_growth
from tests.benchmarks.learning import bench_learning
from tests.benchmarks.news import bench_news
from tests.benchmarks.scoring import bench_scoring
from tests.benchmarks.serving import bench_serving
from tests.benchmarks.state import bench_state

OUT = Path("build/bench.json")


def bench_texts() -> list[dict[str, object]]:
    """Everything that reads texts."""
    from tests.benchmarks.embedding import bench_embedding, read_corpus  # torch and the peer load only where measured
    from tests.benchmarks.training import bench_training

    corpus = read_corpus()
    return [bench_training(corpus), *bench_embedding(corpus)]


BENCHMARKS: dict[str, Callable[[], list[dict[str, object]]]] = {
    "evaluate": bench_evaluate,
    "features": bench_features,
    "growth": bench_growth,
    "news": bench_news,
    "scoring": bench_scoring,
    "serving": bench_serving,
    "state": bench_state,
    "texts": bench_texts,
    "learning": bench_learning,
}


def main(names: list[str]) -> None:
    """Measure what is named, or everything, and write it down; rows that were not measured anew stay."""
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        sys.exit(f"no benchmark is called {unknown[0]!r}; there are {', '.join(BENCHMARKS)}")
    kept = json.loads(OUT.read_text()) if names and OUT.exists() else []
    for name in names or BENCHMARKS:
        rows = BENCHMARKS[name]()
        for row in rows:
            print(f"{row['name']}: {row['ratio']} ({row['against']}), {row['note']}", flush=True)
        measured = {row["name"] for row in rows}
        kept = [*(row for row in kept if row["name"] not in measured), *rows]
        OUT.parent.mkdir(exist_ok=True)
        OUT.write_text(json.dumps(kept, indent=2) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
