"""What the pages and tables for people share: how they write numbers, and how a template becomes a page."""

import math
from collections.abc import Mapping
from io import StringIO

from jinja2 import Environment, PackageLoader, StrictUndefined
from rich.console import Console

from recsys.shown import finish, short, shown

NOTHING = "\N{EN DASH}"
"""Stands where there is no number."""


def number(value: float) -> str:
    """Write a mean, or a whole number as a count; a dash for NaN."""
    if isinstance(value, int):
        return f"{value:,}"
    return NOTHING if math.isnan(value) else f"{value:.4f}"


def signed(value: float) -> str:
    """Write a difference, or one of counts, its sign always there; a dash for NaN."""
    if isinstance(value, int):
        return f"{value:+,}"
    return NOTHING if math.isnan(value) else f"{value:+z.4f}"


def percent(value: float) -> str:
    """Write a share; a dash for NaN."""
    return NOTHING if math.isnan(value) else f"{value:.1%}".replace("%", " %")


def points(value: float) -> str:
    """Write a difference of shares in points, hundredths, its sign always there; a dash for NaN."""
    return NOTHING if math.isnan(value) else f"{100 * value:+z.1f}"


def chance(p: float) -> str:
    """Write a p-value; a dash for NaN."""
    if math.isnan(p):
        return NOTHING
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def count(of: int, what: str) -> str:
    """Write how many, such as `1 request` or `1,200 requests`."""
    return f"{of:,} {what}" if of == 1 else f"{of:,} {what}s"


def sentence(words: str) -> str:
    """Begin with a capital and keep every other letter."""
    return words[:1].upper() + words[1:]


def glued(words: str) -> str:
    """Keep a number and its percent sign on one line."""
    return words.replace(" %", "\N{NO-BREAK SPACE}%")


def left_out(counts: Mapping[str, int], requests: int) -> list[str]:
    """Say how many of so many requests each measure leaves out, measures of one count together."""
    together: dict[int, list[str]] = {}
    for measure, missing in counts.items():
        together.setdefault(missing, []).append(measure)
    return [
        f"{', '.join(measures)}: {missing:,} of {count(requests, 'request')} left out, not defined for their labels."
        for missing, measures in together.items()
        if missing
    ] or ["No measure leaves out a request."]


def terminal(width: int) -> Console:
    """Open a terminal of so many characters that keeps what is printed to it; texts have no mark-up of their own."""
    return Console(
        file=StringIO(), width=width, force_terminal=False, force_jupyter=False, highlight=False, markup=False
    )


def printed(console: Console) -> str:
    """Return what was printed to a console of `terminal`, without blanks at the ends of lines.

    Names and notes come from the data: characters that would command the terminal or turn the text around are `shown`.
    """
    output = console.file
    assert isinstance(output, StringIO)
    return "\n".join(shown(line).rstrip() for line in output.getvalue().split("\n"))


def render(template: str, values: Mapping[str, object]) -> str:
    """Fill a template of this stage; every text from outside is escaped and `shown`, a missing value is an error."""
    environment = Environment(
        loader=PackageLoader("recsys.evaluation.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=finish,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": number,
        "signed": signed,
        "percent": percent,
        "points": points,
        "chance": chance,
        "count": count,
        "sentence": sentence,
        "short": short,
        "glued": glued,
    }
    return environment.get_template(template).render(values)
