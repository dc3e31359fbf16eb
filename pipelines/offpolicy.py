"""Off-policy estimates of lists on the simulated world: how often their 95 % intervals hold the true value.

Each run draws users of one world anew, their lists from the logging policy and their clicks from the planted chances.
The true value is known exactly. Exits with 1 when an interval holds it too seldom or too often, or when an estimator
answers that has no support.
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recsys.errors import DataError, SettingsError
from recsys.offpolicy.cascades import cascade, cascade_doubly_robust, cascade_normalised, slate
from recsys.offpolicy.estimate import Estimate
from recsys.offpolicy.list_log import ListLog, read_lists
from recsys.offpolicy.placements import item_position, position_based, pseudo_inverse
from recsys.offpolicy.policies import ListPolicy, expected_next, inside_of, plackett_luce_scores
from recsys.statistics.numbers import Floats, Integers
from recsys.world import World, WorldSettings, make_world
from recsys.world.policy import plackett_luce
from recsys.world.taste import examination

LOWEST, HIGHEST = 0.925, 0.97
"""Share of runs whose 95 % interval may hold the true value."""
TOP = 5
"""Clicks of the first places count: enough to be a ranking, few enough for whole lists to be weighed."""
NEAR = 0.3
"""Standard deviation of the log odds that the near policy adds to the logging policy's."""

Runs = list["Estimate | DataError"]


@dataclass(frozen=True)
class Coverage:
    """How an estimator fared over many runs.

    Attributes
    ----------
    case
        Which policy was judged from which log.
    estimator
        Name of the estimator.
    truth
        The target policy's expected clicks per list.
    runs, refused, warned
        How many logs were drawn, on how many the estimator refused, and on how many others it warned.
    held
        Share of the answered runs whose interval holds the truth; NaN without any.
    error
        Monte-Carlo standard error of `held`.
    bias, bias_error
        Mean of the estimates less the truth, and its Monte-Carlo standard error.
    spread, stated
        Standard deviation of the estimates, and the mean of the standard errors that they state.
    effective
        Mean effective sample size, in lists.
    """

    case: str
    estimator: str
    truth: float
    runs: int
    refused: int
    warned: int
    held: float
    error: float
    bias: float
    bias_error: float
    spread: float
    stated: float
    effective: float

    @property
    def supported(self) -> bool:
        """Whether the log supports the estimator, so that it must answer; where not, it must refuse."""
        return self.estimator not in UNSUPPORTED.get(self.case, ())

    @property
    def right(self) -> bool:
        """Whether the intervals hold the truth as often as they should, or, without support, every run was refused."""
        if not self.supported:
            return self.refused == self.runs
        return self.refused == 0 and LOWEST <= self.held <= HIGHEST


@dataclass(frozen=True)
class Population:
    """Requests of a world with their candidates in a fixed order, padded to [R, P], and two policies on them.

    Attributes
    ----------
    users
        [R] user of each request, numbered from 0.
    sizes
        [R] candidates.
    chance
        [R, P] chance of a click where the candidate is looked at.
    logging_scores, target_scores
        [R, P] log odds of Plackett-Luce, -inf beyond the end of a list. Of a target policy without randomness: its
        scores.
    logging_placements, target_placements
        [R, P, P] see `ListPolicy`.
    fixed
        Whether the target policy orders by score without randomness.
    """

    users: Integers
    sizes: Integers
    chance: Floats
    logging_scores: Floats
    target_scores: Floats
    logging_placements: Floats
    target_placements: Floats
    fixed: bool

    def truth(self, top: int) -> float:
        """Clicks per list at the first `top` positions under the target policy.

        The mean over requests of the sum of chance * P(item at position) * examination; exact, as placements are.
        """
        curve = examination(np.arange(1, self.chance.shape[1] + 1))
        curve[top:] = 0.0
        return float((self.chance[:, :, None] * self.target_placements * curve).sum() / len(self.users))


def populations(world: World, seed: int = 0) -> dict[str, Population]:
    """Return what is judged: a name and the requests of `world` with a logging and a target policy.

    near
        The world's own policy logs, a policy with other log odds (standard deviation `NEAR`) is judged: every
        estimator has support.
    random, random to best
        Uniformly random orders log; the world's own policy is judged, and the order by true utility, without
        randomness.
    best
        The world's own policy logs and the order by true utility is judged: single lists have no support.
    """
    rng = np.random.default_rng(seed)
    log, rows = read_lists(world.dataset.requests)
    starts, sizes = log.starts, np.diff(log.starts)
    own = plackett_luce_scores(log.propensity, starts)
    utility, chance = (world.truth[name].to_numpy()[rows] for name in ("utility", "click_probability_unbiased"))
    near = own + rng.normal(0.0, NEAR, len(own))
    other = ListPolicy.plackett_luce(near, starts)
    policy, even = (ListPolicy.plackett_luce(scores, starts) for scores in (own, np.zeros(len(own))))
    best = ListPolicy.ranking(utility, starts)

    def population(logging: tuple[Floats, ListPolicy], target: tuple[Floats, ListPolicy]) -> Population:
        inside = inside_of(starts)

        def pad(values: Floats, fill: float) -> Floats:
            padded = np.full((*inside.shape, *values.shape[1:]), fill)
            padded[inside] = values
            return padded

        return Population(
            users=log.clusters,
            sizes=sizes,
            chance=pad(chance, 0.0),
            logging_scores=pad(logging[0], -np.inf),
            target_scores=pad(target[0], -np.inf),
            logging_placements=pad(logging[1].placements, 0.0),
            target_placements=pad(target[1].placements, 0.0),
            fixed=target[1] is best,
        )

    zeros = np.zeros(len(own))
    return {
        "near": population((own, policy), (near, other)),
        "random": population((zeros, even), (own, policy)),
        "random to best": population((zeros, even), (utility, best)),
        "best": population((own, policy), (utility, best)),
    }


