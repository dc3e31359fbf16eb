"""Off-policy estimators for single actions: what another policy would have earned on logged choices.

With reward r, propensity p of the logged action, target probability t of it and weight w = t / p, and a reward model
with prediction q for the logged action and expected prediction d under the target policy:

    IPS           mean of w r                       unbiased
    SNIPS         sum of w r / sum of w             consistent, biased in small samples, steadier
    clipped IPS   mean of min(w, c) r               biased towards 0 by the share of weight cut off
    direct        mean of d                         as biased as the reward model
    doubly robust mean of d + w (r - q)             unbiased if the propensities or the reward model are right
    switch        mean of d + w (r - q) [w <= c]    biased by the reward model where weights are large

"Unbiased" takes propensities that are right and positive wherever the target policy may choose.
"""

import math
from dataclasses import dataclass

import numpy as np

from recsys.errors import DataError, SettingsError
from recsys.offpolicy.estimate import (
    Estimate,
    Overlap,
    check_probabilities,
    from_influence,
    from_values,
    overlap_of,
    refuse_bad,
)
from recsys.statistics.numbers import Floats, Integers


@dataclass(frozen=True)
class Predictions:
    """A reward model on logged rows.

    The model must not have learnt from the rows that it predicts, see `recsys.offpolicy.rates`.

    Attributes
    ----------
    logged
        [N] predicted reward of the logged action.
    expected
        [N] predicted reward under the target policy: the sum over all actions of its probability times the
        prediction. This needs the target policy's full action distribution.
    """

    logged: Floats
    expected: Floats


@dataclass(frozen=True)
class ActionLog:
    """Logged choices of one action each and what the target policy thinks of them; N rows.

    Attributes
    ----------
    reward
        [N] finite, such as 1 for a click.
    propensity
        [N] the logging policy's probability of the logged action, above 0 and at most 1.
    target
        [N] the target policy's probability of the logged action, 0 to 1. NaN means unknown and is refused.
    clusters
        [N] the user (or request) of each row, numbered from 0; rows of one cluster may depend on each other.
    predictions
        A reward model, for the estimators that need one.

    Raises
    ------
    DataError
        When there is no row, lengths differ, or a number is impossible; with counts and examples.

    Examples
    --------
    >>> log = ActionLog(
    ...     reward=np.array([1.0, 0.0, 1.0, 0.0]),
    ...     propensity=np.array([0.5, 0.5, 0.25, 0.25]),
    ...     target=np.array([0.5, 0.5, 0.5, 0.0]),
    ...     clusters=np.arange(4),
    ... )
    >>> ips(log).value, snips(log).value
    (0.75, 0.75)
    """

    reward: Floats
    propensity: Floats
    target: Floats
    clusters: Integers
    predictions: Predictions | None = None

    def __post_init__(self) -> None:
        rows = len(self.reward)
        if not rows:
            raise DataError("the log holds no row; nothing can be estimated from it")
        columns = {"propensity": self.propensity, "target": self.target, "clusters": self.clusters}
        if self.predictions:
            columns |= {"predictions": self.predictions.logged, "expected predictions": self.predictions.expected}
        for name, column in columns.items():
            if len(column) != rows:
                raise DataError(f"{name} has {len(column)} values for {rows} rows; give one per row")
        refuse_bad(self.reward, ~np.isfinite(self.reward), "rewards that are not finite", "write 0 for nothing")
        check_probabilities(self.propensity, self.target)
        if self.predictions:
            _check_predictions(self.predictions)

    @property
    def weights(self) -> Floats:
        """[N] target probability over propensity."""
        return self.target / self.propensity


def on_policy(reward: Floats, clusters: Integers) -> Estimate:
    """Return the mean of logged rewards [N]: the value of the policy that logged them.

    Raises
    ------
    DataError
        When there is no reward, or one is not finite.
    """
    refuse_bad(reward, ~np.isfinite(reward), "rewards that are not finite", "give every row what it earned")
    if not len(reward):
        raise DataError("there is no reward; a policy is valued by the rows that it logged")
    overlap = Overlap(float(len(reward)), 1.0)
    return from_values("on-policy", reward, clusters, overlap)


def ips(log: ActionLog) -> Estimate:
    """Inverse propensity scoring: mean of w r (Horvitz and Thompson 1952). Unbiased.

    Raises
    ------
    DataError
        When support is missing.
    """
    weights = log.weights
    return from_values("IPS", weights * log.reward, log.clusters, overlap_of(weights, weights, log.clusters))


