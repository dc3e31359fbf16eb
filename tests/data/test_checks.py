import json
import random
import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from recsys.data.checks import check_candidates, check_entries, check_folder, check_tables, check_update
from recsys.data.faults import CheckReport, Fault
from recsys.data.tables import Dataset
from recsys.errors import DataError
from recsys.world import WorldSettings, make_world

START = datetime(2024, 3, 1, 12, tzinfo=UTC)
NOW = datetime(2024, 6, 1, tzinfo=UTC)


def clean(ids: type = int) -> Dataset:
    """Forty items, twenty lists of four candidates with one click each, and an event per user."""
    items = pl.DataFrame(
        {
            "item_id": [ids(k) for k in range(40)],
            "title": [f"title number {k}" for k in range(40)],
            "category": ["news" if k % 2 else "sport" for k in range(40)],
            "price": [float(k) for k in range(40)],
            "available_at": [START - timedelta(days=1)] * 40,
        }
    )
    rows = [(request, place) for request in range(20) for place in range(4)]
    requests = pl.DataFrame(
        {
            "request_id": [ids(100 + request) for request, _ in rows],
            "user_id": [ids(request % 7) for request, _ in rows],
            "timestamp": [START + timedelta(minutes=request) for request, _ in rows],
            "item_id": [ids((3 * request + place) % 40) for request, place in rows],
            "label": [int(place == request % 4) for request, place in rows],
            "position": [place + 1 for _, place in rows],
            "propensity": [0.25] * len(rows),
            "views": [100] * len(rows),
            "clicks": [10] * len(rows),
        }
    )
    events = pl.DataFrame(
        {
            "user_id": [ids(user) for user in range(7)],
            "item_id": [ids(user + 3) for user in range(7)],
            "timestamp": [START - timedelta(hours=user + 1) for user in range(7)],
            "event": ["click"] * 7,
            "value": [1.5] * 7,
            "known_at": [START] * 7,
        }
    )
    users = pl.DataFrame({"user_id": [ids(user) for user in range(7)], "age": [20 + user for user in range(7)]})
    return Dataset(items, events, requests, users)


@pytest.mark.parametrize(
    ("ids", "told"),
    [
        ([1, 2, 3, 4, 5, 6, 7], ""),
        ([*"abcde", None, None], ""),
        ([1, 2, 2, 4, 2, 6, 7], "2 (28.6 %), such as 2"),
        (list("abcdefa"), "1 (14.3 %), such as 'a'"),
    ],
)
def test_events_of_one_id_are_named(ids: list[object], told: str) -> None:
    dataset = clean()
    report = check_tables(replace(dataset, events=dataset.events.with_columns(event_id=pl.Series(ids))), NOW)
    found = [fault for fault in report.faults if fault.column == "event_id"]
    assert len(found) == bool(told)
    for fault in found:
        assert str(fault).startswith("error: events.event_id: the same event_id again in ")
        assert "keep one row of each event, or rename the column if it is no id of events" in str(fault)


def put(table: str, column: str, row: int, value: object) -> tuple[str, list[pl.Expr]]:
    """Plant a value in one row."""
    here = pl.int_range(pl.len()) == row
    return table, [pl.when(here).then(pl.lit(value)).otherwise(pl.col(column)).alias(column)]


def fill(table: str, column: str, value: pl.Expr) -> tuple[str, list[pl.Expr]]:
    return table, [value.alias(column)]


def plant(dataset: Dataset, change: tuple[str, list[pl.Expr]]) -> Dataset:
    table, columns = change
    return replace(dataset, **{table: getattr(dataset, table).with_columns(columns)})


def found(report: CheckReport, table: str, column: str, what: str) -> Fault:
    matches = [
        fault for fault in report.faults if (fault.table, fault.column) == (table, column) and what in fault.what
    ]
    assert len(matches) == 1, report.to_text()
    return matches[0]


