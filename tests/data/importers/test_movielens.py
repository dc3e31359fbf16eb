import json
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from recsys.data.checks import check_tables
from recsys.data.importers import read_movielens, read_source
from recsys.errors import DataError

PUBLISHED = Path("../shared/data/movielens_small")
FILMS = """movieId,title,genres
1,Toy Story (1995),Adventure|Animation
2,"Odd, One (Part 2) ",(no genres listed)
3,"Late Film (2001) ",Drama
"""
STARS = """userId,movieId,rating,timestamp
8,2,5.0,1000000000
7,1,4.0,1000000100
8,1,4.5,1000000200
8,3,3.5,1000000300
7,3,4.0,1000000400
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "movies.csv").write_text(FILMS)
    (tmp_path / "ratings.csv").write_text(STARS)
    (tmp_path / "tags.csv").write_text("userId,movieId,tag,timestamp\n7,3,slow,1000000399\n")
    return tmp_path


def at(second: int) -> datetime:
    return datetime.fromtimestamp(1_000_000_000 + second, UTC)


def test_films_have_their_year_and_genres(folder: Path) -> None:
    items = read_movielens(folder).items.sort("item_id")
    assert items["year"].to_list() == [1995, None, 2001]
    assert items["genres"].to_list() == ["Adventure, Animation", None, "Drama"]
    assert items["genre"].to_list() == ["Adventure", None, "Drama"]
    assert items["available_at"].to_list() == [at(100), at(0), at(300)]


def test_liked_films_become_lists_and_the_rest_events(folder: Path) -> None:
    data = read_movielens(folder)
    clicked = data.requests.filter(pl.col("label") > 0).sort("timestamp")
    assert clicked.select("user_id", "item_id", "timestamp").rows() == [(8, 1, at(200)), (7, 3, at(400))]
    assert set(data.requests.filter(pl.col("timestamp") == at(400))["item_id"]) == {1, 2, 3}
    # The first rating of a film makes it known: it is a click, in no list. A low one stays a rating.
    assert data.events.select("user_id", "item_id", "event", "value").sort("item_id").rows() == [
        (7, 1, "click", 4.0),
        (8, 2, "click", 5.0),
        (8, 3, "rating", 3.5),
    ]
    assert data.about.sampled
    assert data.about.first_shown
    assert data.about.source == "movielens"
    assert any("Tags are left out" in note for note in data.about.notes)


def test_the_same_folder_gives_the_same_lists_in_whatever_order_its_rows_stand(folder: Path) -> None:
    before = read_movielens(folder)
    head, *rows = STARS.splitlines()
    (folder / "ratings.csv").write_text("\n".join([head, *reversed(rows)]))
    assert read_movielens(folder).requests.equals(before.requests)


def test_overviews_beside_the_films_describe_them(folder: Path) -> None:
    told = [{"id": 3, "overview": "A long night.", "director": {"id": 9}}, {"id": 77, "overview": "Of no film here."}]
    (folder / "movies_overviews.json").write_text(json.dumps([*told, {"id": 3, "overview": "Again."}]))
    data = read_movielens(folder)
    assert data.items.sort("item_id")["description"].to_list() == [None, None, "A long night."]
    assert "description is the overview of movies_overviews.json, which has one of 1 of 3 films." in data.about.notes


@pytest.mark.parametrize("told", ['[{"id": "seven", "overview": "x"}]', '[{"key": 1}]', '[{"id": 1}]'])
def test_overviews_that_name_no_films_are_refused(folder: Path, told: str) -> None:
    (folder / "movies_overviews.json").write_text(told)
    with pytest.raises(DataError, match=r"movies_overviews\.json is no list of films with a number as id"):
        read_movielens(folder)


def test_headers_may_be_quoted(folder: Path) -> None:
    plain = read_movielens(folder)
    head, *rows = STARS.splitlines()
    (folder / "ratings.csv").write_text("\n".join([",".join(f'"{name}"' for name in head.split(",")), *rows]))
    assert read_movielens(folder).requests.equals(plain.requests)


def test_an_older_form_of_the_data_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ratings.dat").write_text("1::1193::5::978300760\n")
    with pytest.raises(DataError, match=r"holds no movies\.csv and no ratings\.csv; name the folder of ml-latest"):
        read_movielens(tmp_path)


def test_another_file_of_the_same_name_is_refused(folder: Path) -> None:
    (folder / "ratings.csv").write_text("user,movieId,rating,timestamp\n1,1,5,1000000000\n")
    with pytest.raises(DataError, match=r"ratings\.csv has no column userId \(it begins user,movieId,rating"):
        read_movielens(folder)


def test_a_moment_that_is_none_is_refused_with_its_place(folder: Path) -> None:
    (folder / "ratings.csv").write_text(STARS + "8,2,5.0,yesterday\n")
    with pytest.raises(DataError, match=r"ratings\.csv, column timestamp.*yesterday"):
        read_movielens(folder)


@pytest.mark.skipif(not PUBLISHED.is_dir(), reason="MovieLens is not beside this checkout")
def test_the_published_data_is_read_whole() -> None:
    data = read_source("movielens", PUBLISHED)
    assert len(data.items) == 9125
    liked = pl.read_csv(PUBLISHED / "ratings.csv")["rating"] >= 4
    clicks = data.requests.filter(pl.col("label") > 0).height + data.events.filter(pl.col("event") == "click").height
    assert clicks == liked.sum()
    assert not [fault for fault in check_tables(data).faults if fault.severity == "error"]
