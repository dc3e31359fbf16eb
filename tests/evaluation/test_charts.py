import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from recsys.evaluation.charts import WIDTH, interval_chart, round_numbers
from recsys.evaluation.intervals import Interval

numbers = st.floats(-1, 1).map(lambda number: round(number, 6))


@given(st.lists(st.tuples(numbers, numbers, numbers), min_size=1, max_size=8), st.booleans())
def test_marks_keep_their_order_inside_the_drawing(triples, with_zero):
    intervals = {}
    for row, triple in enumerate(triples):
        low, mean, high = sorted(triple)
        intervals[f"ranker {row}"] = Interval(mean, low, high)
    chart = interval_chart(intervals, with_zero)
    assert [mark.name for mark in chart.marks] == list(intervals)
    for mark in chart.marks:
        assert 0 < mark.low <= mark.mean <= mark.high < WIDTH
        assert 0 < mark.y < chart.axis < chart.height
    everything = sorted((mark.interval.mean, mark.mean) for mark in chart.marks)
    assert [place for _, place in everything] == sorted(place for _, place in everything)
    if with_zero:
        assert 0 < chart.zero < WIDTH


def test_equal_numbers_stand_at_equal_places():
    chart = interval_chart({"a": Interval(0.5, 0.25, 0.75), "b": Interval(0.25, 0.25, 0.5)}, with_zero=False)
    assert chart.marks[0].low == chart.marks[1].mean == chart.marks[1].low
    assert chart.marks[0].mean == chart.marks[1].high
    assert chart.zero is None
    ticks = {text: place for place, text in chart.ticks}
    assert ticks["0.6"] - chart.marks[0].mean == pytest.approx((ticks["0.6"] - ticks["0.4"]) / 2, abs=0.2)


def test_what_is_no_number_is_not_drawn():
    chart = interval_chart({"a": Interval(math.nan, math.nan, math.nan)}, with_zero=False)
    assert (chart.marks[0].mean, chart.marks[0].low, chart.marks[0].high) == (None, None, None)


def test_one_value_alone_has_a_scale():
    chart = interval_chart({"a": Interval(0.5, 0.5, 0.5)}, with_zero=False)
    assert len(chart.ticks) >= 2
    assert 0 < chart.marks[0].mean < WIDTH


def test_long_names_are_cut():
    chart = interval_chart({"a ranker with a very long name": Interval(0.5, 0.4, 0.6)}, with_zero=False)
    assert chart.marks[0].name == "a ranker with a …"


@given(st.floats(-10, 10), st.floats(1e-4, 100))
@example(1.0, 0.2)
def test_ticks_are_few_and_inside(lowest, size):
    found = round_numbers(lowest, lowest + size)
    assert 2 <= len(found) <= 6
    assert all(lowest - 1e-9 <= number <= lowest + size + 1e-9 for number, _ in found)
    assert all(float(text) == pytest.approx(number, abs=1e-9) for number, text in found)
