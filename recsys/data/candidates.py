"""Candidates to score: lists from files, or every item for every user at one moment."""

from datetime import datetime
from pathlib import Path

import polars as pl

from recsys.data.clock import utc
from recsys.data.plain import in_utc
from recsys.errors import DataError
from recsys.reading import read_parquet
from recsys.schema import TIME


def read_rows(path: str | Path) -> pl.DataFrame:
    """Read candidates, users or items: a Parquet file, or all Parquet files of a folder as one table.

    Raises
    ------
    DataError
        When there is nothing to read, a file is not Parquet, or files differ in their columns.
    """
    missing = "give a Parquet file or a folder of them"
    return in_utc(read_parquet(Path(path), missing, "write Parquet with equal columns"))


def cross(users: pl.DataFrame, items: pl.DataFrame, at: datetime) -> pl.DataFrame:
    """Make one request per user, at one moment, with every item as a candidate.

    Parameters
    ----------
    users
        `user_id` and, if the model wants them, context columns; one row per user.
    items
        `item_id`; items with an `available_at` after `at` are left out.
    at
        The moment; without a zone it is UTC.

    Returns
    -------
    Candidates whose `request_id` is the user's id.

    Raises
    ------
    DataError
        When an id column is missing, holds no integers or text, or holds a null or a repeat; when `available_at` holds
        no moments.
    """
    for name, frame in (("user_id", users), ("item_id", items)):
        if name not in frame.columns:
            raise DataError(f"there is no column {name}; the columns are {', '.join(frame.columns)}")
        kind = frame.schema[name]
        if not (kind.is_integer() or kind in (pl.String, pl.Categorical, pl.Enum, pl.Null)):
            raise DataError(
                f"{name} holds {kind} values; ids are integers or text, as in the other tables: cast it first"
            )
        repeats = len(frame) - frame[name].n_unique()
        if repeats or frame[name].null_count():
            raise DataError(f"{name} holds {repeats} repeats and {frame[name].null_count()} nulls; keep one row per id")
    at = utc(at)
    if "available_at" in items.columns:
        kind = items.schema["available_at"]
        if kind not in (pl.Datetime, pl.Date, pl.Null):
            raise DataError(f"available_at of the items holds {kind} values; write moments, or leave the column out")
        items = in_utc(items).filter(pl.col("available_at").is_null() | (pl.col("available_at") <= at))
    requests = users.with_columns(request_id=pl.col("user_id"), timestamp=pl.lit(at).cast(TIME))
    return requests.join(items.select("item_id"), how="cross")
