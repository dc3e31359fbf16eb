"""Whether explanations name what moves scores: the family named first against what its values change.

Of a request one candidate is drawn. Family by family its columns take the values of other candidates of its list; the
family that moves its score most on average is the one that should have been named first.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import polars as pl

from recsys.data.tables import Dataset
from recsys.explaining.contributions import OTHERS
from recsys.explaining.explain import explain
from recsys.model.ready import Ready
from recsys.past.lookup import Asked

CLEAR = 1.5
"""So many times as much as the second must the first contribute to be clear."""


def main() -> None:
    """Print how often the family that moves a score most was named first, and what explaining takes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="model folder")
    parser.add_argument("data", type=Path, help="data folder")
    parser.add_argument("--requests", type=int, default=1_000, help="of the test window")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    ready, prepared = Ready.today(options.model, Dataset.read(options.data))
    test = ready.model.windows.of(prepared.made.lists, "test")
    lists = test.filter(pl.len().over("request_id") > 1)
    ids = lists["request_id"].unique(maintain_order=True)
    rng = np.random.default_rng(options.seed)
    chosen = ids.gather(np.sort(rng.choice(len(ids), min(options.requests, len(ids)), replace=False)))
    asked = ready.ask(lists.filter(pl.col("request_id").is_in(chosen.implode())))
    found = [judge(ready, asked.some(which, which + 1), rng) for which in range(len(asked.lengths))]
    named, signed, clear, times = (np.array(column) for column in zip(*found, strict=True))
    told = {
        "requests": len(found),
        "named first moves it most": float(named.mean()),
        "of clear ones": float(named[clear].mean()),
        "clear": int(clear.sum()),
        "moves it most in the mean, signs kept": float(signed.mean()),
        "of clear ones, signs kept": float(signed[clear].mean()),
        "times a ranking": float(np.median(times)),
    }
    print(json.dumps(told, indent=1))


def judge(ready: Ready, asked: Asked, rng: np.random.Generator) -> tuple[bool, bool, bool, float]:
    """Exchange the values of families of one candidate of a list.

    Returns
    -------
    Whether the family named first moves the score most, on average and in the mean; whether it contributes clearly more
    than the second one; and how many times as long as a ranking its explanation takes.
    """
    ready.rank(asked)  # what both read is there
    begin = time.perf_counter()
    ready.rank(asked)
    between = time.perf_counter()
    explained = explain(ready, asked)
    end = time.perf_counter()
    of, ranker = explained.contributions, ready.model.ranker
    place = int(rng.integers(len(explained.rows)))
    matrix = ranker.contract.matrix(explained.table)
    own, others = int(explained.rows[place]), np.delete(explained.rows, place)
    drawn = rng.choice(others, OTHERS)
    families = np.repeat([column.family for column in of.columns], [len(column.columns) for column in of.columns])
    moves = []
    for family in of.families:
        changed = np.repeat(matrix[[own]], OTHERS, axis=0)
        changed[:, families == family] = matrix[drawn][:, families == family]
        scores = np.asarray(ranker.booster.predict(np.vstack([matrix[[own]], changed]), raw_score=True, num_threads=1))
        moves.append(scores[0] - scores[1:])
    by = np.abs(np.array(moves)).mean(axis=1)
    kept = np.abs(np.array(moves).mean(axis=1))
    first, second = of.first[place, :2]
    adds = np.abs(of.by_family[place])
    clear = bool(adds[first] >= CLEAR * adds[second])
    return bool(first == by.argmax()), bool(first == kept.argmax()), clear, (end - between) / (between - begin)


if __name__ == "__main__":
    main()
