from datetime import UTC, datetime

import polars as pl
import pytest

from recsys.data.rules import table_faults
from recsys.schema import CANDIDATES, EVENTS, ITEMS, RANKINGS, REQUESTS, USERS, Table

NOW = datetime(2024, 6, 1, tzinfo=UTC)
LISTS = pl.DataFrame(
    {
        "request_id": [1, 1, 2, 2],
        "user_id": [7, 7, 8, 8],
        "timestamp": [datetime(2024, 5, 1, tzinfo=UTC)] * 2 + [datetime(2024, 5, 2, tzinfo=UTC)] * 2,
        "item_id": [1, 2, 1, 3],
        "label": [0, 1, 2, 0],
    }
)


def lines(table: Table, frame: pl.DataFrame, now: datetime | None = NOW) -> list[str]:
    return [str(fault) for fault in table_faults(table, frame, now)]


def test_a_clean_list_has_no_fault() -> None:
    assert lines(REQUESTS, LISTS) == []
    assert lines(CANDIDATES, LISTS.drop("label")) == []


def test_only_a_log_can_be_too_late() -> None:
    late = LISTS.with_columns(pl.lit(NOW).dt.offset_by("1us").alias("timestamp"))
    assert lines(REQUESTS, late) == [
        "error: requests.timestamp: moments later than now, 2024-06-01T00:00:00+00:00 in 4 (100 %), "
        "such as 2024-06-01T00:00:00.000001+00:00; mind the zone and the unit"
    ]
    assert lines(REQUESTS, LISTS.with_columns(timestamp=NOW)) == []
    assert lines(CANDIDATES, late.drop("label"), None) == []


def test_requests_are_counted_whole() -> None:
    mixed = LISTS.with_columns(user_id=pl.Series([7, 8, 8, 8]))
    assert lines(REQUESTS, mixed) == [
        "error: requests.user_id: requests with two users in 1 (50 %), such as 1; give every list its own request_id"
    ]


def test_labels_of_candidates_are_not_looked_at() -> None:
    assert lines(CANDIDATES, LISTS.with_columns(label=pl.lit("unknown"))) == []


def test_a_column_of_the_wrong_type_is_named_once() -> None:
    assert lines(REQUESTS, LISTS.with_columns(pl.col("label") + 0.5)) == [
        "error: requests.label: the column is Float64, not whole numbers, such as 0.5, 1.5, 2.5; "
        "write it as whole numbers"
    ]


def test_text_is_what_mostly_differs() -> None:
    items = pl.DataFrame(
        {"item_id": range(6), "title": ["a", "b", "c", "d", "", None], "category": ["x", "x", "y", "y", "", "x"]}
    )
    assert lines(ITEMS, items) == [
        "warning: items.title: empty texts in 2 (33.3 %), such as ''; write a text, or rely on the other columns"
    ]


def test_repeated_titles_of_several_words_and_lists_of_tags_are_text() -> None:
    titles = pl.DataFrame({"item_id": range(6), "title": ["a warm red coat"] * 6})
    tags = pl.DataFrame({"item_id": range(6), "tags": [["warm", "red"]] * 6})
    assert lines(ITEMS, titles) == lines(ITEMS, tags) == []


@pytest.mark.parametrize("table", [ITEMS, REQUESTS])
def test_no_rows_at_all_are_an_error(table: Table) -> None:
    frame = pl.DataFrame(schema={name: LISTS.schema[name] for name in table.required})
    assert lines(table, frame) == [f"error: {table.name}: the table holds no row; import the data again"]


@pytest.mark.parametrize("table", [EVENTS, USERS, CANDIDATES])
def test_some_tables_may_be_empty(table: Table) -> None:
    types = {**LISTS.schema, "event": pl.String}
    assert lines(table, pl.DataFrame(schema={name: types[name] for name in table.required})) == []


def test_lists_may_hold_ten_thousand_candidates_and_no_more() -> None:
    many = LISTS.head(1).select(pl.all().repeat_by(10_001).explode())
    many = many.with_columns(item_id=pl.int_range(pl.len()), label=pl.lit(1))
    assert lines(REQUESTS, many.head(10_000)) == []
    assert lines(REQUESTS, many) == [
        "error: requests.request_id: requests of more than 10000 candidates in 1 (100 %), such as 1; "
        "cut the lists, or split them into several requests"
    ]
    assert lines(CANDIDATES, many.drop("label")) == []


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("", "error: users.user_id: empty ids in 1 (50 %), such as ''; "),
        ("a\nb", "warning: users.user_id: ids with control characters or undecodable bytes in 1 (50 %), such as "),
        ("\ufffd1", "warning: users.user_id: ids with control characters or undecodable bytes in 1 (50 %), such as "),
        ("é" * 501, "warning: users.user_id: ids longer than 1000 bytes in 1 (50 %), such as 'éééé"),
    ],
)
def test_finds_odd_ids(value: str, line: str) -> None:
    (found,) = lines(USERS, pl.DataFrame({"user_id": ["fine", value]}))
    assert found.startswith(line)
    assert lines(USERS, pl.DataFrame({"user_id": ["fine", "é" * 500]})) == []


def test_flags_are_true_or_false() -> None:
    rankings = LISTS.select("request_id", "user_id", "item_id", rank=1, score=0.5, click_probability=0.5)
    rankings = rankings.with_columns(unlike=pl.lit("length"))
    flags = {column.name: 1 for column in RANKINGS.columns if column.kind == "flag"}
    told = lines(RANKINGS, rankings.with_columns(pl.lit(one).alias(name) for name, one in flags.items()))
    assert len(told) == len(flags)
    assert all("the column is Int32, not true or false, such as 1; write it as true or false" in line for line in told)


