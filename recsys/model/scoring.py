"""The one function that scores candidates, for batch and for serving."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.errors import SettingsError
from recsys.features.builder import Reader, build_features, request_starts, sort_candidates
from recsys.features.settings import FeatureSettings
from recsys.past.log import Log
from recsys.past.lookup import Lookup
from recsys.past.streams import CLICK, SHOWING, Rows
from recsys.ranking.calibration import Calibration
from recsys.ranking.trees import TreeRanker


def rank_candidates(
    candidates: pl.DataFrame,
    log: Log,
    settings: FeatureSettings,
    reader: Reader,
    ranker: TreeRanker,
    calibration: Calibration,
) -> pl.DataFrame:
    """Score and rank the candidates of whole requests.

    Each request's answer depends on that request and on behaviour known before its `as_of` alone: not on the order of
    rows, and not on which other requests are scored with it.

    Parameters
    ----------
    candidates
        Columns as `recsys.schema.CANDIDATES`, the context columns and the query column, in any order.
    log, settings, reader
        What features are computed from.
    ranker, calibration
        What turns features into scores and scores into click probabilities.

    Returns
    -------
    `recsys.schema.RANKINGS`, sorted by request and rank; equal scores are ordered by item. `unknown_user` says that no
    list shown to the user and no click is known before `as_of`, `unknown_item` that the item is not in the items table;
    both are scored with missing features.
    """
    candidates = sort_candidates(candidates)
    scores = ranker.score(build_features(candidates, log, settings, reader))
    rows = log.rows(candidates)
    listed = np.append(log.listed, False)  # code -1, an unknown item, finds the last element
    starts = request_starts(candidates)
    groups = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    order = np.lexsort((-scores, groups))
    ranked = candidates.select(
        "request_id",
        "user_id",
        "item_id",
        rank=pl.lit(0, dtype=pl.UInt32),
        score=pl.Series(scores),
        click_probability=pl.Series(calibration.probability(scores)),
        unknown_user=pl.Series(_unknown_users(log, rows)),
        unknown_item=pl.Series(~listed[rows.codes["item"]]),
    )[order]
    return ranked.with_columns(rank=pl.Series(np.arange(len(groups)) - starts[groups] + 1, dtype=pl.UInt32))


def check_top(top: int | None) -> None:
    """Refuse a number of places that is not a whole number of at least 1.

    Raises
    ------
    SettingsError
        Naming the value.
    """
    if top is not None and (not isinstance(top, int) or top < 1):
        raise SettingsError(f"top = {top!r}; keep at least 1 candidate per request, as a whole number")


def keep_top(rankings: pl.DataFrame, top: int | None) -> pl.DataFrame:
    """Keep the first `top` places of every request; all when None."""
    return rankings if top is None else rankings.filter(pl.col("rank") <= top)


def _unknown_users(log: Log, rows: Rows) -> npt.NDArray[np.bool_]:
    lookup = Lookup(log, rows)
    shown, clicked = (lookup.amount(stream, ("user",), None) for stream in (SHOWING, CLICK))
    unknown: npt.NDArray[np.bool_] = (shown == 0) & (clicked == 0)
    return unknown


def batches(candidates: pl.DataFrame, rows: int) -> Iterator[pl.DataFrame]:
    """Cut sorted candidates into runs of whole requests of at least `rows` rows each, the last one excepted."""
    starts = request_starts(candidates)
    start = 0
    while start < len(candidates):
        end = int(starts[np.searchsorted(starts, min(start + rows, len(candidates)))])
        yield candidates[start:end]
        start = end
