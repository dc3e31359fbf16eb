"""Evaluate: how well each of six rankers orders the lists of a window."""

import logging
from dataclasses import replace
from pathlib import Path

import polars as pl

from recsys.data.tables import Dataset
from recsys.data.windows import Window
from recsys.evaluation.evaluation import Evaluation
from recsys.jobs.judging import judge, read_logged
from recsys.model.ready import Ready

logger = logging.getLogger(__name__)


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
    Measures, paired differences and segments of the rankers random, popularity, chosen before, text, behaviour and
    both.

    Raises
    ------
    ModelError
        When the folder is no whole model.
    DataError
        When the tables have faults or the window holds no request.
    SettingsError
        When the requests lack the model's query column.
    """
    ready, prepared = Ready.today(Path(folder), dataset)
    model, requests = ready.model, prepared.made.lists
    later = requests.filter(pl.col("timestamp") >= model.windows.cuts[4])["request_id"].n_unique()
    if later:
        logger.warning("%d requests after the test window are not counted", later)
    asked = ready.ask(model.windows.of(requests, window))
    logged = read_logged(asked, model.settings.features, ready.reader)
    judgement = judge(logged, ready.log, window, model.ranker, model.behaviour_ranker, model.settings.seed)
    not_out = prepared.not_out(model.windows, window)
    return replace(judgement, sampled=dataset.about.sampled, not_out=not_out).evaluation
