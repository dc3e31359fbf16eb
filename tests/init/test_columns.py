from pathlib import Path

import polars as pl
import pytest

from recsys.data.importers.mapping import TableMapping
from recsys.init.columns import ListColumn, are_groups, best_id, find_roles, is_label, text_columns
from recsys.init.samples import Sample, read_samples

EXPECTED = {
    "german/bestellungen.csv": ("Kundennummer", "Artikelnr", "Bestelldatum", None, "Menge"),
    "clicklog/log.jsonl": ("visitorId", "itemId", "ts", "event", None),
    "radio/plays.csv": ("uid", "song_id", "played_at", None, "seconds"),
    "films/ratings.csv": ("userId", "movieId", "timestamp", None, "rating"),
    "retail/online_retail.csv": ("CustomerID", "StockCode", "InvoiceDate", None, "Quantity"),
}


def sampled(**columns: list[object]) -> Sample:
    frame = pl.DataFrame(columns, strict=False)
    return Sample(Path("/x/a.parquet"), TableMapping(), frame, frame)


@pytest.mark.parametrize("path", EXPECTED)
def test_who_what_when_and_how_are_found(shop, path: str) -> None:
    name, file = path.split("/")
    (sample,) = read_samples([shop(name) / file])
    roles = find_roles(sample)
    assert (roles.user, roles.item, roles.time, roles.kind, roles.value) == EXPECTED[path]
    assert roles.lists is None


def test_whole_lists_are_found_by_what_they_hold(shop) -> None:
    (sample,) = read_samples([shop("news") / "behaviors.parquet"])
    roles = find_roles(sample)
    assert roles.lists == ListColumn("article_ids_inview", "article_ids_clicked", " ")
    assert (roles.request, roles.user, roles.time) == ("impression_id", "user_id", "impression_time")


@pytest.mark.parametrize("separator", [" ", ",", "|", ";"])
def test_whole_lists_may_be_text(separator: str) -> None:
    shown = [separator.join(["a1", "b2", "c3"]), separator.join(["d4", "e5"])]
    sample = sampled(user=["u", "v"], at=["2024-01-01", "2024-01-02"], items_shown=shown, clicked=["b2", ""])
    assert find_roles(sample).lists == ListColumn("items_shown", "clicked", separator)
    assert find_roles(sampled(user=["u", "v"], items_shown=shown)).lists == ListColumn("items_shown", None, separator)


def test_a_list_with_a_label_in_each_row() -> None:
    rows = range(60)
    sample = sampled(
        search_id=[row // 3 for row in rows],
        user_id=[row // 9 for row in rows],
        product_id=[row % 7 for row in rows],
        time=[1_700_000_000 + row // 3 for row in rows],
        clicked=[int(row % 3 == 0) for row in rows],
    )
    roles = find_roles(sample)
    assert (roles.request, roles.label, roles.formats) == ("search_id", "clicked", ("seconds",))


def test_kinds_are_found_by_name_or_by_value() -> None:
    base = {"user_id": [1, 2], "item_id": [1, 2], "time": ["2024-01-01", "2024-01-02"]}
    assert find_roles(sampled(**base, was=["view", "purchase"])).kind == "was"
    assert find_roles(sampled(**base, action=["x", "y"])).kind == "action"
    assert find_roles(sampled(**base, product_type=["shoe", "hat"])).kind is None


def test_a_name_that_ends_as_ids_do_comes_first() -> None:
    assert best_id(["user", "user_id", "rating"], "user") == "user_id"
    assert best_id(["rating"], "user") is None


def test_labels_are_small_whole_numbers_some_of_them_0() -> None:
    for values in ([0, 1, None], [True, False], [0.0, 2.0], ["yes", "no", "no"], ["N", "Y", None]):
        assert is_label(pl.Series(values))
    for values in ([1, 2], [0, 100], [0.5, 0.0], ["0", "1"], ["yes"], ["yes", "no", "maybe"], [None], [True]):
        assert not is_label(pl.Series(values))


def test_texts_are_told_from_categories_addresses_and_ids() -> None:
    sample = sampled(
        id=[1, 2, 3],
        url=["https://a b c", "https://b c", "https://c d"],
        body=["a long text on cats", "another one on dogs", "and birds"],
        name=["Cats", "Dogs", "Birds"],
        colour=["red", "red", "blue"],
        empty=[None, None, None],
        tags=[["a", "b"], ["c"], []],
    )
    assert text_columns(sample) == ["name", "body", "tags"]


def test_lists_that_are_written_as_text_are_no_groups() -> None:
    for ways in (['["a"]', '["a", "b"]'], ["['a']", "[]"], ["[1]", "[2, 3]"]):
        assert not are_groups(pl.Series(ways * 5))
    assert are_groups(pl.Series(["[a]", "b"] * 5))
