from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from recsys.data.candidates import cross, every_item, read_rows
from recsys.data.plain import in_utc
from recsys.errors import DataError
from recsys.schema import TIME

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)
ROWS = pl.DataFrame(
    {"request_id": [1, 1], "user_id": [5, 5], "timestamp": [NOON, NOON], "item_id": ["a", "b"]},
    schema_overrides={"timestamp": TIME},
)


def test_a_file_is_read_with_moments_in_utc(tmp_path: Path):
    naive = ROWS.with_columns(pl.col("timestamp").dt.replace_time_zone(None).dt.cast_time_unit("ms"))
    naive.write_parquet(tmp_path / "c.parquet")
    assert_frame_equal(read_rows(tmp_path / "c.parquet"), ROWS)
    assert_frame_equal(read_rows(str(tmp_path / "c.parquet")), ROWS)


def test_all_files_of_a_folder_are_one_table_in_the_order_of_their_names(tmp_path: Path):
    (tmp_path / "later").mkdir()
    ROWS[1:].write_parquet(tmp_path / "later" / "part-0.parquet")
    ROWS[:1].write_parquet(tmp_path / "a.parquet")
    (tmp_path / "notes.txt").write_text("not a table")
    assert_frame_equal(read_rows(tmp_path), ROWS)


@pytest.mark.parametrize("name", ["", "none.parquet"])
def test_nothing_to_read_is_refused(tmp_path: Path, name: str):
    with pytest.raises(DataError, match="(holds no Parquet file|is missing); give a Parquet file or a folder of them"):
        read_rows(tmp_path / name)


def test_what_is_not_one_table_is_refused(tmp_path: Path):
    message = "(?s)cannot be read as Parquet .*write Parquet with equal columns"
    (tmp_path / "b.parquet").write_text("request_id\n1\n")
    with pytest.raises(DataError, match=message):
        read_rows(tmp_path / "b.parquet")
    ROWS.write_parquet(tmp_path / "a.parquet")
    with pytest.raises(DataError, match=message):
        read_rows(tmp_path)
    ROWS.with_columns(user_id=pl.lit("u1")).write_parquet(tmp_path / "b.parquet")
    with pytest.raises(DataError, match=r"b\.parquet holds user_id as String, where a\.parquet holds numbers; write"):
        read_rows(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: rows.select(reversed(rows.columns)),
        lambda rows: rows.cast({"user_id": pl.Int16}),
        lambda rows: rows.with_columns(pl.col("timestamp").dt.cast_time_unit("ns")),
        lambda rows: rows.with_columns(pl.col("timestamp").dt.convert_time_zone("Asia/Tokyo")),
        lambda rows: rows.with_columns(more=pl.lit("x")),
    ],
)
def test_parts_that_differ_in_order_width_unit_zone_or_further_columns_are_one_table(tmp_path: Path, change):
    ROWS.write_parquet(tmp_path / "a.parquet")
    change(ROWS).write_parquet(tmp_path / "b.parquet")
    together = read_rows(tmp_path)
    assert together.select(ROWS.columns).cast(ROWS.schema).equals(in_utc(pl.concat([ROWS, ROWS])).cast(ROWS.schema))


def test_every_user_gets_every_item():
    users = pl.DataFrame({"user_id": ["u", "v"], "device": ["phone", "web"]})
    table = cross(users, pl.DataFrame({"item_id": [3, 4], "title": ["x", "y"]}), NOON)
    assert sorted(table.select("request_id", "user_id", "device", "item_id", "timestamp").rows()) == [
        (user, user, device, item, NOON) for user, device in (("u", "phone"), ("v", "web")) for item in (3, 4)
    ]
    assert "title" not in table.columns
    assert table.schema["timestamp"] == TIME


def test_items_that_are_not_out_yet_are_left_out():
    moments = [NOON - timedelta(days=1), NOON, NOON + timedelta(microseconds=1), None]
    users = pl.DataFrame({"user_id": [1]})
    for dtype in (TIME, pl.Datetime("us")):
        available = pl.Series(moments, dtype=TIME).dt.replace_time_zone(dtype.time_zone)
        table = cross(users, pl.DataFrame({"item_id": [1, 2, 3, 4], "available_at": available}), NOON)
        assert table["item_id"].to_list() == [1, 2, 4]


@pytest.mark.parametrize(
    "at",
    [
        NOON.replace(tzinfo=None),
        NOON.astimezone(ZoneInfo("Asia/Tokyo")),
        NOON.astimezone(timezone(timedelta(hours=-3))),
    ],
)
def test_the_moment_may_be_given_in_any_zone(at):
    items = pl.DataFrame({"item_id": [1, 2], "available_at": [NOON, NOON + timedelta(seconds=1)]})
    table = cross(pl.DataFrame({"user_id": [1]}), items, at)
    assert table.select("item_id", "timestamp").rows() == [(1, NOON)]


