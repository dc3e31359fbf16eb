"""Whether explanations name what moves scores: the family named first against what its values change.

Of a request one candidate is drawn. Family by family its columns take the values of other candidates of its list; the
family that moves its score most on average is the one that should have been named first. In planted worlds clicks are
drawn anew by a sum over families that is known; trees of one feature each learn from them, and both their score and
that sum are moved.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.data.tables import Dataset
from recsys.explaining.contributions import OTHERS
from recsys.explaining.explain import explain
from recsys.features.plan import compute_features, plan
from recsys.features.rows import FeatureRows
from recsys.model.ready import Ready
from recsys.past.lookup import Asked
from recsys.ranking.examples import Examples
from recsys.ranking.settings import RankerSettings
from recsys.ranking.trees import TreeRanker, grow

Matrix = npt.NDArray[np.float32]
"""Features of candidates, a row each, in the order of the contract."""

Score = Callable[[Matrix], npt.NDArray[np.float64]]

CLEAR = 1.5
"""So many times as much as the second must the first contribute to be clear."""


def main() -> None:
    """Print how often the family that moves a score most was named first, and what explaining takes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="model folder")
    parser.add_argument("data", type=Path, help="data folder")
    parser.add_argument("--requests", type=int, default=1_000, help="of the test window")
    parser.add_argument(
        "--planted", type=int, default=0, help="so many worlds of known sums, instead of the model's own"
    )
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    ready, prepared = Ready.today(options.model, Dataset.read(options.data))
    test = ready.model.windows.of(prepared.made.lists, "test")
    lists = test.filter(pl.len().over("request_id") > 1)
    ids = lists["request_id"].unique(maintain_order=True)
    rng = np.random.default_rng(options.seed)
    chosen = ids.gather(np.sort(rng.choice(len(ids), min(options.requests, len(ids)), replace=False)))
    asked = ready.ask(lists.filter(pl.col("request_id").is_in(chosen.implode())))
    if not options.planted:
        print(json.dumps(judged(ready, asked, rng), indent=1))
    for world in range(options.planted):
        ranker, total = plant(ready, ready.ask(lists), np.random.default_rng([options.seed, world]))
        planted = replace(ready, model=replace(ready.model, ranker=ranker))
        by = {name: judged(planted, asked, rng, score) for name, score in (("score", None), ("planted sum", total))}
        print(json.dumps({"world": world, **by}, indent=1), flush=True)


def judged(ready: Ready, asked: Asked, rng: np.random.Generator, score: Score | None = None) -> dict[str, float]:
    """Judge the explanation of one candidate of each list."""
    found = [judge(ready, asked.some(which, which + 1), rng, score) for which in range(len(asked.lengths))]
    named, signed, clear, times = (np.array(column) for column in zip(*found, strict=True))
    return {
        "requests": len(found),
        "named first moves it most": float(named.mean()),
        "of clear ones": float(named[clear].mean()),
        "clear": int(clear.sum()),
        "moves it most in the mean, signs kept": float(signed.mean()),
        "of clear ones, signs kept": float(signed[clear].mean()),
        "times a ranking": float(np.median(times)),
    }


def plant(ready: Ready, asked: Asked, rng: np.random.Generator) -> tuple[TreeRanker, Score]:
    """Grow trees on clicks that are drawn by a sum over families, of one feature of each.

    Features of other families are no stand-in for one: each family is exchanged between candidates by itself, with all
    its columns. One candidate of each list is clicked, by a draw that the exponential of the sum makes likelier.

    Returns
    -------
    The trees, and the sum.
    """
    settings, contract = ready.model.settings, ready.model.ranker.contract
    table = compute_features(asked, settings.features, ready.reader)
    matrix, families = contract.matrix(table), _families(ready)
    order = np.empty_like(matrix, dtype=np.int64)
    terms = dict[int, tuple[float, Matrix]]()
    for family in dict.fromkeys(families.tolist()):
        own = np.flatnonzero(families == family)
        order[:, own] = rng.permutation(len(matrix))[:, None]
        numbers = [place for place in own if place < len(table.names) and len(np.unique(matrix[:1000, place])) > 2]
        if numbers:
            place = int(rng.choice(numbers))
            terms[place] = (float(rng.uniform(1.0, 4.0) * rng.choice([-1, 1])), np.sort(matrix[:, place]))

    def total(of: Matrix) -> npt.NDArray[np.float64]:
        """Add up the share of candidates below each feature, times its weight."""
        shares = [
            weight * np.searchsorted(known, of[:, place]) / len(known) for place, (weight, known) in terms.items()
        ]
        return np.asarray(np.sum(shares, axis=0))

    exchanged = np.take_along_axis(table.numbers, order[:, : len(table.names)].T, axis=1)
    beside = zip(table.categories, order[:, len(table.names) :].T, strict=True)
    categories = tuple(replace(each, codes=each.codes[rows]) for each, rows in beside)
    apart = replace(table, numbers=exchanged, categories=categories)
    drawn = total(contract.matrix(apart)) + rng.gumbel(size=len(matrix))
    request = np.repeat(np.arange(len(asked.lengths)), asked.lengths)
    best = np.lexsort((drawn, request))[asked.starts[1:] - 1]
    labels = np.zeros(len(matrix), np.int64)
    labels[best] = 1
    examples = Examples.alike(FeatureRows.of(apart), labels, asked.starts)
    grown = RankerSettings(rounds=1000, leaves=2, rows_per_leaf=200, feature_fraction=1.0, learning_rate=0.1)
    return grow(examples, contract, grown, int(rng.integers(1 << 30)), rounds=1000), total


def _families(ready: Ready) -> npt.NDArray[np.str_]:
    """Name the family of each feature, in the order of the contract."""
    columns = plan(ready.model.settings.features)
    return np.repeat([column.family for column in columns], [len(column.columns) for column in columns])


def judge(
    ready: Ready, asked: Asked, rng: np.random.Generator, score: Score | None = None
) -> tuple[bool, bool, bool, float]:
    """Exchange the values of families of one candidate of a list.

    Parameters
    ----------
    ready, asked
        The model and what it knows, and one list.
    rng
        Chooses the candidate, and whose values it takes.
    score
        From features to the scores that are moved; the model's own when left out.

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
    drawn = rng.choice(others, min(OTHERS, len(others)), replace=False)
    families, moves = _families(ready), []
    for family in of.families:
        changed = np.repeat(matrix[[own]], len(drawn), axis=0)
        changed[:, families == family] = matrix[drawn][:, families == family]
        rows = np.vstack([matrix[[own]], changed])
        scores = score(rows) if score else np.asarray(ranker.booster.predict(rows, raw_score=True, num_threads=1))
        moves.append(scores[0] - scores[1:])
    by = np.abs(np.array(moves)).mean(axis=1)
    kept = np.abs(np.array(moves).mean(axis=1))
    first, second = of.first[place, :2]
    adds = np.abs(of.by_family[place])
    clear = bool(adds[first] >= CLEAR * adds[second])
    return bool(first == by.argmax()), bool(first == kept.argmax()), clear, (end - between) / (between - begin)


if __name__ == "__main__":
    main()
