"""The two sides of a comparison: who answers, what they say of the same requests, and until when they have learnt."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.data.clock import TimeSettings
from recsys.data.made import Made
from recsys.data.tables import Dataset
from recsys.errors import SettingsError
from recsys.evaluation.rankings import Rankings
from recsys.evaluation.requests import Requests
from recsys.model.prepared import Prepared
from recsys.past.log import Log
from recsys.past.lookup import Asked
from recsys.sources.finding import Finder
from recsys.statistics.intervals import Interval
from recsys.statistics.numbers import Flags
from recsys.vectors.item_vectors import ItemVectors

Floats = npt.NDArray[np.float64]
Pair = tuple[Floats, Floats]


@dataclass(frozen=True)
class Opinion:
    """What a system says about C candidates.

    Attributes
    ----------
    scores
        [C]; -inf where the system did not list the candidate.
    probability
        [C] click probabilities, NaN where it gives none; None where it gives none at all.
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
        From logged requests, and the behaviour before them, to an answer.
    prepared
        The tables as a model reads them, where it is one.
    vectors
        What its encoder says about items.
    rankings
        What it answered, where that is all there is of it.
    made
        Whether its rankings are of candidates that it found itself; None where nothing says so.
    finder, lists
        Where it may have candidates of its own: what finds them in a log, and from moments (`request_id`, `user_id`,
        `timestamp` and what requests have beside, a row each) and a finder of either side to its lists: `request_id`,
        `item_id` and `score`. Rules have lists without a finder.
    learnt_until
        The first moment that has not been learnt from, where a model gave the answers.
    time
        What it knows when it works, where a model gave the answers.
    kinds
        Where it is a model, groups of candidates by what it knows of their items, see `recsys.jobs.gains.model_kinds`.
    stressed
        Where it is a model, from lists, its scores and when its feed stops to what bad days cost it, see
        `recsys.jobs.stress.stress`.
    """

    name: str
    answer: Callable[[Asked], Opinion]
    prepared: Prepared | None = None
    vectors: ItemVectors | None = None
    rankings: Rankings | None = None
    made: bool | None = None
    finder: Callable[[Log], Finder] | None = None
    lists: Callable[[pl.DataFrame, Finder], pl.DataFrame] | None = None
    learnt_until: datetime | None = None
    time: TimeSettings | None = None
    kinds: Callable[[Asked], Mapping[str, Flags]] | None = None
    stressed: Callable[[Asked, Floats, datetime], Mapping[str, Interval]] | None = None

    @property
    def kind(self) -> str:
        """What it is, for people."""
        if self.prepared is not None:
            return "model"
        return "baseline" if self.rankings is None else "rankings"


def last_learnt(*systems: System) -> datetime | None:
    """Return the first moment that none of them has learnt from; None where none has learnt."""
    return max((system.learnt_until for system in systems if system.learnt_until is not None), default=None)


def making(*systems: System) -> TimeSettings | None:
    """Return the clock of the lists that are made for any of them; None where all are asked as logged.

    Raises
    ------
    SettingsError
        When two are made at different times of day.
    """
    return one_making({system.name: system.time for system in systems if system.time is not None})


def one_making(clocks: Mapping[str, TimeSettings]) -> TimeSettings | None:
    """Return the clock of the lists that are made, of those that systems of some names know; errors as of `making`."""
    found = {name: time for name, time in clocks.items() if time.nightly}
    if len({(time.made_at, time.zone) for time in found.values()}) > 1:
        said = " and ".join(f"those of {name} {time.in_words()}" for name, time in found.items())
        raise SettingsError(f"lists made at different times of day are different lists: {said}; compare under one")
    return next(iter(found.values()), None)


@dataclass(frozen=True)
class Sides:
    """Two answers to the same requests.

    Attributes
    ----------
    requests
        Logged requests as `Asked` orders them; C rows.
    dataset
        The tables they come from.
    made
        All requests of the tables, or the lists that were made in their place and what these leave out.
    systems, answers
        Both sides, A first.
    seed
        Seed of whatever is drawn.
    of_field
        Whether the lists are those that the sides made of the whole field.
    """

    requests: pl.DataFrame
    dataset: Dataset
    made: Made
    systems: tuple[System, System]
    answers: tuple[Opinion, Opinion]
    seed: int
    of_field: bool = False

    @cached_property
    def lists(self) -> Requests:
        """The requests; their rows are in the order of the table, which is sorted."""
        return Requests.of(self.requests)

    @property
    def scores(self) -> Pair:
        """A's and B's scores, each [C]."""
        return self.answers[0].scores, self.answers[1].scores
