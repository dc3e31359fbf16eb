from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from recsys.data.databases import expanded, located, opened
from recsys.errors import SettingsError, StorageError


def test_environment_variables_stand_for_secrets(monkeypatch) -> None:
    monkeypatch.setenv("PASSWORD", "p4ss")
    assert expanded("postgresql://me:${PASSWORD}@host/x") == "postgresql://me:p4ss@host/x"
    with pytest.raises(
        SettingsError, match="the environment variable NOT_SET, which the configuration names, is not set"
    ):
        expanded("${NOT_SET}")


def test_a_path_starts_from_a_folder_and_a_url_does_not(monkeypatch) -> None:
    monkeypatch.setenv("SHOP", "postgresql://me@host/x")
    assert located("${SHOP}", Path("/job")) == "postgresql://me@host/x"
    assert located("shop.duckdb", Path("/job")) == "/job/shop.duckdb"


def test_a_database_answers_in_batches_and_takes_rows_whole(tmp_path: Path) -> None:
    path = str(tmp_path / "shop.duckdb")
    rows = pa.table({"request_id": [1, 1, 2], "item_id": [5, 6, 7]})
    with opened(path, "{}", writes=True) as database:
        database.upsert("lists", rows.to_reader())
    with opened(path, "{}") as database:
        assert database.query_of("nothing") is None
        found = pa.Table.from_batches(database.batches(str(database.query_of("lists"))))
    assert found.to_pydict() == rows.to_pydict()
    with (
        pytest.raises(StorageError, match="asked in vain .*nothing.*!"),
        opened(path, "asked in vain ({})!") as database,
    ):
        list(database.batches("SELECT * FROM nothing"))
    with pytest.raises(StorageError, match="read-only|read only"), opened(path, "({})") as database:
        database.upsert("lists", rows.to_reader())
    with duckdb.connect(path) as connection:
        assert connection.sql("SELECT count(*) FROM lists").fetchall() == [(3,)]


@pytest.mark.parametrize("user", ["7", "o'neil", "x' OR '1' = '1", "${HOME}"])
def test_rows_of_a_user_are_removed_and_counted(tmp_path: Path, user: str) -> None:
    path = str(tmp_path / "shop.duckdb")
    rows = pa.table({"request_id": [1, 1, 2], "user_id": [user, user, "77"]})
    with opened(path, "{}", writes=True) as database:
        assert database.remove("lists", user) == 0
        database.upsert("lists", rows.to_reader())
        assert database.remove("lists", user) == 2
        assert database.remove("lists", user) == 0
        (left,) = [batch for batch in database.batches(str(database.query_of("lists"))) if len(batch)]
    assert left.to_pylist() == [{"request_id": 2, "user_id": "77"}]
