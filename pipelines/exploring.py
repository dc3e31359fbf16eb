"""Whether what exploration writes down can be learnt from: 95 % intervals of another policy's value, log after log.

Lists of fixed scores are filled by chance, and clicked from the top down by planted chances. Each log is asked what
another order would have earned, whose value is known exactly for the first place and by a very large sample for the
first three. Exits with 1 when intervals hold it too seldom or too often.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys.arranging.placing import chances, draws, placed
from recsys.arranging.settings import Exploration
from recsys.offpolicy.actions import ActionLog, ips, snips
from recsys.offpolicy.cascades import cascade, cascade_normalised
from recsys.offpolicy.estimate import Estimate
from recsys.offpolicy.list_log import ListLog
from recsys.offpolicy.policies import ListPolicy
from recsys.statistics.numbers import Floats, Integers
from recsys.world.policy import plackett_luce

SIZE, TOP = 6, 3
"""Candidates of a list, and places whose clicks count."""
NEAR = 0.5
"""Standard deviation by which the scores of the other policy differ; far ones find too little support."""
LOWEST, HIGHEST = 0.93, 0.97
"""Share of logs whose interval may hold the true value."""
CASES = {
    "epsilon": Exploration(by="epsilon", epsilon=0.4, first=SIZE),
    "plackett_luce": Exploration(by="plackett_luce", temperature=0.8, first=SIZE),
    "a place for new items": Exploration(by="epsilon", epsilon=0.4, first=SIZE, new_place=2),
}
"""What is left to chance."""

Rows = NDArray[np.int64]


def main() -> None:
    """Print a line for each case and estimator."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--logs", type=int, default=1_000)
    parser.add_argument("--lists", type=int, default=2_000, help="in each log")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    worth = np.sort(rng.normal(size=(options.lists, SIZE)), axis=1)[:, ::-1]
    other = worth + NEAR * rng.normal(size=worth.shape)
    chance = 0.4 / (1 + np.exp(-worth - rng.normal(size=worth.shape)))
    truth = true_values(other, chance, rng)
    told, right = {}, True
    for case, exploration in CASES.items():
        found = [judge(exploration, run, worth, other, chance, rng) for run in range(options.logs)]
        for name in found[0]:
            true = truth["first" if "first" in name else "lists"]
            held = float(np.mean([each[name].low <= true <= each[name].high for each in found]))
            bias = float(np.mean([each[name].value for each in found])) - true
            told[f"{case}, {name}"] = {"held": held, "bias": bias, "truth": true, "logs": options.logs}
            right &= LOWEST <= held <= HIGHEST
            print(f"{case}, {name}: held {held:.3f}, bias {bias:+.5f} of {true:.4f}", flush=True)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(told, indent=2) + "\n")
    sys.exit(0 if right else 1)


def true_values(other: Floats, chance: Floats, rng: np.random.Generator) -> dict[str, float]:
    """Give what the other policy earns: at the first place exactly, at the first three by many draws."""
    weights = np.exp(other - other.max(axis=1, keepdims=True))
    first = float((weights / weights.sum(axis=1, keepdims=True) * chance).sum(axis=1).mean())
    earned = []
    for _ in range(2_000):
        order, _ = plackett_luce(other, rng)
        earned.append(float(np.take_along_axis(chance, order, axis=1)[:, :TOP].sum(axis=1).mean()))
    return {"first": first, "lists": float(np.mean(earned))}


def judge(
    exploration: Exploration, run: int, worth: Floats, other: Floats, chance: Floats, rng: np.random.Generator
) -> dict[str, Estimate]:
    """Draw a log, and ask it what the other policy would have earned."""
    order, propensity = draw(exploration, run, worth)
    clicks = (rng.random(order.shape) < np.take_along_axis(chance, order, axis=1)).astype(np.float64)
    lists, size = order.shape
    starts, users = np.arange(0, lists * size + 1, size), np.arange(lists)
    target = ListPolicy.plackett_luce(np.take_along_axis(other, order, axis=1).ravel(), starts)
    top = target.probability.reshape(lists, size)[:, 0]
    first = ActionLog(clicks[:, 0], propensity[:, 0], top, users)
    whole = ListLog(clicks.ravel(), propensity.ravel(), starts, users)
    found = {"first place, IPS": ips(first), "first place, SNIPS": snips(first)}
    if exploration.new_place is not None:
        return found  # what is not new can never stand there, so that whole lists have no support
    lists_too = {
        "lists, cascade IPS": cascade(whole, target, TOP),
        "lists, cascade SNIPS": cascade_normalised(whole, target, TOP),
    }
    return found | lists_too


def draw(exploration: Exploration, run: int, worth: Floats) -> tuple[Rows, Floats]:
    """Fill each list, as the rules of a model do; candidates by place and their propensities, [lists, `SIZE`]."""
    lists, size = worth.shape
    kept: Integers = np.arange(worth.size)
    marks = np.full((2, worth.size), -1)
    marks[1] = kept % size >= size // 2  # the lower half is new
    requests = pl.Series(np.arange(lists) + run * lists)
    drawn = draws(requests, np.zeros(lists, np.int64), np.full(lists, size), exploration.seed)
    nothing, none = np.empty((0, worth.size), np.int64), np.empty((0, 2), np.int64)
    starts = np.arange(0, worth.size + 1, size)
    rows, propensity = placed(kept, starts, marks, nothing, none, worth.ravel(), drawn, chances(exploration))
    return (rows % size).reshape(lists, size), propensity.reshape(lists, size)


if __name__ == "__main__":
    main()
