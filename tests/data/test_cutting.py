from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from recsys.data import cutting
from recsys.data.cutting import first_moments, in_parts, refuse_no_items
from recsys.errors import DataError
from recsys.schema import TIME
from recsys.statistics.hashes import part_of


def make_candidates(requests: int = 60, texts: bool = False) -> pl.DataFrame:
    random = np.random.default_rng(requests)
    lengths = random.integers(1, 9, requests)
    request = np.repeat(np.arange(requests), lengths)
    frame = pl.DataFrame({"request_id": request, "item_id": random.permutation(len(request))})
    frame = frame.with_columns(timestamp=pl.lit(datetime(2024, 5, 1)), user_id=pl.col("request_id") % 7)
    frame = frame.with_columns(pl.col("request_id").cast(pl.String)) if texts else frame
    return frame.sample(fraction=1, shuffle=True, seed=1)


@pytest.mark.parametrize("texts", [False, True])
@pytest.mark.parametrize("at_once", [7, 10_000])
def test_parts_of_files_hold_whole_requests_and_all_rows_once(tmp_path: Path, monkeypatch, texts, at_once) -> None:
    monkeypatch.setattr(cutting, "_AT_ONCE", at_once)
    whole = make_candidates(texts=texts)
    (tmp_path / "in").mkdir()
    whole[:100].write_parquet(tmp_path / "in/one.parquet")
    whole[100:].write_parquet(tmp_path / "in/two.parquet")
    with in_parts(tmp_path / "in", tmp_path / "work", rows=40) as parts:
        found, again = list(parts), list(parts)
    assert len(found) > 3
    assert all(map(pl.DataFrame.equals, found, again))
    assert sum(part["request_id"].n_unique() for part in found) == 60
    utc = whole.with_columns(pl.col("timestamp").dt.replace_time_zone("UTC"))
    assert_frame_equal(pl.concat(found).sort(pl.all()), utc.sort(pl.all()))
    assert not (tmp_path / "work").exists()


def test_rows_in_memory_and_small_files_are_one_part(tmp_path: Path) -> None:
    whole = make_candidates().with_columns(pl.col("timestamp").dt.replace_time_zone("UTC"))
    whole.write_parquet(tmp_path / "one.parquet")
    for given in (whole, tmp_path / "one.parquet"):
        with in_parts(given, tmp_path / "work", rows=250) as parts:
            assert_frame_equal(next(iter(parts)), whole)
            assert len(list(parts)) == 1


@pytest.mark.parametrize("in_files", [True, False])
def test_parts_come_in_whole_times_so_that_each_is_of_users_of_one_larger_part(tmp_path: Path, in_files) -> None:
    rows = pl.DataFrame({"request_id": range(1_000), "user_id": range(1_000), "item_id": 1})
    rows.write_parquet(tmp_path / "rows.parquet")
    with in_parts(tmp_path / "rows.parquet" if in_files else rows, tmp_path / "work", 100, 4) as parts:
        assert len(parts) == 12
        assert sum(map(len, parts)) == 1_000
        assert all(len(set(part_of(part["user_id"], 4))) == 1 for part in parts)
    with in_parts(rows, tmp_path / "work", 400, 4) as parts:  # fewer than four: each is of users of several
        assert len(parts) == 2


@pytest.mark.parametrize("fan", [2, 3, 7])
def test_more_parts_than_files_are_opened_at_once_are_dealt_out_again(tmp_path: Path, monkeypatch, fan) -> None:
    rows = pl.DataFrame({"request_id": range(2_000), "user_id": np.arange(2_000) % 300, "item_id": 1})
    rows.write_parquet(tmp_path / "rows.parquet")
    monkeypatch.setattr(cutting, "_AT_ONCE", 190)
    with in_parts(tmp_path / "rows.parquet", tmp_path / "work", 90) as parts:
        whole = list(parts)
    monkeypatch.setattr(cutting, "_FAN", fan)
    with in_parts(tmp_path / "rows.parquet", tmp_path / "work", 90) as parts:
        assert len(parts) == len(whole) == 22
        assert all(map(pl.DataFrame.equals, whole, parts))
        assert len([*(tmp_path / "work").iterdir()]) == 22
    assert not (tmp_path / "work").exists()


