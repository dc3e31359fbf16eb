"""Evaluate: how well each of five rankers orders the lists of a window."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.data.tables import Dataset
from recsys.data.windows import Window
from recsys.errors import DataError
from recsys.evaluation.evaluation import Evaluation, evaluate_rankers
from recsys.features.builder import TEXT_COLUMNS
from recsys.features.definitions import Rate
from recsys.jobs.logged import LoggedWindow, read_logged
from recsys.jobs.segments import cold_requests
from recsys.model.ready import open_model
from recsys.past.log import Log
from recsys.past.lookup import Lookup
from recsys.ranking.trees import TreeRanker
from recsys.vectors.queries import check_query

logger = logging.getLogger(__name__)

Floats = npt.NDArray[np.float64]

_PRIOR = 20.0
"""Showings after which an item's own click rate counts as much as the usual one, for the ranker popularity."""


@dataclass(frozen=True)
class Judgement:
    """What several rankers say about the same logged requests.

    Attributes
    ----------
    window
        The judged requests.
    name
        Name of the window.
    seed
        Seed of the intervals.
    log
        The behaviour that their features were computed from.
    scores
        Scores of every ranker per row of the window.
    sampled
        Whether the lists were drawn by an importer instead of logged.
    """

    window: LoggedWindow
    log: Log
    name: Window
    seed: int
    scores: Mapping[str, Floats]
    sampled: bool = False

    @cached_property
    def evaluation(self) -> Evaluation:
        """Measures, paired differences and segments of every ranker."""
        segments = {"cold items": cold_requests(self.window.requests, self.log)}
        requests, sampled = self.window.requests, self.sampled
        return evaluate_rankers(requests, self.scores, segments, self.name, self.seed, sampled=sampled)

    def beside(self, name: str, scores: Floats) -> "Judgement":
        """Judge one more ranker on the same requests, given its scores per row of the window."""
        return replace(self, scores={**self.scores, name: scores})


def evaluate(folder: str | Path, dataset: Dataset, window: Window = "test") -> Evaluation:
    """Evaluate a model folder on a window of logged requests.

    Parameters
    ----------
    folder
        Model folder.
    dataset
        Tables that hold the window and the behaviour before it. Items whose text the model has not seen are encoded.
    window
        One of the model's own windows; the ranker has learnt from all but `test`.

    Returns
    -------
    Measures, paired differences and segments of the rankers random, popularity, text, behaviour and both.

    Raises
    ------
    ModelError
        When the folder is no whole model.
    DataError
        When the tables have faults or the window holds no request.
    SettingsError
        When the requests lack the model's query column.
    """
    today = open_model(Path(folder), dataset)
    model, log = today.model, today.log
    check_query(today.requests, model.settings.text.query, dataset.about.recorded_after)
    later = today.requests.filter(pl.col("timestamp") >= model.windows.cuts[4])["request_id"].n_unique()
    if later:
        logger.warning("%d requests after the test window are not counted", later)
    logged = read_logged(model.windows.of(today.requests, window), log, model.settings.features, today.reader)
    judgement = judge(logged, log, window, model.ranker, model.behaviour_ranker, model.settings.seed)
    return replace(judgement, sampled=dataset.about.sampled).evaluation


def judge(
    logged: LoggedWindow, log: Log, window: Window, ranker: TreeRanker, behaviour_ranker: TreeRanker, seed: int
) -> Judgement:
    """Compare the five rankers on logged requests.

    Random is seeded; popularity is the smoothed click rate of the item before `as_of`; text is the encoder's own score,
    below all others where an item has no text score.

    Raises
    ------
    DataError
        When the window holds no request.
    """
    if logged.requests.is_empty():
        raise DataError(
            f"the {window} window holds no request; evaluate another window, or move [windows] and train again"
        )
    table = logged.examples.table
    scores = {
        "random": np.random.default_rng(seed).random(len(table)),
        "popularity": popularity(logged.requests, log),
        "text": text_alone(table),
        "behaviour": behaviour_ranker.score(table.drop(TEXT_COLUMNS)),
        "both": ranker.score(table),
    }
    return Judgement(logged, log, window, seed, scores)


def popularity(requests: pl.DataFrame, log: Log) -> Floats:
    """Return the smoothed click rate of every candidate's item before `as_of`, 0 where nothing was shown before."""
    return np.nan_to_num(Rate(("item",), None, _PRIOR).values(Lookup(log, log.rows(requests))))


def text_alone(table: pl.DataFrame) -> Floats:
    """Return the encoder's own score of every feature row, below all others where an item has none."""
    text = table["text_score"].to_numpy().astype(np.float64)
    found: Floats = np.nan_to_num(text, nan=np.nanmin(text, initial=0.0) - 1.0)
    return found
