import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.errors import DataError
from recsys.past.layer import in_units
from recsys.past.streams import CHANCE, UNIT, Stream, distinct


def test_rows_of_a_stream_keep_their_codes_moments_and_amounts_together():
    stream = Stream(
        {"user": np.array([3, 4, 5])}, np.array([10, 20, 30]), np.array([10, 15, 30]), (np.array([1, 2, 4]),)
    )
    kept = stream.where(np.array([True, False, True]))
    assert kept.codes["user"].tolist() == [3, 5]
    assert kept.moments.tolist() == [10, 30]
    assert kept.amounts[0].tolist() == [1, 4]


def test_streams_of_the_same_columns_are_joined_in_their_order():
    one = Stream({"user": np.array([3])}, np.array([10]), np.array([7]), (np.array([1]),))
    other = Stream(
        {"user": np.array([5, 4]), "more": np.array([0, 0])}, np.array([9, 8]), np.array([9, 8]), (np.array([2, 3]),)
    )
    both = one.joined(other)
    assert {name: of.tolist() for name, of in both.codes.items()} == {"user": [3, 5, 4]}
    assert (both.moments.tolist(), both.amounts[0].tolist()) == ([10, 9, 8], [1, 2, 3])


@pytest.mark.parametrize("largest", [1e16, -6e15, 2.0**62])
def test_values_that_cannot_be_added_up_exactly_are_refused(largest):
    with pytest.raises(
        DataError, match=f"reach {abs(largest):g}, too large to be added up exactly".replace("+", r"\+")
    ):
        in_units(pl.Series([1.0, largest]))


def test_values_are_rounded_to_units_and_missing_ones_are_marked():
    units, there = in_units(pl.Series([0.5, None, float("nan"), -2.0, 0.0]))
    assert (units.tolist(), there.tolist()) == ([512, 0, 0, -2048, 0], [True, False, False, True, True])


def test_a_stream_may_have_nothing_to_add_up():
    assert Stream({}, np.array([1]), np.array([1])).where(np.array([False])).amounts == ()


def test_units_are_powers_of_two_so_that_sums_come_back_exactly():
    assert 3 * UNIT + 5 * UNIT == 8 * UNIT
    assert 1 / UNIT == 1024
    assert 1 / CHANCE == 2**32


@given(codes=st.lists(st.integers(-1, 9), max_size=30), count=st.sampled_from([10, 100, 10_000]))
def test_distinct_codes_are_found_by_sorting_and_by_counting(codes, count):
    found, places = distinct(np.array(codes, dtype=np.int64), count)
    assert found.tolist() == sorted(set(codes))
    assert found[places].tolist() == codes
