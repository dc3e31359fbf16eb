"""Requests in groups: what is compared apart, because a mean over all hides who gains and who loses."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.data.tables import Dataset, one_version
from recsys.errors import DataError, SettingsError
from recsys.past.lookup import Asked, Lookup, request_starts
from recsys.past.streams import CLICK, SHOWING

if TYPE_CHECKING:
    from recsys.past.log import Log

Flags = npt.NDArray[np.bool_]

COLD = 20
"""An item with fewer showings before the request is cold."""

LARGEST = 8
"""Values of a column that get a segment of their own, the most frequent ones; the others share one."""

_PAST_CLICKS = (1, 5, 20)
_LIST_SIZES = (6, 11, 21)
_HOURS = (6, 12, 18)
_NONE, _OTHERS = "(none)", "(others)"


def cold_requests(requests: pl.DataFrame, log: "Log") -> Flags:
    """Say for every row whether a clicked item of its request had fewer than `COLD` showings before the request.

    Parameters
    ----------
    requests
        Logged requests as `Asked` orders them.
    log
        The behaviour before them.
    """
    rows = log.rows(requests)
    shown = Lookup(log, replace(rows, as_of=rows.timestamp)).amount(SHOWING, ("item",), None)
    return _any_of_request(requests, _clicked(requests) & (shown < COLD))


def segment_requests(asked: Asked, dataset: Dataset, columns: Sequence[str] = ()) -> dict[str, Flags]:
    """Group requests by what is known of them.

    Parameters
    ----------
    asked
        Logged requests; C rows.
    dataset
        Where further columns are found.
    columns
        Columns of requests, users or items. One of items groups by the items that were clicked, so that a request
        with several clicks may be in several segments. Numbers with many values are cut at their quartiles.

    Returns
    -------
    Name such as `"device = phone"`, [C] whether the row's request is in it; a segment of all or none of the requests is
    left out. Without naming a column there are the clicked items (cold or warm), past clicks of the user, the list's
    size and the hour, and `device` where each request has one.

    Raises
    ------
    SettingsError
        When a column is in no table, holds moments, lists or bytes, or groups as a segment that is there already.
    DataError
        When a column of requests differs between the candidates of one request.
    """
    requests, log, sizes = asked.candidates, asked.log, asked.lengths
    now = Lookup(log, replace(asked.rows, as_of=asked.rows.timestamp))
    hours = requests["timestamp"].dt.convert_time_zone(log.time.zone).dt.hour().cast(pl.Int64).to_numpy()
    cold, clicked = cold_requests(requests, log), _any_of_request(requests, _clicked(requests))
    found = {"clicked items = cold": cold, "clicked items = warm": clicked & ~cold}
    found |= _between("past clicks", now.amount(CLICK, ("user",), None), _PAST_CLICKS)
    found |= _between("list size", np.repeat(sizes, sizes), _LIST_SIZES, first=1)
    found |= _between("hour", hours, _HOURS, last=23)
    device = ("device",) if "device" in requests.columns and _is_of_requests(requests, "device") else ()
    for column in dict.fromkeys((*device, *columns)):
        groups = _by_column(requests, dataset, column)
        twice = sorted(found.keys() & groups.keys())
        if twice:
            raise SettingsError(f"{twice[0]!r} of column {column!r} is a segment already; rename the column")
        found |= groups
    return {name: flags for name, flags in found.items() if flags.any() and not flags.all()}


def group_items(asked: Asked, dataset: Dataset, columns: Sequence[str]) -> dict[str, Flags]:
    """Group candidates, and not their requests, by those of some columns that items have.

    Parameters
    ----------
    asked
        Logged requests; C rows.
    dataset
        The tables whose behaviour they know.
    columns
        Others than of items are passed over.

    Returns
    -------
    Name such as `"category = home"`, [C] whether the row's item was in it as known then; a group of all or none of the
    candidates is left out.
    """
    found, versions = dict[str, Flags](), pl.Series(asked.lookup.items)
    for column in columns:
        if column in dataset.items.columns and column not in asked.candidates.columns:
            words = _categories(column, dataset.items[column])
            values = words.gather(versions.set(versions < 0, None)).fill_null(_NONE)
            grouped, names = _most_frequent(values, asked.candidates, None)
            found |= {f"{column} = {name}": (grouped == name).to_numpy() for name in names}
    return {name: flags for name, flags in found.items() if flags.any() and not flags.all()}


def _clicked(requests: pl.DataFrame) -> Flags:
    return (requests["label"] > 0).to_numpy()


def _any_of_request(requests: pl.DataFrame, flags: Flags) -> Flags:
    starts = request_starts(requests)
    if not len(flags):
        return flags
    any_of: Flags = np.repeat(np.logical_or.reduceat(flags, starts[:-1]), np.diff(starts))
    return any_of


def _between(
    name: str, values: npt.NDArray[np.int64], edges: Sequence[int], first: int = 0, last: int | None = None
) -> Iterator[tuple[str, Flags]]:
    """Cut whole numbers from `first` to `last` at `edges`, each the lowest value of its segment."""
    place = np.searchsorted(edges, values, "right")
    for number, (low, following) in enumerate(zip((first, *edges), (*edges, None), strict=True)):
        high = last if following is None else following - 1
        words = f"{low} or more" if high is None else str(low) if low == high else f"{low} to {high}"
        yield f"{name} = {words}", place == number


def _is_of_requests(requests: pl.DataFrame, column: str) -> bool:
    """Tell whether a column that nobody named can group requests: values of one kind, one per request."""
    if _is_no_group(requests.schema[column]):
        return False
    return requests.select("request_id", column).n_unique() == requests["request_id"].n_unique()


def _is_no_group(dtype: pl.DataType) -> bool:
    return dtype.is_temporal() or dtype.is_nested() or dtype == pl.Binary


def _by_column(requests: pl.DataFrame, dataset: Dataset, column: str) -> Mapping[str, Flags]:
    """Group by a column of whichever table holds it."""
    if column in requests.columns:
        values = requests[column]
        spread = requests.group_by("request_id").agg(spread=pl.col(column).n_unique()).filter(pl.col("spread") > 1)
        if len(spread):
            raise DataError(
                f"{column!r} differs between the candidates of {len(spread)} requests, so it cannot group requests; "
                "name a column that holds one value per request"
            )
        return _groups(column, _categories(column, values), requests, None)
    for table, key in ((dataset.users, "user_id"), (dataset.items, "item_id")):
        if table is not None and column in table.columns:
            table = one_version(table, key, "last")
            categories = table.select(key, category=_categories(column, table[column]))
            values = requests.join(categories, on=key, how="left", maintain_order="left")["category"].fill_null(_NONE)
            if key == "item_id":
                return _groups(f"clicked items' {column}", values, requests, _clicked(requests))
            return _groups(column, values, requests, None)
    tables = {"requests": dataset.requests, "users": dataset.users, "items": dataset.items}
    columns = [f"{name} have {', '.join(of.columns)}" for name, of in tables.items() if of is not None]
    raise SettingsError(f"no table has a column {column!r} to group by; {'; '.join(columns)}")


def _categories(column: str, values: pl.Series) -> pl.Series:
    """Turn values into words: numbers with many values by their quartiles."""
    if _is_no_group(values.dtype):
        raise SettingsError(f"{column!r} holds {values.dtype} values, which are no groups; name categories or numbers")
    if values.dtype.is_float():
        values = values.fill_nan(None)
    if values.dtype.is_numeric() and values.n_unique() > LARGEST:
        numbers = values.cast(pl.Float64)
        finite = numbers.filter(numbers.is_finite()).to_numpy()
        edges = np.unique(np.quantile(finite, [0.25, 0.5, 0.75])).tolist()
        said = _told_apart(edges)
        between = [f"{low} to below {high}" for low, high in pairwise(said)]
        words = [f"below {said[0]}", *between, f"{said[-1]} or more"]
        place = pl.Series(np.searchsorted(edges, numbers.fill_null(0.0).to_numpy(), "right"))
        return place.replace_strict(list(range(len(words))), words).set(numbers.is_null(), _NONE)
    return values.cast(pl.String).fill_null(_NONE)


def _told_apart(numbers: Sequence[float]) -> list[str]:
    """Write different numbers with six digits, or as many as tell them apart."""
    written = ([f"{number:.{digits}g}" for number in numbers] for digits in range(6, 18))
    return next(words for words in written if len(set(words)) == len(words))


def _groups(column: str, values: pl.Series, requests: pl.DataFrame, rows: Flags | None) -> Mapping[str, Flags]:
    """Give the most frequent values a segment each; `rows` says which rows count for their request."""
    grouped, names = _most_frequent(values, requests, rows)
    found = {}
    for name in names:
        flags = (grouped == name).to_numpy()
        found[f"{column} = {name}"] = _any_of_request(requests, flags if rows is None else flags & rows)
    return found


def _most_frequent(values: pl.Series, requests: pl.DataFrame, rows: Flags | None) -> tuple[pl.Series, list[str]]:
    """Keep the values that most requests have, all others are one; and name them."""
    counted = requests.select("request_id", value=values).filter(pl.Series(rows) if rows is not None else True)
    sizes = counted.unique().group_by("value").len().sort("len", "value", descending=[True, False])["value"].to_list()
    own = sizes if len(sizes) <= LARGEST + 1 else sizes[:LARGEST]
    grouped = values.set(~values.is_in(own), _OTHERS)
    return grouped, [*own, *([_OTHERS] if len(own) < len(sizes) else [])]