def test_requests_without_an_id_come_to_who_names_them(tmp_path: Path) -> None:
    whole = make_candidates().with_columns(request_id=pl.when(pl.col("item_id") > 50).then("request_id"))
    whole.write_parquet(tmp_path / "one.parquet")
    with in_parts(tmp_path / "one.parquet", tmp_path / "work", rows=40) as parts:
        assert sum(part["request_id"].null_count() for part in parts) == whole["request_id"].null_count() > 0


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.parquet is missing; give a Parquet file or a folder of them"):  # noqa: SIM117
        with in_parts(tmp_path / "none.parquet", tmp_path / "work", rows=4):
            pass
    make_candidates().write_parquet(tmp_path / "one.parquet", row_group_size=50)
    content = bytearray((tmp_path / "one.parquet").read_bytes())
    content[4:200] = bytes(196)
    (tmp_path / "one.parquet").write_bytes(content)
    with pytest.raises(DataError, match=r"one\.parquet cannot be read as Parquet \(.*\); write"):  # noqa: SIM117
        with in_parts(tmp_path / "one.parquet", tmp_path / "work", rows=40):
            pass
    assert not (tmp_path / "work").exists()


def test_candidates_without_items_are_refused(tmp_path: Path) -> None:
    pl.DataFrame({"request_id": [1], "user": [2], "at": [datetime(2024, 5, 1, tzinfo=UTC)]}).write_parquet(
        tmp_path / "one.parquet"
    )
    with pytest.raises(DataError, match=r"one\.parquet has no column item_id; its columns are request_id, user, at; "):
        refuse_no_items(tmp_path / "one.parquet")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (pl.col("item_id").cast(pl.String), "item_id holds text, where in most files it holds whole numbers"),
        (pl.col("user_id").cast(pl.String), "user_id holds text, where in most files it holds whole numbers"),
        (None, "item_id is not there, where in most files it holds whole numbers"),
    ],
)
def test_a_file_that_differs_from_most_in_its_ids_is_left_out_by_name(tmp_path: Path, change, why) -> None:
    whole = make_candidates()
    for number in range(3):
        part = whole.filter(pl.col("user_id") % 3 == number)
        if number == 1:
            part = part.drop("item_id") if change is None else part.with_columns(change)
        part.write_parquet(tmp_path / f"{number}.parquet")
    whole.clear().write_parquet(tmp_path / "3.parquet")
    with in_parts(tmp_path, tmp_path / "work", rows=40) as parts:
        assert parts.broken == {"1.parquet": why}
        assert sum(map(len, parts)) == len(whole.filter(pl.col("user_id") % 3 != 1))


def test_files_with_and_without_a_zone_are_one_night(tmp_path: Path) -> None:
    whole = make_candidates()
    whole[:100].with_columns(pl.col("timestamp").dt.replace_time_zone("UTC")).write_parquet(tmp_path / "one.parquet")
    whole[100:].write_parquet(tmp_path / "two.parquet")
    with in_parts(tmp_path, tmp_path / "work", rows=10**6) as parts:
        assert parts[0].schema["timestamp"] == TIME
        assert len(parts[0]) == len(whole)
    assert first_moments(tmp_path).to_list() == 2 * [datetime(2024, 5, 1, tzinfo=UTC)]


def test_no_rows_and_a_broken_file_are_one_part_of_nothing(tmp_path: Path) -> None:
    make_candidates().clear().write_parquet(tmp_path / "one.parquet")
    (tmp_path / "two.parquet").write_bytes(b"no table")
    with in_parts(tmp_path, tmp_path / "work", rows=10) as parts:
        assert [len(part) for part in parts] == [0]
    assert first_moments(tmp_path).is_empty()


def test_a_file_that_would_take_all_memory_is_refused_before_it_is_cut(tmp_path: Path, monkeypatch) -> None:
    make_candidates().write_parquet(tmp_path / "one.parquet")
    monkeypatch.setattr("recsys.reading._memory", lambda: 100)
    with pytest.raises(DataError, match=r"one\.parquet has .* and would take .* of memory or more"):  # noqa: SIM117
        with in_parts(tmp_path / "one.parquet", tmp_path / "work", rows=40):
            pass
    assert not (tmp_path / "work").exists()
