from pathlib import Path

import duckdb
import polars as pl
import pytest

from recsys.errors import SettingsError, StorageError
from recsys.jobs.nightly.sink import leave_out, upsert


def write(folder: Path, requests: list[int], score: float) -> Path:
    folder.mkdir()
    for part, request in enumerate(requests):
        pl.DataFrame(
            {"request_id": [request] * 2, "item_id": [1, 2], "rank": [1, 2], "score": [score, 0.0]}
        ).write_parquet(folder / f"part-{part:05}.parquet")
    return folder


def rows(path: Path) -> list[tuple]:
    with duckdb.connect(str(path)) as connection:
        return connection.sql("SELECT request_id, item_id, score, night FROM shown ORDER BY ALL").fetchall()


def test_lists_of_the_same_requests_are_replaced_and_others_stay(tmp_path: Path) -> None:
    path = tmp_path / "shop.duckdb"
    upsert(str(path), "shown", write(tmp_path / "a", [1, 2], 0.5), "monday")
    upsert(str(path), "shown", write(tmp_path / "b", [2, 3], 0.7), "tuesday")
    assert [(request, night) for request, item, _, night in rows(path) if item == 1] == [
        (1, "monday"),
        (2, "tuesday"),
        (3, "tuesday"),
    ]
    upsert(str(path), "shown", tmp_path / "b", "tuesday")
    assert len(rows(path)) == 6


def test_what_fails_half_way_leaves_the_table_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "shop.duckdb"
    upsert(str(path), "shown", write(tmp_path / "a", [1, 2], 0.5), "monday")
    before = rows(path)
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE UNIQUE INDEX once ON shown (request_id, item_id, night)")
    broken = write(tmp_path / "b", [3], 0.7)
    pl.read_parquet(broken / "part-00000.parquet").write_parquet(broken / "part-00001.parquet")
    with pytest.raises(StorageError, match=r"the table shown of \[sink\] could not be written .*; it is as it was"):
        upsert(str(path), "shown", broken, "tuesday")
    assert rows(path) == before


def test_a_database_that_is_not_known_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"database is neither postgresql://"):
        upsert("mysql://x", "shown", write(tmp_path / "a", [1], 0.5), "monday")
    with pytest.raises(StorageError, match=r"the table shown of \[sink\] could not be written"):
        upsert("postgresql://me:secret@localhost:1/x?connect_timeout=1", "shown", tmp_path / "a", "monday")


def test_rows_of_a_user_are_left_out_of_a_table(tmp_path: Path) -> None:
    path, folder = tmp_path / "shop.duckdb", tmp_path / "a"
    assert leave_out(str(path), "shown", "7") == 0
    write(folder, [1, 2], 0.5)
    for part, user in enumerate([7, 8]):
        file = folder / f"part-{part:05}.parquet"
        pl.read_parquet(file).with_columns(user_id=user).write_parquet(file)
    upsert(str(path), "shown", folder, "monday")
    assert leave_out(str(path), "shown", "7") == 2
    assert {request for request, *_ in rows(path)} == {2}
    with pytest.raises(StorageError, match=r"the table shown of \[sink\] could not be written"):
        leave_out("postgresql://me:secret@localhost:1/x?connect_timeout=1", "shown", "7")


def test_columns_go_by_their_names_into_a_table_that_was_made_before(tmp_path: Path) -> None:
    path = tmp_path / "shop.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            "CREATE TABLE shown (night VARCHAR, score DOUBLE, rank BIGINT, item_id BIGINT, request_id BIGINT)"
        )
    upsert(str(path), "shown", write(tmp_path / "a", [1], 0.5), "monday")
    assert rows(path) == [(1, 1, 0.5, "monday"), (1, 2, 0.0, "monday")]
