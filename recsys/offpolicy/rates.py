"""Policies that ignore who asks, and the plainest reward model: smoothed click rates by item and position."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from recsys.errors import DataError, SettingsError
from recsys.offpolicy.actions import ActionLog, Predictions
from recsys.statistics.numbers import Floats

_CELL = ["item_id", "position"]
_SAME = 1e-6  # relative: propensities are often written with few digits


@dataclass(frozen=True)
class FixedPolicy:
    """A policy that chooses by position alone: the same probabilities for every row.

    Attributes
    ----------
    table
        `item_id`, `position`, `probability`; the probabilities of a position sum to 1.
    """

    table: pl.DataFrame

    @classmethod
    def uniform(cls, items: pl.Series, positions: pl.Series) -> "FixedPolicy":
        """Give every item of `items` the same probability at every position of `positions`."""
        each = pl.DataFrame({"item_id": items.unique().sort()})
        cells = each.join(pl.DataFrame({"position": positions.unique().sort()}), how="cross")
        return cls(cells.with_columns(probability=pl.lit(1 / each.height)))

    @classmethod
    def of_log(cls, requests: pl.DataFrame) -> "FixedPolicy":
        """Read the policy that logged `requests` off its own propensities.

        A logged row tells the probability of one action. That is all of the policy only when the probability of an
        item at a position is the same in all rows, and those of a position sum to 1.

        Parameters
        ----------
        requests
            `item_id`, `position` and `propensity`.

        Raises
        ------
        DataError
            When the propensities vary or do not sum to 1: the logged rows then hold no full action distribution.
        """
        low, high = pl.col("propensity").min(), pl.col("propensity").max()
        cells = requests.group_by(_CELL).agg(low.alias("probability"), high.alias("high")).sort("position", "item_id")
        varied = cells.filter(pl.col("high") > pl.col("probability") * (1 + _SAME))
        reason = "the logged row holds no full action distribution"
        fix = "log the probabilities of all actions, or evaluate a policy that can be computed"
        if varied.height:
            first = varied.row(0, named=True)
            raise DataError(
                f"the policy is not known from its log: the propensity of item {first['item_id']} at position "
                f"{first['position']} goes from {first['probability']:g} to {first['high']:g} (as for "
                f"{varied.height} of {cells.height} pairs of item and position), and {reason}; {fix}"
            )
        sums = cells.group_by("position").agg(pl.col("probability").sum()).sort("position")
        wrong = sums.filter((pl.col("probability") - 1).abs() > 1e-3)
        if wrong.height:
            position, total = wrong.row(0)
            raise DataError(
                f"the policy is not known from its log: the propensities of the items seen at position {position} sum "
                f"to {total:.4g}, and {reason}; {fix}"
            )
        return cls(cells.select(*_CELL, "probability"))

    def of(self, requests: pl.DataFrame) -> Floats:
        """Return the probability of each row's item at its position, NaN where this policy does not know the pair."""
        found = requests.select(_CELL).join(self.table, on=_CELL, how="left", maintain_order="left")["probability"]
        return found.cast(pl.Float64).fill_null(np.nan).to_numpy()


def read_actions(requests: pl.DataFrame, target: Floats, predictions: Predictions | None = None) -> ActionLog:
    """Make a log of single actions from a table of requests with one candidate each.

    Parameters
    ----------
    requests
        `request_id`, `user_id`, `label` (above 0 is a reward of 1) and `propensity`; users are the clusters.
    target
        [N] the target policy's probability of each row's item, NaN where unknown.
    predictions
        A reward model, for the estimators that need one.

    Raises
    ------
    DataError
        When a request holds several candidates, a column is missing, or as in `ActionLog`.
    """
    missing = [name for name in ("request_id", "user_id", "label", "propensity") if name not in requests.columns]
    if missing:
        raise DataError(f"requests have no column {', '.join(missing)}; off-policy estimates need what was logged")
    several = int(requests["request_id"].is_duplicated().sum())
    if several:
        raise DataError(f"{several} rows belong to requests of several candidates; use read_lists for lists")
    return ActionLog(
        reward=(requests["label"] > 0).cast(pl.Float64).to_numpy(),
        propensity=requests["propensity"].cast(pl.Float64).fill_null(np.nan).to_numpy(),
        target=target,
        clusters=(requests["user_id"].rank("dense") - 1).cast(pl.Int64).to_numpy(),
        predictions=predictions,
    )


def cross_fitted_rates(
    requests: pl.DataFrame, policy: FixedPolicy, folds: int = 5, prior: float = 100.0, seed: int = 0
) -> Predictions:
    """Predict clicks by smoothed rates of item and position, each fold from the other folds.

    The rate is (clicks + prior * position's rate) / (showings + prior) on the other folds; an item that they never
    show at a position gets the position's rate. Users are kept whole, so that no row is predicted from itself or from
    its user. (Cross-fitting: Chernozhukov et al. 2018.)

    Parameters
    ----------
    requests
        `user_id`, `item_id`, `position`, `label`; N rows.
    policy
        The target policy, which the expected prediction is taken over.
    folds
        Number of folds, at least 2.
    prior
        Showings that the position's rate is worth, above 0.
    seed
        Seed of the folds; the order of the rows does not matter.

    Raises
    ------
    SettingsError
        When `folds` is below 2 or `prior` is not above 0.
    DataError
        When there are fewer users than folds, or `policy` lacks a position of the log.
    """
    if folds < 2 or not prior > 0:
        raise SettingsError(f"folds is {folds} and prior is {prior}; folds start at 2 and the prior is above 0")
    users = requests.select(pl.col("user_id").unique().sort())
    if users.height < folds:
        raise DataError(f"{users.height} users cannot be cut into {folds} folds; take fewer folds or more data")
    unknown = set(requests["position"].unique()) - set(policy.table["position"].unique())
    if unknown:
        raise DataError(f"the policy says nothing of position {sorted(unknown)}; give it every position of the log")
    fold = np.random.default_rng(seed).permutation(users.height) % folds
    rows = requests.select("user_id", *_CELL, (pl.col("label") > 0).alias("clicked"))
    rows = rows.join(users.with_columns(fold=pl.Series(fold)), on="user_id", how="left", maintain_order="left")
    cells = pl.concat([_rates(rows.filter(pl.col("fold") != each), policy, prior, each) for each in range(folds)])
    expected = cells.group_by("fold", "position").agg((pl.col("probability") * pl.col("rate")).sum().alias("expected"))
    rows = rows.join(cells, on=["fold", *_CELL], how="left", maintain_order="left")
    rows = rows.join(expected, on=["fold", "position"], how="left", maintain_order="left")
    return Predictions(rows["rate"].fill_null(np.nan).to_numpy(), rows["expected"].to_numpy())


def _rates(rows: pl.DataFrame, policy: FixedPolicy, prior: float, fold: int) -> pl.DataFrame:
    """Return `item_id`, `position`, `probability`, `rate` and `fold` for every pair that the policy knows."""
    of_position = rows.group_by("position").agg(pl.col("clicked").mean().alias("overall"))
    counts = rows.group_by(_CELL).agg(pl.col("clicked").sum().alias("clicks"), pl.len().alias("showings"))
    cells = policy.table.join(counts, on=_CELL, how="left").join(of_position, on="position", how="left")
    clicks, showings = pl.col("clicks").fill_null(0), pl.col("showings").fill_null(0)
    overall = pl.col("overall").fill_null(rows["clicked"].mean())
    rate = (clicks + prior * overall) / (showings + prior)
    return cells.select(*_CELL, "probability", rate.alias("rate"), pl.lit(fold, dtype=pl.Int64).alias("fold"))
