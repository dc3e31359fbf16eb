"""A backtest for people: a table of nights for the terminal, and one self-contained page with the verdict of all."""

from collections.abc import Mapping, Sequence

from rich.box import SIMPLE
from rich.table import Table

from recsys.evaluation.comparison import Comparison
from recsys.evaluation.nights import JudgedNight
from recsys.evaluation.reports.answer import answer
from recsys.evaluation.reports.charts import Row, interval_chart
from recsys.evaluation.reports.comparison_report import KINDS, SIGNS, interval_ends
from recsys.evaluation.reports.exhibited import Exhibits
from recsys.evaluation.reports.pages import NOTHING, count, number, printed, render, signed, terminal
from recsys.shown import short
from recsys.statistics.intervals import Interval

SHOWN = ("AUC", "first-hit MRR")
"""Measures that stand beside the one that decides, for each night."""


def nights_to_text(nights: Sequence[JudgedNight], comparison: Comparison, width: int = 120) -> str:
    """Write a line per night for a terminal.

    Parameters
    ----------
    nights
        In order of time.
    comparison
        What is said of all of them, for the names and the measure that decides.
    width
        Characters in a line, 80 or more.
    """
    console = terminal(width)
    drawn = Table(box=SIMPLE, padding=(0, 1, 0, 0), pad_edge=False)
    drawn.add_column("night", no_wrap=True)
    for name in ("lists", "users", "A", "B", "B - A", "95 % interval"):
        drawn.add_column(name, justify="right", no_wrap=True)
    drawn.add_column("")
    for each in nights:
        found = each.overall.get(comparison.primary)
        told = [NOTHING] * 4
        if found is not None:
            told = [number(found.a), number(found.b), signed(found.interval.mean), interval_ends(found.interval)]
        drawn.add_row(each.night.name, number(each.requests), number(each.users), *told, each.note)
    console.print(f"{comparison.primary} of each night; A is {short(comparison.a)}, B is {short(comparison.b)}")
    console.print(drawn)
    console.print("All nights together:")
    return printed(console).rstrip("\n")


def nights_to_html(
    nights: Sequence[JudgedNight], comparison: Comparison, exhibits: Exhibits, asked: Mapping[str, object]
) -> str:
    """Write one page that needs nothing else: no network, no script.

    Parameters
    ----------
    nights
        In order of time.
    comparison, exhibits
        What is said of all of them.
    asked
        What was asked for, by name.
    """
    said = answer(comparison)
    rows = [_night_row(each, comparison.primary) for each in nights]
    pooled = comparison.overall[comparison.primary]
    whole = Row("all nights", pooled.interval, KINDS.get(pooled.verdict, "unclear"), str(pooled.verdict))
    values: dict[str, object] = {
        "comparison": comparison,
        "answer": said,
        "nights": nights,
        "shown": [comparison.primary, *(measure for measure in SHOWN if measure in comparison.overall)],
        "signs": SIGNS,
        "kinds": KINDS,
        "picture": interval_chart([*rows, whole], with_zero=True, matters=comparison.matters),
        "warnings": [*exhibits.warnings, *said.warnings],
        "facts": {**exhibits.facts, **{name.capitalize(): str(fact) for name, fact in asked.items()}},
        "notes": exhibits.notes,
    }
    return render("backtest.html.j2", values)


def _night_row(each: JudgedNight, primary: str) -> Row:
    """Draw a night; by itself it has no verdict, only an interval that holds 0 or does not."""
    found = each.overall.get(primary)
    if found is None:
        return Row(each.night.name, Interval(float("nan"), float("nan"), float("nan")), "unclear", note=each.note)
    kind = ("better" if found.interval.mean > 0 else "worse") if found.interval.clear else "unclear"
    note = each.note or f"{number(found.a)} to {number(found.b)}, {count(each.requests, 'list')}"
    return Row(each.night.name, found.interval, kind, note=note)
