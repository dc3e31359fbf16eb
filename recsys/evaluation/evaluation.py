"""Rankers side by side on the same requests: means, paired differences and segments."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.data.made import NotOut
from recsys.errors import DataError, SettingsError
from recsys.evaluation.field_results import FieldResults, MeasureTable
from recsys.evaluation.measures import AUC, FIRST_HIT_MRR, MRR, POOLED, Measure, auc_pooled, ndcg, per_request
from recsys.evaluation.reliability import ListReliability
from recsys.evaluation.requests import Requests
from recsys.statistics.intervals import Interval, intervals_over_users
from recsys.statistics.numbers import Flags, Floats, Scores
from recsys.statistics.ties import tied_rows
from recsys.statistics.totals import check_lengths

if TYPE_CHECKING:
    from recsys.evaluation.gains import Gains
    from recsys.evaluation.priced import Prices

REPORTED = (AUC, MRR, FIRST_HIT_MRR, ndcg(5), ndcg(10))
"""What is computed per request unless other measures are named, in the order of every table."""

PRODUCT = "both"
"""The ranker that differences are taken from."""

AGELESS = f"{PRODUCT} without ages"
"""The same without the ages of items, where they say more than was known when lists were made."""

TEXT, UNTUNED = "text", "untuned text"
"""The text model's own score, and that of heads alone on the encoder as it was published, where another one reads."""

BEST_POSSIBLE = "best possible"
"""A reference no ranker can pass, known in a simulated world; it stands in tables and gets no difference."""

RANDOM, POPULARITY, RECENCY, CHOSEN_BEFORE, COVISITATION = BASELINES = (
    "random",
    "popularity",
    "recency",
    "chosen before",
    "co-visitation",
)
"""Simple rules that learn nothing, in the order of every table: the least that a model must beat."""


def sides(difference: str) -> tuple[str, str]:
    """Give the two rankers of a difference by its name.

    Examples
    --------
    >>> sides("both-co-visitation")
    ('both', 'co-visitation')
    """
    first = TEXT if difference == f"{TEXT}-{UNTUNED}" else PRODUCT
    return first, difference.removeprefix(f"{first}-")


@dataclass(frozen=True)
class Results:
    """What some requests say about every ranker.

    Attributes
    ----------
    requests, users
        How many.
    judged
        Measure, how many users have a request that it is defined for.
    rankers
        Ranker, measure, interval of the mean over requests.
    differences
        `both-<other>`, measure, interval of the mean difference paired by request.
    """

    requests: int
    users: int
    rankers: MeasureTable
    differences: MeasureTable
    judged: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Evaluation:
    """What a window says about every ranker.

    Attributes
    ----------
    window
        Name of the window.
    overall
        All of its requests.
    segments
        Some of its requests, by name of the segment.
    left_out
        Measure, how many requests of the window it is not defined for: without a positive, for AUC also without a
        negative.
    sampled
        Whether the other items of each list were drawn at random instead of logged.
    tied
        Ranker, the share of candidates that it gives the score of another one of their request.
    not_out
        What nightly lists leave out; None where lists are not made.
    made
        What lists that candidate sources make are worth; None where there are no sources, or nothing was chosen.
    reliability
        Whether click probabilities of `both` mean what they say; None where there are none that could be judged.
    priced
        What the rules of ranked lists cost; None where there are none.
    gains
        Who gains and who loses; None where it was not looked at.
    stress
        What nDCG@10 of `both` loses on bad days, see `recsys.jobs.stress`; None where it was not looked at.
    """

    window: str
    overall: Results
    segments: Mapping[str, Results]
    left_out: Mapping[str, int]
    sampled: bool = False
    tied: Mapping[str, float] = field(default_factory=dict)
    not_out: NotOut | None = None
    made: FieldResults | None = None
    reliability: ListReliability | None = None
    priced: "Prices | None" = None
    gains: "Gains | None" = None
    stress: Mapping[str, Interval] | None = None

    @property
    def first(self) -> Results:
        """What decides: lists made of the whole field where there are any, else the requests of the window."""
        made = self.made
        return self.overall if made is None else Results(made.lists, made.users, made.rankers, made.differences)

    def to_json(self) -> dict[str, object]:
        """Return plain objects for `json.dumps`; what is not a number is None."""
        return {
            "window": self.window,
            **_results_to_json(self.overall),
            "segments": {name: _results_to_json(results) for name, results in self.segments.items()},
            "left_out": dict(self.left_out),
            "sampled": self.sampled,
            "tied": dict(self.tied),
            "reliability": None if self.reliability is None else self.reliability.to_json(),
            **({} if self.not_out is None else {"not_out": self.not_out.to_json()}),
            **({} if self.made is None else {"made": self.made.to_json()}),
            **({} if self.priced is None else {"priced": self.priced.to_json()}),
            **({} if self.gains is None else {"gains": self.gains.to_json()}),
            **({} if self.stress is None else {"stress": {name: of.to_json() for name, of in self.stress.items()}}),
        }


