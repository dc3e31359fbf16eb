import polars as pl

from recsys.data.texts import LONGEST_TITLE, item_titles


def test_titles_are_as_they_stand_and_cut() -> None:
    items = pl.DataFrame({"item_id": [1, 2, 3, 4], "title": ["<b>a</b>", None, " ", "word " * 80]})
    titles = item_titles(items)
    assert [titles[1], titles[2], titles[3]] == ["<b>a</b>", "(no text)", "(no text)"]
    assert titles[4].endswith("word ...")
    assert len(titles[4]) <= LONGEST_TITLE


def test_without_a_title_the_named_field_or_the_first_text_is_taken() -> None:
    items = pl.DataFrame({"item_id": ["x"], "price": [3], "brand": ["acme"], "tags": [["a", "b"]]})
    assert item_titles(items) == {"x": "acme"}
    assert item_titles(items, ["tags"]) == {"x": "a, b"}
    assert item_titles(items.drop("brand", "tags")) == {"x": "(no text)"}
