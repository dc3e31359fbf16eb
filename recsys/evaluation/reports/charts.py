"""Where the marks of a chart stand; the pages' templates draw them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recsys.statistics.intervals import Interval

SQUARE = 320
"""Side of the drawing of a curve chart."""
_WIDEST = 4  # widths of a middling interval that one interval may take of the scale
_CURVE_LEFT, _CURVE_TOP, _CURVE_SIDE = 44.0, 24.0, 256.0
_ROUNDING = 1e-9  # of a step between ticks


@dataclass(frozen=True)
class Row:
    """One row of an interval chart.

    Attributes
    ----------
    name
        What stands beside it.
    interval
        What is drawn.
    kind
        How it is drawn: a class of the style sheet, such as `better`.
    word
        What it says in a word, so that colour is never the only sign.
    note
        A few words under the name.
    """

    name: str
    interval: Interval
    kind: str = "other"
    word: str = ""
    note: str = ""


@dataclass(frozen=True)
class Mark:
    """Where a row's marks stand, in percent of the plot's width.

    Attributes
    ----------
    row
        What is drawn.
    mean
        Centre of the dot; None when there is no number.
    low, high
        Ends of the whisker; None when there is no interval.
    goes_on
        Sides, `low` or `high`, on which the interval is longer than the plot.
    """

    row: Row
    mean: float | None
    low: float | None
    high: float | None
    goes_on: tuple[str, ...] = ()


@dataclass(frozen=True)
class Chart:
    """Intervals under each other on one scale, places in percent of the plot's width.

    Attributes
    ----------
    marks
        From the top to the bottom.
    ticks
        Place and text of every tick.
    zero
        Place of the zero line; None when 0 is off the scale.
    band
        From where to where a difference would not matter; None when there is no such band.
    """

    marks: tuple[Mark, ...]
    ticks: tuple[tuple[float, str], ...]
    zero: float | None
    band: tuple[float, float] | None


@dataclass(frozen=True)
class Scale:
    """A straight scale from the numbers of a chart to places on the page.

    Attributes
    ----------
    lowest, highest
        Numbers at its two ends.
    start, end
        Places of the two ends.
    """

    lowest: float
    highest: float
    start: float = 0.0
    end: float = 100.0

    def place(self, number: float) -> float | None:
        """Where a number stands; None for NaN."""
        share = (number - self.lowest) / (self.highest - self.lowest)
        return None if math.isnan(number) else round(self.start + share * (self.end - self.start), 2)

    def ticks(self) -> tuple[tuple[float, str], ...]:
        """Place and text of two to six round numbers."""
        found = round_numbers(self.lowest, self.highest)
        return tuple((self.place(number) or 0.0, text) for number, text in found)


def interval_chart(
    rows: Sequence[Row], with_zero: bool, matters: float | None = None, scale_of: Sequence[Row] | None = None
) -> Chart:
    """Place intervals on one scale that holds all means and, but for the far ends of the widest, all intervals.

    An interval more than four times as wide as the middling one is cut, so that one small segment does not crush the
    others; the chart says where it goes on.

    Parameters
    ----------
    rows
        In the order to draw.
    with_zero
        Whether the scale must hold 0: charts of differences.
    matters
        The smallest difference that would matter: the chart shows the band from less to more of it.
    scale_of
        Rows that the scale must hold; those drawn when left out. Charts to be compared share a scale.
    """
    intervals = [row.interval for row in (rows if scale_of is None else scale_of)]
    numbers = [number for interval in intervals for number in _ends(interval, _longest(intervals))]
    numbers = [number for number in numbers if not math.isnan(number)]
    numbers += [0.0] * with_zero + ([-matters, matters] if matters is not None else [])
    lowest, highest = min(numbers, default=0.0), max(numbers, default=1.0)
    margin = 0.06 * (highest - lowest) or 0.05
    scale = Scale(lowest - margin, highest + margin)
    marks = tuple(_mark(row, scale) for row in rows)
    return Chart(
        marks=marks,
        ticks=scale.ticks(),
        zero=scale.place(0.0) if scale.lowest <= 0 <= scale.highest else None,
        band=None if matters is None else (scale.place(-matters) or 0.0, scale.place(matters) or 0.0),
    )


def _longest(intervals: Sequence[Interval]) -> float:
    """How far from its mean an interval may reach on the scale."""
    widths = [of.high - of.low for of in intervals if not math.isnan(of.low)]
    return _WIDEST / 2 * float(np.median(widths)) if widths else 0.0


def _ends(interval: Interval, longest: float) -> tuple[float, float, float]:
    mean = interval.mean
    return mean, max(interval.low, mean - longest), min(interval.high, mean + longest)


def _mark(row: Row, scale: Scale) -> Mark:
    mean, low, high = (scale.place(number) for number in (row.interval.mean, row.interval.low, row.interval.high))
    if low is None or high is None:
        return Mark(row, mean, None, None)
    goes_on = (("low",) if low < scale.start else ()) + (("high",) if high > scale.end else ())
    return Mark(row, mean, max(low, scale.start), min(high, scale.end), goes_on)


@dataclass(frozen=True)
class CurveChart:
    """Curves in a square of side `SQUARE` whose two scales are alike.

    Attributes
    ----------
    curves
        Points of each curve, from the left to the right, in the units of the drawing.
    ticks
        Place along the horizontal axis, place along the vertical axis and text of every tick.
    near, far
        Places of the two ends along the horizontal axis.
    top, bottom
        Places of the two ends along the vertical axis.
    """

    curves: tuple[tuple[tuple[float, float], ...], ...]
    ticks: tuple[tuple[float, float, str], ...]
    near: float
    far: float
    top: float
    bottom: float


def curve_chart(curves: Sequence[Sequence[tuple[float, float]]]) -> CurveChart:
    """Place curves of shares against shares, from 0 to the largest of all.

    Parameters
    ----------
    curves
        Points of each curve as (horizontal, vertical), none below 0; a point that is NaN is left out.
    """
    drawn = [[point for point in curve if not any(map(math.isnan, point))] for curve in curves]
    largest = 1.05 * max((number for curve in drawn for point in curve for number in point), default=1.0) or 1.0
    near, far = _CURVE_LEFT, _CURVE_LEFT + _CURVE_SIDE
    top, bottom = _CURVE_TOP, _CURVE_TOP + _CURVE_SIDE
    across, up = Scale(0.0, largest, near, far), Scale(0.0, largest, bottom, top)
    return CurveChart(
        curves=tuple(tuple((across.place(x) or 0.0, up.place(y) or 0.0) for x, y in curve) for curve in drawn),
        ticks=tuple((x, y, text) for (x, text), (y, _) in zip(across.ticks(), up.ticks(), strict=True)),
        near=near,
        far=far,
        top=top,
        bottom=bottom,
    )


def round_numbers(lowest: float, highest: float) -> list[tuple[float, str]]:
    """Give two to six round numbers from `lowest` to `highest`, and how to write them.

    Examples
    --------
    >>> round_numbers(0.512, 0.648)
    [(0.55, '0.55'), (0.6, '0.60')]
    """
    rough = (highest - lowest) / 2 * (1 + _ROUNDING)  # 1.2 - 1.0 is a little less than 0.2
    power = math.floor(math.log10(rough))
    step = max(factor * 10.0**power for factor in (1, 2, 5) if factor * 10.0**power <= rough)
    decimals = max(0, -power)
    # Ends that miss a tick by rounding alone hold it: else a span of two steps may hold one tick.
    first, last = math.ceil(lowest / step - _ROUNDING), math.floor(highest / step + _ROUNDING)
    return [(round(k * step, 12), f"{k * step:.{decimals}f}") for k in range(first, last + 1)]