@dataclass(frozen=True)
class Draw:
    """One log drawn from a population, with both policies in its order.

    Attributes
    ----------
    log
        Lists and clicks.
    target, logging
        The policies on these lists.
    target_scores
        [C] see `Population`.
    chance
        [C] chance of a click where the candidate is looked at.
    curve
        [P] chance that position 1, 2, ... is looked at.
    """

    log: ListLog
    target: ListPolicy
    logging: ListPolicy
    target_scores: Floats
    chance: Floats
    curve: Floats

    @classmethod
    def of(cls, population: Population, users: int, rng: np.random.Generator) -> "Draw":
        """Draw users with replacement, each with all requests, order their candidates anew and let them click."""
        by_user = np.argsort(population.users, kind="stable")
        begins = np.searchsorted(population.users[by_user], np.arange(population.users.max() + 2))
        chosen = rng.integers(len(begins) - 1, size=users)
        counts = np.diff(begins)[chosen]
        clusters = np.repeat(np.arange(users), counts)
        within = np.arange(len(clusters)) - np.repeat(np.cumsum(counts) - counts, counts)
        lists = by_user[begins[chosen][clusters] + within]
        order, propensity = plackett_luce(population.logging_scores[lists], rng)
        sizes = population.sizes[lists]
        longest, starts = int(sizes.max()), np.concatenate([[0], np.cumsum(sizes)])
        order, propensity, inside = order[:, :longest], propensity[:, :longest], inside_of(starts)
        rows, columns = np.repeat(lists, sizes), order[inside]
        curve = examination(np.arange(1, longest + 1))
        chance = population.chance[rows, columns]
        clicks = rng.random(len(rows)) < np.broadcast_to(curve, order.shape)[inside] * chance
        log = ListLog(clicks.astype(np.float64), propensity[inside], starts, clusters)
        scores = population.target_scores[rows, columns]
        wanted, shown = (
            placements[rows, columns, :longest]
            for placements in (population.target_placements, population.logging_placements)
        )
        target = ListPolicy(_conditional(scores, inside, population.fixed), wanted)
        logging = ListPolicy(log.propensity, shown)
        return cls(log, target, logging, scores, chance, curve)


def _conditional(scores: Floats, inside: NDArray[np.bool_], fixed: bool) -> Floats:
    """Return [C] the target policy's probability of each logged item given those above."""
    padded = np.full(inside.shape, -np.inf)
    padded[inside] = scores
    if fixed:
        best = np.maximum.accumulate(padded[:, ::-1], axis=1)[:, ::-1]
        return np.asarray((padded == best)[inside], dtype=np.float64)
    weight = np.exp(padded - padded.max(axis=1, keepdims=True))
    return np.asarray((weight / np.maximum(np.cumsum(weight[:, ::-1], axis=1)[:, ::-1], 1e-300))[inside])


def _robust(draw: Draw) -> Estimate:
    """Doubly robust with a wrong reward model, which predicts half of the true chance."""
    predictions = np.outer(0.5 * draw.chance, draw.curve)
    predicted = predictions[np.arange(len(predictions)), draw.log.position - 1]
    expected = expected_next(draw.target_scores, draw.log.starts, predictions)
    return cascade_doubly_robust(draw.log, draw.target, predicted, expected, TOP)


_POSITIONS: dict[str, Callable[[Draw], Estimate]] = {
    "item-position IPS": lambda draw: item_position(draw.log, draw.target, draw.logging, TOP),
    "position-based IPS": lambda draw: position_based(draw.log, draw.target, draw.curve, draw.logging, TOP),
    "position-based IPS, logged places": lambda draw: position_based(draw.log, draw.target, draw.curve, top=TOP),
}
_ORDERS: dict[str, Callable[[Draw], Estimate]] = {
    "slate IPS": lambda draw: slate(draw.log, draw.target, TOP),
    "cascade IPS": lambda draw: cascade(draw.log, draw.target, TOP),
    "cascade SNIPS": lambda draw: cascade_normalised(draw.log, draw.target, TOP),
}
ESTIMATORS: Mapping[str, Mapping[str, Callable[[Draw], Estimate]]] = {
    "near": _POSITIONS | _ORDERS | {"cascade doubly robust": _robust},
    "random": _POSITIONS | {"pseudo-inverse": lambda draw: pseudo_inverse(draw.log, draw.target, TOP)},
    "random to best": _POSITIONS,
    "best": {name: _POSITIONS[name] for name in list(_POSITIONS)[1:]} | _ORDERS,
}
"""Case, name, estimator. In this world users read by position, so that every one of them is unbiased.

Left out is what has support on paper and too little in logs of this size to be judged either way: the pseudo-inverse
for the best order from random ones, and items at positions for the best order from the world's own policy.
"""

