"""The one function that scores candidates, for batch and for serving."""

from collections.abc import Iterator

import numpy as np
import polars as pl

from recsys.features.builder import Reader, build_features, request_starts, sort_candidates
from recsys.features.log import Log
from recsys.features.settings import FeatureSettings
from recsys.ranking.calibration import Calibration
from recsys.ranking.ranker import TreeRanker


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
        Columns as `recsys.schema.CANDIDATES` and the context columns, in any order.
    log, settings, reader
        What features are computed from.
    ranker, calibration
        What turns features into scores and scores into click probabilities.

    Returns
    -------
    `recsys.schema.RANKINGS`, sorted by request and rank; equal scores are ordered by item. `unknown_user` says that
    the user has no behaviour, `unknown_item` that the item is not in the items table; both are scored with missing
    features.
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
        unknown_user=pl.Series(rows.codes["user"] < 0),
        unknown_item=pl.Series(~listed[rows.codes["item"]]),
    )[order]
    return ranked.with_columns(rank=pl.Series(np.arange(len(groups)) - starts[groups] + 1, dtype=pl.UInt32))


def batches(candidates: pl.DataFrame, rows: int) -> Iterator[pl.DataFrame]:
    """Cut sorted candidates into runs of whole requests of at least `rows` rows each, the last one excepted."""
    starts = request_starts(candidates)
    start = 0
    while start < len(candidates):
        end = int(starts[np.searchsorted(starts, min(start + rows, len(candidates)))])
        yield candidates[start:end]
        start = end
