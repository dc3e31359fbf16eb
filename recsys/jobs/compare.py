"""Compare: may B replace A? Two systems on the requests that neither has learnt from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import polars as pl

from recsys.data.clock import TimeSettings
from recsys.data.tables import Dataset
from recsys.errors import DataError, SettingsError
from recsys.evaluation.comparison import Comparison, compare_rankers
from recsys.evaluation.plan import DEFAULT_PLAN, Plan
from recsys.evaluation.reports.answer import MADE_LISTS
from recsys.evaluation.reports.comparison_report import to_html, to_text
from recsys.evaluation.reports.exhibited import Exhibits
from recsys.jobs.exhibits import collect_exhibits
from recsys.jobs.gains import judge_shifts
from recsys.jobs.made_sides import has_candidates, make_lists
from recsys.jobs.segments import segment_requests
from recsys.jobs.sides import Sides, System, last_learnt, making
from recsys.jobs.systems import Source, open_system
from recsys.model.prepared import Prepared, prepare
from recsys.past.lookup import Asked
from recsys.settings import Settings
from recsys.statistics.intervals import Interval


@dataclass(frozen=True)
class Compared:
    """A comparison and what people look at beside it.

    Attributes
    ----------
    comparison
        Differences and the verdict.
    exhibits
        Movement, reliability, measures without labels, examples, facts and notes.
    sides
        The requests and what either side says of them.
    """

    comparison: Comparison
    exhibits: Exhibits
    sides: Sides

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
    a: Source,
    b: Source,
    dataset: Dataset,
    plan: Plan = DEFAULT_PLAN,
    columns: Sequence[str] = (),
    names: tuple[str, str] | None = None,
    stressed: bool = False,
) -> Compared:
    """Compare two systems on logged requests.

    The requests are those that no model has learnt from, which end with its valid window, be it in a folder of
    `recsys train` or of `recsys score`. Where no model folder takes part, they are, of these, those that one of the
    rankings ranks; for two baselines all. Where one side makes nightly lists, both are asked the made lists.

    Where a model has candidate sources, or rankings hold more than the candidates of drawn lists, the two are compared
    on lists that they make of the whole field, against what was chosen of it; a side that finds no candidates orders
    those of the other. These lists decide where those of the tables were drawn, and come second where they were logged.

    Parameters
    ----------
    a, b
        What is there and what may replace it: model folders, ranking files or tables, or baselines, see
        `recsys.jobs.systems.open_system`.
    dataset
        Tables that hold the requests and the behaviour before them.
    plan
        What to measure, which measure decides, what matters.
    columns
        Columns of requests, users or items to compare by, beside the segments that are always there.
    names
        What people call A and B; what they are given as when left out.
    stressed
        Whether to measure what bad days cost each side that is a model, see `recsys.jobs.stress`.

    Raises
    ------
    DataError
        When a side is none of these, the tables or rankings have faults, or no request is left to compare.
    ModelError
        When a model folder is damaged.
    SettingsError
        When two models learnt different labels, their lists are made at different times of day, one makes lists and
        the other reads what only a request knows, a column or measure is not known, or no side can have bad days.

    Examples
    --------
    >>> from recsys import WorldSettings, make_world
    >>> dataset = make_world(WorldSettings(items=100, users=40, requests=200)).dataset
    >>> print(compare("random", "popularity", dataset).comparison.verdict)
    better
    """
    first, second = (
        open_system(source, dataset, name, plan.seed)
        for source, name in zip((a, b), names or _names(a, b), strict=True)
    )
    _refuse_bad_days(stressed, first, second, dataset)
    prepared = _prepare(first, second, dataset)
    judged = _judged(first, second, prepared.made.lists)
    return _of_lists((first, second), prepared, judged, columns, plan, stressed)


def _of_lists(
    both: tuple[System, System],
    prepared: Prepared,
    judged: tuple[str, pl.DataFrame],
    columns: Sequence[str],
    plan: Plan,
    stressed: bool,
) -> Compared:
    """Compare on the lists of the tables, on made ones, or on both, those first that are more like what is shown."""
    (window, chosen), sampled, found = judged, prepared.dataset.about.sampled, []
    more = [has_candidates(side, chosen) for side in both]
    written = [own for side, own in zip(both, more, strict=True) if side.rankings is not None]
    if any(more) and all(written) and (sampled or not written):
        made = make_lists(both, chosen, prepared.log, plan.seed)
        sides = Sides(made.asked.candidates, prepared.dataset, prepared.made, both, made.answers, plan.seed, True)
        found.append(_compared(made.asked, sides, columns, MADE_LISTS, plan.of_field(sampled)))
    if not (found and written):  # rankings of made lists say nothing of others
        asked = Asked.of(chosen, prepared.log)
        answers = (both[0].answer(asked), both[1].answer(asked))
        sides = Sides(asked.candidates, prepared.dataset, prepared.made, both, answers, plan.seed)
        logged = _compared(asked, sides, columns, window, plan)
        worse = _bad_days(asked, sides) if stressed else {}
        found.append(replace(logged, exhibits=replace(logged.exhibits, stress=worse)))
    shown, *others = found if sampled else found[::-1]
    beside = others[0].comparison if others else None
    return replace(shown, exhibits=replace(shown.exhibits, second=beside))


def _compared(asked: Asked, sides: Sides, columns: Sequence[str], window: str, plan: Plan) -> Compared:
    """Hold the answers of two sides against what was chosen."""
    segments = segment_requests(asked, replace(sides.dataset, requests=sides.made.lists), columns)
    a, b = (system.name for system in sides.systems)
    comparison = compare_rankers(sides.requests, *sides.scores, (a, b), segments, window, plan)
    exhibits = replace(collect_exhibits(sides, plan.primary), exposure=judge_shifts(sides, asked, columns))
    return Compared(comparison, exhibits, sides)


def _refuse_bad_days(asked_for: bool, first: System, second: System, dataset: Dataset) -> None:
    """Refuse to say what bad days cost where nobody can tell."""
    if asked_for and (dataset.about.sampled or first.stressed is second.stressed is None):
        missing = "no list was logged" if dataset.about.sampled else "neither side is a model"
        raise SettingsError(f"what bad days cost cannot be measured where {missing}; leave it out (`--stress`)")


def _bad_days(asked: Asked, sides: Sides) -> dict[str, Mapping[str, Interval]]:
    """Measure what bad days cost each side that is a model, A or B; the feed stops where both have learnt."""
    begin = last_learnt(*sides.systems)
    return {
        side: system.stressed(asked, scores, begin)
        for side, system, scores in zip("AB", sides.systems, sides.scores, strict=True)
        if system.stressed is not None and begin is not None
    }


def _names(a: Source, b: Source) -> tuple[str, str]:
    """Call each side as the caller did; two of one name are told apart by their place."""
    names = tuple(side if isinstance(source, pl.DataFrame) else str(source) for side, source in (("A", a), ("B", b)))
    return (names[0], names[1]) if names[0] != names[1] else (f"{names[0]} (A)", f"{names[1]} (B)")


def _prepare(first: System, second: System, dataset: Dataset) -> Prepared:
    """Give the tables with the labels that models learnt, and the behaviour before each request.

    Where one side's lists are made, both are asked these.
    """
    made, clocks = making(first, second), [each.time for each in (first, second) if each.time is not None]
    models = [each.prepared for each in (first, second) if each.prepared is not None]
    if not models:
        return prepare(dataset, Settings(time=made or next(iter(clocks), TimeSettings())))
    labels = [prepared.settings.labels for prepared in models]
    if labels[0] != labels[-1]:
        raise SettingsError(
            f"{first.name} and {second.name} learnt different labels ([labels] {labels[0].model_dump(mode='json')} and "
            f"{labels[-1].model_dump(mode='json')}); train both with the same"
        )
    for system in (first, second) if made is not None else ():
        for setting, name in [] if system.prepared is None else system.prepared.settings.of_requests:
            raise SettingsError(
                f"{system.name} reads {name!r} of requests ({setting}), and the nightly lists of the other side are "
                "made before anybody asks; compare it with a model of its own freshness"
            )
    if made is None or models[0].settings.time.nightly:
        return models[0]
    return replace(models[0], settings=models[0].settings.model_copy(update={"time": made}))


def _judged(first: System, second: System, requests: pl.DataFrame) -> tuple[str, pl.DataFrame]:
    """Choose the requests to compare on, and say which they are."""
    sides = (first, second)
    window, chosen = "logged", requests
    learnt = last_learnt(*sides)
    if learnt is not None:
        window, chosen = "test", requests.filter(pl.col("timestamp") >= learnt)
        if chosen.is_empty():
            last = requests["timestamp"].sort().dt.to_string("%F %T")[-1]
            raise DataError(
                f"no request is left that the models have not learnt from: they have learnt until {learnt:%F %T} "
                f"UTC, requests end at {last} UTC; import later requests"
            )
    rankings = [system.rankings.table for system in sides if system.rankings is not None]
    ranked = [table["request_id"].unique().cast(pl.String) for table in rankings]
    if ranked and all(system.prepared is None for system in sides):
        window = "test" if learnt else "ranked"
        chosen = chosen.filter(pl.col("request_id").cast(pl.String).is_in(pl.concat(ranked).unique().implode()))
        if chosen.is_empty():
            raise DataError(
                f"{first.name} and {second.name} rank none of the {requests['request_id'].n_unique()} logged requests"
                f"{' after what their models have learnt from' if learnt else ''}; rank requests of this data folder, "
                "under their ids"
            )
    return window, chosen
