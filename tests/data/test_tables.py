import json
import os
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from recsys.data.tables import About, Dataset, in_utc, one_version, read_about, read_table
from recsys.errors import DataError
from recsys.schema import TIME

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)
DATA = Dataset(
    items=pl.DataFrame({"item_id": ["a", "b"], "title": ["one", None], "image": [[0.5, 1.0], [1.0, 0.0]]}),
    events=pl.DataFrame({"user_id": [1], "item_id": ["a"], "timestamp": [NOON], "event": ["click"]}),
    requests=pl.DataFrame(
        {"request_id": [9, 9], "user_id": [1, 1], "timestamp": [NOON, NOON], "item_id": ["a", "b"], "label": [0, 1]}
    ),
    users=pl.DataFrame({"user_id": [1], "age": [30]}),
    about=About("ebnerd", ("a note: æøå",), ("read_time",)),
)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    DATA.write(tmp_path / "data")
    read = Dataset.read(str(tmp_path / "data"))
    assert read.about == DATA.about
    assert read.users is not None
    assert DATA.users is not None
    assert_frame_equal(read.users, DATA.users)
    for name in ("items", "events", "requests"):
        assert_frame_equal(in_utc(getattr(DATA, name)), getattr(read, name))


def test_users_and_about_may_be_missing(tmp_path: Path) -> None:
    replace(DATA, users=None).write(tmp_path / "data")
    (tmp_path / "data" / "about.json").unlink()
    read = Dataset.read(tmp_path / "data")
    assert read.users is None
    assert read.about == About("tables", (), ())


def test_what_was_said_before_lists_could_be_sampled_is_read(tmp_path: Path) -> None:
    DATA.write(tmp_path / "data")
    path = tmp_path / "data" / "about.json"
    path.write_text(json.dumps({"source": "old", "notes": ["a"], "recorded_after": []}))
    assert Dataset.read(tmp_path / "data").about == About("old", ("a",), ())
    for flag in ("sampled", "first_shown"):
        replace(DATA, about=About(**{flag: True})).write(tmp_path / flag)
        assert Dataset.read(tmp_path / flag).about == About(**{flag: True})


def test_an_existing_folder_is_not_written_over(tmp_path: Path) -> None:
    DATA.write(tmp_path / "data")
    with pytest.raises(DataError, match="data already exists and is not empty"):
        DATA.write(tmp_path / "data")


@pytest.mark.parametrize("name", ["items", "events", "requests"])
def test_a_missing_table_is_named(tmp_path: Path, name: str) -> None:
    DATA.write(tmp_path / "data")
    (tmp_path / "data" / f"{name}.parquet").unlink()
    with pytest.raises(DataError, match=rf"{name}\.parquet is missing; every data folder holds"):
        Dataset.read(tmp_path / "data")


def test_other_formats_and_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere is not a folder; write one with"):
        Dataset.read(tmp_path / "nowhere")
    (tmp_path / "items.parquet").write_text("item_id\n1\n")
    with pytest.raises(DataError, match=r"items\.parquet cannot be read as Parquet .*import the data again"):
        read_table(tmp_path, "items")


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        json.dumps({"source": "x"}),
        json.dumps({"source": "x", "notes": 3}),
        json.dumps({"source": "x", "notes": [], "recorded_after": [], "sampled": 1}),
        json.dumps({"source": "x", "notes": [], "recorded_after": [], "first_shown": "yes"}),
    ],
)
def test_a_damaged_about_is_refused(tmp_path: Path, text: str) -> None:
    DATA.write(tmp_path / "data")
    (tmp_path / "data" / "about.json").write_text(text)
    with pytest.raises(DataError, match=r"about\.json is not what an importer writes .*delete it or import again"):
        Dataset.read(tmp_path / "data")


@pytest.mark.parametrize(
    "moment",
    [
        pl.Series([NOON]),
        pl.Series([NOON.replace(tzinfo=None)]),
        pl.Series([NOON.replace(tzinfo=None)]).dt.cast_time_unit("ms"),
        pl.Series([NOON]).dt.cast_time_unit("ns").dt.convert_time_zone("Asia/Tokyo"),
    ],
)
def test_every_moment_becomes_utc(moment: pl.Series) -> None:
    frame = in_utc(pl.DataFrame({"timestamp": moment, "item_id": ["a"]}))
    assert frame.schema == {"timestamp": TIME, "item_id": pl.String}
    assert frame.rows() == [(NOON, "a")]


