"""Logged requests with their features, and what several rankers say about them: what is learnt from and judged on."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.data.made import NotOut
from recsys.data.windows import Window
from recsys.errors import DataError
from recsys.evaluation.evaluation import BASELINES, PRODUCT, TEXT, UNTUNED, Evaluation, evaluate_rankers
from recsys.evaluation.field_results import FieldResults
from recsys.evaluation.gains import Gains
from recsys.evaluation.priced import Prices
from recsys.evaluation.reliability import ListReliability, list_reliability
from recsys.features.plan import compute_features
from recsys.features.rows import FeatureRows
from recsys.features.settings import FeatureSettings
from recsys.jobs.baselines import baseline_scores
from recsys.jobs.segments import cold_requests
from recsys.past.log import Log
from recsys.past.lookup import Asked
from recsys.progress import progress
from recsys.ranking.calibration import Calibration
from recsys.ranking.examples import Examples
from recsys.ranking.experience import Experience, Kind
from recsys.ranking.positions import UNBIASED, PositionBias
from recsys.ranking.trees import TreeRanker
from recsys.vectors.reader import Reader

Floats = npt.NDArray[np.float64]

ROWS_PER_BATCH = 250_000
"""Rows whose features are computed at once; any other number gives the same answers."""


@dataclass(frozen=True)
class LoggedWindow:
    """Requests and their features, each part that was read at once in the order of `Asked`.

    Attributes
    ----------
    requests
        Rows of the requests table.
    examples
        Feature rows, labels and request starts of the same rows.
    learnt
        The same of the lists that are learnt from: these, or what candidate sources made at their moments.
    experience
        What those have in common; None where there is none.
    """

    requests: pl.DataFrame
    examples: Examples
    learnt: Examples
    experience: Experience | None = None

    def where(self, rows: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> "LoggedWindow":
        """Keep some rows, to judge on and to learn from; a request is kept whole or not at all."""
        examples = self.examples.where(rows)
        return replace(self, requests=self.requests.filter(pl.Series(rows)), examples=examples, learnt=examples)

    def joined(self, later: "LoggedWindow") -> "LoggedWindow":
        """Append later requests."""
        requests = pl.concat([self.requests, later.requests])
        known = later.experience if self.experience is None else self.experience.joined(later.experience)
        examples, learnt = (getattr(self, name).joined(getattr(later, name)) for name in ("examples", "learnt"))
        return LoggedWindow(requests, examples, learnt, known)


def read_logged(
    asked: Asked,
    settings: FeatureSettings,
    reader: Reader | None,
    kind: Kind = "logged",
    folder: Path | None = None,
    weight: str = "",
) -> LoggedWindow:
    """Compute the features of logged requests.

    Parameters
    ----------
    asked
        Rows of the requests table, requests whole.
    settings, reader
        What features are computed from; without a reader the text columns are NaN.
    kind
        Where the lists come from.
    folder
        Where features are kept; in memory when left out.
    weight
        Column that says how much each row counts; all count alike when empty.
    """
    tables, unseen = [], [np.empty(0)]
    with progress(len(asked.candidates), "features", "row") as advance:
        for part in [*asked.parts(ROWS_PER_BATCH)] or [asked]:
            tables.append(FeatureRows.of(compute_features(part, settings, reader), folder))
            unseen.append(part.unseen())
            advance(len(part.candidates))
    table = FeatureRows.joined_of(tables)
    rows = asked.candidates
    experience = Experience.of(kind, asked.lengths, np.concatenate(unseen))
    if kind != "logged":  # nobody was shown these lists in an order
        rows = rows.drop("position", "propensity", strict=False)
    examples = Examples.of(table, asked.starts, rows, weight)
    return LoggedWindow(asked.candidates, examples, examples, experience)


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
    not_out
        What nightly lists leave out; None where lists are not made.
    made
        What lists that candidate sources made are worth; None where there are no sources.
    calibration
        Of the ranker `both`, where click probabilities are judged.
    bias
        What was done about clicks that fell where people looked, when the rankers learnt.
    kept
        What reads texts after the last lesson, see `recsys.learning.lessons.Lesson`; empty where nothing was learnt.
    gains, priced
        Who gains and who loses by the order of `both`, and what the rules of the model cost; None where it was not
        looked at.
    """

    window: LoggedWindow
    log: Log
    name: Window
    seed: int
    scores: Mapping[str, Floats]
    sampled: bool = False
    not_out: NotOut | None = None
    made: FieldResults | None = None
    calibration: Calibration | None = None
    bias: PositionBias = UNBIASED
    kept: str = ""
    gains: Gains | None = None
    priced: Prices | None = None

    @cached_property
    def evaluation(self) -> Evaluation:
        """Measures, paired differences and segments of every ranker."""
        segments = {"cold items": cold_requests(self.window.requests, self.log)}
        requests, sampled = self.window.requests, self.sampled
        found = evaluate_rankers(requests, self.scores, segments, self.name, self.seed, sampled=sampled)
        found = replace(found, not_out=self.not_out, made=self.made, reliability=self._reliability())
        return replace(found, gains=self.gains, priced=self.priced)

    def _reliability(self) -> ListReliability | None:
        """Hold click probabilities against the clicks of lists that were logged."""
        if self.calibration is None or self.sampled:
            return None
        examples = self.window.examples
        probabilities = self.calibration.probability(self.scores[PRODUCT], examples.starts)
        return list_reliability(examples.labels, probabilities, examples.starts, self.seed)

    def calibrated(self, calibration: Calibration) -> "Judgement":
        """Judge click probabilities of `both` too, in the one window that neither ranker nor calibration has seen."""
        return replace(self, calibration=calibration) if self.name == "test" else self

    def with_untuned(self, reader: Reader | None, query: str) -> "Judgement":
        """Judge what heads alone learnt on the published encoder, too, where another one reads.

        Parameters
        ----------
        reader
            Reads by that encoder; None where it is the one that reads.
        query
            Column of the requests' own texts, empty where there is none.
        """
        if reader is None:
            return self
        requests, starts = self.window.requests, self.window.examples.starts
        asked = requests[query].gather(starts[:-1]) if query else None
        signals = reader.signals(self.log, self.log.rows(requests), starts, asked)
        scores = dict[str, Floats]()
        for name, of in self.scores.items():  # its row comes before that of the text
            if name == TEXT:
                scores[UNTUNED] = below_all(signals.text_score)
            scores[name] = of
        return replace(self, scores=scores)

    def beside(self, name: str, scores: Floats) -> "Judgement":
        """Judge one more ranker on the same requests, given its scores per row of the window."""
        return replace(self, scores={**self.scores, name: scores})


