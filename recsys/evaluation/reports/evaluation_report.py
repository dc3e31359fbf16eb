"""An evaluation for people: a table for the terminal and one self-contained page."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from recsys.evaluation.evaluation import BEST_POSSIBLE, PRODUCT, Evaluation, Results, sides
from recsys.evaluation.field_results import MeasureTable
from recsys.evaluation.measures import POOLED
from recsys.evaluation.reliability import ListReliability
from recsys.evaluation.reports.brief import HEADLINE, bad_days, brief
from recsys.evaluation.reports.charts import Chart, Row, interval_chart
from recsys.evaluation.reports.pages import count, left_out, number, printed, render, signed, terminal
from recsys.statistics.intervals import Interval

_ANY = 1_000  # characters, more than a table takes


@dataclass(frozen=True)
class Listed:
    """One candidate of an example list.

    Attributes
    ----------
    title
        What the item says, as people would read it.
    both, behaviour
        Rank by each ranker, 1 = first.
    label
        What happened: 0 nothing, 1 click, more is better.
    """

    title: str
    both: int
    behaviour: int
    label: int


@dataclass(frozen=True)
class Example:
    """One request to look at.

    Attributes
    ----------
    request
        Its name.
    recent
        Titles of what the user chose before, newest first; empty for a new user, None where it is not to be shown.
    listed
        Its candidates, in any order.
    """

    request: str
    recent: tuple[str, ...] | None
    listed: tuple[Listed, ...]


def to_text(evaluation: Evaluation, width: int = 120) -> str:
    """Write an evaluation for a terminal: what it means, then rankers as rows and measures as columns.

    Parameters
    ----------
    evaluation
        What to write.
    width
        Characters in a line, 80 at least; the ends of an interval stand under each other where they do not fit beside.
    """
    console = terminal(width)
    said = brief(evaluation)
    for line in (said.sentence, *(f"Mind: {warning}" for warning in said.warnings)):
        if line:
            console.print(line)
    if (made := evaluation.made) is not None:
        console.print(made.in_words())
        tables = (("ranker", made.rankers), ("difference", made.differences), ("source", made.sources))
        _print_tables(console, tables, width)
    parts = {f"{evaluation.window} window": evaluation.overall, **evaluation.segments}
    for name, results in parts.items():
        console.print(f"{name}: {_requests(results)}")
        _print_tables(console, (("ranker", results.rankers), ("difference", results.differences)), width)
    console.print(
        "Means over requests with 95 % intervals by bootstrap over users; AUC pooled is one list, no interval."
    )
    if evaluation.reliability is not None:
        console.print(_reliability_table(evaluation.reliability))
        console.print(
            "Calibration error: mean of |share clicked - click probability| over ten bins of as many candidates; "
            "probabilities that are exactly right stay within `by chance` 95 times of 100."
        )
    told = [each.in_words() for each in (evaluation.gains, evaluation.priced) if each is not None]
    told += [] if evaluation.stress is None else [bad_days(PRODUCT, evaluation.stress)]
    for sentence in (*_left_out(evaluation), *(line for lines in told for line in lines)):
        console.print(sentence)
    return printed(console)


def _print_tables(console: Console, tables: Sequence[tuple[str, MeasureTable]], width: int) -> None:
    for caption, table in tables:
        write = signed if caption == "difference" else number
        if table:
            beside = _rich_table(caption, table, write, "..")
            fits = console.measure(beside, options=console.options.update(width=_ANY)).maximum <= width
            console.print(beside if fits else _rich_table(caption, table, write, "\n"))


def to_html(
    evaluation: Evaluation,
    title: str,
    facts: Mapping[str, str],
    notes: Sequence[str],
    examples: Sequence[Example] = (),
) -> str:
    """Write an evaluation as one page that needs nothing else: no network, no script.

    Parameters
    ----------
    evaluation
        What to write.
    title
        Heading of the page.
    facts
        What was judged and on what, as name and value: model, data, seed.
    notes
        Sentences for the reader, such as what the importer had to say.
    examples
        A few requests to look at.
    """
    parts = {"all requests": evaluation.overall, **evaluation.segments}
    if evaluation.made is not None:
        parts = {"lists made of the whole field": evaluation.first, **parts}
    values: dict[str, object] = {
        "title": title,
        "window": evaluation.window,
        "requests": evaluation.overall.requests,
        "made": evaluation.made,
        "brief": brief(evaluation),
        "parts": [_part(name, results) for name, results in parts.items()],
        "headline": HEADLINE,
        "product": PRODUCT,
        "sides": sides,
        "verdict": _verdict,
        "left_out": _left_out(evaluation),
        "reliability": evaluation.reliability,
        "gains": evaluation.gains,
        "priced": evaluation.priced,
        "facts": facts,
        "notes": notes,
        "examples": [(example, sorted(example.listed, key=lambda listed: listed.both)) for example in examples],
    }
    return render("report.html.j2", values)


@dataclass(frozen=True)
class _Part:
    """One section of the page: some requests, their tables and a chart per measure."""

    name: str
    results: Results
    means: Mapping[str, Chart]
    differences: Mapping[str, Chart]


def _part(name: str, results: Results) -> _Part:
    return _Part(name, results, _charts(results.rankers, differ=False), _charts(results.differences, differ=True))


def _charts(table: MeasureTable, differ: bool) -> dict[str, Chart]:
    kinds = {PRODUCT: "product", BEST_POSSIBLE: "reference"}
    return {
        measure: interval_chart(
            [
                Row(name, row[measure], _verdict(row[measure]) if differ else kinds.get(name, "other"))
                for name, row in table.items()
            ],
            with_zero=differ,
        )
        for measure in _measures(table)
        if measure != POOLED
    }


def _rich_table(caption: str, table: MeasureTable, write: Callable[[float], str], between: str) -> Table:
    drawn = Table(box=SIMPLE, padding=(0, 1, 0, 0), pad_edge=False)
    drawn.add_column(caption, no_wrap=True)
    for measure in _measures(table):
        drawn.add_column(measure, justify="right")
    for name, row in table.items():
        drawn.add_row(Text(name), *(Text(_cell(interval, write, between)) for interval in row.values()))
    return drawn


def _reliability_table(of: ListReliability) -> Table:
    drawn = Table(box=SIMPLE, padding=(0, 1, 0, 0), pad_edge=False)
    drawn.add_column(f"click probabilities of {PRODUCT}", no_wrap=True)
    for name in ("candidates", "calibration error", "by chance", "log loss"):
        drawn.add_column(name, justify="right")
    for name, row in of.rows.items():
        figures = (row.count, row.calibration_error, row.by_chance, row.log_loss)
        drawn.add_row(Text(name), *(number(each) for each in figures))
    return drawn


def _cell(interval: Interval, write: Callable[[float], str], between: str) -> str:
    if math.isnan(interval.low):
        return write(interval.mean)
    return f"{write(interval.mean)}\n{write(interval.low)}{between}{write(interval.high)}"


def _measures(table: MeasureTable) -> tuple[str, ...]:
    return tuple(next(iter(table.values()), {}))


def _verdict(interval: Interval) -> str:
    if not interval.clear:
        return "unclear"
    return "better" if interval.low > 0 else "worse"


def _left_out(evaluation: Evaluation) -> list[str]:
    """Say what measures leave out, and nightly lists."""
    of_lists = [] if evaluation.not_out is None else [evaluation.not_out.in_words()]
    unknown = 0 if evaluation.reliability is None else evaluation.reliability.unknown
    if unknown:
        of_lists.append(f"Click probabilities: {count(unknown, 'candidate')} left out, lists of sizes not learnt from.")
    return [*left_out(evaluation.left_out, evaluation.overall.requests), *of_lists]


def _requests(results: Results) -> str:
    return f"{count(results.requests, 'request')} of {count(results.users, 'user')}"
