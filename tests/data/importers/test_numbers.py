import math

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.data.importers.numbers import FORMS, number_form, plain_values


@pytest.mark.parametrize(
    ("texts", "values"),
    [
        (["1", "", "-3"], [1, None, -3]),
        (["0", "10"], [0, 10]),
        (["1.5", "2", "1e3", ".5"], [1.5, 2.0, 1000.0, 0.5]),
        (["01", "2"], ["01", "2"]),
        (["1", "x", ""], ["1", "x", None]),
        (["True", "false", ""], [True, False, None]),
        (["", None], [None, None]),
        (["1e-05", "1.2E+16"], [1e-5, 1.2e16]),
    ],
)
def test_text_becomes_what_every_value_is(texts, values):
    assert plain_values(pl.Series(texts)).column.to_list() == values


@pytest.mark.parametrize(
    ("texts", "values"),
    [
        (["1.234,50", "7", "-0,5"], [1234.5, 7.0, -0.5]),
        (["1.234", "12"], [1234, 12]),
        (["12,5", "x"], ["12,5", "x"]),
        (["1.5", "2"], [1.5, 2.0]),
        (["007", "1"], ["007", "1"]),
    ],
)
def test_commas_stand_before_fractions_where_the_mapping_says_so(texts, values):
    assert plain_values(pl.Series(texts), ",").column.to_list() == values


@pytest.mark.parametrize(
    ("texts", "form", "values"),
    [
        (["500", "1,277", "12,054"], "1,234.5", [500.0, 1277.0, 12054.0]),
        (["1,277.5", "3"], "1,234.5", [1277.5, 3.0]),
        (["0,125", "1,277"], "1234,5", [0.125, 1.277]),
        (["1,277", "5000"], "1234,5", [1.277, 5000.0]),
        (["1.234,50", "2.345.678"], "1.234,5", [1234.5, 2345678.0]),
        (["1.234.567", "12"], "1.234,5", [1234567.0, 12.0]),
        (["1 234,50", "12\u00a0000"], "1 234,5", [1234.5, 12000.0]),
        (["1'234.50", "5"], "1'234.5", [1234.5, 5.0]),
        (["-1,000,000", "+12"], "1,234.5", [-1e6, 12.0]),
    ],
)
def test_what_separates_thousands_and_fractions_is_seen_in_the_column_and_said(texts, form, values):
    column, note = plain_values(pl.Series(texts))
    assert number_form(pl.Series(texts)) == form
    assert column.to_list() == values
    assert f"written {form!r}" in note


@pytest.mark.parametrize(
    ("texts", "why"),
    [
        (["3.1", "3.10", "4.2"], "'3.1' and '3.10' would be one number"),
        (["76561198000000000001", "76561198000000000002"], "'76561198000000000001' would lose digits"),
        (["1E5", "10E4"], "'1E5' may be a code"),
        (["2E3", "7E1", "4E2"], "'2E3' may be a code"),
        (["+5", "5"], "'+5' and '5' would be one number"),
        (["0.1234567890123456789", "1.5"], "would lose digits"),
        (["00.5", "1.5"], "'00.5' begins with 0"),
    ],
)
def test_texts_that_would_lose_something_as_numbers_stay_text_and_say_why(texts, why):
    column, note = plain_values(pl.Series(texts))
    assert column.to_list() == texts
    assert "it stays text" in note
    assert why in note


@pytest.mark.parametrize("missing", ["NULL", "\\N", "nan", "None", "-", "n/a", "<NA>"])
def test_what_other_tools_write_for_nothing_is_missing_among_numbers_and_said(missing):
    column, note = plain_values(pl.Series(["1", missing, "3", missing]))
    assert column.to_list() == [1, None, 3, None]
    assert note == f"2 cells such as {missing!r} are read as missing"


@pytest.mark.parametrize("odd", ["n.a.", "12 EUR", "1.2.3"])
def test_cells_that_keep_a_column_from_being_numbers_are_named(odd):
    column, note = plain_values(pl.Series(["1", "2.5", "3", "4", "5", odd]))
    assert column.dtype == pl.String
    assert f"1 of 6 cells are no numbers, such as {odd!r} in row 6; mend them" in note


def test_a_column_that_is_meant_to_hold_numbers_does_or_names_the_cell():
    assert plain_values(pl.Series(["1.5", "1.50"]), meant=True).column.to_list() == [1.5, 1.5]
    assert plain_values(pl.Series(["1,5", "x"]).head(1), form="1234,5").column.to_list() == [1.5]
    with pytest.raises(ValueError, match=r"row 2: 'x' is no number written as '1,234\.5'"):
        plain_values(pl.Series(["1,500", "x"]), form="1,234.5")
    with pytest.raises(ValueError, match=r"row 2: 'often' is no number"):
        plain_values(pl.Series(["1", "often"]), meant=True)


@given(st.lists(st.integers(-(10**17), 10**17), min_size=1))
def test_written_integers_come_back(numbers):
    assert plain_values(pl.Series([str(number) for number in numbers])).column.to_list() == numbers


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, unique=True))
def test_written_numbers_come_back(numbers):
    back = plain_values(pl.Series([repr(number) for number in numbers])).column.to_list()
    assert all(math.isclose(one, other, rel_tol=1e-15) for one, other in zip(back, numbers, strict=True))


@given(st.lists(st.text("0123456789.,eE+-", min_size=1, max_size=8), min_size=1))
def test_no_two_texts_ever_become_one_number(texts):
    column, _ = plain_values(pl.Series(texts))
    if column.dtype.is_numeric():
        known = pl.DataFrame({"text": texts, "number": column}).drop_nulls()
        assert known["text"].n_unique() == known["number"].n_unique()


@pytest.mark.parametrize("form", FORMS)
@given(whole=st.integers(1000, 999_999_999), tenth=st.integers(1, 9))
def test_each_form_reads_what_it_writes(form, whole, tenth):
    group, point = form[1] if not form[1].isdigit() else "", form[-2]
    text = f"{whole:,}".replace(",", group) + f"{point}{tenth}"
    assert plain_values(pl.Series([text]), form=form).column.to_list() == [float(f"{whole}.{tenth}")]
