"""What can be compared: a model, rankings that anything wrote, or a baseline."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.batch.evaluating import popularity
from recsys.batch.logged import read_logged
from recsys.batch.today import Today, open_model
from recsys.data.tables import Dataset
from recsys.errors import DataError
from recsys.evaluation.rankings import Rankings, read_rankings
from recsys.features.log import Log
from recsys.text.vectors import ItemVectors

Floats = npt.NDArray[np.float64]

RANDOM, POPULARITY = "random", "popularity"
BASELINES = (RANDOM, POPULARITY)
"""Names that stand for a baseline: a seeded random order, and the smoothed click rate of each item before `as_of`."""


@dataclass(frozen=True)
class Answer:
    """What a system says about C candidates.

    Attributes
    ----------
    scores
        [C]; -inf where the system did not list the candidate.
    probability
        [C] click probabilities; None where it gives none.
    notes
        Sentences for the reader, such as how many requests were not answered.
    """

    scores: Floats
    probability: Floats | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class System:
    """One of the two sides.

    Attributes
    ----------
    name
        What people call it.
    answer
        From logged requests, as `sort_candidates` orders them, and the behaviour before them to an answer.
    today
        The model and its tables, where it is a model.
    answered
        Ids of the requests it answers, where it is a list of rankings.
    """

    name: str
    answer: Callable[[pl.DataFrame, Log], Answer]
    today: Today | None = None
    answered: pl.Series | None = None

    @property
    def learnt_until(self) -> datetime | None:
        """The first moment that a model has not learnt from."""
        return None if self.today is None else self.today.model.windows.cuts[3]

    @property
    def vectors(self) -> ItemVectors | None:
        """What a model's encoder says about items."""
        return None if self.today is None else self.today.reader.vectors


def open_system(source: str | Path | pl.DataFrame, dataset: Dataset, name: str, seed: int) -> System:
    """Open one side of a comparison.

    Parameters
    ----------
    source
        A model folder; a ranking file (Parquet with `request_id`, `item_id` and `rank` or `score`, or a TREC run) or a
        folder that `recsys score` wrote; `"random"` or `"popularity"` (write `./random` for a file of that name); or a
        table of rankings.
    dataset
        Tables that a model reads.
    name
        What people call it.
    seed
        Seed of the random order.

    Raises
    ------
    DataError
        When it is none of these, or the tables or rankings have faults.
    ModelError
        When a model folder is damaged.
    """
    if isinstance(source, pl.DataFrame):
        return _of_rankings(name, Rankings.of(source))
    if source == RANDOM:
        return System(name, lambda requests, _: Answer(np.random.default_rng(seed).random(len(requests))))
    if source == POPULARITY:
        return System(name, lambda requests, log: Answer(popularity(requests, log)))
    path = Path(source)
    if (path / "rankings").is_dir():
        return _of_rankings(name, Rankings.of(pl.read_parquet(path / "rankings" / "*.parquet")))
    if path.is_dir():
        return _of_model(name, open_model(path, dataset))
    if path.is_file():
        return _of_rankings(name, read_rankings(path))
    raise DataError(
        f"{source} is no model folder, ranking file or baseline; name a folder that `recsys train` or `recsys score` "
        f"wrote, a Parquet or TREC run file, or one of {', '.join(BASELINES)}"
    )


def _of_model(name: str, today: Today) -> System:
    model = today.model

    def answer(requests: pl.DataFrame, _: Log) -> Answer:
        logged = read_logged(requests, today.log, model.settings.features, today.reader)
        scores = model.ranker.score(logged.examples.table)
        return Answer(scores, model.calibration.probability(scores))

    return System(name, answer, today)


def _of_rankings(name: str, rankings: Rankings) -> System:
    def answer(requests: pl.DataFrame, _: Log) -> Answer:
        aligned = rankings.align(requests)
        return Answer(aligned.scores, aligned.probability, aligned.notes(name))

    return System(name, answer, answered=rankings.requests)
