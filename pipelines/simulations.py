"""Whether comparisons keep their promises: false verdicts, coverage and power over many simulated windows."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import polars as pl
from tqdm import tqdm

from recsys.data.world.taste import examination, sigmoid
from recsys.evaluation.comparison import Difference, Verdict, compare_rankers
from recsys.evaluation.measures import Floats, Integers, ndcg, per_request
from recsys.evaluation.plan import Plan

USERS, REQUESTS, CANDIDATES, TOPICS = 200, 5, 12, 6  # requests per user on average, candidates per request
BASE = -1.5
NOISE = 1.5
PLAN = Plan(measures=(ndcg(10),), resamples=1000, permutations=1000)
ENOUGH_USERS = 200_000  # settle the true difference to a few percent of the standard error of one run


@dataclass(frozen=True)
class Window:
    """Requests of fresh users with their clicks, and the scores of A and B.

    Attributes
    ----------
    users
        [R] the user of each request, never falling.
    labels, a, b
        [R, CANDIDATES] clicks and scores.
    """

    users: Integers
    labels: Integers
    a: Floats
    b: Floats

    def values(self) -> tuple[Floats, Floats]:
        """Return nDCG@10 of A and B per request."""
        starts = np.arange(len(self.users) + 1) * CANDIDATES
        labels = self.labels.ravel()
        a, b = (per_request(PLAN.measures, labels, of.ravel(), starts)[0] for of in (self.a, self.b))
        return a, b

    def compare(self, plan: Plan) -> Difference:
        """Compare B with A as a user of the library would."""
        request = np.repeat(np.arange(len(self.users)), CANDIDATES)
        table = pl.DataFrame({"request_id": request, "user_id": self.users[request], "label": self.labels.ravel()})
        found = compare_rankers(table, self.a.ravel(), self.b.ravel(), ("A", "B"), {}, plan=plan)
        return found.overall[plan.primary]


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


def draw_window(random: np.random.Generator, users: int, noise_a: float, noise_b: float) -> Window:
    """Draw users with interests, requests with items, clicks from the utility, and two rankers that see it with noise.

    A ranker's noise is larger for some users than for others, and half of it is a wrong idea of the user's interests,
    the same in all requests of the user; so requests of one user are alike in the difference, too. Users with more
    requests have stronger interests.
    """
    requests = random.geometric(1 / REQUESTS, users)
    user = np.repeat(np.arange(users), requests)
    topics = random.integers(TOPICS, size=(len(user), CANDIDATES))
    interest = random.normal(size=(users, TOPICS)) * np.log1p(requests)[:, None] ** 0.5
    utility = interest[user[:, None], topics] + random.normal(0, 0.7, topics.shape)
    position = random.random(topics.shape).argsort(axis=1) + 1
    labels = random.random(topics.shape) < examination(position) * sigmoid(BASE + utility)
    a, b = (utility + noise * _standard_noise(random, user, topics) for noise in (noise_a, noise_b))
    return Window(user, labels.astype(np.int64), a, b)


def _standard_noise(random: np.random.Generator, user: Integers, topics: Integers) -> Floats:
    users = int(user.max()) + 1
    wrong = random.normal(size=(users, TOPICS))[user[:, None], topics]
    scale = random.lognormal(0, 0.7, users)[user[:, None]]
    return np.asarray(scale * (wrong + random.normal(size=topics.shape)) / np.sqrt(2))


def true_difference(noise_b: float, users: int, seed: int) -> float:
    """Return the mean of B - A over so many users that little of it is chance."""
    sums = np.zeros(2)
    for block in range(-(-users // 10_000)):
        a, b = draw_window(np.random.default_rng([seed, block]), 10_000, NOISE, noise_b).values()
        defined = ~np.isnan(a)
        sums += (b - a)[defined].sum(), np.count_nonzero(defined)
    return float(sums[0] / sums[1])


def noise_for(difference: float, users: int, seed: int) -> float:
    """Return the noise of B that makes the true difference the given one, by halving the range."""
    low, high = 0.0, NOISE
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (middle, high) if true_difference(middle, users, seed) > difference else (low, middle)
    return (low + high) / 2


def run(runs: int, noise_b: float, seed: int) -> list[Difference]:
    """Compare on fresh users in every run."""
    streams = np.random.SeedSequence(seed).spawn(runs)
    return [
        draw_window(np.random.default_rng(stream), USERS, NOISE, noise_b).compare(PLAN)
        for stream in tqdm(streams, desc=f"noise {noise_b:.3f}", disable=None)
    ]


def prove(runs: int, enough_users: int = ENOUGH_USERS, seed: int = 0) -> tuple[list[Line], dict[str, float]]:
    """Return the promises of a comparison, and the figures behind them."""
    alike = run(runs, NOISE, seed)
    detectable = float(np.mean([found.detectable for found in alike]))
    noise = noise_for(detectable, enough_users // 10, seed)
    truth = true_difference(noise, enough_users, seed + 1)
    different = run(runs, noise, seed + 1)
    clear = (Verdict.BETTER, Verdict.WORSE)
    lines = [
        Line.of("false verdicts", [found.verdict in clear for found in alike], 3.5, 6.0),
        Line.of("false findings by permutation", [found.p <= 0.05 for found in alike], 3.5, 6.0),
        Line.of("coverage, A and B alike", [_covers(found, 0.0) for found in alike], 93.5, 96.5),
        Line.of("coverage, B better", [_covers(found, truth) for found in different], 93.5, 96.5),
        Line.of("power", [found.verdict == Verdict.BETTER for found in different], 75.0, 85.0),
    ]
    stated = float(np.mean([found.detectable for found in different]))
    return lines, {"runs": runs, "detectable": detectable, "true": truth, "noise": noise, "detectable then": stated}


def _covers(found: Difference, truth: float) -> bool:
    return found.interval.low <= truth <= found.interval.high


def main() -> None:
    """Print one line per promise and leave with 1 when one is broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    options = parser.parse_args()
    lines, figures = prove(options.runs)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps({**figures, "lines": [asdict(line) for line in lines]}, indent=2) + "\n")
    for line in lines:
        said = "kept" if line.kept else "BROKEN"
        print(f"{line.name}: {line.percent:.2f} % +- {line.error:.2f} of {line.lowest} to {line.highest}: {said}")
    raise SystemExit(not all(line.kept for line in lines))


if __name__ == "__main__":
    main()
