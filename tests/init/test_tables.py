from pathlib import Path

import polars as pl
import pytest

from recsys.errors import DataError
from recsys.init.samples import read_samples
from recsys.init.tables import Tables, Talk, choose_tables, common_folder, same_for_each

EXPECTED = {
    "german": ("bestellungen.csv", None, ("artikel.csv", "Artikelnr"), None),
    "clicklog": ("log.jsonl", None, None, None),
    "films": ("ratings.csv", None, ("movies.csv", "movieId"), None),
    "retail": ("online_retail.csv", None, ("online_retail.csv", "StockCode"), None),
    "news": (None, "behaviors.parquet", ("articles.parquet", "article_id"), None),
}


def chosen(*paths: Path) -> tuple[Tables, Talk]:
    talk = Talk()
    return choose_tables(read_samples(paths), talk), talk


def names(tables: Tables) -> tuple[object, ...]:
    behaviour = [None if each is None else each.sample.name for each in (tables.events, tables.requests)]
    catalogues = [None if each is None else (each.sample.name, each.key) for each in (tables.items, tables.users)]
    return (*behaviour, *catalogues)


@pytest.mark.parametrize("name", EXPECTED)
def test_every_file_of_a_shop_is_the_table_it_is(shop, name: str) -> None:
    tables, _ = chosen(shop(name))
    assert names(tables) == EXPECTED[name]


def test_users_are_found_and_folders_may_differ(shop) -> None:
    folder = shop("radio")
    tables, talk = chosen(folder / "people/users.csv", folder / "plays.csv", folder / "catalog.tsv")
    assert names(tables) == ("plays.csv", None, ("catalog.tsv", "id"), ("users.csv", "uid"))
    assert "users: users.csv, whose uid holds 100% of the users seen in behaviour." in talk.said
    samples = read_samples([folder / "people/users.csv", folder / "plays.csv"])
    assert common_folder(samples) == folder
    assert common_folder(samples[:1]) == folder / "people"


def test_of_two_candidates_one_is_taken_and_the_other_named(shop) -> None:
    _, talk = chosen(shop("films"))
    assert talk.doubts == [
        "tags.csv could be events too; ratings.csv is larger and is taken. To use both, put them into one file, with a "
        "column that says the kind of event.",
        "links.csv could be items too; movies.csv says more and is taken.",
    ]


def test_a_file_of_lists_of_moments_is_left_out_with_a_word(shop) -> None:
    _, talk = chosen(shop("news"))
    assert talk.doubts == ["history.parquet is not used: its rows hold lists of moments; write one row per event."]


def test_without_items_it_is_said_that_text_will_not_help(shop) -> None:
    _, talk = chosen(shop("clicklog"))
    assert "items: made of the ids that were seen, since no file describes them; text will not help." in talk.said


def test_names_that_say_nothing_are_found_by_whose_ids_they_hold(tmp_path: Path) -> None:
    rows = [f"p{row % 7},s{row % 5},2024-01-01 {row % 24:02}:00" for row in range(60)]
    (tmp_path / "a.csv").write_text("\n".join(["alpha,beta,gamma", *rows]))
    (tmp_path / "b.csv").write_text("\n".join(["delta,epsilon", *(f"s{n},a text about {n}" for n in range(5))]))
    tables, talk = chosen(tmp_path)
    assert names(tables) == ("a.csv", None, ("b.csv", "delta"), None)
    assert talk.doubts == [
        "a.csv: 'beta' is taken as the items, though its name does not say so.",
        "a.csv: 'alpha' is taken as the users, though its name does not say so.",
    ]


def test_files_whose_names_say_it_come_before_larger_ones_that_might_be(tmp_path: Path) -> None:
    events = [f"{1_433_221_332_117 + row},{row % 9},view,{row % 5}" for row in range(60)]
    facts = [f"{1_433_221_332_117 + row},{row % 5},{row % 3},n1" for row in range(600)]
    (tmp_path / "events.csv").write_text("\n".join(["timestamp,visitorid,event,itemid", *events]))
    (tmp_path / "properties.csv").write_text("\n".join(["timestamp,itemid,property,value", *facts]))
    tables, talk = chosen(tmp_path)
    assert names(tables) == ("events.csv", None, None, None)
    assert talk.doubts == [
        "properties.csv is not used: its rows look like events or lists, and another file is taken for them."
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "user_id,item_id,x\n1,2,a\n1,3,b\n",
            r"a\.csv says who did what \(user_id, item_id\) but holds no moments; add a",
        ),
        (
            "a,b\n1.5,x y\n2.5,z w\n",
            r"no file says who did what and when: .* There are a\.csv: a, b; name such columns user_id",
        ),
        (
            "user_id,item_id,time,clicked\n1,2,2024-01-01,0\n1,3,2024-01-01,1\n",
            r"a\.csv holds candidates with a label, 'clicked', but no column numbers their lists; add one, such as request_id",
        ),
    ],
)
def test_what_is_missing_is_told(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        chosen(tmp_path)


def test_what_is_said_of_an_item_is_nearly_always_the_same(shop) -> None:
    (sample,) = read_samples([shop("retail")])
    assert same_for_each(sample.frame, "StockCode", "Description")
    assert not same_for_each(sample.frame, "StockCode", "Country")


@pytest.mark.parametrize("name", ["*", "^.*$"])
def test_a_name_that_polars_takes_for_a_pattern_is_a_name(name: str) -> None:
    frame = pl.DataFrame({"art": [1, 1, 2, 2], name: ["a", "b", "c", "d"], "group": ["x", "x", "y", "y"]})
    assert not same_for_each(frame, "art", name)
    assert same_for_each(frame, name, "group")
