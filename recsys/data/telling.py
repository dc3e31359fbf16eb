"""The outcome where it should not be: columns that tell which candidates were clicked, clicks that are events too."""

from collections.abc import Collection, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys.data.faults import CheckedRows, Fault, Rule, broken, whole
from recsys.schema import REQUESTS

TOO_WELL = 0.85
"""AUC within lists above which a logged column is suspicious.

Scores of good retrieval stay below 0.8. A label copied with a share e of its rows wrong reaches 1 - e, so 0.9 where one
row in ten is wrong."""

PURE = 0.9
"""Share of clicked rows above which having a value is suspicious: seconds read, logged for some of the clicks alone."""

FEWEST = 30
"""Lists with and without a click that a verdict needs: with fewer, chance alone orders them well now and then."""

MOST_ROWS = 12_000
"""Rows whose lists are looked at, though never fewer than `FEWEST` lists: a thousand lists tell the AUC to 0.01."""

_FOLDS = 5
_PRIOR = 1.0  # rows of the overall click rate that a value's own rate is drawn towards
_ROW = "order of rows"
_SAME_CLICK = timedelta(minutes=30)
_MOST_AGAIN = 0.05  # of the clicks on lists: people do click twice now and then


class Telling(NamedTuple):
    """How well a column tells the clicked candidates of a list from the others.

    Attributes
    ----------
    auc
        Mean AUC within lists, in the better direction: 0.5 (nothing) to 1 (everything).
    least
        The same less two standard errors: what it may safely be taken for.
    pure
        Share of clicked rows, 0 to 1, among those that differ from the column's most frequent value, such as 0 or null;
        0 where these are few or the rule.
    """

    auc: float
    least: float
    pure: float = 0.0

    @property
    def suspicious(self) -> bool:
        """Whether a column that was logged tells so much only if it was recorded after the list."""
        return self.least > TOO_WELL or self.pure > PURE

    def __str__(self) -> str:
        where = f", {self.pure:.0%} of the rows with a value of their own were clicked" if self.pure > PURE else ""
        return f"AUC {self.auc:.3f} in a list{where}"


def judged_lists(requests: pl.DataFrame, seed: int = 0) -> pl.DataFrame:
    """Draw whole requests with a clicked and an unclicked candidate, up to `MOST_ROWS` rows, sorted by request.

    Parameters
    ----------
    requests
        Rows with `request_id` and `label`; neither their order nor that of the requests decides what is drawn.
    seed
        Of the draw.
    """
    clicked = pl.col("label") > 0
    lists = requests.group_by("request_id").agg(pl.len(), some=clicked.any(), every=clicked.all())
    drawn = lists.filter("some", ~pl.col("every")).sort("request_id").sample(fraction=1, shuffle=True, seed=seed)
    drawn = drawn.filter((pl.col("len").cum_sum() <= MOST_ROWS) | (pl.int_range(pl.len()) < FEWEST))
    return requests.filter(pl.col("request_id").is_in(drawn["request_id"].implode())).sort(
        "request_id", maintain_order=True
    )


def telling(lists: pl.DataFrame, columns: Collection[str]) -> dict[str, Telling]:
    """Measure columns one by one.

    A column is judged by its order, nulls and NaN lowest, by where it is null, and by the click rate of each of its
    values in other lists; the best of the three counts.

    Parameters
    ----------
    lists
        Requests of `judged_lists`.
    columns
        Which of its columns.

    Returns
    -------
    One judgement a column; none when there are fewer than `FEWEST` requests.
    """
    sizes = lists["request_id"].rle().struct.field("len").to_numpy().astype(np.int64)
    if len(sizes) < FEWEST:
        return {}
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    groups = np.repeat(np.arange(len(sizes)), sizes)
    clicked = (lists["label"] > 0).to_numpy()
    found = {}
    for name in columns:
        column = lists[name].fill_nan(None) if lists.schema[name].is_float() else lists[name]
        codes = column.rank("dense").fill_null(0).to_numpy().astype(np.int64)
        views = [codes, _rates_elsewhere(codes, groups % _FOLDS, clicked), *([codes == 0] if codes.min() == 0 else [])]
        best = max((_judge(view, groups, starts, clicked) for view in views), key=lambda each: each.least)
        found[name] = best._replace(pure=_pure(codes, clicked))
    return found