def test_the_same_tables_give_the_same_bytes(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        DATA.write(tmp_path / folder)
    for path in sorted((tmp_path / "one").iterdir()):
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_a_folder_in_the_place_of_a_table_is_no_table(tmp_path: Path) -> None:
    DATA.write(tmp_path / "data")
    table = tmp_path / "data" / "items.parquet"
    table.rename(tmp_path / "part-0.parquet")
    table.mkdir()
    (tmp_path / "part-0.parquet").rename(table / "part-0.parquet")
    with pytest.raises(
        DataError, match=r"items\.parquet is no file; every data folder holds items, events and requests"
    ):
        Dataset.read(tmp_path / "data")


@pytest.mark.parametrize("zone", [None, "UTC", "Asia/Tokyo"])
@pytest.mark.parametrize(
    ("unit", "number"),
    [
        ("ms", 1_700_000_000_000_000),
        ("ms", 2**63 - 1),
        ("us", 2**63 - 1),
        ("us", -(2**63)),
        ("us", 10**18),
        ("ms", -(10**15)),
    ],
)
def test_moments_of_no_calendar_are_named_with_the_range(unit, number, zone):
    dtype = pl.Datetime(unit, zone)
    told = re.escape(
        f"column 'seen' holds the moment {number} {unit} since 1970, which lies outside the calendar; moments"
    )
    with pytest.raises(DataError, match=f"^{told} of events and requests lie between 1990 and 2100: mind the unit$"):
        in_utc(pl.DataFrame({"seen": pl.Series([0, number]).cast(dtype)}))


@given(st.datetimes(), st.sampled_from(["ms", "us"]))
def test_every_moment_of_the_calendar_is_fine(moment, unit):
    dtype = pl.Datetime(unit)
    for moments in ([moment, None], [None], []):
        assert in_utc(pl.DataFrame({"seen": pl.Series(moments, dtype=dtype)}))["seen"].len() == len(moments)


@pytest.mark.parametrize("make", [lambda path: path.symlink_to("/dev/zero"), os.mkfifo, Path.mkdir])
def test_what_the_importer_says_is_read_from_a_plain_file_alone(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "about.json")
    with pytest.raises(DataError, match=r"about\.json is not what an importer writes .*; delete it or import again"):
        read_about(tmp_path / "about.json")


@pytest.mark.parametrize("key", ["item_id", "user_id"])
def test_the_first_and_the_last_version_of_each_id_are_found_in_any_order_of_rows(key: str) -> None:
    moments = [datetime(2024, 3, 2, tzinfo=UTC), None, datetime(2024, 3, 1, tzinfo=UTC), None]
    table = pl.DataFrame({key: [1, 1, 1, 2], "known_at": moments, "name": ["c", "a", "b", "d"]})
    for order in ([0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2]):
        for which, names in (("first", ["a", "d"]), ("last", ["c", "d"])):
            assert one_version(table[order], key, which).sort(key)["name"].to_list() == names
    plain = table.drop("known_at")
    assert one_version(plain, key, "last") is plain


def test_reports_say_which_tables_count_as_always_known() -> None:
    words = "There is no known_at in {}: what a row says counts as known at all times, so that a column written back"
    items = pl.DataFrame({"item_id": [1], "title": ["a"], "known_at": [datetime(2024, 3, 1, tzinfo=UTC)]})
    users, no_users = pl.DataFrame({"user_id": [1], "age": [3]}), pl.DataFrame({"user_id": [1]})
    undated = items.with_columns(known_at=pl.lit(None, TIME))
    about = About(notes=("Said.",))
    for tables, said in (
        ((items, None), None),
        ((items, no_users), None),
        ((items, users), "users"),
        ((undated, users), "items and users"),
        ((items.drop("known_at"), None), "items"),
    ):
        notes = list(Dataset(tables[0], items, items, tables[1], about).notes())
        assert notes[0] == "Said."
        assert len(notes) == 1 + (said is not None)
        assert said is None or notes[1].startswith(words.format(said))
