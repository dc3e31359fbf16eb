import json
from datetime import UTC, datetime

import polars as pl
import pytest

from recsys.data.faults import CheckedRows, CheckReport, Fault, Rule, broken, cut, refuse_errors, report, whole
from recsys.errors import DataError

RULE = Rule("error", "labels below 0", "write 0 for nothing")
FRAME = pl.DataFrame({"label": [-1, 0, None, -2, -1], "name": ["a", "b", "c", "d", "e"]})


def test_counts_bad_rows_and_shows_different_examples() -> None:
    fault = next(broken(RULE, CheckedRows("requests", "label", FRAME), pl.col("label") < 0))
    assert (fault.rows, fault.share, fault.examples) == (3, 0.6, ("-1", "-2"))


def test_examples_may_show_another_column() -> None:
    fault = next(broken(RULE, CheckedRows("requests", "label", FRAME), pl.col("label") < 0, pl.col("name")))
    assert fault.examples == ("'a'", "'d'", "'e'")


def test_what_is_not_there_is_no_example() -> None:
    fault = next(broken(RULE, CheckedRows("requests", "label", FRAME), pl.col("label").is_null()))
    assert str(fault) == "error: requests.label: labels below 0 in 1 (20 %); write 0 for nothing"


def test_no_bad_row_is_no_fault() -> None:
    assert list(broken(RULE, CheckedRows("requests", "label", FRAME), pl.col("label") < -5)) == []


def test_a_fault_reads_as_one_line() -> None:
    fault = next(broken(RULE, CheckedRows("requests", "label", FRAME), pl.col("label") < 0))
    assert str(fault) == "error: requests.label: labels below 0 in 3 (60 %), such as -1, -2; write 0 for nothing"
    table = whole(Rule("warning", "the table is odd", "look at it"), "items")
    assert str(table) == "warning: items: the table is odd; look at it"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("x" * 58, "'" + "x" * 58 + "'"),
        ("x" * 59, "'" + "x" * 56 + "..."),
        ("line\nbreak\x1b", r"'line\nbreak\x1b'"),
        (datetime(2024, 1, 2, tzinfo=UTC), "2024-01-02T00:00:00+00:00"),
        (None, "None"),
    ],
)
def test_examples_are_cut_and_escaped(value: object, text: str) -> None:
    assert cut([value]) == (text,)
    assert len(text) <= 60


def test_keeps_at_most_three_examples() -> None:
    assert cut([1, 1, 2, 3, 4]) == ("1", "2", "3")


def sample() -> CheckReport:
    faults = [
        whole(Rule("note", "a note", "know it"), "events"),
        whole(RULE, "requests", "label", (-1,)),
        whole(Rule("warning", "a warning", "mind it"), "items"),
    ]
    moments = [datetime(2024, 1, day, tzinfo=UTC) for day in (3, 1, 2)]
    frames = {
        "items": FRAME,
        "requests": pl.DataFrame({"timestamp": moments}),
        "users": pl.DataFrame({"timestamp": ["x"]}),
    }
    return report(faults, frames)


def test_report_puts_the_gravest_first() -> None:
    assert [fault.severity for fault in sample().faults] == ["error", "warning", "note"]
    assert [fault.what for fault in sample().errors] == ["labels below 0"]
    assert not sample().ok
    assert CheckReport((), {}).ok


def test_report_as_text_says_everything() -> None:
    assert sample().to_text().splitlines() == [
        "items: 5 rows, requests: 3 rows, users: 1 row",
        "from 2024-01-01T00:00:00+00:00 to 2024-01-03T00:00:00+00:00",
        "error: requests.label: labels below 0, such as -1; write 0 for nothing",
        "warning: items: a warning; mind it",
        "note: events: a note; know it",
        "1 error, 1 warning, 1 note",
    ]
    assert CheckReport((), {}).to_text() == "no faults"


def test_report_as_json_holds_the_same_faults() -> None:
    read = json.loads(sample().to_json())
    assert (read["ok"], read["rows"]) == (False, {"items": 5, "requests": 3, "users": 1})
    assert (read["first"], read["last"]) == ("2024-01-01T00:00:00+00:00", "2024-01-03T00:00:00+00:00")
    assert (
        tuple(Fault(**{**fault, "examples": tuple(fault["examples"])}) for fault in read["faults"]) == sample().faults
    )
    assert json.loads(CheckReport((), {}).to_json())["first"] is None


def test_only_errors_stop_the_work() -> None:
    refuse_errors(CheckReport((whole(Rule("warning", "a warning", "mind it"), "items"),), {}))
    with pytest.raises(DataError, match=r"(?s)error: requests\.label: labels below 0.*warning: items: a warning"):
        refuse_errors(sample())