UNSUPPORTED: Mapping[str, Mapping[str, Callable[[Draw], Estimate]]] = {"best": _ORDERS}
"""Where support is missing: hardly a logged list is in the one order that the target policy would take."""


def simulate_coverage(
    case: str, population: Population, runs: int = 1000, users: int = 200, seed: int = 0
) -> list[Coverage]:
    """Draw `runs` logs of `users` users each and count how often each interval holds the true value.

    Parameters
    ----------
    case
        A name of `ESTIMATORS`.
    population
        From `populations`.
    runs, users
        Logs, and users per log; each comes with all of its requests.
    seed
        Seed of everything drawn.

    Raises
    ------
    SettingsError
        When `runs` is below 1 or `users` below 2.
    """
    if runs < 1 or users < 2:
        raise SettingsError(f"runs is {runs} and users is {users}; one run and two users are the least")
    found: dict[str, Runs] = {name: [] for name in ESTIMATORS[case]}
    for rng in np.random.default_rng(seed).spawn(runs):
        draw = Draw.of(population, users, rng)
        for name, estimator in ESTIMATORS[case].items():
            found[name].append(_ask(estimator, draw))
    truth = population.truth(TOP)
    return [_summary(case, name, truth, answers) for name, answers in found.items()]


def _ask(estimator: Callable[[Draw], Estimate], draw: Draw) -> "Estimate | DataError":
    """Return the answer or the refusal: both are counted."""
    try:
        return estimator(draw)
    except DataError as refusal:
        return refusal


def _summary(case: str, name: str, truth: float, answers: Runs) -> Coverage:
    given = [answer for answer in answers if isinstance(answer, Estimate)]
    count = len(given)
    nothing = np.full(1, np.nan)
    held = float(np.mean([each.low <= truth <= each.high for each in given])) if count else np.nan
    values = np.array([each.value for each in given]) if count else nothing
    spread = float(values.std(ddof=1)) if count > 1 else np.nan
    return Coverage(
        case=case,
        estimator=name,
        truth=truth,
        runs=len(answers),
        refused=len(answers) - count,
        warned=sum(bool(each.warnings) for each in given),
        held=held,
        error=float(np.sqrt(held * (1 - held) / count)) if count else np.nan,
        bias=float(values.mean()) - truth,
        bias_error=float(spread / np.sqrt(max(count, 1))),
        spread=spread,
        stated=float(np.mean([each.error for each in given])) if count else np.nan,
        effective=float(np.mean([each.overlap.effective_size for each in given])) if count else np.nan,
    )


WORLD = WorldSettings(items=1_500, users=600, days=10, requests=6_000, random_tail=0.0)


def main() -> int:
    """Run every case, print one line per estimator and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1000, help="logs to draw per case")
    parser.add_argument("--users", type=int, default=200, help="users per log")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    options = parser.parse_args()
    found: list[Coverage] = []
    judged = populations(make_world(WORLD))
    for case in ESTIMATORS:
        for each in simulate_coverage(case, judged[case], options.runs, options.users, options.seed):
            print(line(each), flush=True)
            found.append(each)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps([to_json(each) for each in found], indent=2) + "\n")
    wrong = [f"{each.case}: {each.estimator}" for each in found if not each.right]
    print(f"not as it should be: {', '.join(wrong)}" if wrong else f"all within {LOWEST:.1%} to {HIGHEST:.1%}")
    return int(bool(wrong))


def line(found: Coverage) -> str:
    """Return one line for people."""
    start = f"{found.case}: {found.estimator}: "
    if not found.supported:
        return start + f"no support, refused in {found.refused} of {found.runs} runs"
    return start + (
        f"held {found.held:.1%} (+/- {found.error:.1%}) of {found.runs - found.refused} runs, truth {found.truth:.4f}, "
        f"bias {found.bias:+.4f} (+/- {found.bias_error:.4f}), spread {found.spread:.4f}, stated {found.stated:.4f}, "
        f"effective lists {found.effective:.0f}, refused {found.refused}, warned {found.warned}"
    )


def to_json(found: Coverage) -> dict[str, object]:
    """Return plain objects; what is not a number is None."""
    values = {**asdict(found), "supported": found.supported, "right": found.right}
    return {name: None if isinstance(value, float) and np.isnan(value) else value for name, value in values.items()}


if __name__ == "__main__":
    sys.exit(main())
