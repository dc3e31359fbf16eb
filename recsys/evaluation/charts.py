"""Where the marks of an interval chart stand; the report's template draws them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from recsys.evaluation.intervals import Interval

WIDTH = 360
ROW_HEIGHT = 26
_TOP = 8
_LEFT, _RIGHT = 114.0, 296.0  # the plot; names stand to its left, numbers to its right
_AXIS = 22
_LONGEST_NAME = 17


@dataclass(frozen=True)
class Mark:
    """One row of a chart, all places in the units of the drawing.

    Attributes
    ----------
    name
        Name as drawn, cut when too long.
    interval
        What is drawn.
    y, mean
        Centre of the dot; `mean` is None when there is no number.
    low, high
        Ends of the whisker; None when there is no interval.
    """

    name: str
    interval: Interval
    y: float
    mean: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Chart:
    """A chart of intervals under each other on one scale.

    Attributes
    ----------
    marks
        From the top to the bottom.
    ticks
        Place and text of every tick.
    zero
        Place of the zero line; None when 0 is off the scale.
    height
        Height of the drawing; the axis is drawn `axis` from the top.
    axis
        Place of the axis.
    """

    marks: tuple[Mark, ...]
    ticks: tuple[tuple[float, str], ...]
    zero: float | None
    height: int
    axis: int


def interval_chart(intervals: Mapping[str, Interval], with_zero: bool) -> Chart:
    """Place intervals on one scale, wide enough for all of them.

    Parameters
    ----------
    intervals
        By name, in the order to draw.
    with_zero
        Whether the scale must hold 0: charts of differences.
    """
    numbers = [number for interval in intervals.values() for number in (interval.mean, interval.low, interval.high)]
    numbers = [number for number in numbers if not math.isnan(number)] + [0.0] * with_zero
    lowest, highest = min(numbers, default=0.0), max(numbers, default=1.0)
    margin = 0.06 * (highest - lowest) or 0.05
    lowest, highest = lowest - margin, highest + margin

    def place(number: float) -> float | None:
        share = (number - lowest) / (highest - lowest)
        return None if math.isnan(number) else round(_LEFT + share * (_RIGHT - _LEFT), 1)

    marks = tuple(
        Mark(
            name=name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…",
            interval=interval,
            y=_TOP + ROW_HEIGHT * (row + 0.5),
            mean=place(interval.mean),
            low=place(interval.low),
            high=place(interval.high),
        )
        for row, (name, interval) in enumerate(intervals.items())
    )
    axis = _TOP + ROW_HEIGHT * len(marks) + 4
    ticks = tuple((place(number) or 0.0, text) for number, text in round_numbers(lowest, highest))
    return Chart(marks, ticks, place(0.0) if lowest <= 0 <= highest else None, axis + _AXIS, axis)


def round_numbers(lowest: float, highest: float) -> list[tuple[float, str]]:
    """Give two to six round numbers from `lowest` to `highest`, and how to write them.

    Examples
    --------
    >>> round_numbers(0.512, 0.648)
    [(0.55, '0.55'), (0.6, '0.60')]
    """
    rough = (highest - lowest) / 2 * (1 + 1e-9)  # 1.2 - 1.0 is a little less than 0.2
    power = math.floor(math.log10(rough))
    step = max(factor * 10.0**power for factor in (1, 2, 5) if factor * 10.0**power <= rough)
    decimals = max(0, -power)
    first, last = math.ceil(lowest / step), math.floor(highest / step)
    return [(round(k * step, 12), f"{k * step:.{decimals}f}") for k in range(first, last + 1)]