def evaluate_rankers(
    requests: pl.DataFrame,
    scores: Mapping[str, Scores],
    segments: Mapping[str, Flags],
    window: str,
    seed: int = 0,
    resamples: int = 1000,
    sampled: bool = False,
    measures: Sequence[Measure] = REPORTED,
) -> Evaluation:
    """Measure rankers on logged requests.

    Parameters
    ----------
    requests
        Candidates with `request_id`, `user_id`, `label`, rows in any order; C rows.
    scores
        Ranker, [C] its scores in the order of the rows. Differences are taken from `"both"` when it is among them.
    segments
        Segment, [C] whether the row's request is in it; the same for all rows of a request.
    window
        Name of the window that the requests come from.
    seed
        Seed of the bootstrap; the same seed gives the same intervals, whatever the order of the rows.
    resamples
        Resamples of the bootstrap over users.
    sampled
        Whether the lists were drawn by an importer; every report then says so.
    measures
        What to compute per request, at least one; AUC pooled is always added.

    Raises
    ------
    DataError
        When there is no request or no ranker, an id or label is missing, a score is NaN, a length differs, or a
        segment cuts through a request.
    SettingsError
        When there is no measure.
    """
    if not measures:
        raise SettingsError("there is no measure to compute; name at least one, such as nDCG@10")
    if requests.is_empty():
        raise DataError(f"the {window} window holds no request to evaluate; move [windows] cuts or name another window")
    if not scores:
        raise DataError("there is no ranker to evaluate; pass the scores of at least one")
    check_lengths(requests.height, {**scores, **segments})
    lists = Requests.of(requests)
    judge = _Judge.of(lists, {name: lists.rows(of) for name, of in scores.items()}, measures, seed, resamples)
    return Evaluation(
        window=window,
        overall=judge.results(np.ones(len(lists.users), dtype=bool)),
        segments={name: judge.results(lists.flags(name, flags)) for name, flags in segments.items()},
        left_out=judge.left_out(),
        sampled=sampled,
        tied=judge.tied(),
    )


@dataclass(frozen=True)
class _Judge:
    """Every ranker's scores in the order of the lists, and its measures per request."""

    lists: Requests
    scores: Mapping[str, Scores]
    measures: Sequence[Measure]
    values: Mapping[str, Floats]  # ranker, [M, R]
    seed: int
    resamples: int

    @classmethod
    def of(
        cls,
        lists: Requests,
        scores: Mapping[str, Scores],
        measures: Sequence[Measure],
        seed: int,
        resamples: int,
    ) -> "_Judge":
        values = {name: per_request(measures, lists.labels, of, lists.starts) for name, of in scores.items()}
        return cls(lists, scores, measures, values, seed, resamples)

    def left_out(self) -> dict[str, int]:
        """Count the requests that a measure is not defined for; the labels alone decide, so any ranker tells."""
        undefined = np.isnan(next(iter(self.values.values()))).sum(axis=1).tolist()
        positive = self.lists.labels > 0
        return {
            **dict(zip(map(str, self.measures), undefined, strict=True)),
            POOLED: len(self.lists.users) if positive.all() or not positive.any() else 0,
        }

    def tied(self) -> dict[str, float]:
        """Give the share of candidates that each ranker ties with another one of their request."""
        request = np.repeat(np.arange(len(self.lists.users)), np.diff(self.lists.starts))
        orders = {name: np.lexsort((of, request)) for name, of in self.scores.items()}
        return {name: float(tied_rows(self.scores[name][of], request).mean()) for name, of in orders.items()}

    def results(self, inside: Flags) -> Results:
        """Judge the requests that are `inside` [R]."""
        requests = int(np.count_nonzero(inside))
        if not requests:
            return Results(0, 0, {}, {})
        pooled = self._pooled(inside)
        values = {name: of[:, inside] for name, of in self.values.items()}
        for name in self.scores:
            if PRODUCT in self.scores and name not in (PRODUCT, BEST_POSSIBLE):
                values[f"{PRODUCT}-{name}"] = values[PRODUCT] - values[name]
                pooled[f"{PRODUCT}-{name}"] = pooled[PRODUCT] - pooled[name]
        if TEXT in self.scores and UNTUNED in self.scores:
            values[f"{TEXT}-{UNTUNED}"] = values[TEXT] - values[UNTUNED]
            pooled[f"{TEXT}-{UNTUNED}"] = pooled[TEXT] - pooled[UNTUNED]
        users = np.unique(self.lists.users[inside], return_inverse=True)[1]
        intervals = iter(intervals_over_users(np.concatenate(list(values.values())), users, self.resamples, self.seed))
        table = {
            name: {
                **{str(measure): next(intervals) for measure in self.measures},
                POOLED: Interval(pooled[name], math.nan, math.nan),
            }
            for name in values
        }
        return Results(
            requests=requests,
            users=len(np.unique(users)),
            rankers={name: row for name, row in table.items() if name in self.scores},
            differences={name: row for name, row in table.items() if name not in self.scores},
            judged=self._judged(users, inside),
        )

    def _judged(self, users: npt.NDArray[np.intp], inside: Flags) -> dict[str, int]:
        """Count the users with a value of each measure; the labels alone decide, so any ranker tells."""
        known = np.isfinite(next(iter(self.values.values()))[:, inside])
        return {str(measure): len(np.unique(users[of])) for measure, of in zip(self.measures, known, strict=True)}

    def _pooled(self, inside: Flags) -> dict[str, float]:
        rows = slice(None) if inside.all() else np.repeat(inside, np.diff(self.lists.starts))
        return {name: auc_pooled(self.lists.labels[rows], scores[rows]) for name, scores in self.scores.items()}


def _results_to_json(results: Results) -> dict[str, object]:
    return {
        "requests": results.requests,
        "users": results.users,
        "rankers": _table_to_json(results.rankers),
        "differences": _table_to_json(results.differences),
    }


def _table_to_json(table: MeasureTable) -> dict[str, dict[str, dict[str, float | None]]]:
    return {name: {measure: interval.to_json() for measure, interval in row.items()} for name, row in table.items()}
