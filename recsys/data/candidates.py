"""Candidates to score: lists from files, or every item for every user at one moment."""

from collections.abc import Sequence
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

import polars as pl

from recsys.data.clock import utc
from recsys.data.plain import in_utc
from recsys.data.tables import one_version
from recsys.errors import DataError
from recsys.reading import read_parquet
from recsys.schema import KNOWN_AT, TIME

MISSING = "give a Parquet file or a folder of them"
"""What to do where there are no rows."""


def read_rows(path: str | Path) -> pl.DataFrame:
    """Read candidates, users or items: a Parquet file, or all Parquet files of a folder as one table.

    Raises
    ------
    DataError
        When there is nothing to read, a file is not Parquet, or files differ in their columns.
    """
    mend = "write Parquet with equal columns; other kinds of files are not read here"
    return in_utc(read_parquet(Path(path), MISSING, mend))


def ask(users: pl.DataFrame, at: datetime) -> pl.DataFrame:
    """Make one request per user, at one moment, which has no candidates yet.

    Parameters
    ----------
    users
        `user_id` and, if the model wants them, context columns; one row per user, or its versions.
    at
        The moment; without a zone it is UTC.

    Returns
    -------
    Requests whose `request_id` is the user's id.

    Raises
    ------
    DataError
        When the column is missing, holds no integers or text, or holds a null or a repeat.
    """
    users = _known(users, "user_id", "last", at := utc(at))
    _check_ids(users, "user_id")
    return users.with_columns(request_id=pl.col("user_id"), timestamp=pl.lit(at).cast(TIME))


def cross(users: pl.DataFrame, items: pl.DataFrame, at: datetime) -> pl.DataFrame:
    """Make one request per user, at one moment, with every item as a candidate.

    Parameters
    ----------
    users, at
        As of `ask`.
    items
        `item_id`; items with an `available_at` after `at` are left out, and those not known before it.

    Returns
    -------
    Candidates whose `request_id` is the user's id.

    Raises
    ------
    DataError
        When an id column is missing, holds no integers or text, or holds a null or a repeat; when `available_at` holds
        no moments.
    """
    return every_item(ask(users, at), items)


def every_item(requests: pl.DataFrame, items: pl.DataFrame) -> pl.DataFrame:
    """Give requests, see `ask`, every item that is out as a candidate; arguments and errors as for `cross`."""
    moments = requests.partition_by("timestamp", maintain_order=True) or [requests]
    return pl.concat([_every_item(own, items) for own in moments])


def _every_item(requests: pl.DataFrame, items: pl.DataFrame) -> pl.DataFrame:
    """Do so for requests of one moment; where they have none, which is told later, any will do."""
    at = next((utc(at) for at in requests["timestamp"] if isinstance(at, datetime)), utc("1970-01-01"))
    items = _known(items, "item_id", "first", at)
    _check_ids(items, "item_id")
    if "available_at" in items.columns:
        kind = items.schema["available_at"]
        if kind not in (pl.Datetime, pl.Date, pl.Null):
            raise DataError(f"available_at of the items holds {kind} values; write moments, or leave the column out")
        items = in_utc(items).filter(pl.col("available_at").is_null() | (pl.col("available_at") <= at))
    return requests.join(items.select("item_id"), how="cross")


def _check_ids(frame: pl.DataFrame, name: str) -> None:
    if name not in frame.columns:
        raise DataError(f"there is no column {name}; the columns are {', '.join(frame.columns)}")
    kind = frame.schema[name]
    if not (kind.is_integer() or kind in (pl.String, pl.Categorical, pl.Enum, pl.Null)):
        raise DataError(f"{name} holds {kind} values; ids are integers or text, as in the other tables: cast it first")
    repeats = len(frame) - frame[name].n_unique()
    if repeats or frame[name].null_count():
        raise DataError(f"{name} holds {repeats} repeats and {frame[name].null_count()} nulls; keep one row per id")


def _known(table: pl.DataFrame, key: str, which: Literal["first", "last"], at: datetime) -> pl.DataFrame:
    """Keep of each id a version that is known before a moment."""
    if KNOWN_AT not in table.columns or key not in table.columns:
        return table
    kind = table.schema[KNOWN_AT]
    if kind not in (pl.Datetime, pl.Date, pl.Null):
        raise DataError(f"{KNOWN_AT} beside {key} holds {kind} values; write moments, or leave the column out")
    known = in_utc(table).filter(pl.col(KNOWN_AT).is_null() | (pl.col(KNOWN_AT) < at))
    repeats = known.select(key, KNOWN_AT).is_duplicated().sum()
    if repeats:
        raise DataError(f"{repeats} rows repeat {key} and {KNOWN_AT}; keep one row per version")
    return one_version(known, key, which)


def refuse_misnamed(columns: Sequence[object]) -> None:
    """Refuse requests without `item_id` and with a column that was most likely meant to be it.

    Raises
    ------
    DataError
        Naming the column.
    """
    plain = {str(column).lower().replace(" ", "_"): column for column in columns}
    near = [] if "item_id" in columns else get_close_matches("item_id", plain, n=1, cutoff=0.8)
    if near:
        raise DataError(
            f"requests have a column {plain[near[0]]!r} and none named item_id; call it item_id if candidates are "
            "meant, which then stay and come first, or leave it out"
        )
