from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from recsys.data.importers.shared import (
    first_showings,
    read_parquet_columns,
    read_text,
    split_folders,
    typed_as,
    unique_request_ids,
)
from recsys.errors import DataError


def test_reads_a_file_that_holds_what_is_asked(tmp_path: Path) -> None:
    frame = pl.DataFrame({"a": [1], "b": [2]})
    frame.write_parquet(tmp_path / "x.parquet")
    assert read_parquet_columns(tmp_path / "x.parquet", ("b",)).equals(frame)


def test_refuses_absent_files_columns_and_other_formats(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    with pytest.raises(DataError, match=r"x\.parquet is missing; name the folder"):
        read_parquet_columns(path, ())
    path.write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match=r"x\.parquet cannot be read as Parquet .*fetch the file again"):
        read_parquet_columns(path, ())
    pl.DataFrame({"a": [1]}).write_parquet(path)
    with pytest.raises(DataError, match=r"x\.parquet has no column b, c \(it has a\); choose files"):
        read_parquet_columns(path, ("a", "b", "c"))


def test_ids_take_the_type_of_the_lists_or_are_refused() -> None:
    lists = pl.DataFrame({"user_id": [1]}, schema={"user_id": pl.UInt32})
    assert typed_as(pl.DataFrame({"user_id": [5]}), lists, ("user_id",), "x").schema["user_id"] == pl.UInt32
    with pytest.raises(DataError, match=r"history: user_id is Int64 and does not fit the UInt32 of the lists"):
        typed_as(pl.DataFrame({"user_id": [-5]}), lists, ("user_id",), "history")


def test_first_showing_is_the_earliest() -> None:
    days = [datetime(2024, 1, day, tzinfo=UTC) for day in (3, 1, 2)]
    shown = first_showings(pl.DataFrame({"item_id": ["a", "a", "b"], "timestamp": days}))
    assert dict(shown.rows()) == {"a": days[1], "b": days[2]}


def test_ids_move_only_where_they_meet() -> None:
    parts = [pl.DataFrame({"id": ids}) for ids in ([5, 2], [7], [7, 1])]
    lists, notes = unique_request_ids(parts, "id")
    assert lists["id"].to_list() == [5, 2, 7, 15, 9]
    assert notes == ["id repeats between the parts; 8 is added to the ids of part 3."]
    with pytest.raises(DataError, match=r"id 3 stands for several lists \(2 ids do\); give every list its own id"):
        unique_request_ids([pl.DataFrame({"id": [4, 3, 4, 3]})], "id")


def test_text_is_read_from_the_path_as_it_is_written_or_refused(tmp_path) -> None:
    (tmp_path / "[1].csv").write_text("a,b\n1,x\n")
    assert read_text(tmp_path / "[1].csv", "a CSV file").rows() == [(1, "x")]
    with pytest.raises(DataError, match=r"none\.csv is missing; name the folder that holds the files"):
        read_text(tmp_path / "none.csv", "a CSV file")
    (tmp_path / "broken.csv").write_text("a,b\n1,x\n1,2,3\n")
    with pytest.raises(DataError, match=r"broken\.csv cannot be read as a CSV file \(.*\); fetch the file again"):
        read_text(tmp_path / "broken.csv", "a CSV file")


def test_the_folder_itself_comes_before_its_parts(tmp_path) -> None:
    for part in ("train", "dev"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "a.tsv").touch()
    assert split_folders(tmp_path, "a.tsv", ("train", "dev")) == [tmp_path / "train", tmp_path / "dev"]
    (tmp_path / "a.tsv").touch()
    assert split_folders(tmp_path, "a.tsv", ("train", "dev")) == [tmp_path]
    with pytest.raises(DataError, match=r"holds no b\.tsv, neither itself nor in train/ or dev/; name the folder"):
        split_folders(tmp_path, "b.tsv", ("train", "dev"))
