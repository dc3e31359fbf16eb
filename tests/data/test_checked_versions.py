"""Tables that hold several versions of an id, told apart by `known_at`."""

from dataclasses import replace
from datetime import datetime, timedelta

import polars as pl
import pytest

from recsys.data.checks import check_tables
from recsys.data.tables import Dataset
from recsys.schema import TIME
from tests.data.test_checks import NOW, START, clean, found


def in_versions(moments: list[datetime | None], available: list[datetime | None] | None = None) -> Dataset:
    """Give the first item so many versions; all other rows were always known."""
    items = clean().items
    first = pl.concat([items[:1]] * len(moments)).with_columns(
        known_at=pl.Series(moments, dtype=TIME),
        available_at=pl.Series(available or [START] * len(moments), dtype=TIME),
    )
    rest = items[1:].with_columns(known_at=pl.lit(None, TIME))
    return replace(clean(), items=pl.concat([first, rest]), users=None)


def test_an_id_may_have_one_row_for_each_moment_and_one_that_was_always_known() -> None:
    moments = [None, START, START - timedelta(hours=1)]  # their order says nothing
    assert check_tables(in_versions(moments, [START - timedelta(days=1)] * 3), NOW).faults == ()
    for twice, example in (([None, None], "'0'"), ([START, START], "'0 + 2024-03-01 12:00:00.000000Z'")):
        fault = found(check_tables(in_versions([*moments[2:], *twice]), NOW), "items", "item_id + known_at", "again")
        assert (fault.severity, fault.rows) == ("error", 1)
        assert fault.examples[0].replace("+00:00", "Z") == example
        assert fault.what == "the same item_id and known_at again"
    users = pl.DataFrame({"user_id": [1, 1], "known_at": [START, START], "age": [3, 4]})
    fault = found(check_tables(replace(clean(), users=users), NOW), "users", "user_id + known_at", "again")
    assert fault.severity == "error"


@pytest.mark.parametrize("table", ["items", "users"])
def test_a_version_from_later_than_now_or_of_no_moment_is_an_error(table: str) -> None:
    rows = getattr(clean(), table)
    for moment, what in (
        (NOW + timedelta(days=1), "moments later than now"),
        (START.replace(year=1970), "moments before 1990"),
        ("soon", "the column is String, not moments"),
    ):
        dated = rows.with_columns(known_at=pl.lit(moment))
        assert found(check_tables(replace(clean(), **{table: dated}), NOW), table, "known_at", what).severity == "error"


def test_another_moment_of_availability_than_in_the_first_version_is_a_warning() -> None:
    day = timedelta(days=1)
    dataset = in_versions([START, None, START - day], [START - 2 * day, START - day, None])
    fault = found(
        check_tables(dataset, NOW), "items", "available_at", "another moment than in the item's first version"
    )
    assert (fault.severity, fault.rows, fault.examples) == ("warning", 2, ("0",))
    assert fault.fix == "the first counts; write it in all"
    late = in_versions([START, None], [START - day, START + day])  # the first is out only after it was shown
    found(check_tables(late, NOW), "items", "available_at", "available only after they were first shown")


def test_columns_that_hold_nothing_but_ids_and_dates_cannot_leak() -> None:
    users = clean().users.select("user_id")
    notes = [fault.table for fault in check_tables(replace(clean(), users=users), NOW).faults]
    assert notes == ["items"]
    nothing = clean().items.with_columns(known_at=pl.lit(None, TIME))
    report = check_tables(replace(clean(), items=nothing, users=users), NOW)
    assert [(fault.severity, fault.column) for fault in report.faults if fault.table == "items"] == [
        ("warning", "known_at"),
        ("note", "known_at"),
    ]