def telling_columns(requests: pl.DataFrame, recorded_after: Collection[str] = (), sampled: bool = False) -> list[Fault]:
    """Name the columns of a log that tell the outcome too well.

    Columns of fixed meaning are left out, for they are never features, but not the item's id: it decides which
    behaviour a feature reads.

    Parameters
    ----------
    requests
        The table `requests`, its columns of their types.
    recorded_after
        Columns of which the importer says the same; nothing is said of them again.
    sampled
        Whether lists were drawn; chosen items are then more popular than drawn ones, and so are their ids, if few.
    """
    lists = judged_lists(requests.with_columns(pl.int_range(pl.len()).alias(_ROW)).drop_nulls(["request_id", "label"]))
    known = {column.name for column in REQUESTS.columns} - {"item_id"} | set(recorded_after)
    found = telling(lists, [name for name, kind in lists.schema.items() if name not in known and kind != pl.Object])
    faults = []
    for name, judgement in found.items():
        if not judgement.suspicious or (sampled and name == "item_id"):
            continue
        what = f"tells which candidates of a list were clicked, {judgement}"
        if name == _ROW:
            rule = Rule("note", f"the order of rows {what}", "nothing to do: no feature reads it")
            faults.append(whole(rule, "requests"))
            continue
        fix = "write ids that say nothing of the outcome" if name == "item_id" else "keep it out of the features"
        rule = Rule("warning", f"{'the id' if name == 'item_id' else 'the column'} {what}", f"{fix}, or {vouch(name)}")
        faults.append(replace(whole(rule, "requests", name), leak=True))
    return faults


def clicks_told_twice(events: pl.DataFrame, requests: pl.DataFrame) -> Iterator[Fault]:
    """Look for click events that repeat the click of a list: the same user and item, shortly before or after it.

    Parameters
    ----------
    events, requests
        The tables, their columns of their types and their ids of the same ones.
    """
    key = ["user_id", "item_id"]
    # Integer ids of two widths cannot be joined as they stand.
    ids = [pl.col(name).cast(pl.Int128) if requests.schema[name].is_integer() else name for name in key]
    clicked = requests.filter(pl.col("label") > 0).select(*ids, "timestamp", shown="timestamp").drop_nulls()
    clicks = events.filter(pl.col("event").cast(pl.String) == "click").select(*ids, "timestamp").drop_nulls()
    twice = clicks.sort("timestamp").join_asof(
        clicked.sort("timestamp"),
        on="timestamp",
        by=key,
        strategy="nearest",
        tolerance=_SAME_CLICK,
        check_sortedness=False,
    )
    again = twice["shown"].is_not_null()
    rule = Rule(
        "warning" if int(again.sum()) > _MOST_AGAIN * len(clicked) else "note",
        f"clicks on lists that are events too, within {_SAME_CLICK.seconds // 60} minutes of the list",
        "keep a click in one table: as two it counts twice, and where the event comes first it tells the label",
    )
    shown = pl.concat_str(pl.col(key).cast(pl.String), separator=" + ")
    yield from broken(rule, CheckedRows("events", " + ".join(key), twice), again, shown)


def vouch(name: str) -> str:
    """Say how to keep a column that tells the outcome, and what that costs if it is a leak after all."""
    return (
        f"name {name!r} in [features] vouched if it is known before the list is shown; if it is not, every figure is "
        "too good and the ranker fails where it serves"
    )


def _rates_elsewhere(
    codes: NDArray[np.int64], folds: NDArray[np.int64], clicked: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Give the click rate of each row's value in the lists of other folds, shape [C]."""
    cells, size = codes * _FOLDS + folds, (int(codes.max()) + 1) * _FOLDS
    rows, clicks = (np.bincount(cells, weights, size).reshape(-1, _FOLDS) for weights in (None, clicked))
    overall = clicks.sum() / rows.sum()
    rows, clicks = (each.sum(axis=1, keepdims=True) - each for each in (rows, clicks))
    rates: NDArray[np.float64] = ((clicks + _PRIOR * overall) / (rows + _PRIOR))[codes, folds]
    return rates


def _pure(codes: NDArray[np.int64], clicked: NDArray[np.bool_]) -> float:
    """Give the share of clicked rows among those that differ from the most frequent value."""
    own = codes != np.bincount(codes).argmax()
    return float(clicked[own].mean()) if FEWEST <= own.sum() < len(codes) / 2 else 0.0


def _judge(
    values: NDArray[np.generic], groups: NDArray[np.int64], starts: NDArray[np.int64], clicked: NDArray[np.bool_]
) -> Telling:
    """Measure the AUC of values [C] in each list, ties one half, by the ranks of its clicked candidates."""
    ranks = pl.DataFrame({"group": groups, "value": values}).select(pl.col("value").rank().over("group")).to_series()
    positives = np.add.reduceat(clicked.astype(np.int64), starts)
    negatives = np.diff(starts, append=len(groups)) - positives
    won = np.add.reduceat(ranks.to_numpy() * clicked, starts) - positives * (positives + 1) / 2
    aucs = won / (positives * negatives)
    auc = max(aucs.mean(), 1 - aucs.mean())
    return Telling(float(auc), float(auc - 2 * aucs.std(ddof=1) / np.sqrt(len(aucs))))