VALUE_FAULTS = {
    "null id": (put("events", "user_id", 2, None), "user_id", "error", "empty values (null)", 1),
    "null moment": (put("requests", "timestamp", 2, None), "timestamp", "error", "empty values (null)", 1),
    "null label": (put("requests", "label", 2, None), "label", "error", "empty values (null)", 1),
    "future event": (
        put("events", "timestamp", 0, NOW + timedelta(seconds=1)), "timestamp", "error", "later than now, 2024-06", 1,
    ),
    "future knowledge": (put("events", "known_at", 0, NOW + timedelta(1)), "known_at", "error", "later than now", 1),
    "future item": (
        put("items", "available_at", 39, NOW + timedelta(1)), "available_at", "warning", "later than now", 1,
    ),
    "epoch unit": (
        put("events", "timestamp", 0, datetime(1970, 1, 20, tzinfo=UTC)), "timestamp", "error", "before 1990", 1,
    ),
    "negative label": (put("requests", "label", 5, -1), "label", "error", "labels below 0", 1),
    "large label": (put("requests", "label", 5, 31), "label", "error", "labels above 30", 1),
    "fractional label": (
        fill("requests", "label", pl.col("label") * 0.5), "label", "error", "Float64, not whole numbers", 0,
    ),
    "text label": (fill("requests", "label", pl.lit("yes")), "label", "error", "String, not whole numbers", 0),
    "boolean label": (fill("requests", "label", pl.col("label") > 0), "label", "error", "Boolean, not whole", 0),
    "zero propensity": (put("requests", "propensity", 5, 0.0), "propensity", "error", "outside (0, 1]", 1),
    "large propensity": (put("requests", "propensity", 5, 1.01), "propensity", "error", "outside (0, 1]", 1),
    "NaN propensity": (put("requests", "propensity", 5, float("nan")), "propensity", "error", "outside (0, 1]", 1),
    "negative views": (put("requests", "views", 5, -1), "views", "error", "counts below 0", 1),
    "fractional clicks": (
        fill("requests", "clicks", pl.col("clicks") + 0.5), "clicks", "error", "Float64, not whole numbers", 0,
    ),
    "more clicks": (put("requests", "clicks", 5, 101), "views + clicks", "error", "more clicks than views", 1),
    "unknown clicks": (put("requests", "clicks", 5, None), "views + clicks", "error", "one is empty (null)", 1),
    "unknown views": (put("requests", "views", 5, None), "views + clicks", "error", "one is empty (null)", 1),
    "zero position": (put("requests", "position", 0, 0), "position", "error", "positions below 1", 1),
    "text position": (fill("requests", "position", pl.lit("top")), "position", "error", "String, not whole", 0),
    "infinite value": (put("events", "value", 3, float("inf")), "value", "error", "not finite", 1),
    "NaN attribute": (put("items", "price", 3, float("nan")), "price", "warning", "not finite", 1),
    "a number too large": (put("items", "price", 3, 1e300), "price", "warning", "too large, which count as not known", 1),
    "NaN in a vector": (
        fill("items", "image", pl.concat_list("price", pl.col("price") / pl.col("price"))),
        "image", "warning", "not finite", 1,
    ),
    "blank kind": (put("events", "event", 3, " "), "event", "error", "empty texts", 1),
    "float id": (fill("requests", "item_id", pl.col("item_id") + 0.5), "item_id", "error", "Float64, not integers", 0),
    "text moment": (fill("events", "timestamp", pl.lit("2024-01-01")), "timestamp", "error", "String, not moments", 0),
    "integer moment": (fill("events", "timestamp", pl.lit(17)), "timestamp", "error", "Int32, not moments", 0),
    "date moment": (fill("items", "available_at", pl.lit(date(2024, 1, 1))), "available_at", "error", "Date, not", 0),
    "known before": (
        put("events", "known_at", 0, START - timedelta(days=2)), "known_at", "error", "known before it happened", 1,
    ),
    "two users": (put("requests", "user_id", 0, 6), "user_id", "error", "requests with two users", 1),
    "two moments": (
        put("requests", "timestamp", 0, START + timedelta(1)), "timestamp", "error", "requests with two moments", 1,
    ),
    "one candidate": (put("requests", "request_id", 0, 99), "request_id", "warning", "requests of one candidate", 1),
    "no positive": (put("requests", "label", 0, 0), "label", "note", "requests without a positive", 1),
    "unknown item": (put("requests", "item_id", 0, 777), "item_id", "warning", "does not hold", 1),
    "unknown item of an event": (put("events", "item_id", 0, 777), "item_id", "error", "does not hold", 1),
    "late item": (
        fill("items", "available_at", pl.lit(START + timedelta(minutes=3))),
        "available_at", "warning", "available only after they were first shown", 10,
    ),
    "blank title": (put("items", "title", 3, " "), "title", "warning", "empty texts", 1),
    "null title": (put("items", "title", 3, None), "title", "warning", "empty texts", 1),
    "nothing but nulls": (
        fill("items", "brand", pl.lit(None, pl.String)), "brand", "warning", "nothing but nulls", 0,
    ),
    "nothing but blanks": (fill("items", "brand", pl.lit(" ")), "brand", "warning", "nothing but empty texts", 0),
    "long text": (put("items", "title", 3, "x" * 1_000_001), "title", "warning", "longer than a megabyte", 1),
    "ids of two types": (
        fill("requests", "item_id", pl.col("item_id").cast(pl.String)),
        "item_id", "error", "text here and integers in items", 0,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", VALUE_FAULTS)
def test_finds_a_planted_fault(name: str) -> None:
    change, column, severity, what, rows = VALUE_FAULTS[name]
    fault = found(check_tables(plant(clean(), change), NOW), change[0], column, what)
    assert (fault.severity, fault.rows) == (severity, rows)
    assert fault.fix


@pytest.mark.parametrize("ids", [int, str])
def test_finds_nothing_in_clean_tables(ids: type) -> None:
    report = check_tables(clean(ids), NOW)
    assert [str(fault) for fault in report.faults] == [
        f"note: {table}.known_at: there is no such column: what a row says counts as known at all times, so that a column "
        "written back after the click, such as a flag for what sells best, makes every figure too good; tell versions of "
        "the rows, or leave such columns out"
        for table in ("items", "users")
    ]
    assert report.ok
    assert report.rows == {"items": 40, "events": 7, "requests": 80, "users": 7}
    assert (report.first, report.last) == (START - timedelta(hours=7), START + timedelta(minutes=19))


def test_now_is_the_present_unless_given() -> None:
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    assert check_tables(clean()).ok
    later = check_tables(plant(clean(), put("events", "timestamp", 0, tomorrow)))
    found(later, "events", "timestamp", "later than now")


def test_reports_every_planted_fault_at_once() -> None:
    names = ["negative label", "zero propensity", "zero position", "blank kind", "blank title", "two users"]
    names += ["infinite value", "known before", "NaN attribute", "late item"]
    dataset = clean()
    for name in names:
        dataset = plant(dataset, VALUE_FAULTS[name][0])
    report = check_tables(dataset, NOW)
    for name in names:
        change, column, severity, what, _ = VALUE_FAULTS[name]
        assert found(report, change[0], column, what).severity == severity
    assert len(report.errors) == 7
    severities = [fault.severity for fault in report.faults]
    assert severities == sorted(severities, key=["error", "warning", "note"].index)


def test_changes_nothing() -> None:
    dataset = plant(clean(), VALUE_FAULTS["negative label"][0])
    before = {name: getattr(dataset, name).clone() for name in ("items", "events", "requests", "users")}
    check_tables(dataset, NOW)
    for name, frame in before.items():
        assert_frame_equal(getattr(dataset, name), frame)


@pytest.mark.parametrize(
    ("table", "column"),
    [("items", "item_id"), ("events", "event"), ("events", "user_id"), ("requests", "label"), ("users", "user_id")],
)
def test_names_a_missing_column(table: str, column: str) -> None:
    dataset = clean()
    dataset = replace(dataset, **{table: getattr(dataset, table).drop(column)})
    fault = found(check_tables(dataset, NOW), table, column, "the column is missing")
    assert fault.severity == "error"
    assert "the table has" in fault.fix


def test_suggests_the_column_that_may_be_meant() -> None:
    dataset = replace(clean(), requests=clean().requests.rename({"request_id": "requestid"}))
    assert (
        found(check_tables(dataset, NOW), "requests", "request_id", "missing").fix
        == "rename 'requestid', if that is it"
    )


@pytest.mark.parametrize(
    ("table", "column", "severity", "example"),
    [
        ("items", "item_id", "error", "'0'"),
        ("users", "user_id", "error", "'0'"),
        ("requests", "request_id + item_id", "error", "'100 + 0'"),
        ("events", "user_id + item_id + timestamp + event", "warning", "'0 + 3 + 2024-03-01 11:00:00.000000Z + click'"),
    ],
)
def test_finds_rows_that_repeat(table: str, column: str, severity: str, example: str) -> None:
    dataset = clean(str)
    frame = getattr(dataset, table)
    dataset = replace(dataset, **{table: pl.concat([frame, frame.head(2)])})
    fault = found(check_tables(dataset, NOW), table, column, "again")
    assert (fault.severity, fault.rows) == (severity, 2)
    assert fault.examples[0].replace("+00:00", "Z") == example


def test_unknown_items_are_an_error_above_one_in_twenty() -> None:
    at_the_limit, above = clean(), clean()
    for row in range(4):
        at_the_limit = plant(at_the_limit, put("requests", "item_id", row, 777 + row))
    for row in range(5):
        above = plant(above, put("requests", "item_id", row, 777 + row))
    warning = found(check_tables(at_the_limit, NOW), "requests", "item_id", "does not hold")
    error = found(check_tables(above, NOW), "requests", "item_id", "does not hold")
    assert (warning.severity, warning.share, warning.examples) == ("warning", 0.05, ("777", "778", "779"))
    assert (error.severity, error.rows) == ("error", 5)


def test_finds_moments_with_and_without_a_zone() -> None:
    naive = clean().events.with_columns(pl.col("timestamp").dt.replace_time_zone(None))
    fault = found(
        check_tables(replace(clean(), events=naive), NOW), "events", "timestamp", "without a zone, but items."
    )
    assert fault.severity == "error"


def test_notes_moments_that_never_have_a_zone() -> None:
    candidates = clean().requests.drop("label").with_columns(pl.col("timestamp").dt.replace_time_zone(None))
    report = check_candidates(candidates)
    assert [str(fault) for fault in report.faults] == [
        "note: candidates.timestamp: moments without a zone; they are taken as UTC"
    ]


def test_an_item_without_any_text_column_is_an_error() -> None:
    for column in (pl.lit("").alias("title"), pl.lit(None, pl.String).alias("title")):
        items = clean().items.with_columns(column).drop("category")
        found(check_tables(replace(clean(), items=items), NOW), "items", "", "no item has any text")


@pytest.mark.parametrize("table", ["items", "requests"])
def test_an_empty_table_is_an_error(table: str) -> None:
    dataset = replace(clean(), **{table: getattr(clean(), table).clear()})
    assert found(check_tables(dataset, NOW), table, "", "holds no row").severity == "error"


def test_no_events_and_no_users_are_fine() -> None:
    assert check_tables(replace(clean(), events=clean().events.clear(), users=None), NOW).ok


def test_folder_report_is_that_of_its_tables(tmp_path: Path) -> None:
    dataset = plant(clean(), VALUE_FAULTS["negative label"][0])
    dataset.write(tmp_path / "data")
    assert check_folder(tmp_path / "data", NOW) == check_tables(dataset, NOW)


def test_broken_and_missing_files_are_faults_among_others(tmp_path: Path) -> None:
    plant(clean(), VALUE_FAULTS["negative label"][0]).write(tmp_path / "data")
    (tmp_path / "data" / "items.parquet").write_bytes(b"PAR1 no more")
    (tmp_path / "data" / "events.parquet").unlink()
    report = check_folder(tmp_path / "data", NOW)
    assert found(report, "items", "", "items.parquet cannot be read as Parquet").severity == "error"
    assert found(report, "events", "", "events.parquet is missing").severity == "error"
    found(report, "requests", "label", "labels below 0")
    assert report.rows == {"requests": 80, "users": 7}


def test_refuses_a_folder_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere is not a folder; write one with"):
        check_folder(tmp_path / "nowhere")


def test_damaged_bytes_never_stop_the_check(tmp_path: Path) -> None:
    clean().write(tmp_path / "data")
    path = tmp_path / "data" / "events.parquet"
    whole, draw = path.read_bytes(), random.Random(3)
    for _ in range(40):
        damaged = bytearray(whole)
        for _ in range(10):
            damaged[draw.randrange(len(damaged))] = draw.randrange(256)
        path.write_bytes(bytes(damaged))
        assert "requests" in check_folder(tmp_path / "data", NOW).rows


def test_candidates_need_no_label_and_may_lie_in_the_future() -> None:
    later = clean().requests.drop("label").with_columns(pl.col("timestamp") + timedelta(days=20_000))
    assert check_candidates(later, clean().items).faults == ()


def test_candidates_are_asked_the_same_as_requests() -> None:
    candidates = clean().requests.drop("label", "position")
    candidates = candidates.with_columns(put("", "user_id", 0, 6)[1]).with_columns(put("", "item_id", 1, None)[1])
    report = check_candidates(pl.concat([candidates, candidates.tail(1)]), clean().items)
    found(report, "candidates", "user_id", "requests with two users")
    found(report, "candidates", "item_id", "empty values (null)")
    found(report, "candidates", "request_id + item_id", "again")
    assert len(report.errors) == 3
    missing = check_candidates(candidates.drop("timestamp"))
    found(missing, "candidates", "timestamp", "the column is missing (when the list was asked for)")


def test_unknown_candidates_are_a_warning_however_many() -> None:
    report = check_candidates(clean().requests.drop("label"), clean().items.tail(1))
    assert found(report, "candidates", "item_id", "does not hold").severity == "warning"
    assert report.ok
    other_type = clean().items.with_columns(pl.col("item_id").cast(pl.String))
    assert not check_candidates(clean().requests, other_type).ok


VALUES = [
    pl.Series("", [1, None, 3], dtype=pl.Int8),
    pl.Series("", [2**63, 1, 0], dtype=pl.UInt64),
    pl.Series("", [0.5, None, float("nan")]),
    pl.Series("", ["a", None, ""]),
    pl.Series("", [True, None, False]),
    pl.Series("", [None, None, None]),
    pl.Series("", [START, None, START]),
    pl.Series("", [datetime(2024, 1, 1), None, None]),
    pl.Series("", [date(2024, 1, 1), None, None]),
    pl.Series("", [timedelta(1), None, None]),
    pl.Series("", [[1.0], None, [float("inf"), None]]),
    pl.Series("", [["a"], None, []]),
    pl.Series("", [{"a": 1}, None, {"a": 2}]),
    pl.Series("", ["a", None, "b"], dtype=pl.Categorical),
    pl.Series("", ["a", None, "b"], dtype=pl.Enum(["a", "b"])),
    pl.Series("", [b"a", None, b"b"]),
    pl.Series("", ["1.5", None, "2"]).cast(pl.Decimal(10, 2)),
    pl.Series("", [[1.0, 2.0], None, [3.0, float("nan")]], dtype=pl.Array(pl.Float32, 2)),
    pl.Series("", [], dtype=pl.Int64),
]


@pytest.mark.slow
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_any_types_give_a_report_and_never_an_exception(data: st.DataObject) -> None:
    dataset = clean()
    for table in ("items", "events", "requests", "users"):
        names = data.draw(st.lists(st.sampled_from([*getattr(dataset, table).columns, "other"]), unique=True))
        empty = data.draw(st.booleans())
        columns = {}
        for name in names:
            values = data.draw(st.sampled_from(VALUES))
            columns[name] = values.clear() if empty or values.is_empty() else values
        height = min((len(column) for column in columns.values()), default=0)
        dataset = replace(
            dataset, **{table: pl.DataFrame({name: column.head(height) for name, column in columns.items()})}
        )
    report = check_tables(dataset, NOW)
    assert json.loads(report.to_json())["ok"] == report.ok
    assert re.search(r"errors?, \d+ warnings?|no faults", report.to_text())
    reports = check_candidates(dataset.requests, dataset.items), check_update(dataset.events, dataset.requests, NOW)
    assert all(each.to_text() for each in reports)


def test_ebnerd_as_shipped_passes_with_its_known_gaps() -> None:
    folder = Path(__file__).parents[3] / "shared" / "data" / "ebnerd_demo"
    if not folder.is_dir():
        pytest.skip("the EB-NeRD demo bundle is not here")
    from recsys.data.importers import read_ebnerd

    data = read_ebnerd(folder)
    report = check_tables(data)
    assert report.ok
    assert found(report, "requests", "item_id", "does not hold").rows == 67
    unknown = data.events.join(data.items, on="item_id", how="anti")
    assert (unknown["event"] == "click").sum() == 971  # the others are of five pages that nobody described
    assert found(report, "events", "item_id", "does not hold").rows == len(unknown) < 1_000


def test_moments_of_no_calendar_are_a_fault_among_the_others() -> None:
    dataset = clean()
    seen = pl.lit(2**62).cast(pl.Datetime("ms", "UTC"))
    broken = replace(dataset, items=dataset.items.with_columns(seen_at=seen), events=dataset.events.drop("event"))
    told = check_tables(broken, NOW)
    fault = found(told, "items", "", "column 'seen_at' holds the moment 4611686018427387904 ms since 1970")
    assert (fault.severity, fault.fix) == ("error", "until then nothing else of the table can be checked")
    assert any(other.table == "events" for other in told.errors)


@pytest.mark.parametrize("name", ["items", "users"])
def test_a_folder_in_the_place_of_a_table_is_told(tmp_path: Path, name: str) -> None:
    clean().write(tmp_path / "data")
    (tmp_path / f"data/{name}.parquet").unlink()
    (tmp_path / f"data/{name}.parquet").mkdir()
    (fault,) = (fault for fault in check_folder(tmp_path / "data", NOW).errors if fault.table == name)
    assert fault.what == f"{name}.parquet is no file"
    (tmp_path / f"data/{name}.parquet").rmdir()
    gone = [fault.what for fault in check_folder(tmp_path / "data", NOW).errors if fault.table == name]
    assert gone == ([] if name == "users" else ["items.parquet is missing"])


@pytest.mark.parametrize("name", ["*", "^x.*$", "^.*$", "^item_id$"])
def test_a_name_that_polars_takes_for_a_pattern_is_told_and_stops_nothing(name: str) -> None:
    dataset = make_world(WorldSettings(items=100, users=20, requests=50, days=5)).dataset
    numbers = pl.Series(name, [float("nan")] * len(dataset.requests))
    before = check_tables(dataset)
    report = check_tables(replace(dataset, requests=dataset.requests.with_columns(numbers)))
    assert found(report, "requests", name, "patterns: the column is left out").severity == "warning"
    assert [fault for fault in report.faults if fault.column != name] == list(before.faults)


@pytest.mark.parametrize("other", [" click", "Click", "click\u200b", "CLICK "])
def test_kinds_that_are_one_to_a_person_are_a_warning(other: str) -> None:
    dataset = make_world(WorldSettings(items=100, users=20, requests=50, days=5)).dataset
    kinds = pl.Series("event", (["click", other, "view"] * len(dataset.events))[: len(dataset.events)])
    fault = found(
        check_tables(replace(dataset, events=dataset.events.with_columns(kinds))), "events", "event", "differ in"
    )
    assert fault.severity == "warning"
    assert len(fault.examples) == 2
    kinds = kinds.replace(other, "clicked")
    report = check_tables(replace(dataset, events=dataset.events.with_columns(kinds)))
    assert not [fault for fault in report.faults if fault.column == "event"]


def test_a_few_rows_of_items_and_users_are_checked_as_their_tables_are() -> None:
    items, users = clean().items, pl.DataFrame({"user_id": [1, 2]})
    few = items[:1].with_columns(pl.lit(None).alias(name) for name in items.columns if name != "item_id")
    assert check_entries(few, users[:1], NOW).errors == ()
    assert check_entries(None, None).faults == ()
    twice = check_entries(pl.concat([items, items[:1]]), pl.concat([users, users[:1]]), NOW)
    assert [(fault.table, fault.what) for fault in twice.errors] == [
        ("items", "the same item_id again"),
        ("users", "the same user_id again"),
    ]
    (fault,) = check_entries(items.with_columns(available_at=pl.lit("soon")), None, NOW).errors
    assert (fault.column, fault.what) == ("available_at", "the column is String, not moments")


@pytest.mark.parametrize(
    ("first", "errors", "waiting"),
    [
        (76, 0, 4),  # the last list waits for all its labels
        (72, 0, 8),
        (0, 80, 0),  # nothing at all is known
    ],
)
def test_labels_at_the_end_of_a_log_may_be_unknown(first: int, errors: int, waiting: int) -> None:
    dataset = clean()
    label = pl.when(pl.int_range(pl.len()) < first).then("label")
    report = check_tables(replace(dataset, requests=dataset.requests.with_columns(label)), NOW)
    rows = {fault.what: fault.rows for fault in report.faults if fault.column == "label"}
    assert rows.get("empty values (null)", 0) == errors
    assert rows.get("labels that are not known yet", 0) == waiting
    assert report.ok == (not errors)


def test_a_label_that_is_missing_before_others_are_known_is_a_fault() -> None:
    dataset = clean()
    for row in (0, 40, 75):
        report = check_tables(plant(dataset, put("requests", "label", row, None)), NOW)
        told = found(report, "requests", "label", "empty values (null)")
        assert told.rows == 1
        assert told.fix.endswith("; only lists after the last label of 0 may wait for theirs")
