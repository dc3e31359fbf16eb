"""Trials one after another: each is chosen by what the ones before it brought (TPE, Bergstra et al. 2011)."""

import logging
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from recsys.jobs.tuning.budget import Budget, Spent
from recsys.jobs.tuning.history import TrialLog, Tried
from recsys.jobs.tuning.space import OneOf, Range, Space, Value
from recsys.lazy import need
from recsys.progress import progress
from recsys.shown import counted

logger = logging.getLogger(__name__)

_EVERY = 10
"""Trees between two looks whether a trial is worth going on with."""

_FIRST = 8
"""Trials that change some of the start's values at random, and none of which is given up."""

_CHANGED = 1 / 3
"""How many of the start's values each of these changes, as a share: what was given is seldom all wrong."""

_WARM = 50
"""Trees that every trial may have."""


class Grows(Protocol):
    """Grows trees by some values and tells `watch` after each how many there are and what they reach."""

    def __call__(self, values: dict[str, Value], watch: Callable[[int, float], None]) -> tuple[float, int]:
        """Return the best nDCG@10 and the number of trees."""


class _GivenUpError(Exception):
    """Growth that was ended since others had done better by then."""


def need_optuna() -> Any:
    """Import what chooses trials.

    Raises
    ------
    ModelError
        When the extra is not installed.
    """
    optuna = need("optuna", "tune", "recsys tune")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def search(
    grows: Grows, space: Space, start: dict[str, Value], history: TrialLog, seed: int, trials: int, budget: Budget
) -> None:
    """Try values until there are so many trials, or the time is over; the first trial is the start.

    What a trial tries follows from the seed, its number and the trials before it, so that a search that was killed goes
    on as if it had not been.

    Parameters
    ----------
    grows
        What is tried.
    space, start
        What may be tried, and what is tried first.
    history
        Trials that were made before, and where new ones go.
    seed
        Of the draws.
    trials
        How many there shall be in the history.
    budget
        Time of this call; the start is always tried.
    """
    optuna = need_optuna()
    ranges = {name: _distribution(optuna, each) for name, each in space.items()}
    pruner = optuna.pruners.MedianPruner(n_startup_trials=_FIRST, n_warmup_steps=_WARM, interval_steps=_EVERY)
    study = optuna.create_study(direction="maximize", pruner=pruner)
    for made in history.trials:
        study.add_trial(_frozen(optuna, made, ranges))
    with progress(trials, "trying settings", "trial") as advance:
        advance(len(history.trials))
        while len(history.trials) < trials:
            number = len(history.trials)
            if number and budget.spent(Spent.TRIALS):
                logger.info("    no time for %s", counted(trials - number, "more trial"))
                return
            study.sampler = optuna.samplers.TPESampler(seed=seed + number, n_startup_trials=_FIRST)
            if number < _FIRST:
                study.enqueue_trial(_near(start, seed, number))
            history.add(_try(optuna, study.ask(ranges), grows, study))
            advance(1)


def _near(start: dict[str, Value], seed: int, number: int) -> dict[str, Value]:
    """Give the values of the start that a first trial keeps: all of them if it is the very first, else not all."""
    if not number:
        return start
    drawn = np.random.default_rng((seed, number)).random(len(start))
    kept = drawn > max(_CHANGED, drawn.min())
    return {name: start[name] for name, keeps in zip(start, kept, strict=True) if keeps}


def _try(optuna: Any, trial: Any, grows: Grows, study: Any) -> Tried:
    """Make one trial, and tell the study of it."""
    steps = dict[int, float]()
    last = (0.0, 0)

    def watch(trees: int, ndcg: float) -> None:
        nonlocal last
        last = (ndcg, trees)
        if trees % _EVERY:
            return
        steps[trees] = ndcg
        trial.report(ndcg, trees)
        if trial.should_prune():
            raise _GivenUpError

    try:
        ndcg, trees = grows(dict(trial.params), watch)
    except _GivenUpError:
        study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        return Tried(dict(trial.params), *last, steps, given_up=True)
    study.tell(trial, ndcg)
    return Tried(dict(trial.params), ndcg, trees, steps)


def _distribution(optuna: Any, each: Range | OneOf) -> Any:
    if isinstance(each, OneOf):
        return optuna.distributions.CategoricalDistribution(each.values)
    if each.whole:
        return optuna.distributions.IntDistribution(int(each.low), int(each.high), log=each.log)
    return optuna.distributions.FloatDistribution(each.low, each.high, log=each.log)


def _frozen(optuna: Any, made: Tried, ranges: dict[str, Any]) -> Any:
    """Turn a trial of the history into one of a study."""
    state = optuna.trial.TrialState
    return optuna.trial.create_trial(
        params=made.values,
        distributions=ranges,
        intermediate_values=made.steps,
        state=state.PRUNED if made.given_up else state.COMPLETE,
        value=None if made.given_up else made.ndcg,
    )
