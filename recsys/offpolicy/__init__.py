"""Off-policy evaluation: what another policy would have earned, from the log of the one that ran.

Single actions (`actions`): IPS, SNIPS, clipped IPS, the direct method, doubly robust and switch.

Lists, by what each assumes of how users read; the less it assumes, the more its weights vary:

    slate           a click may depend on the whole list down to the last counted position     (`cascades`)
    cascade         a click depends on its item, its position and the items above              (`cascades`)
    pseudo_inverse  the clicks of a list are a sum over its pairs of item and position         (`placements`)
    item_position   a click depends on its item and its position                               (`placements`)
    position_based  a click is the chance of looking at the position, known, times the item's  (`placements`)

A user who reads as position_based says satisfies all five. All take it that both policies order the same candidates
and that a list was logged whole; `top` counts the clicks of the first positions only. Every answer is an `Estimate`
with interval, effective sample size and warnings; where the log does not support one, a DataError says why.
"""

from typing import TYPE_CHECKING

from recsys.lazy import exports

if TYPE_CHECKING:
    from recsys.offpolicy.actions import (
        ActionLog,
        Predictions,
        clipped_ips,
        direct_method,
        doubly_robust,
        ips,
        on_policy,
        snips,
        switch,
    )
    from recsys.offpolicy.cascades import cascade, cascade_doubly_robust, cascade_normalised, slate
    from recsys.offpolicy.estimate import Estimate, difference
    from recsys.offpolicy.list_log import ListLog, read_lists
    from recsys.offpolicy.placements import item_position, position_based, pseudo_inverse
    from recsys.offpolicy.policies import ListPolicy, plackett_luce_scores
    from recsys.offpolicy.rates import FixedPolicy, cross_fitted_rates, read_actions

_HOMES = {
    "ActionLog": "recsys.offpolicy.actions",
    "Estimate": "recsys.offpolicy.estimate",
    "FixedPolicy": "recsys.offpolicy.rates",
    "ListLog": "recsys.offpolicy.list_log",
    "ListPolicy": "recsys.offpolicy.policies",
    "Predictions": "recsys.offpolicy.actions",
    "cascade": "recsys.offpolicy.cascades",
    "cascade_doubly_robust": "recsys.offpolicy.cascades",
    "cascade_normalised": "recsys.offpolicy.cascades",
    "clipped_ips": "recsys.offpolicy.actions",
    "cross_fitted_rates": "recsys.offpolicy.rates",
    "difference": "recsys.offpolicy.estimate",
    "direct_method": "recsys.offpolicy.actions",
    "doubly_robust": "recsys.offpolicy.actions",
    "ips": "recsys.offpolicy.actions",
    "item_position": "recsys.offpolicy.placements",
    "on_policy": "recsys.offpolicy.actions",
    "plackett_luce_scores": "recsys.offpolicy.policies",
    "position_based": "recsys.offpolicy.placements",
    "pseudo_inverse": "recsys.offpolicy.placements",
    "read_actions": "recsys.offpolicy.rates",
    "read_lists": "recsys.offpolicy.list_log",
    "slate": "recsys.offpolicy.cascades",
    "snips": "recsys.offpolicy.actions",
    "switch": "recsys.offpolicy.actions",
}

__all__ = [
    "ActionLog",
    "Estimate",
    "FixedPolicy",
    "ListLog",
    "ListPolicy",
    "Predictions",
    "cascade",
    "cascade_doubly_robust",
    "cascade_normalised",
    "clipped_ips",
    "cross_fitted_rates",
    "difference",
    "direct_method",
    "doubly_robust",
    "ips",
    "item_position",
    "on_policy",
    "plackett_luce_scores",
    "position_based",
    "pseudo_inverse",
    "read_actions",
    "read_lists",
    "slate",
    "snips",
    "switch",
]

__getattr__, __dir__ = exports(__name__, _HOMES)
