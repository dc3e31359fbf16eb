"""Whether comparisons keep their promises: false verdicts, coverage and power over many simulated windows."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import polars as pl
from scipy.optimize import brentq
from tqdm import tqdm

from recsys.evaluation.comparison import Difference, compare_rankers
from recsys.evaluation.measures import ndcg, per_request
from recsys.evaluation.plan import Plan
from recsys.statistics.numbers import Floats, Integers
from recsys.statistics.verdict import Verdict
from recsys.world.taste import examination, sigmoid

USERS, REQUESTS, CANDIDATES, TOPICS = 200, 5, 12, 6  # requests per user on average, candidates per request
BASE, NOISE = -1.5, 1.5
_BLOCK_USERS = 5_000
PLAN = Plan(measures=(ndcg(10),), resamples=1000, permutations=1000)


@dataclass(frozen=True)
class Window:
    """Requests of fresh users: [R] user of each request, [R, CANDIDATES] clicks and the scores of A and B."""

    users: Integers
    labels: Integers
    a: Floats
    b: Floats

    def compare(self) -> Difference:
        """Compare B with A as a user of the library would."""
        request = np.repeat(np.arange(len(self.users)), CANDIDATES)
        table = pl.DataFrame({"request_id": request, "user_id": self.users[request], "label": self.labels.ravel()})
        found = compare_rankers(table, self.a.ravel(), self.b.ravel(), ("A", "B"), {}, plan=PLAN)
        return found.overall[PLAN.primary]


@dataclass(frozen=True)
class Line:
    """One promise: a share of runs in percent, its Monte Carlo error and where it must lie."""

    name: str
    percent: float
    error: float
    lowest: float
    highest: float

    @classmethod
    def of(cls, name: str, hits: Sequence[bool], lowest: float, highest: float) -> "Line":
        """Count the runs that hit."""
        share = float(np.mean(hits))
        return cls(name, 100 * share, 100 * float(np.sqrt(share * (1 - share) / len(hits))), lowest, highest)

    @property
    def kept(self) -> bool:
        """Whether the share lies where it must."""
        return self.lowest <= self.percent <= self.highest


def draw_window(random: np.random.Generator, users: int, noise_b: float) -> Window:
    """Draw users with interests, requests with items, clicks from the utility, and two rankers that see it with noise.

    A ranker's noise is larger for some users than for others, and half of it is a wrong idea of the user's interests,
    the same in all requests of the user; so requests of one user are alike in the difference, too. Users with more
    requests have stronger interests. One random state gives the same window but for the size of B's noise.
    """
    requests = random.geometric(1 / REQUESTS, users)
    user = np.repeat(np.arange(users), requests)
    topics = random.integers(TOPICS, size=(len(user), CANDIDATES))
    interest = random.normal(size=(users, TOPICS)) * np.log1p(requests)[:, None] ** 0.5
    utility = interest[user[:, None], topics] + random.normal(0, 0.7, topics.shape)
    position = random.random(topics.shape).argsort(axis=1) + 1
    labels = random.random(topics.shape) < examination(position) * sigmoid(BASE + utility)
    a, b = (utility + noise * _standard_noise(random, user, topics) for noise in (NOISE, noise_b))
    return Window(user, labels.astype(np.int64), a, b)


def _standard_noise(random: np.random.Generator, user: Integers, topics: Integers) -> Floats:
    users = int(user.max()) + 1
    wrong = random.normal(size=(users, TOPICS))[user[:, None], topics]
    scale = random.lognormal(0, 0.7, users)[user[:, None]]
    return np.asarray(scale * (wrong + random.normal(size=topics.shape)) / np.sqrt(2))


def true_difference(noise_b: float, users: int, seed: int) -> float:
    """Return what B's noise gains over A's, on the same draws of so many users that little of it is chance."""
    gained = count = 0.0
    for block in range(0, users, _BLOCK_USERS):
        drawn = (draw_window(np.random.default_rng([seed, block]), _BLOCK_USERS, noise) for noise in (noise_b, NOISE))
        less, as_a = (
            per_request(PLAN.measures, of.labels.ravel(), of.b.ravel(), np.arange(len(of.users) + 1) * CANDIDATES)[0]
            for of in drawn
        )
        gained, count = gained + np.nansum(less - as_a), count + np.count_nonzero(~np.isnan(as_a))
    return float(gained / count)


def noise_for(difference: float, users: int, seed: int) -> float:
    """Return the noise of B that makes the true difference the given one."""
    return float(brentq(lambda noise: true_difference(noise, users, seed) - difference, 0.05, NOISE, xtol=0.002))


def run(runs: int, noise_b: float, seed: int) -> list[Difference]:
    """Compare on fresh users in every run."""
    streams = tqdm(np.random.SeedSequence(seed).spawn(runs), desc=f"noise {noise_b:.3f}", disable=None)
    return [draw_window(np.random.default_rng(stream), USERS, noise_b).compare() for stream in streams]


def prove(runs: int, users: int, seed: int = 0) -> tuple[list[Line], dict[str, float]]:
    """Return the promises of a comparison, and the figures behind them; `users` settle the true differences."""
    alike = run(runs, NOISE, seed)
    noise = noise_for(_detectable(alike), users, seed)
    noise = noise_for(_detectable(run(runs // 10, noise, seed + 1)), users, seed)  # less noise, less to detect
    truth = true_difference(noise, 2 * users, seed + 1)
    different = run(runs, noise, seed + 2)
    lines = [
        Line.of("false verdicts", [found.verdict in (Verdict.BETTER, Verdict.WORSE) for found in alike], 3.5, 6.0),
        Line.of("false findings by permutation", [found.p <= 0.05 for found in alike], 3.5, 6.0),
        Line.of("coverage where A and B are alike", [_covers(found, 0.0) for found in alike], 93.5, 96.5),
        Line.of("coverage where B is better", [_covers(found, truth) for found in different], 93.5, 96.5),
        Line.of("power", [found.verdict == Verdict.BETTER for found in different], 75.0, 85.0),
    ]
    return lines, {"runs": runs, "detectable": _detectable(different), "true difference": truth, "noise of B": noise}


def _detectable(runs: Sequence[Difference]) -> float:
    return float(np.mean([found.detectable for found in runs]))


def _covers(found: Difference, truth: float) -> bool:
    return found.interval.low <= truth <= found.interval.high


def main() -> None:
    """Print one line per promise and leave with 1 when one is broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    options = parser.parse_args()
    lines, figures = prove(options.runs, users=50_000)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps({**figures, "lines": [asdict(line) for line in lines]}, indent=2) + "\n")
    for line in lines:
        said = "kept" if line.kept else "BROKEN"
        print(f"{line.name}: {line.percent:.2f} % +- {line.error:.2f}, within {line.lowest} to {line.highest}: {said}")
    raise SystemExit(not all(line.kept for line in lines))


if __name__ == "__main__":
    main()
