"""A comparison for people: a table for the terminal and one self-contained page that opens with the answer."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rich.box import SIMPLE
from rich.table import Table
from rich.text import Text

from recsys.evaluation.comparison import Comparison, Difference
from recsys.evaluation.gains import Shift
from recsys.evaluation.movement import Movement
from recsys.evaluation.reliability import ListReliability
from recsys.evaluation.reports.answer import answer, second_in_words
from recsys.evaluation.reports.brief import bad_days
from recsys.evaluation.reports.charts import SQUARE, Chart, CurveChart, Row, curve_chart, interval_chart
from recsys.evaluation.reports.exhibited import Exhibits, LabelFree, PairedLists, Placed
from recsys.evaluation.reports.pages import (
    NOTHING,
    chance,
    count,
    left_out,
    number,
    percent,
    printed,
    render,
    signed,
    terminal,
)
from recsys.shown import short
from recsys.statistics.intervals import Interval
from recsys.statistics.verdict import Verdict

LISTED = 10
"""Places of an example list that the page shows; clicked items are shown wherever they stand."""

_BETWEEN = " = "  # "device = phone" belongs to the group "device"
_UNGROUPED = "requests"
_ONE_LINE = 112  # characters from which an interval stands beside its difference instead of under it
KINDS = {Verdict.BETTER: "better", Verdict.WORSE: "worse"}
SIGNS = {Verdict.BETTER: "▲", Verdict.WORSE: "▼", Verdict.NO_DIFFERENCE: "=", Verdict.UNDERPOWERED: "?"}


def to_text(comparison: Comparison, exhibits: Exhibits | None = None, width: int = 120) -> str:
    """Write a comparison for a terminal: the answer, then a table of measures, then one of segments.

    Parameters
    ----------
    comparison
        What to write.
    exhibits
        What else to write: movement, measures without labels and notes.
    width
        Characters in a line, 80 or more; below 112 an interval stands under its difference.
    """
    exhibits = exhibits or Exhibits()
    console = terminal(width)
    said = answer(comparison)
    console.print(f"{said.verdict.upper()}. {said.headline}")
    warnings = [f"Mind: {warning}" for warning in (*exhibits.warnings, *said.warnings)]
    for line in (said.finding, *warnings, f"Rule: {comparison.rule}", f"Next: {said.next_step}", *said.exceptions):
        console.print(line)
    wide = width >= _ONE_LINE
    console.print(_differences("measure", _overall(comparison), wide))
    segments = {name: of[comparison.primary] for name, of in comparison.segments.items() if comparison.primary in of}
    if segments:
        console.print(f"{comparison.primary} by segment, p corrected for all of them")
        console.print(_differences("segment", segments, wide))
    if exhibits.second is not None:
        console.print(second_in_words(exhibits.second))
        console.print(_differences("measure", exhibits.second.overall, wide))
    console.print("Verdicts beside the deciding one go by p, corrected; detects: the difference found with 80 % power.")
    if exhibits.label_free:
        console.print(_label_free(exhibits.label_free))
    worse = [line for side, days in exhibits.stress.items() for line in bad_days(side, days)]
    shifted = [f"B: {line}" for line in _shifted(exhibits.exposure)]
    for line in (*_moved(exhibits.movement), *shifted, *worse, *_left_out(comparison), *exhibits.notes):
        console.print(line)
    return printed(console)


def to_html(comparison: Comparison, exhibits: Exhibits | None = None) -> str:
    """Write a comparison as one page that needs nothing else: no network, no script.

    Parameters
    ----------
    comparison
        What to write.
    exhibits
        What else to show.
    """
    exhibits = exhibits or Exhibits()
    primary = comparison.overall[comparison.primary]
    segments = {name: of[comparison.primary] for name, of in comparison.segments.items() if comparison.primary in of}
    rows = {name: _row(name.split(_BETWEEN, 1)[-1], of, _sizes(of)) for name, of in segments.items()}
    said = answer(comparison)
    values: dict[str, object] = {
        "comparison": comparison,
        "answer": said,
        "primary": primary,
        "signs": SIGNS,
        "kinds": KINDS,
        "picture": interval_chart([_row(comparison.primary, primary)], with_zero=True, matters=comparison.matters),
        "overall": _overall(comparison),
        "measures": _measure_chart(comparison),
        "groups": {
            group: interval_chart(
                [rows[name] for name in names], True, comparison.matters, scale_of=list(rows.values())
            )
            for group, names in _groups(segments).items()
        },
        "reliability": _reliability(comparison, exhibits),
        "movement": exhibits.movement,
        "bars": _bars(exhibits.movement),
        "label_free": exhibits.label_free,
        "exposure": exhibits.exposure,
        "shifted": _shifted(exhibits.exposure),
        "stress": exhibits.stress,
        "examples": [(example, _side(example, "a"), _side(example, "b")) for example in exhibits.examples],
        "warnings": [*exhibits.warnings, *said.warnings],
        "facts": exhibits.facts,
        "notes": exhibits.notes,
        "second": exhibits.second,
        "second_words": exhibits.second and second_in_words(exhibits.second),
        "left_out": _left_out(comparison),
    }
    return render("comparison.html.j2", values)


@dataclass(frozen=True)
class _Bar:
    """One bar of a histogram: what it counts and which share, its width in percent of the longest."""

    name: str
    kind: str
    share: float
    width: float


@dataclass(frozen=True)
class _Line:
    """One row of an example list."""

    place: int
    title: str
    label: int
    moved: str
    kind: str
    after_gap: bool


@dataclass(frozen=True)
class _Reliabilities:
    """Reliability of each that gives click probabilities, as curves and as numbers."""

    chart: CurveChart
    side: int
    of: tuple[tuple[str, str, ListReliability], ...]  # a or b, name, what


def _row(name: str, of: Difference, note: str = "") -> Row:
    word = f"{SIGNS[of.verdict]} {of.verdict}"
    return Row(short(name), of.interval, KINDS.get(of.verdict, "unclear"), word, note)


def _overall(comparison: Comparison) -> Mapping[str, Difference]:
    """Put the measure that decides first."""
    return {comparison.primary: comparison.overall[comparison.primary], **comparison.overall}


def _measure_chart(comparison: Comparison) -> Chart:
    rows = [
        _row(measure, of, f"{number(of.a)} to {number(of.b)}" + (", decides" if measure == comparison.primary else ""))
        for measure, of in _overall(comparison).items()
    ]
    return interval_chart(rows, with_zero=True, matters=comparison.matters)


def _groups(segments: Iterable[str]) -> dict[str, list[str]]:
    """Bring segments of one kind together, in the order in which the kinds come."""
    groups: dict[str, list[str]] = {}
    for name in segments:
        groups.setdefault(name.split(_BETWEEN, 1)[0] if _BETWEEN in name else _UNGROUPED, []).append(name)
    return groups


def _sizes(of: Difference) -> str:
    return f"{count(of.requests, 'request')}, {count(of.users, 'user')}"


def _reliability(comparison: Comparison, exhibits: Exhibits) -> _Reliabilities | None:
    both = (("a", comparison.a, exhibits.reliability_a), ("b", comparison.b, exhibits.reliability_b))
    given = tuple((side, name, of) for side, name, of in both if of is not None)
    if not given:
        return None
    curves = [[(part.predicted, part.observed) for part in of.bins] for _, _, of in given]
    return _Reliabilities(curve_chart(curves), SQUARE, given)


def _bars(movement: Movement | None) -> list[_Bar]:
    """Draw the places moved, the most up first."""
    if movement is None:
        return []
    total = sum(moves.candidates for moves in movement.moves)
    longest = max(moves.candidates for moves in movement.moves)
    bars = []
    for moves in reversed(movement.moves):
        near, far = sorted((abs(moves.low), abs(moves.high)))
        places = f"{near}" if near == far else f"{near} to {far}"
        name, kind = (f"{places} up", "up") if moves.low > 0 else (f"{places} down", "down")
        if not far:
            name, kind = "Same place", "same"
        if total:
            bars.append(_Bar(name, kind, moves.candidates / total, round(100 * moves.candidates / longest, 1)))
    return bars


def _side(example: PairedLists, side: str) -> list[_Line]:
    """Put an example in the order of A or B: its first places and every clicked item."""
    ranked = [(item.a if side == "a" else item.b, item) for item in example.listed]
    lines: list[_Line] = []
    before = 0
    for place, item in sorted(((rank, item) for rank, item in ranked if rank), key=lambda pair: pair[0]):
        if place <= LISTED or item.label:
            moved, kind = _move(item)
            lines.append(_Line(place, item.title, item.label, moved, kind, after_gap=place > before + 1))
            before = place
    return lines


def _move(item: Placed) -> tuple[str, str]:
    if item.a is None:
        return "new", "up"
    if item.b is None:
        return "dropped", "down"
    up = item.a - item.b
    if not up:
        return "same", "same"
    return (f"▲ {up} up", "up") if up > 0 else (f"▼ {-up} down", "down")


def _differences(caption: str, differences: Mapping[str, Difference], wide: bool) -> Table:
    """Draw one row per difference; a narrow table puts B under A and an interval under its difference."""
    drawn = Table(box=SIMPLE, padding=(0, 1, 0, 0), pad_edge=False)
    drawn.add_column(caption, overflow="fold")
    headers = (
        ("A", "B", "difference", "95 % interval", "p", "detects") if wide else ("A\nB", "difference", "p", "detects")
    )
    for name in headers:
        drawn.add_column(name, justify="right", no_wrap=True)
    drawn.add_column("verdict", min_width=len(Verdict.UNDERPOWERED))
    for name, of in differences.items():
        means, change = [number(of.a), number(of.b)], [signed(of.interval.mean), interval_ends(of.interval)]
        numbers = [*means, *change] if wide else ["\n".join(means), "\n".join(change)]
        drawn.add_row(Text(short(name)), *numbers, chance(of.p_adjusted), number(of.detectable), str(of.verdict))
    return drawn


def interval_ends(interval: Interval) -> str:
    """Write both ends of an interval of a difference; a dash where there is none."""
    return NOTHING if math.isnan(interval.low) else f"{signed(interval.low)}..{signed(interval.high)}"


def _label_free(measures: Sequence[LabelFree]) -> Table:
    drawn = Table(box=SIMPLE, padding=(0, 1, 0, 0), pad_edge=False)
    drawn.add_column("without labels", overflow="fold")
    for name in ("A", "B", "difference"):
        drawn.add_column(name, justify="right", no_wrap=True)
    for measure in measures:
        drawn.add_row(Text(short(measure.name)), number(measure.a), number(measure.b), signed(measure.difference))
    return drawn


def _moved(movement: Movement | None) -> list[str]:
    if movement is None:
        return []
    return [
        f"B changes the first place of {percent(movement.first_changed)} of {count(movement.requests, 'request')}; "
        f"top {movement.k} in common {percent(movement.overlap)}; mean Kendall tau-b {movement.tau:.2f}."
    ]


def _shifted(exposure: Mapping[str, Shift]) -> list[str]:
    """Name groups of items that B shows notably more or less, the losers first."""
    named = [(of.change.mean, of.in_words(name)) for name, of in exposure.items() if of.named]
    return [words for _, words in sorted(named)]


def _left_out(comparison: Comparison) -> list[str]:
    defined = comparison.overall[comparison.primary].requests
    return left_out(comparison.left_out, defined + comparison.left_out.get(comparison.primary, 0))
