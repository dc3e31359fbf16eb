"""Looking at an experiment every day: how often each interval errs without an effect, and when it shows one."""

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from recsys.errors import SettingsError
from recsys.experiment.estimates import Moments, difference, sequential
from recsys.experiment.metrics import Metric, mean, rate, ratio
from recsys.experiment.planning import effect_for_mean
from recsys.statistics.numbers import Floats

METRICS = (rate("clicks"), mean("seconds"), ratio("clicks", "views"))
"""A rate, a mean with a long tail, and a ratio."""


@dataclass(frozen=True)
class Peeking:
    """What happened to many experiments on one metric, looked at every day; all but days are shares of the runs.

    Attributes
    ----------
    metric
        Name of the metric.
    effect
        True difference B - A.
    covered
        The fixed-horizon interval of the last day holds the true difference.
    sequential_covered
        The anytime-valid intervals of all days hold it.
    fixed_once
        The fixed-horizon interval of the last day leaves out 0: errors without an effect, power with one.
    fixed_ever
        That of any day does.
    sequential_ever
        The anytime-valid interval of any day does.
    sequential_days
        Mean day on which it first does, the last day where it never does.
    """

    metric: str
    effect: float
    covered: float
    sequential_covered: float
    fixed_once: float
    fixed_ever: float
    sequential_ever: float
    sequential_days: float

    def to_json(self) -> dict[str, object]:
        """Return plain objects for `json.dumps`."""
        return asdict(self)


def simulate_peeking(
    metric: Metric, runs: int, with_effect: bool, days: int = 28, users_a_day: int = 200, seed: int = 0
) -> Peeking:
    """Run experiments in which new users come every day, are split evenly, and both intervals are looked at.

    Parameters
    ----------
    metric
        One of `METRICS`.
    runs
        How many experiments, at least 1, each with users of its own.
    with_effect
        Whether B differs from A: by the effect that the fixed-horizon interval shows on the last day with 80 % power.
    days
        Days of an experiment, at least 1.
    users_a_day
        New users of both arms together; each counts on his first day in full.
    seed
        Seed of the draws.

    Raises
    ------
    SettingsError
        When a number is below 1, or the first day brings so few users that an arm may hold no two.
    """
    if min(runs, days) < 1 or users_a_day < 40:
        raise SettingsError(
            f"runs, days and users_a_day are {runs}, {days} and {users_a_day}; write at least 1, 1 and 40"
        )
    random = np.random.default_rng(seed)
    truth = _effect(metric, days * users_a_day // 2) if with_effect else 0.0
    looks = np.array([_run(metric, truth, days, users_a_day, random) for _ in range(runs)])  # [runs, days, 4]
    low, high, earliest, latest = np.moveaxis(looks, -1, 0)
    fixed = (low > 0) | (high < 0)
    anytime = (earliest > 0) | (latest < 0)
    day = np.where(anytime.any(axis=1), anytime.argmax(axis=1) + 1, days)
    return Peeking(
        metric=metric.name,
        effect=truth,
        covered=float(((low[:, -1] <= truth) & (truth <= high[:, -1])).mean()),
        sequential_covered=float(((earliest <= truth) & (truth <= latest)).all(axis=1).mean()),
        fixed_once=float(fixed[:, -1].mean()),
        fixed_ever=float(fixed.any(axis=1).mean()),
        sequential_ever=float(anytime.any(axis=1).mean()),
        sequential_days=float(day.mean()),
    )


def _run(metric: Metric, effect: float, days: int, users_a_day: int, random: np.random.Generator) -> list[list[float]]:
    """Give the ends of both intervals on every day of one experiment."""
    users = days * users_a_day
    in_b = random.random(users) < 0.5
    columns = _draw(metric, np.where(in_b, effect, 0.0), random)
    looks = []
    for today in range(users_a_day, users + 1, users_a_day):
        a, b = (
            Moments.of(metric.values({name: values[:today][arm[:today]] for name, values in columns.items()}))
            for arm in (~in_b, in_b)
        )
        fixed, anytime = difference(a, b), sequential(a, b, expected=users)
        looks.append([fixed.low, fixed.high, anytime.low, anytime.high])
    return looks


def _effect(metric: Metric, users: int) -> float:
    """Give the effect that the fixed-horizon interval shows on so many users per arm with 80 % power."""
    pilot = metric.values(_draw(metric, np.zeros(200_000), np.random.default_rng(0)))
    return effect_for_mean(float(pilot.std()), users)


def _draw(metric: Metric, effect: Floats, random: np.random.Generator) -> dict[str, Floats]:
    """Draw users, each with the effect of his arm [N] on the metric, whose value without one is 0.1, 1 and 0.1."""
    if metric.kind == "rate":
        return {"clicks": (random.random(len(effect)) < 0.1 + effect).astype(np.float64)}
    if metric.kind == "mean":
        return {"seconds": (1 + effect) * random.lognormal(-0.5, 1.0, len(effect))}
    views = 1 + random.poisson(random.gamma(1.0, 4.0, len(effect)))
    inclined = random.beta(2.0, 18.0, len(effect)) * (1 + effect / 0.1)
    clicks = random.binomial(views, np.minimum(inclined, 1.0))
    return {"clicks": clicks.astype(np.float64), "views": views.astype(np.float64)}


ERRORS = 0.055
COVERED = (0.935, 0.965)


def main() -> int:
    """Print two lines per metric; return 1 when an interval errs too often or covers too rarely or too often."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=2000, help="experiments per line, each with fresh users")
    parser.add_argument("--days", type=int, default=28)
    parser.add_argument("--users", type=int, default=200, help="new users a day, both arms together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    options = parser.parse_args()
    found, right = [], True
    for metric in METRICS:
        for with_effect in (False, True):
            seen = simulate_peeking(metric, options.runs, with_effect, options.days, options.users, options.seed)
            found.append(seen.to_json())
            shown = "power" if with_effect else "errors"
            print(
                f"{seen.metric}, effect {seen.effect:.4f}: {shown} of the anytime-valid interval looked at daily "
                f"{seen.sequential_ever:.2%}, of the fixed-horizon one at the end {seen.fixed_once:.2%}, looked at "
                f"daily {seen.fixed_ever:.2%}; days until the anytime-valid one is clear {seen.sequential_days:.1f} of "
                f"{options.days}; cover: fixed-horizon {seen.covered:.2%}, anytime-valid on all days "
                f"{seen.sequential_covered:.2%}",
                flush=True,
            )
            right &= COVERED[0] <= seen.covered <= COVERED[1] and seen.sequential_covered >= 1 - ERRORS
            right &= with_effect or seen.sequential_ever < ERRORS
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(found, indent=2) + "\n")
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
