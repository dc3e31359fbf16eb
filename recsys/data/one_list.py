"""What a process that serves gets again and again, checked in microseconds: whether it has no fault that counts."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from recsys.data.rules import FIRST_MOMENT, LAST_MOMENT
from recsys.schema import CANDIDATES, TIME

_IDS = ("request_id", "user_id", "item_id")
_FIRST, _LAST = (
    (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) for moment in (FIRST_MOMENT, LAST_MOMENT)
)

_SMALL = 1e6
"""Values of events up to this are not too large."""


def is_one_sound_list(candidates: pl.DataFrame) -> bool:
    """Tell whether rows are one request in which `recsys.data.checks.check_candidates` would find no error.

    Parameters
    ----------
    candidates
        Rows with the columns of `recsys.schema.CANDIDATES`, in the types of the package.

    Returns
    -------
    True where they are; False where they are not, or only the whole check can tell.
    """
    if not candidates.height:
        return False
    request, user, items = (candidates.get_column(name) for name in _IDS)
    moments = candidates.get_column("timestamp")
    if any(column.null_count() for column in (request, user, items, moments)):
        return False
    if not all(_is_one(column) for column in (request, user)):
        return False
    if items.dtype == pl.String:
        ids = set(items.to_list())
        if "" in ids or len(ids) < len(items):
            return False
    elif len(set(items.to_numpy().tolist())) < len(items):
        return False
    at = moments.to_numpy().view(np.int64)
    return bool(at[0] == at.min() == at.max() and _FIRST <= at[0] < _LAST)


_NARROW = (pl.Int32, pl.UInt32, pl.Int16, pl.UInt16, pl.Int8, pl.UInt8)
"""Whole numbers that are no others in 64 bits."""


def widened(events: pl.DataFrame) -> pl.DataFrame:
    """Write ids of users and items that are narrow whole numbers as the tables hold them."""
    schema = events.schema
    narrow = [name for name in ("user_id", "item_id") if schema.get(name) in _NARROW]
    return events.with_columns(events.get_column(name).cast(pl.Int64) for name in narrow) if narrow else events


def are_sound_events(events: pl.DataFrame, now: datetime) -> bool:
    """Tell whether `recsys.data.checks.check_update` would find no error in events.

    Parameters
    ----------
    events
        Rows of the columns of `recsys.schema.EVENTS`, in the types of the package.
    now
        Nothing may be later.

    Returns
    -------
    True where it would not; False where it would, or only the whole check can tell.
    """
    names = events.columns
    if not events.height or not set(names) <= {"user_id", "item_id", "timestamp", "event", "value"}:
        return False
    columns = events.get_columns()
    if any(column.null_count() for column in columns):
        return False
    if events.get_column("event").dtype != pl.String:
        return False
    for name, column in zip(names, columns, strict=True):
        if column.dtype == pl.String and any(not text.strip() for text in set(column.to_list())):
            return False
        if name == "value" and not _are_small(column):
            return False
    at = events.get_column("timestamp").to_numpy().view(np.int64)
    last = (now - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    return bool(at.min() >= _FIRST and at.max() < min(last, _LAST))


def _are_small(values: pl.Series) -> bool:
    """Tell whether numbers, none of them null, are finite and not large."""
    if values.dtype.is_integer():
        least, most = values.min(), values.max()
        return isinstance(least, int) and isinstance(most, int) and least >= -_SMALL and most <= _SMALL
    return values.dtype.is_float() and bool((np.abs(values.to_numpy()) <= _SMALL).all())


def are_plain_ids(schema: pl.Schema) -> bool:
    """Tell whether ids and moments are of the types of the package, and no other column has values that are checked."""
    if any(column.name in schema for column in CANDIDATES.columns if column.name not in (*_IDS, "timestamp")):
        return False
    kinds = [schema.get(name) for name in _IDS]
    return schema.get("timestamp") == TIME and all(kind == pl.String or (kind and kind.is_integer()) for kind in kinds)


def _is_one(column: pl.Series) -> bool:
    """Tell whether all values are the same, and no empty text."""
    if column.dtype == pl.String:
        values = set(column.to_list())
        return len(values) == 1 and "" not in values
    numbers = column.to_numpy()
    return bool((numbers == numbers[0]).all())
