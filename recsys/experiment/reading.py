"""An experiment read: every metric of a plan on a table of users."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import polars as pl
from scipy.stats import norm

from recsys.experiment import estimates
from recsys.experiment.cuped import adjust, past_of
from recsys.experiment.estimates import Moments
from recsys.experiment.metrics import Metric
from recsys.experiment.readout import Effect, ExperimentPlan, Readout
from recsys.experiment.traffic import sample_ratio
from recsys.experiment.users import check_users
from recsys.statistics.intervals import LEVEL
from recsys.statistics.numbers import Floats
from recsys.statistics.p_values import holm
from recsys.statistics.power import POWER
from recsys.statistics.verdict import Verdict, decide


def read_out(table: pl.DataFrame, plan: ExperimentPlan) -> Readout:
    """Read an experiment.

    Parameters
    ----------
    table
        One row per user, in any order: `user_id`, `arm` and the columns of the plan's metrics. Every user of both arms
        counts, also those who did nothing.
    plan
        What was fixed beforehand.

    Raises
    ------
    DataError
        When the table is not one row per user of two arms with a finite number in every column: see `check_users`; or
        denominators add up to 0, or a past tells nothing.

    Examples
    --------
    >>> import polars as pl
    >>> from recsys.experiment.metrics import mean
    >>> from recsys.experiment.readout import ExperimentPlan
    >>> table = pl.DataFrame({"user_id": range(6), "arm": list("AAABBB"), "clicks": [0, 1, 2, 8, 9, 10]})
    >>> found = read_out(table, ExperimentPlan({"A": 0.5, "B": 0.5}, (mean("clicks"),)))
    >>> found.verdict.value, found.effects["mean(clicks)"].difference.mean
    ('better', 8.0)
    """
    table = check_users(table, plan)
    sides = {arm: table.filter(pl.col("arm") == arm) for arm in plan.arms}
    split = sample_ratio({arm: users.height for arm, users in sides.items()}, plan.shares)
    found = [_effect(metric, sides, plan) for metric in plan.metrics]
    corrected = [found[0].p_adjusted, *holm(np.array([effect.p_adjusted for effect in found[1:]])).tolist()]
    effects = {}
    for metric, effect, p in zip(plan.metrics, found, corrected, strict=True):
        no_p = metric is plan.metrics[0] or math.isnan(p)  # users who are all alike leave no doubt and no p-value
        clear = effect.decides.clear if no_p else p <= LEVEL
        verdict = None if split.mismatch else _verdict(effect, clear, plan)
        effects[metric.name] = replace(effect, p_adjusted=p, verdict=verdict)
    return Readout(plan, split, effects)


def _effect(metric: Metric, sides: Mapping[str, pl.DataFrame], plan: ExperimentPlan) -> Effect:
    """Estimate one metric; `p_adjusted` is not yet corrected and the verdict still open."""
    users_a, users_b = (metric.values(_columns(of, metric.columns)) for of in sides.values())
    a, b = Moments.of(users_a), Moments.of(users_b)
    plain = estimates.difference(a, b)
    adjusted = cuped = sequential = None
    best_a, best_b = a, b
    if metric.before is not None:
        past = past_of(metric, _columns(pl.concat(sides.values()), metric.columns_before))
        adjusted = adjust(users_a, users_b, past[: len(users_a)], past[len(users_a) :])
        best_a, best_b = Moments.of(adjusted.a), Moments.of(adjusted.b)
        cuped = estimates.difference(best_a, best_b)
    if plan.expected is not None:
        sequential = estimates.sequential(best_a, best_b, plan.expected)
    decides = sequential or cuped or plain
    return Effect(
        values=dict(zip(plan.arms, (a.mean, b.mean), strict=True)),
        difference=plain,
        p=estimates.p_value(a, b),
        lift=estimates.lift(a, b),
        cuped=cuped,
        reduction=adjusted.reduction if adjusted else None,
        without_past=adjusted.without_past if adjusted else None,
        sequential=sequential,
        p_adjusted=(
            estimates.p_value(best_a, best_b)
            if plan.expected is None
            else estimates.sequential_p(best_a, best_b, plan.expected)
        ),
        detectable=decides.high - decides.mean + float(norm.ppf(POWER)) * math.sqrt(best_a.error + best_b.error),
        verdict=None,
    )


def _verdict(effect: Effect, clear: bool, plan: ExperimentPlan) -> Verdict:
    matters = abs(effect.values[plan.arms[0]]) * plan.matters
    return decide(clear, effect.decides.mean, effect.detectable, matters)


def _columns(users: pl.DataFrame, names: Sequence[str]) -> dict[str, Floats]:
    return {name: users[name].fill_null(math.nan).to_numpy() for name in names}
