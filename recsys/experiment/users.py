"""The table of an experiment, one row per user: added up from events, and checked before it is read."""

from collections.abc import Sequence

import polars as pl

from recsys.errors import DataError
from recsys.experiment.readout import ExperimentPlan


def per_user(arms: pl.DataFrame, events: pl.DataFrame, sums: Sequence[str]) -> pl.DataFrame:
    """Add up events to the users of an experiment.

    Parameters
    ----------
    arms
        One row per user: `user_id`, `arm`.
    events
        Events of the experiment, in any order: `user_id` and the columns to add up. Other users are left out.
    sums
        Columns to add up.

    Returns
    -------
    pl.DataFrame
        `arms` with the sums, 0 for users without an event.

    Raises
    ------
    DataError
        When a column is missing, `arms` holds a column to add up, or the ids of the tables have different types.

    Examples
    --------
    >>> arms = pl.DataFrame({"user_id": [1, 2], "arm": ["A", "B"]})
    >>> events = pl.DataFrame({"user_id": [2, 2], "clicks": [1, 3]})
    >>> per_user(arms, events, ["clicks"])["clicks"].to_list()
    [0, 4]
    """
    _check_columns(arms, ["user_id", "arm"])
    _check_columns(events, ["user_id", *sums])
    known = [name for name in sums if name in arms.columns]
    if known:
        raise DataError(f"the table of arms has {known} already; drop or rename them, so that only events add up")
    types = arms.schema["user_id"], events.schema["user_id"]
    if types[0] != types[1]:
        raise DataError(f"user_id is {types[0]} in arms and {types[1]} in events; cast one to the other")
    added = events.group_by("user_id").agg(pl.col(*sums).sum())
    return arms.join(added, on="user_id", how="left", maintain_order="left").with_columns(pl.col(*sums).fill_null(0))


def check_users(table: pl.DataFrame, plan: ExperimentPlan) -> pl.DataFrame:
    """Return the users in the order of their ids, or say what is wrong with the table.

    Parameters
    ----------
    table
        One row per user: `user_id`, `arm` and the columns of the plan's metrics.
    plan
        Arms and metrics.

    Returns
    -------
    pl.DataFrame
        `user_id`, `arm` and the columns of the metrics as floats; null only in columns from before.

    Raises
    ------
    DataError
        When a column or value is missing, a user is in both arms or twice in one, an arm is unknown or holds fewer
        than two users, a value is no finite number, or a denominator is negative.
    """
    needed = dict.fromkeys(column for metric in plan.metrics for column in metric.columns)
    before = dict.fromkeys(column for metric in plan.metrics for column in metric.columns_before)
    _check_columns(table, ["user_id", "arm", *needed, *before])
    _check_arms(table, plan)
    arm = pl.col("arm").cast(pl.String)
    table = table.select("user_id", arm, *(_floats(table, column) for column in {**needed, **before})).sort("user_id")
    for column in needed:
        missing = table[column].null_count()
        if missing:
            raise DataError(
                f"{missing} of {table.height} users have no value in {column!r}; write 0 where nothing happened"
            )
    for metric in plan.metrics:
        for denominator in (metric.per, metric.per_before):
            _check_denominator(table, denominator, metric.name)
    return table


def _check_columns(table: pl.DataFrame, needed: Sequence[str]) -> None:
    missing = [name for name in needed if name not in table.columns]
    if missing:
        raise DataError(f"the table of users has no {missing}; it has {table.columns}, so rename or add the columns")


def _check_arms(table: pl.DataFrame, plan: ExperimentPlan) -> None:
    missing = [name for name in ("user_id", "arm") if table[name].null_count()]
    if missing:
        raise DataError(f"users lack values in {missing}; leave out rows without a user or an arm")
    users = table.select("user_id", pl.col("arm").cast(pl.String))
    both = users.unique().filter(pl.col("user_id").is_duplicated())["user_id"].unique().sort()
    if len(both):
        raise DataError(
            f"{len(both)} users are in more than one arm, such as {both[:3].to_list()}; find out how they were "
            "split, and leave them out of every arm only if few saw both"
        )
    twice = users.filter(pl.col("user_id").is_duplicated())["user_id"].unique().sort()
    if len(twice):
        raise DataError(
            f"{len(twice)} users have more than one row, such as {twice[:3].to_list()}; add up to one row per user"
        )
    unknown = users.filter(~pl.col("arm").is_in(list(plan.shares)))["arm"].unique().sort().to_list()
    if unknown:
        raise DataError(f"arm holds {unknown[:3]}, the plan names {list(plan.shares)}; rename or leave out those users")
    counts = {arm: users.filter(pl.col("arm") == arm).height for arm in plan.shares}
    for arm, count in counts.items():
        if count < 2:
            raise DataError(
                f"arm {arm!r} holds {count} of {users.height} users; an arm needs at least 2 to be compared"
            )


def _floats(table: pl.DataFrame, column: str) -> pl.Expr:
    """Read a column as floats that are finite or null."""
    dtype = table.schema[column]
    if not (dtype.is_numeric() or dtype == pl.Boolean):
        raise DataError(f"column {column!r} of the users is {dtype}; give numbers")
    wrong = table.select("user_id", pl.col(column).cast(pl.Float64)).filter(~pl.col(column).is_finite())
    if wrong.height:
        examples = wrong["user_id"].sort()[:3].to_list()
        raise DataError(
            f"{wrong.height} of {table.height} users have a {column!r} that is NaN or infinite, such as users "
            f"{examples}; write a number, or null where a user has no past"
        )
    return pl.col(column).cast(pl.Float64)


def _check_denominator(table: pl.DataFrame, column: str | None, name: str) -> None:
    if column is None:
        return
    negative = table.filter(pl.col(column) < 0)
    if negative.height:
        raise DataError(
            f"{negative.height} users have a negative {column!r}, the denominator of {name}, such as "
            f"{negative[column][0]:g} of user {negative['user_id'][0]!r}; count what the ratio is of"
        )
