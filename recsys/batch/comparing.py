"""Compare: may B replace A? Two systems on the requests that neither has learnt from."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from recsys.batch.exhibits import collect_exhibits
from recsys.batch.segments import segment_requests
from recsys.batch.systems import Answer, Source, System, open_system
from recsys.data.checks import check_tables
from recsys.data.clock import TimeSettings
from recsys.data.faults import refuse_errors
from recsys.data.tables import Dataset
from recsys.errors import DataError, SettingsError
from recsys.evaluation.comparison import Comparison, compare_rankers
from recsys.evaluation.comparison_report import Exhibits, to_html, to_text
from recsys.evaluation.plan import DEFAULT_PLAN, Plan
from recsys.features.behaviour import Behaviour, Kept
from recsys.features.builder import sort_candidates
from recsys.features.log import Log


@dataclass(frozen=True)
class Compared:
    """A comparison and what people look at beside it.

    Attributes
    ----------
    comparison
        Differences and the verdict.
    exhibits
        Movement, reliability, measures without labels, examples, facts and notes.
    """

    comparison: Comparison
    exhibits: Exhibits

    def to_text(self, width: int = 120) -> str:
        """Write it for a terminal of at least 80 characters a line."""
        return to_text(self.comparison, self.exhibits, width)

    def to_html(self) -> str:
        """Write it as one page that needs neither network nor script."""
        return to_html(self.comparison, self.exhibits)

    def to_json(self) -> dict[str, object]:
        """Return plain objects for `json.dumps`; what is not a number is None."""
        return {**self.comparison.to_json(), **self.exhibits.to_json()}


def compare(
    a: Source, b: Source, dataset: Dataset, plan: Plan = DEFAULT_PLAN, columns: Sequence[str] = ()
) -> Compared:
    """Compare two systems on logged requests.

    Where a model takes part, the requests are those after its valid window, which it has not learnt from, of two models
    after the later one. Otherwise they are those that one of the ranking files ranks, or all of them for two
    baselines.

    Parameters
    ----------
    a, b
        What is there and what may replace it: model folders, ranking files or tables, `"random"` or `"popularity"`,
        see `recsys.batch.systems.open_system`.
    dataset
        Tables that hold the requests and the behaviour before them.
    plan
        What to measure, which measure decides, what matters.
    columns
        Columns of requests, users or items to compare by, beside the segments that are always there.

    Raises
    ------
    DataError
        When a side is none of these, the tables or rankings have faults, or no request is left to compare.
    ModelError
        When a model folder is damaged.
    SettingsError
        When two models learnt different labels, or a column or measure is not known.

    Examples
    --------
    >>> from recsys import WorldSettings, make_world
    >>> dataset = make_world(WorldSettings(items=100, users=40, requests=200)).dataset
    >>> print(compare("random", "popularity", dataset).comparison.verdict)
    better
    """
    first, second = (
        open_system(source, dataset, name, plan.seed) for source, name in zip((a, b), _names(a, b), strict=True)
    )
    dataset, log = _tables(first, second, dataset)
    requests = sort_candidates(_shared(first, second, dataset.requests))
    answers = tuple(system.answer(requests, log) for system in (first, second))
    segments = segment_requests(requests, log, dataset, columns)
    scores = (answers[0].scores, answers[1].scores)
    comparison = compare_rankers(requests, *scores, (first.name, second.name), segments, "shared", plan)
    return Compared(comparison, collect_exhibits(comparison, (first, second), answers, requests, dataset, plan))