def snips(log: ActionLog) -> Estimate:
    """Self-normalised IPS: sum of w r / sum of w (Hajek 1971; Swaminathan and Joachims 2015).

    Stays within the range of the rewards and does not move when a constant is added to all of them. A ratio, so its
    bias falls as 1 / N; the interval is of its linearisation, w (r - value) / mean of w.

    Raises
    ------
    DataError
        When support is missing.
    """
    weights = log.weights
    overlap = overlap_of(weights, weights, log.clusters)
    value = float(weights @ log.reward / weights.sum())
    return from_influence("SNIPS", value, weights * (log.reward - value) / weights.mean(), log.clusters, overlap)


def clipped_ips(log: ActionLog, ceiling: float) -> Estimate:
    """IPS with weights of at most `ceiling`: mean of min(w, c) r (Ionides 2008; Bottou et al. 2013).

    Biased by design: rewards of at least 0 are under-counted, on average by the reward that comes with the weight cut
    off. The interval is around the clipped value and knows nothing of that bias; `overlap.clipped` says how much
    weight went.

    Raises
    ------
    SettingsError
        When `ceiling` is not above 0.
    DataError
        When support is missing.
    """
    _check_ceiling(ceiling)
    weights = log.weights
    used = np.minimum(weights, ceiling)
    overlap = overlap_of(used, weights, log.clusters)
    return from_values(f"clipped IPS (w <= {ceiling:g})", used * log.reward, log.clusters, overlap)


def direct_method(log: ActionLog) -> Estimate:
    """Mean predicted reward under the target policy (Dudik, Langford and Li 2011, 'direct method').

    As biased as the reward model; the interval says how much the rows differ and leaves out how wrong the model may
    be, which every estimate warns of.

    Raises
    ------
    DataError
        When the log has no predictions.
    """
    predictions = _predictions(log, "the direct method")
    warning = "the interval leaves out how wrong the reward model may be"
    overlap = Overlap(float(len(log.reward)), math.nan, warnings=(warning,))
    return from_values("direct method", predictions.expected, log.clusters, overlap)


def doubly_robust(log: ActionLog) -> Estimate:
    """Mean of d + w (r - q): the direct method, put right by IPS of what it missed (Dudik et al. 2011, 2014).

    Unbiased with right propensities whatever the model, as long as the model did not learn from the row it predicts.

    Raises
    ------
    DataError
        When the log has no predictions or support is missing.
    """
    predictions, weights = _predictions(log, "doubly robust"), log.weights
    values = predictions.expected + weights * (log.reward - predictions.logged)
    return from_values("doubly robust", values, log.clusters, overlap_of(weights, weights, log.clusters))


def switch(log: ActionLog, ceiling: float) -> Estimate:
    """Doubly robust where w <= `ceiling`, the direct method elsewhere (switch-DR; Wang, Agarwal and Dudik 2017).

    Biased by design: where weights are large the reward model is believed, so that the bias is the model's error
    there. The interval knows nothing of it; `overlap.clipped` says how much weight went.

    Raises
    ------
    SettingsError
        When `ceiling` is not above 0.
    DataError
        When the log has no predictions or support is missing.
    """
    _check_ceiling(ceiling)
    predictions, weights = _predictions(log, "switch"), log.weights
    used = np.where(weights <= ceiling, weights, 0.0)
    values = predictions.expected + used * (log.reward - predictions.logged)
    return from_values(f"switch (w <= {ceiling:g})", values, log.clusters, overlap_of(used, weights, log.clusters))


def _predictions(log: ActionLog, estimator: str) -> Predictions:
    if log.predictions is None:
        raise DataError(
            f"{estimator} needs a reward model and the log has no predictions; "
            "pass those of any model, or of recsys.offpolicy.rates.cross_fitted_rates"
        )
    return log.predictions


def _check_predictions(predictions: Predictions) -> None:
    refuse_bad(
        predictions.logged, ~np.isfinite(predictions.logged), "predictions that are not finite", "predict every row"
    )
    refuse_bad(
        predictions.expected,
        ~np.isfinite(predictions.expected),
        "the expected prediction under the target policy is unknown",
        "it needs the probabilities of all actions in every row; without them use IPS or SNIPS",
    )


def _check_ceiling(ceiling: float) -> None:
    if not ceiling > 0:
        raise SettingsError(f"ceiling is {ceiling}, which leaves no weight; write a number above 0, such as 10")
