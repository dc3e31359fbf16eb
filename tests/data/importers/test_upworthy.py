from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from recsys.data.checks import check_tables
from recsys.data.importers import read_upworthy
from recsys.data.tables import Dataset
from recsys.errors import DataError

FIRST, SECOND, ALONE, UNCLICKED = (f"{number:08x}0000000000000000" for number in (10**9, 2**30, 2**30 + 1, 2**30 + 2))
FIRST_MOMENT = datetime(2001, 9, 9, 1, 46, 40, tzinfo=UTC)
SECOND_MOMENT = datetime(2004, 1, 10, 13, 37, 4, tzinfo=UTC)
ARCHIVE = Path("../shared/data/upworthy")
VERSIONS: list[tuple[str, str | None, str, int, int]] = [
    # test, headline, image, views, clicks
    (SECOND, "Guess &amp; win", "a", 100, 7),
    (SECOND, "Look, a cat", "a", 100, 5),
    (SECOND, "Look, a cat", "b", 100, 10),
    (FIRST, "Look, a cat", "a", 100, 2),
    (FIRST, 'A "dog"\nand more', "a", 50, 1),
    (FIRST, "Nobody came", "a", 0, 0),
    (FIRST, None, "a", 100, 50),
    (ALONE, "On its own", "a", 100, 2),
    (UNCLICKED, "On its own", "a", 100, 0),
    (UNCLICKED, "Nobody came", "a", 100, 0),
]


def versions(rows: list[tuple[str, str | None, str, int, int]]) -> pl.DataFrame:
    columns = ["clickability_test_id", "headline", "eyecatcher_id", "impressions", "clicks"]
    return pl.DataFrame(rows, schema=columns, orient="row")


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    versions(VERSIONS).write_parquet(tmp_path / "arms.parquet")
    return read_upworthy(tmp_path)


def test_a_test_becomes_a_request_with_its_headlines_pooled(data: Dataset) -> None:
    assert data.requests.rows() == [
        (FIRST, FIRST, FIRST_MOMENT, 1, 1, 100, 2),
        (FIRST, FIRST, FIRST_MOMENT, 2, 1, 50, 1),
        (FIRST, FIRST, FIRST_MOMENT, 3, 0, 0, 0),
        (SECOND, SECOND, SECOND_MOMENT, 4, 0, 100, 7),
        (SECOND, SECOND, SECOND_MOMENT, 1, 1, 200, 15),
        (UNCLICKED, UNCLICKED, SECOND_MOMENT.replace(second=6), 5, 0, 100, 0),
        (UNCLICKED, UNCLICKED, SECOND_MOMENT.replace(second=6), 3, 0, 100, 0),
    ]  # fmt: skip
    assert data.requests.columns == ["request_id", "user_id", "timestamp", "item_id", "label", "views", "clicks"]
    assert "1 tests with one headline are left out." in data.about.notes
    assert data.about.first_shown


def test_a_headline_is_one_item_in_all_tests_available_from_the_first(data: Dataset) -> None:
    assert data.items.rows() == [
        (1, "Look, a cat", FIRST_MOMENT),
        (2, 'A "dog"\nand more', FIRST_MOMENT),
        (3, "Nobody came", FIRST_MOMENT),
        (4, "Guess &amp; win", SECOND_MOMENT),
        (5, "On its own", SECOND_MOMENT.replace(second=5)),
    ]
    assert data.items.columns == ["item_id", "title", "available_at"]


def test_the_tables_pass_the_check_and_are_read_again(data: Dataset, tmp_path: Path) -> None:
    assert check_tables(data).errors == ()
    notes = [(fault.severity, fault.column) for fault in check_tables(data).faults]
    assert notes == [("note", "label"), ("note", "known_at")]  # the test that nobody clicked
    data.write(tmp_path / "data")
    assert Dataset.read(tmp_path / "data").events.schema == data.events.schema
    assert data.events.is_empty()


def test_a_published_csv_file_gives_the_same(data: Dataset, tmp_path: Path) -> None:
    (tmp_path / "arms.parquet").unlink()
    versions(VERSIONS).with_row_index("").write_csv(tmp_path / "packages.csv")
    again = read_upworthy(tmp_path)
    assert again.requests.equals(data.requests)
    assert again.items.equals(data.items)


def test_refuses_two_files_missing_columns_and_ids_without_a_moment(tmp_path: Path) -> None:
    versions(VERSIONS).drop("clicks").write_csv(tmp_path / "a.csv")
    with pytest.raises(DataError, match=r"a\.csv cannot be read as a CSV file with the columns .*; fetch the file"):
        read_upworthy(tmp_path)
    versions(VERSIONS).write_csv(tmp_path / "b.csv")
    with pytest.raises(DataError, match=r"holds a\.csv and b\.csv; name a folder that holds one file"):
        read_upworthy(tmp_path)
    (tmp_path / "a.csv").unlink()
    versions([*VERSIONS, ("test 7", "x", "a", 1, 0)]).write_csv(tmp_path / "b.csv")
    with pytest.raises(DataError, match=r"clickability_test_id, row 11: 'test 7' is not 24 hexadecimal digits"):
        read_upworthy(tmp_path)


@pytest.mark.skipif(not ARCHIVE.is_dir(), reason="needs the Upworthy Research Archive in ../shared/data/upworthy")
def test_the_archive_passes_the_check() -> None:
    data = read_upworthy(ARCHIVE)
    assert [fault.column for fault in check_tables(data).faults] == ["known_at"]
    assert (data.requests["request_id"].n_unique(), data.requests.height, data.items.height) == (1_841, 7_900, 8_965)
