"""An evaluation for people: a table for the terminal and one self-contained page."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from recsys.evaluation.evaluation import BEST_POSSIBLE, PRODUCT, Evaluation, Results, sides
from recsys.evaluation.field_results import MeasureTable
from recsys.evaluation.measures import POOLED
from recsys.evaluation.reports.brief import HEADLINE, bad_days, brief
from recsys.evaluation.reports.charts import Chart, Row, interval_chart
from recsys.evaluation.reports.pages import count, left_out, number, printed, render, signed, terminal
from recsys.statistics.intervals import Interval

SHOWN = (HEADLINE, "AUC", "recall@50")
"""Measures that a terminal shows, where there are any of them; files show all."""

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
    """Write an evaluation for a terminal: what it means, then the rankers and what the product gains over each.

    Parameters
    ----------
    evaluation
        What to write; of its measures two are shown.
    width
        Characters in a line, 80 at least; an interval stands under its mean where it does not fit beside.
    """
    console = terminal(width)
    said = brief(evaluation)
    for line in (said.sentence, *(f"Mind: {warning}" for warning in said.warnings)):
        if line:
            console.print(line)
    if (made := evaluation.made) is not None:
        console.print(made.in_words())
        _print_table(console, _columns(made.rankers, made.differences), width)
        _print_table(console, _columns(made.sources, {}, "source"), width)
    parts = {f"{evaluation.window} window": evaluation.overall, **evaluation.segments}
    for name, results in parts.items():
        console.print(f"{name}: {_requests(results)}")
        _print_table(console, _columns(results.rankers, results.differences), width)
        for line in _other_differences(results.differences):
            console.print(line)
    console.print(
        "Means over requests, 95 % intervals by bootstrap over users. All measures are in the report of a training and "
        "in the JSON of an evaluation."
    )
    if (found := evaluation.reliability) is not None:
        console.print(
            f"Click probabilities of {PRODUCT} are off by {number(found.calibration_error)} on average over ten bins "
            f"(right ones by up to {number(found.by_chance)}, 95 times of 100)."
        )
    told = [each.in_words() for each in (evaluation.gains, evaluation.priced) if each is not None]
    told += [] if evaluation.stress is None else [bad_days(PRODUCT, evaluation.stress)]
    for sentence in (*_left_out(evaluation), *(line for lines in told for line in lines)):
        console.print(sentence)
    return printed(console)


Cells = tuple[tuple[str, ...], Mapping[str, Sequence[tuple[str, str]]]]
"""Headings of a table for the terminal, and by name of its rows what stands in each cell, its interval apart."""


def _columns(table: MeasureTable, differences: MeasureTable, caption: str = "ranker") -> Cells:
    """Put what the product gains over each ranker beside the ranker's own measures, of those that are shown.

    Only gains have their intervals then: those of two means say little of their difference, which is paired.
    """
    shown = [measure for measure in SHOWN if measure in _measures(table)] or [*_measures(table)]
    gains = {sides(name)[1]: row for name, row in differences.items() if sides(name)[0] == PRODUCT}
    headings, rows = [caption], dict[str, list[tuple[str, str]]]({name: [] for name in table})
    for measure in shown:
        headings += [measure, f"{PRODUCT} minus it"] if gains else [measure]
        for name, row in table.items():
            rows[name].append((number(row[measure].mean), "" if gains else _ends(row[measure], number)))
            if gains:
                gain = gains.get(name, {}).get(measure)
                rows[name].append(("", "") if gain is None else (signed(gain.mean), _ends(gain, signed)))
    return tuple(headings), rows


def _print_table(console: Console, cells: Cells, width: int) -> None:
    """Print a table, intervals beside their means where that fits, else under them."""
    if cells[1]:
        beside = _rich_table(cells, " ")
        fits = console.measure(beside, options=console.options.update(width=_ANY)).maximum <= width
        console.print(beside if fits else _rich_table(cells, "\n"))


def _other_differences(differences: MeasureTable) -> Iterator[str]:
    """Tell differences between two others than the product."""
    for name, row in differences.items():
        first, second = sides(name)
        if first != PRODUCT:
            told = [f"{each} {signed(row[each].mean)} ({_ends(row[each], signed)})" for each in SHOWN if each in row]
            yield f"{first} minus {second}: {', '.join(told)}"


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


def _rich_table(cells: Cells, between: str) -> Table:
    headings, rows = cells
    drawn = Table(box=SIMPLE, padding=(0, 1, 0, 0), pad_edge=False)
    for place, heading in enumerate(headings):
        drawn.add_column(heading, overflow="fold", justify="right" if place else "left")
    for name, row in rows.items():
        drawn.add_row(Text(name), *(Text(between.join(filter(None, cell))) for cell in row))
    return drawn


def _ends(interval: Interval, write: Callable[[float], str]) -> str:
    return "" if math.isnan(interval.low) else f"{write(interval.low)}..{write(interval.high)}"


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
