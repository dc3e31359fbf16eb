import doctest
import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from recsys.evaluation.reports import charts as module
from recsys.evaluation.reports.charts import SQUARE, Row, Scale, curve_chart, interval_chart, round_numbers
from recsys.statistics.intervals import Interval

numbers = st.floats(-1, 1).map(lambda number: round(number, 6))


def rows(*intervals):
    return [Row(f"row {place}", Interval(*interval)) for place, interval in enumerate(intervals)]


@pytest.mark.slow
@given(st.lists(st.tuples(numbers, numbers, numbers), min_size=1, max_size=8), st.booleans())
def test_marks_keep_their_order_inside_the_plot(triples, with_zero):
    given_rows = rows(*[(mean, low, high) for low, mean, high in map(sorted, triples)])
    chart = interval_chart(given_rows, with_zero)
    assert [mark.row for mark in chart.marks] == given_rows
    for mark in chart.marks:
        assert 0 <= mark.low <= mark.mean <= mark.high <= 100
        assert 0 < mark.mean < 100
        assert mark.goes_on == ("low",) * (mark.low == 0) + ("high",) * (mark.high == 100)
    everything = sorted((mark.row.interval.mean, mark.mean) for mark in chart.marks)
    assert [place for _, place in everything] == sorted(place for _, place in everything)
    if with_zero:
        assert 0 < chart.zero < 100


def test_equal_numbers_stand_at_equal_places():
    chart = interval_chart(rows((0.5, 0.25, 0.75), (0.25, 0.25, 0.5)), with_zero=False)
    assert chart.marks[0].low == chart.marks[1].mean == chart.marks[1].low
    assert chart.marks[0].mean == chart.marks[1].high
    assert chart.zero is None
    ticks = {text: place for place, text in chart.ticks}
    assert ticks["0.6"] - chart.marks[0].mean == pytest.approx((ticks["0.6"] - ticks["0.4"]) / 2, abs=0.02)


def test_what_is_no_number_is_not_drawn():
    nothing, lonely = interval_chart(rows((math.nan,) * 3, (0.2, math.nan, math.nan)), with_zero=True).marks
    assert (nothing.mean, nothing.low, nothing.high) == (None, None, None)
    assert 0 < lonely.mean < 100
    assert (lonely.low, lonely.high) == (None, None)


@pytest.mark.parametrize("interval", [(0.5, 0.5, 0.5), (math.nan, math.nan, math.nan)])
def test_a_chart_of_one_value_or_none_has_a_scale(interval):
    assert len(interval_chart(rows(interval), with_zero=False).ticks) >= 2


def test_the_band_of_what_does_not_matter_lies_around_zero_inside_the_plot():
    chart = interval_chart(rows((0.0, -0.001, 0.001)), with_zero=True, matters=0.01)
    low, high = chart.band
    assert 0 < low < chart.zero < high < 100
    assert high - chart.zero == pytest.approx(chart.zero - low, abs=0.02)
    assert interval_chart(rows((0.0, -0.001, 0.001)), with_zero=True).band is None


def test_one_very_wide_interval_is_cut_and_does_not_crush_the_others():
    ordinary = [(0.01, 0.0, 0.02), (0.02, 0.01, 0.03), (0.0, -0.01, 0.01)]
    *others, wide = interval_chart(rows(*ordinary, (0.01, -5.0, 0.04)), with_zero=True).marks
    assert wide.goes_on == ("low",)
    assert (wide.low, wide.high < 100) == (0, True)
    assert all(mark.high - mark.low > 20 and not mark.goes_on for mark in others)


def test_charts_can_share_a_scale():
    all_rows = rows((0.1, 0.0, 0.2), (-3.0, -4.0, -2.0))
    one, other = (interval_chart([row], with_zero=True, scale_of=all_rows) for row in all_rows)
    assert (one.ticks, one.zero) == (other.ticks, other.zero)


def test_curves_stand_in_a_square_whose_two_scales_are_alike():
    chart = curve_chart([[(0.1, 0.2), (0.4, 0.3)], [(math.nan, 0.1), (0.2, 0.2)]])
    (low, high), (alone,) = chart.curves
    assert chart.near < low[0] < high[0] < chart.far < SQUARE
    assert 0 < chart.top < high[1] < low[1] < chart.bottom < SQUARE
    assert alone[0] - chart.near == pytest.approx(chart.bottom - alone[1], abs=0.02)
    assert all(x - chart.near == pytest.approx(chart.bottom - y, abs=0.02) for x, y, _ in chart.ticks)


@pytest.mark.parametrize("curves", [[], [[]], [[(0.0, 0.0)]]])
def test_curves_without_height_have_a_scale(curves):
    assert len(curve_chart(curves).ticks) >= 2


def test_a_scale_places_its_ends_at_its_ends():
    scale = Scale(-1.0, 3.0, start=200.0, end=0.0)
    assert [scale.place(number) for number in (-1.0, 1.0, 3.0, math.nan)] == [200.0, 100.0, 0.0, None]


@given(st.floats(-10, 10), st.floats(1e-4, 100))
@example(1.0, 0.2)
@example(3.810617227545215e-277, 1.9999999999999858)
@example(0.1000000001, 0.1999999999)
def test_ticks_are_few_and_inside(lowest, size):
    found = round_numbers(lowest, lowest + size)
    assert 2 <= len(found) <= 6
    slack = 1e-9 * max(1, size)
    assert all(lowest - slack <= number <= lowest + size + slack for number, _ in found)
    assert all(float(text) == pytest.approx(number, abs=1e-9) for number, text in found)


def test_the_example_of_the_documentation_holds():
    assert doctest.testmod(module).failed == 0
