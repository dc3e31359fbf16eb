"""An online experiment: planned, split, read out.

In the order of use:

    users_for_mean, users_for_rate   how many users each arm needs
    assign                           which arm a user sees: a salted hash
    per_user                         events to one row per user
    rate, mean, ratio                what is measured, with the past as a covariate where there is one (CUPED)
    ExperimentPlan                   shares, metrics, what matters, and how many users are expected: then daily looks
                                     are allowed
    read_out                         differences between the arms, and a verdict

Two rankings in one shown list: `team_draft` and `probabilistic` show them, `simulate_interleaving` simulates clicks on
logged lists, and `read_preference` reads from the clicks which ranking users prefer.
"""

from typing import TYPE_CHECKING

from recsys.lazy import exports

if TYPE_CHECKING:
    from recsys.experiment.interleaving import (
        Interleaved,
        PositionBased,
        probabilistic,
        simulate_interleaving,
        team_draft,
    )
    from recsys.experiment.metrics import Metric, mean, rate, ratio
    from recsys.experiment.planning import effect_for_mean, effect_for_rate, users_for_mean, users_for_rate
    from recsys.experiment.preference import Preference, credit_from_ranks, read_preference
    from recsys.experiment.reading import read_out
    from recsys.experiment.readout import ExperimentPlan, Readout
    from recsys.experiment.traffic import assign
    from recsys.experiment.users import per_user

_HOMES = {
    "ExperimentPlan": "recsys.experiment.readout",
    "Interleaved": "recsys.experiment.interleaving",
    "Metric": "recsys.experiment.metrics",
    "PositionBased": "recsys.experiment.interleaving",
    "Preference": "recsys.experiment.preference",
    "Readout": "recsys.experiment.readout",
    "assign": "recsys.experiment.traffic",
    "credit_from_ranks": "recsys.experiment.preference",
    "effect_for_mean": "recsys.experiment.planning",
    "effect_for_rate": "recsys.experiment.planning",
    "mean": "recsys.experiment.metrics",
    "per_user": "recsys.experiment.users",
    "probabilistic": "recsys.experiment.interleaving",
    "rate": "recsys.experiment.metrics",
    "ratio": "recsys.experiment.metrics",
    "read_out": "recsys.experiment.reading",
    "read_preference": "recsys.experiment.preference",
    "simulate_interleaving": "recsys.experiment.interleaving",
    "team_draft": "recsys.experiment.interleaving",
    "users_for_mean": "recsys.experiment.planning",
    "users_for_rate": "recsys.experiment.planning",
}

__all__ = [
    "ExperimentPlan",
    "Interleaved",
    "Metric",
    "PositionBased",
    "Preference",
    "Readout",
    "assign",
    "credit_from_ranks",
    "effect_for_mean",
    "effect_for_rate",
    "mean",
    "per_user",
    "probabilistic",
    "rate",
    "ratio",
    "read_out",
    "read_preference",
    "simulate_interleaving",
    "team_draft",
    "users_for_mean",
    "users_for_rate",
]

__getattr__, __dir__ = exports(__name__, _HOMES)
