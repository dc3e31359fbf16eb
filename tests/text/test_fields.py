import hashlib
import time

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.errors import SettingsError
from recsys.text.fields import LONGEST_TEXT, item_texts, text_hashes


def texts(*rows: tuple[str | None, str | None]) -> list[str]:
    items = pl.DataFrame({"title": [row[0] for row in rows], "description": [row[1] for row in rows]})
    return item_texts(items.cast(pl.String), ("title", "description"))


def test_joins_fields_with_one_full_stop() -> None:
    assert texts(("Cats", "They purr"), ("Really?", "Yes")) == ["Cats. They purr", "Really? Yes"]


def test_leaves_out_what_is_missing_or_blank() -> None:
    assert texts((None, "They purr"), ("Cats", " \t"), (None, None)) == ["They purr", "Cats", ""]


def test_white_space_and_control_characters_become_one_space() -> None:
    assert texts((" a\x00\x1b[31m\r\n b\u2028c\u200bd\x85", "e")) == ["a [31m b c d. e"]


def test_emoji_stay() -> None:
    assert texts(("👩‍👩‍👧 fun 🎉", None)) == ["👩‍👩‍👧 fun 🎉"]


def test_keeps_the_order_of_fields() -> None:
    items = pl.DataFrame({"title": ["a"], "description": ["b"]})
    assert item_texts(items, ("description", "title")) == ["b. a"]


def test_numbers_and_lists_are_written_out() -> None:
    items = pl.DataFrame({"year": [1999], "tags": [["red", "blue"]]})
    assert item_texts(items, ("year", "tags")) == ["1999. red, blue"]


def test_unknown_field_is_named_with_the_known_ones() -> None:
    with pytest.raises(SettingsError, match="'titel', which items does not have; its columns are item_id, title"):
        item_texts(pl.DataFrame({"item_id": [1], "title": ["a"]}), ("titel",))


def test_a_text_of_a_megabyte_is_cut_at_once() -> None:
    started = time.perf_counter()
    found = texts(("x \n" * 350_000, "\x00" * 1_000_000))
    assert time.perf_counter() - started < 1
    assert len(found[0]) == LONGEST_TEXT


@given(st.lists(st.tuples(st.none() | st.text(), st.none() | st.text())))
def test_texts_are_clean_and_as_many_as_items(rows: list[tuple[str | None, str | None]]) -> None:
    rows = [tuple(part and part.encode("utf-8", "ignore").decode() for part in row) for row in rows]
    found = texts(*rows)
    assert len(found) == len(rows)
    for text in found:
        assert text == " ".join(text.split())
        assert all(character >= " " and character != "\x7f" for character in text)


def test_hashes_are_the_start_of_sha256() -> None:
    assert text_hashes(["é"]) == [hashlib.sha256("é".encode()).hexdigest()[:16]]
    assert text_hashes([]) == []
