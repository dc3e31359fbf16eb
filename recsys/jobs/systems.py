"""What can be compared: a model, rankings that anything wrote, or a baseline."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.data.tables import Dataset
from recsys.errors import DataError
from recsys.evaluation.rankings import Aligned, Rankings, read_rankings
from recsys.jobs.evaluate import popularity
from recsys.jobs.logged import read_logged
from recsys.model.folder import read_manifest
from recsys.model.ready import Today, open_model
from recsys.past.log import Log
from recsys.vectors.item_vectors import ItemVectors

Floats = npt.NDArray[np.float64]

Source = str | Path | pl.DataFrame

RANDOM, POPULARITY = "random", "popularity"
BASELINES = (RANDOM, POPULARITY)
"""Names that stand for a baseline: a seeded random order, and the smoothed click rate of each item before `as_of`."""


@dataclass(frozen=True)
class Opinion:
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
    ranked
        Ids of the requests it ranks, where it is a list of rankings.
    learnt_until
        The first moment that has not been learnt from, where a model gave the answers.
    """

    name: str
    answer: Callable[[pl.DataFrame, Log], Opinion]
    today: Today | None = None
    ranked: pl.Series | None = None
    learnt_until: datetime | None = None

    @property
    def kind(self) -> str:
        """What it is, for people."""
        if self.today is not None:
            return "model"
        return "baseline" if self.ranked is None else "rankings"

    @property
    def vectors(self) -> ItemVectors | None:
        """What a model's encoder says about items."""
        return None if self.today is None else self.today.reader.vectors


def last_learnt(*systems: System) -> datetime | None:
    """Return the first moment that none of them has learnt from; None where none has learnt."""
    return max((system.learnt_until for system in systems if system.learnt_until is not None), default=None)


def open_system(source: Source, dataset: Dataset, name: str, seed: int) -> System:
    """Open one side of a comparison.

    Parameters
    ----------
    source
        A model folder; a ranking file or table (`recsys.evaluation.rankings.read_rankings`) or a folder that
        `recsys score` wrote; `"random"` or `"popularity"` (write `./random` for a file of that name).
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
        return _of_rankings(name, Rankings.of(source, name))
    if source == RANDOM:
        return System(name, lambda requests, _: Opinion(np.random.default_rng(seed).random(len(requests))))
    if source == POPULARITY:
        return System(name, lambda requests, log: Opinion(popularity(requests, log)))
    path = Path(source)
    if (path / "rankings").is_dir():
        learnt_until = _learnt_until(path)
        return replace(_of_rankings(name, read_rankings(path / "rankings")), learnt_until=learnt_until)
    if (path / "manifest.json").is_file():
        return _of_model(name, open_model(path, dataset))
    if path.exists():
        return _of_rankings(name, read_rankings(path))
    raise DataError(
        f"{source} does not exist and is no baseline ({' or '.join(BASELINES)}); name a folder that `recsys train` or "
        "`recsys score` wrote, a Parquet file or a TREC run"
    )


def _of_model(name: str, today: Today) -> System:
    model = today.model

    def answer(requests: pl.DataFrame, _: Log) -> Opinion:
        logged = read_logged(requests, today.log, model.settings.features, today.reader)
        scores = model.ranker.score(logged.examples.table)
        return Opinion(scores, model.calibration.probability(scores))

    return System(name, answer, today=today, learnt_until=today.learnt_until)


def _learnt_until(folder: Path) -> datetime:
    """Read until when the model behind rankings had learnt."""
    written = read_manifest(folder, "written by `recsys score`")
    if "learnt_until" not in written:
        raise DataError(f"{folder} does not say until when its model had learnt; run `recsys score` again")
    return datetime.fromisoformat(written["learnt_until"])


def _of_rankings(name: str, rankings: Rankings) -> System:
    def answer(requests: pl.DataFrame, _: Log) -> Opinion:
        found = rankings.align(requests)
        return Opinion(found.scores, found.click_probabilities, tuple(_missing(name, found)))

    return System(name, answer, ranked=rankings.table["request_id"].unique())


def _missing(name: str, found: Aligned) -> Iterator[str]:
    """Say what rankings leave out and how that counts."""
    if found.unanswered_requests:
        yield (
            f"{name} does not answer {found.unanswered_requests:,} of the requests; each counts as 0, in AUC as one "
            "half."
        )
    if found.unlisted_candidates:
        yield (
            f"{name} does not list {found.unlisted_candidates:,} candidates, those of unanswered requests included; "
            "they earn nothing and stand last in AUC."
        )
    if found.outside_requests:
        yield f"{name} ranks {found.outside_requests:,} more requests, which are not compared here."