def test_values_at_the_edge_are_fine() -> None:
    edge = LISTS.with_columns(timestamp=datetime(1990, 1, 1, tzinfo=UTC), label=30, propensity=1.0, position=1)
    assert lines(REQUESTS, edge) == []
    assert lines(REQUESTS, edge.with_columns(views=pl.Series([0, 1, 9, None]), clicks=pl.Series([0, 1, 0, None]))) == []
    event = edge.head(1).select("user_id", "item_id", "timestamp", event=pl.lit("click"), known_at="timestamp")
    assert lines(EVENTS, event) == []


@pytest.mark.parametrize(
    ("clicked_at", "label", "told"),
    [
        ([-1, None, None, None], [1, 0, 0, 0], "clicked before the list was shown in 1 (25 %), such as "),
        (
            [5, 9, None, None],
            [1, 0, 0, 0],
            "the moment of a click where label says there was none in 1 (25 %), such as ",
        ),
        ([0, 5, 0, None], [0, 0, 2, 0], "the moment of a click where label says there was none in 2 (50 %), such as "),
        (
            [5, None, None, None],
            [None, 0, 0, 0],
            "the moment of a click where label says there was none in 1 (25 %), such",
        ),
        ([0, 10**6, None, None], [1, 1, 1, 0], ""),
    ],
)
def test_moments_of_clicks_belong_to_clicks_on_their_list(clicked_at, label, told) -> None:
    after = pl.Series(clicked_at, dtype=pl.Int64).cast(pl.Duration("us"))
    lists = LISTS.with_columns(label=pl.Series(label, dtype=pl.Int64), clicked_at=pl.col("timestamp") + after)
    found = [line for line in lines(REQUESTS, lists) if "clicked_at" in line]
    assert len(found) == bool(told)
    assert all(line.startswith(f"error: requests.clicked_at: {told}") for line in found)


def test_moments_of_clicks_are_moments() -> None:
    (found,) = lines(REQUESTS, LISTS.with_columns(label=1, clicked_at=pl.lit(17)))
    assert found.startswith(
        "error: requests.clicked_at: the column is Int32, not moments, such as 17; write it as moments"
    )


@pytest.mark.parametrize("name", ["views", "clicks"])
def test_views_and_clicks_go_together(name: str) -> None:
    assert lines(REQUESTS, LISTS.with_columns(pl.lit(3).alias(name))) == [
        f"error: requests.{name}: views and clicks go together, the other column is missing; add it, or leave both out"
    ]


def test_more_clicks_than_views_are_named_with_both() -> None:
    counted = LISTS.with_columns(views=pl.Series([5, 5, 5, None]), clicks=pl.Series([5, 6, -1, 2]))
    assert lines(REQUESTS, counted) == [
        "error: requests.clicks: counts below 0 in 1 (25 %), such as -1; write how often it happened",
        "error: requests.views + clicks: one is empty (null) and the other is not in 1 (25 %), such as 'null + 2'; "
        "fill in both, or leave both empty",
        "error: requests.views + clicks: more clicks than views in 1 (25 %), such as '5 + 6'; "
        "count a showing once, and at most one click for it",
    ]
    assert lines(CANDIDATES, counted.drop("label")) == []


def test_an_ill_typed_count_is_one_fault() -> None:
    (found,) = lines(REQUESTS, LISTS.with_columns(views=pl.lit("many"), clicks=pl.lit(1)))
    assert found.startswith("error: requests.views: the column is String, not whole numbers, such as 'many'")


def test_counts_without_a_value_are_no_error() -> None:
    empty = LISTS.with_columns(views=pl.lit(None), clicks=pl.lit(None))
    assert [line.split(":")[0] for line in lines(REQUESTS, empty)] == ["warning", "warning"]


EVENT = LISTS.head(1).select("user_id", "item_id", "timestamp", event=pl.lit("read"))


@pytest.mark.parametrize("value", [1_000_000_001, -1e12, 1e300, 2**63 - 1, 4e15])
def test_numbers_too_large_to_be_added_up_are_named_with_the_range(value: float) -> None:
    (found,) = lines(EVENTS, EVENT.with_columns(value=pl.lit(value)))
    assert found.startswith(
        "error: events.value: numbers outside -1,000,000,000 to 1,000,000,000 in 1 (100 %), such as "
    )
    assert lines(EVENTS, EVENT.with_columns(value=pl.lit(10**9))) == []
    assert lines(EVENTS, EVENT.with_columns(value=pl.lit(-1e9))) == []


@pytest.mark.parametrize("year", [2100, 2101, 9999])
def test_candidates_of_a_far_future_are_named(year: int) -> None:
    late = LISTS.drop("label").with_columns(timestamp=datetime(year, 1, 1, tzinfo=UTC))
    assert list(map(str, table_faults(CANDIDATES, late, None))) == [
        f"error: candidates.timestamp: moments in 2100 or later in 4 (100 %), such as {year}-01-01T00:00:00+00:00; "
        "mind the unit: seconds, milliseconds or microseconds since 1970"
    ]
    before = LISTS.drop("label").with_columns(timestamp=datetime(2099, 12, 31, tzinfo=UTC))
    assert list(table_faults(CANDIDATES, before, None)) == []


def test_positions_that_are_empty_in_some_rows_are_warned_of() -> None:
    rows = LISTS.head(2).with_columns(position=pl.Series([1, None], dtype=pl.Int64))
    told = [line for line in lines(REQUESTS, rows) if "position" in line]
    assert told == [
        "warning: requests.position: empty (null) where other rows have one in 1 (50 %); fill it in, or leave the column "
        "out"
    ]
    assert not [line for line in lines(REQUESTS, rows[:1]) if "position" in line]