@pytest.mark.parametrize(
    ("users", "items", "message"),
    [
        ({"user": [1]}, {"item_id": [1]}, "there is no column user_id; the columns are user"),
        ({"user_id": [1]}, {"sku": [1], "title": ["a"]}, "there is no column item_id; the columns are sku, title"),
        ({"user_id": [1, 1]}, {"item_id": [1]}, "user_id holds 1 repeats and 0 nulls; keep one row per id"),
        ({"user_id": [1]}, {"item_id": [2, None]}, "item_id holds 0 repeats and 1 nulls; keep one row per id"),
    ],
)
def test_ids_that_are_missing_or_repeated_are_refused(users, items, message):
    with pytest.raises(DataError, match=message):
        cross(pl.DataFrame(users), pl.DataFrame(items), NOON)


def test_no_user_or_no_item_gives_no_candidate():
    users, items = pl.DataFrame({"user_id": [1]}), pl.DataFrame({"item_id": [1]})
    assert cross(users.clear(), items, NOON).is_empty()
    assert cross(users, items.clear(), NOON).is_empty()


ODD = {
    "fractions": [1.5, 2.5],
    "lists": [[1], [2]],
    "structs": [{"a": 1}, {"a": 2}],
    "bytes": [b"a", b"b"],
    "flags": [True, False],
    "moments": [NOON, NOON + timedelta(days=1)],
}


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("column", ["user_id", "item_id"])
def test_ids_of_odd_types_are_refused_by_name(column: str, kind: str):
    tables = {"user_id": pl.DataFrame({"user_id": [1]}), "item_id": pl.DataFrame({"item_id": ["a"]})}
    tables[column] = pl.DataFrame({column: ODD[kind]})
    with pytest.raises(DataError, match=rf"{column} holds .* values; ids are integers or text, as in the other tables"):
        cross(tables["user_id"], tables["item_id"], NOON)


@pytest.mark.parametrize("available", [["soon", "later"], [1, 2], [[NOON], [NOON]]])
def test_items_that_come_out_at_no_moment_are_refused(available):
    items = pl.DataFrame({"item_id": ["a", "b"], "available_at": available})
    with pytest.raises(
        DataError, match="available_at of the items holds .* values; write moments, or leave the column"
    ):
        cross(pl.DataFrame({"user_id": [1]}), items, NOON)


def test_of_versions_what_is_known_before_the_moment_counts():
    moments = [None, NOON - timedelta(hours=1), NOON]
    users = pl.DataFrame({"user_id": [1, 1, 1, 2], "device": ["a", "b", "c", "d"], "known_at": [*moments, NOON]})
    out = [NOON, NOON + timedelta(days=1), NOON]
    items = pl.DataFrame({"item_id": [3, 3, 4], "known_at": moments, "available_at": out})
    table = cross(users, items, NOON)
    assert table.select("user_id", "device", "item_id").rows() == [(1, "b", 3)]
    later = cross(users, items, NOON + timedelta(seconds=1))
    assert sorted(later.select("user_id", "device", "item_id").rows()) == [
        (user, device, item) for user, device in ((1, "c"), (2, "d")) for item in (3, 4)
    ]


@pytest.mark.parametrize(
    ("items", "message"),
    [
        (
            {"item_id": [1, 1], "known_at": [NOON - timedelta(1)] * 2},
            "2 rows repeat item_id and known_at; keep one row per",
        ),
        ({"item_id": [1, 1], "known_at": [None, None]}, "2 rows repeat item_id and known_at; keep one row per version"),
        (
            {"item_id": [1], "known_at": ["noon"]},
            "known_at beside item_id holds String values; write moments, or leave",
        ),
    ],
)
def test_versions_that_are_none_are_refused(items, message):
    with pytest.raises(DataError, match=message):
        cross(pl.DataFrame({"user_id": [1]}), pl.DataFrame(items), NOON)


def test_each_request_gets_the_items_that_are_out_by_its_own_moment():
    items = pl.DataFrame(
        {"item_id": ["a", "b", "c"], "available_at": [None, NOON, NOON + timedelta(hours=2)]},
        schema_overrides={"available_at": TIME},
    )
    hours = [timedelta(hours=hour) for hour in (1, -1, 3, 1)]
    requests = pl.DataFrame(
        {"request_id": [1, 2, 3, 4], "user_id": [5, 5, 6, 6], "timestamp": [NOON + hour for hour in hours]},
        schema_overrides={"timestamp": TIME},
    )
    found = every_item(requests, items).group_by("request_id").agg(pl.col("item_id").sort().str.join())
    assert dict(found.sort("request_id").iter_rows()) == {1: "ab", 2: "a", 3: "abc", 4: "ab"}
    assert every_item(requests.clear(), items).is_empty()
