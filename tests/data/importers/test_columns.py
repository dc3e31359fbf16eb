from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.data.importers.columns import moments, refuse_absent, same_ids, whole_numbers, zone_note
from recsys.errors import DataError

NOON = datetime(2023, 5, 1, 12, tzinfo=UTC)


def test_whole_floats_and_booleans_become_integers() -> None:
    assert whole_numbers(pl.Series([1.0, None, float("nan")]), "x").to_list() == [1, None, None]
    assert whole_numbers(pl.Series([True, False]), "x").to_list() == [1, 0]
    assert whole_numbers(pl.Series(["a"]), "x").to_list() == ["a"]
    with pytest.raises(DataError, match=r"lists.csv, row 2: 0.5 is not a whole number"):
        whole_numbers(pl.Series([1.0, 0.5]), "lists.csv")
    with pytest.raises(DataError, match="row 1: inf is not a whole number"):
        whole_numbers(pl.Series([float("inf")]), "lists.csv")


@pytest.mark.parametrize(
    ("columns", "as_text", "values"),
    [
        ([(["1", "2"], True), (["3"], True)], False, [[1, 2], [3]]),
        ([(["1", "2"], True), (["03"], True)], False, [["1", "2"], ["03"]]),
        ([(["1", "2"], True), (["x"], True)], False, [["1", "2"], ["x"]]),
        ([(["1"], True), ([2], False)], False, [[1], [2]]),
        ([(["1"], True), (["2"], False)], False, [["1"], ["2"]]),
        ([([1], False), (["2"], False)], False, [["1"], ["2"]]),
        ([([1], False), (["2"], True)], True, [["1"], ["2"]]),
        ([([None], False), (["2"], True)], False, [[None], [2]]),
    ],
)
def test_an_id_has_one_type_in_all_tables(
    columns: list[tuple[list[object], bool]], as_text: bool, values: list[list[object]]
) -> None:
    typed = same_ids([(pl.Series(column), loose) for column, loose in columns], as_text)
    assert [column.to_list() for column in typed] == values
    assert len({column.dtype for column in typed}) == 1


@pytest.mark.parametrize(
    ("text", "time_format", "zone"),
    [
        ("2023-05-01T12:00:00Z", "iso", "Europe/Copenhagen"),
        ("2023-05-01 12:00:00", "iso", "UTC"),
        ("2023-05-01 14:00", "iso", "Europe/Copenhagen"),
        ("2023-05-01T07:00:00-05:00", "iso", "UTC"),
        ("01/05/2023 14:00", "%d/%m/%Y %H:%M", "Europe/Copenhagen"),
        ("01/05/2023 14:00 +0200", "%d/%m/%Y %H:%M %z", "UTC"),
        ("1682942400", "seconds", "Europe/Copenhagen"),
        ("1682942400.0", "seconds", "UTC"),
        ("1682942400000", "milliseconds", "UTC"),
        ("1682942400000000", "microseconds", "UTC"),
        (1682942400, "seconds", "UTC"),
        (1682942400.0, "seconds", "UTC"),
        (1682942400000, "milliseconds", "UTC"),
        (datetime(2023, 5, 1, 14), "iso", "Europe/Copenhagen"),
        (NOON.astimezone(ZoneInfo("Asia/Tokyo")), "iso", "Europe/Copenhagen"),
    ],
)
def test_every_way_to_write_noon(text: object, time_format: str, zone: str) -> None:
    read = moments(pl.Series("t", [text, None]), time_format, zone, "x")
    assert read.to_list() == [NOON, None]
    assert (read.dtype, read.name) == (pl.Datetime("us", "UTC"), "t")


def test_dates_are_local_midnight() -> None:
    midnight = datetime(2023, 4, 30, 22, tzinfo=UTC)
    for value in ("2023-05-01", date(2023, 5, 1)):
        assert moments(pl.Series([value]), "iso", "Europe/Copenhagen", "x").to_list() == [midnight]
    assert moments(pl.Series(["", None]), "iso", "UTC", "x").to_list() == [None, None]
    assert moments(pl.Series([None]), "iso", "UTC", "x").dtype == pl.Datetime("us", "UTC")


def test_of_an_hour_that_occurs_twice_the_earlier_is_taken() -> None:
    read = moments(pl.Series(["2023-10-29 02:30"]), "iso", "Europe/Copenhagen", "x")
    assert read.to_list() == [datetime(2023, 10, 29, 0, 30, tzinfo=UTC)]


@given(st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1)), st.integers(-14, 14))
def test_iso_agrees_with_python(moment: datetime, hours: int) -> None:
    zone = f"{'-' if hours < 0 else '+'}{abs(hours):02}:00"
    text = moment.isoformat(sep=" ") + zone
    assert moments(pl.Series([text]), "iso", "UTC", "x").to_list() == [datetime.fromisoformat(text).astimezone(UTC)]
    assert moments(pl.Series([moment.isoformat()]), "iso", "UTC", "x").to_list() == [moment.replace(tzinfo=UTC)]


@pytest.mark.parametrize(
    ("values", "time_format", "message"),
    [
        (
            ["2023-05-01", "soon"],
            "iso",
            "x, row 2: 'soon' is not a time written as 'iso' that exists in the zone Europe/Copenhagen",
        ),
        (["2023-03-26 02:30"], "iso", "row 1: '2023-03-26 02:30' is not a time"),
        ([datetime(2023, 3, 26, 2, 30)], "iso", r"row 1: datetime.* does not exist in the zone Europe/Copenhagen"),
        (["1.5.23"], "%Y", "'1.5.23' is not a time written as '%Y'"),
        ([1682942400], "iso", "x holds numbers, such as .*; set time_format to 'seconds' in the mapping"),
        ([1682942400000], "seconds", "x, row 1: 1682942400000 is not seconds since 1970"),
        (["soon"], "seconds", "'soon' is not seconds since 1970"),
        ([float("nan")], "seconds", "nan is not seconds since 1970"),
        ([[1]], "iso", r"x is List\(Int64\), which holds no moments"),
        ([timedelta(1)], "iso", "x is Duration.*, which holds no moments"),
        ([True], "seconds", "x is Boolean, which holds no moments"),
    ],
)
def test_refuses_what_is_no_moment(values: list[object], time_format: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        moments(pl.Series(values), time_format, "Europe/Copenhagen", "x")


def test_counts_every_value_that_is_no_moment() -> None:
    column = pl.Series(["2023-05-01", *["soon"] * 12])
    with pytest.raises(DataError, match=r"row 2: 'soon' .*; the same holds for 11 more: row 3, 4, 5, .*, 11, \.\.\.$"):
        moments(column, "iso", "UTC", "x")


def test_names_absent_and_present_columns() -> None:
    refuse_absent(["a"], ["a", "b"], "x.csv")
    with pytest.raises(DataError, match=r"x\.csv has no column c, d; it has a, b; name theirs in the mapping"):
        refuse_absent(["a", "c", "d"], ["a", "b"], "x.csv")


@pytest.mark.parametrize("aware", ["2025-03-01T08:00:00+02:00", "2025-03-01 08:00:00Z", "2025-03-01 08:00 +0100"])
def test_a_column_in_which_some_moments_name_no_zone_is_told(aware: str) -> None:
    bare = "2025-03-01 08:00:00"
    said = f"1 of 2 moments name no zone, such as '{bare}', and are taken as Europe/Berlin"
    assert zone_note(pl.Series([aware, None, bare]), "iso", "Europe/Berlin") == said
    for alike in ([aware, None], [bare, bare]):
        assert zone_note(pl.Series(alike), "iso", "UTC") == ""
