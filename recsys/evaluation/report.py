"""An evaluation for people: a table for the terminal and one self-contained page."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO

from jinja2 import Environment, PackageLoader, StrictUndefined
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from recsys.data.tables import SAMPLED
from recsys.evaluation.charts import WIDTH, Chart, interval_chart
from recsys.evaluation.evaluation import BEST_POSSIBLE, POOLED, PRODUCT, Evaluation, MeasureTable, Results
from recsys.evaluation.intervals import Interval

HEADLINE = "nDCG@10"
"""The measure that the page opens with."""

_NOTHING = "\N{EN DASH}"
_ONE_LINE = 118  # characters that a table of intervals `low..high` takes


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
        Titles of what the user chose before, newest first; empty for a new user.
    listed
        Its candidates, in any order.
    """

    request: str
    recent: tuple[str, ...]
    listed: tuple[Listed, ...]


def to_text(evaluation: Evaluation, width: int = 120) -> str:
    """Write an evaluation for a terminal: rankers as rows, measures as columns.

    Parameters
    ----------
    evaluation
        What to write.
    width
        Characters in a line; below 118 the ends of an interval stand under each other, down to 80.
    """
    console = Console(file=StringIO(), width=width, force_terminal=False, highlight=False, markup=False)
    parts = {f"{evaluation.window} window": evaluation.overall, **evaluation.segments}
    for name, results in parts.items():
        console.print(f"{name}: {_requests(results)}")
        for caption, table, write in (
            ("ranker", results.rankers, _number),
            ("difference", results.differences, _signed),
        ):
            if table:
                console.print(_rich_table(caption, table, write, ".." if width >= _ONE_LINE else "\n"))
    console.print(
        "Means over requests with 95 % intervals by bootstrap over users; AUC pooled is one list, no interval."
    )
    for sentence in [*_left_out(evaluation), *([SAMPLED] if evaluation.sampled else [])]:
        console.print(sentence)
    output = console.file
    assert isinstance(output, StringIO)
    return "\n".join(line.rstrip() for line in output.getvalue().splitlines()) + "\n"


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
    environment = Environment(
        loader=PackageLoader("recsys.evaluation"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": _number,
        "signed": _signed,
        "verdict": _verdict,
        "requests": _requests,
        "sentence": _sentence,
    }
    return environment.get_template("report.html.j2").render(
        title=title,
        window=evaluation.window,
        sampled=SAMPLED if evaluation.sampled else "",
        parts=[_part("all requests", evaluation.overall)]
        + [_part(name, results) for name, results in evaluation.segments.items()],
        headline=HEADLINE,
        product=PRODUCT,
        best_possible=BEST_POSSIBLE,
        width=WIDTH,
        left_out=_left_out(evaluation),
        facts=facts,
        notes=notes,
        examples=[(example, sorted(example.listed, key=lambda listed: listed.both)) for example in examples],
    )


@dataclass(frozen=True)
class _Part:
    """One section of the page: some requests, their tables and a chart per measure."""

    name: str
    results: Results
    means: Mapping[str, Chart]
    differences: Mapping[str, Chart]


def _part(name: str, results: Results) -> _Part:
    return _Part(name, results, _charts(results.rankers, with_zero=False), _charts(results.differences, with_zero=True))


def _charts(table: MeasureTable, with_zero: bool) -> dict[str, Chart]:
    return {
        measure: interval_chart({name: row[measure] for name, row in table.items()}, with_zero)
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


def _cell(interval: Interval, write: Callable[[float], str], between: str) -> str:
    if math.isnan(interval.low):
        return write(interval.mean)
    return f"{write(interval.mean)}\n{write(interval.low)}{between}{write(interval.high)}"


def _measures(table: MeasureTable) -> tuple[str, ...]:
    return tuple(next(iter(table.values()), {}))


def _number(number: float) -> str:
    return _NOTHING if math.isnan(number) else f"{number:.4f}"


def _signed(number: float) -> str:
    return _NOTHING if math.isnan(number) else f"{number:+.4f}"


def _verdict(interval: Interval) -> str:
    if not interval.clear:
        return "unclear"
    return "better" if interval.low > 0 else "worse"


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:]


def _requests(results: Results) -> str:
    return "1 request" if results.requests == 1 else f"{results.requests:,} requests"


def _left_out(evaluation: Evaluation) -> list[str]:
    """Say what each measure leaves out, measures of one count together."""
    together: dict[int, list[str]] = {}
    for measure, count in evaluation.left_out.items():
        together.setdefault(count, []).append(measure)
    return [
        f"{', '.join(measures)}: {count:,} of {_requests(evaluation.overall)} left out, not defined for their labels."
        for count, measures in together.items()
        if count
    ] or ["No measure leaves out a request."]