def judge(logged: LoggedWindow, log: Log, window: Window, rankers: Mapping[str, TreeRanker], seed: int) -> Judgement:
    """Compare the rankers on logged requests: the baselines, text alone, and those that learnt from behaviour.

    The baselines are those of `recsys.jobs.baselines`; text is the encoder's own score, below all others where an item
    has no text score.

    Raises
    ------
    DataError
        When the window holds no request.
    """
    if logged.requests.is_empty():
        raise DataError(
            f"the {window} window holds no request; evaluate another window, or move [windows] and train again"
        )
    table, asked = logged.examples.table, Asked(logged.requests, logged.examples.starts, log)
    scores = {
        **{name: baseline_scores(name, asked, seed) for name in BASELINES},
        TEXT: text_alone(table),
        **{name: ranker.score(known_to(ranker, table)) for name, ranker in rankers.items()},
    }
    return Judgement(logged, log, window, seed, scores)


def known_to(ranker: TreeRanker, table: FeatureRows) -> FeatureRows:
    """Leave out what a ranker has not learnt from."""
    return table.without([name for name in table.columns if name not in ranker.contract.names])


def text_alone(table: FeatureRows) -> Floats:
    """Return the encoder's own score of every feature row, below all others where an item has none."""
    return below_all(table.column("text_score"))


def below_all(text: npt.NDArray[np.floating]) -> Floats:
    """Put what has no score below all others."""
    found: Floats = np.nan_to_num(text.astype(np.float64), nan=np.nanmin(text, initial=0.0) - 1.0)
    return found
