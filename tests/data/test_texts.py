import doctest
import logging
import time
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.data import texts as fields
from recsys.data.texts import LONGEST_TEXT, item_texts, item_titles, own_texts, text_columns, warn_of_empty
from recsys.errors import SettingsError
from recsys.schema import TIME


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


LISTS = {
    "with gaps": ([["red", None, "blue"], [], None], None, ["red, blue", "", ""]),
    "of numbers": ([[1, 2], [3], []], None, ["1, 2", "3", ""]),
    "of categories": ([["b"], ["a", "b"], []], pl.List(pl.Enum(["a", "b"])), ["b", "a, b", ""]),
    "of one length": ([["a", "b"], [None, "c"], None], pl.Array(pl.String, 2), ["a, b", "c", ""]),
    "of nothing": ([[], [], None], pl.List(pl.Null), ["", "", ""]),
}


@pytest.mark.parametrize("kind", LISTS)
def test_lists_of_any_plain_kind_are_written_out(kind: str) -> None:
    values, dtype, expected = LISTS[kind]
    items = pl.DataFrame({"tags": pl.Series(values, dtype=dtype), "title": "sea"})
    assert item_texts(items, ("tags",)) == expected
    assert item_texts(items, (), "{title} [{tags}]") == [f"sea [{tags}]" if tags else "sea" for tags in expected]


NO_TEXTS = {
    "bytes": [b"\xff"],
    "lists of bytes": [[b"\xff"]],
    "lists of lists": [[["a"]]],
    "structs": [{"name": "a"}],
    "lists of structs": [[{"name": "a"}]],
    "durations": [timedelta(1)],
    "objects": [object()],
}


@pytest.mark.parametrize("kind", NO_TEXTS)
def test_what_is_no_text_is_refused_by_the_name_of_the_setting(kind: str) -> None:
    items = pl.DataFrame({"item_id": [1], "title": pl.Series(NO_TEXTS[kind]), "brand": ["acme"]})
    for names, template, setting in ((("brand", "title"), "", "fields"), ((), "{brand}: {title}", "template")):
        words = (
            rf"\[text\] {setting} names 'title', which holds {items.schema['title'].base_type()}.*; write them as text"
        )
        with pytest.raises(SettingsError, match=words):
            item_texts(items, names, template)
    assert item_titles(items) == {1: "acme"}


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


@given(st.lists(st.none() | st.text(alphabet="ab <>/&;\n")))
def test_a_text_by_itself_is_cleaned_like_an_item_of_one_field(column: list[str | None]) -> None:
    texts = pl.Series("title", column, pl.String)
    assert fields.clean_texts(texts) == item_texts(texts.to_frame(), ["title"])


def test_examples_run() -> None:
    assert doctest.testmod(fields, extraglobs={"pl": pl}).failed == 0


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("<p>Cats <b>pu</b>rr</p><p>loudly", "Cats purr loudly"),
        ("H<sub>2</sub>O<br/>is<BR>wet", "H2O is wet"),
        ("""<a title='x>y' href="a.html">link</a> <b don't>bold""", "link bold"),
        ("<!-- no --> yes <!-- never", "yes"),
        ("a<script src=x>if (1<2) alert('</p>')</SCRIPT >b<style>p{}</style>c<script>d", "a b c"),
        ("<!DOCTYPE html><html><o:p>new</o:p><my-tag>thing", "new thing"),
        ("Fish &amp; chips&nbsp;&#8364;5 &#x1F600; &lt;b&gt;", "Fish & chips €5 😀 <b>"),
        ("&amp;lt; is once escaped", "&lt; is once escaped"),
        ("AT&T, R&D; ?a=1&copy=2 &nothing &#99999999999;", "AT&T, R&D; ?a=1&copy=2 &nothing &#99999999999;"),
        ("i <3 you", "i <3 you"),
        ("a < b, x<y and z>w", "a < b, x<y and z>w"),
        ("List<String> <https://example.org> <me@example.org>", "List<String> <https://example.org> <me@example.org>"),
        ("cut off <table", "cut off <table"),
        ("<a <b>c", "<a c"),
        ("&#0;&#xD800;", "\ufffd\ufffd"),
    ],
)
def test_markup_is_stripped_and_what_only_looks_like_it_stays(raw: str, clean: str) -> None:
    assert texts((raw, None)) == [clean]


def test_markup_of_one_field_does_not_reach_the_next() -> None:
    assert texts(("Cats <!-- and", "they purr"), ("<script>", "Dogs")) == ["Cats. they purr", "Dogs"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "part",
    [
        "<",
        "<a ",
        "<!--",
        "<script>",
        "<script ",
        "&",
        "&#1",
        '<a "',
        "<a '\"",
        "<a\t",
        "<x-",
        "</script ",
        "<!a",
        "<b x='",
        "<a-a:",
    ],
)
def test_hostile_markup_takes_linear_time(part: str) -> None:
    raw = part * (1_000_000 // len(part))
    started = time.perf_counter()
    for opening in ("", "<script>", "<b "):
        texts((opening + raw, None))
    assert time.perf_counter() - started < 2  # a ceiling against quadratic time, which takes minutes


@given(st.text(alphabet="<>/!-&;#x1ab '\"=\n"))
def test_any_mixture_of_marks_gives_a_clean_text(raw: str) -> None:
    (found,) = texts((raw, None))
    assert found == " ".join(found.split())


def fill(template: str, **values: str | None) -> str:
    (found,) = item_texts(
        pl.DataFrame({name: pl.Series([value], dtype=pl.String) for name, value in values.items()}), (), template
    )
    return found


def test_template_says_how_fields_become_a_text() -> None:
    items = pl.DataFrame({"title": ["Cats"], "year": [1999], "tags": [["red", "blue"]]})
    assert item_texts(items, ("nowhere",), "{title} ({year}), {{{tags}}}") == ["Cats (1999), {red, blue}"]
    assert item_texts(items, (), "{title} {title}") == ["Cats Cats"]


@pytest.mark.parametrize(
    ("category", "title", "description", "text"),
    [
        ("News", "Cats", "They purr.", "News: Cats. They purr."),
        ("News", "Really?", "Yes", "News: Really? Yes"),
        ("News", "Cats", "", "News: Cats"),
        ("News", "", "They purr.", "News. They purr."),
        ("News", None, "  ", "News"),
        ("", "Cats", "They purr.", "Cats. They purr."),
        ("", "", "They purr.", "They purr."),
        ("", "Cats", "", "Cats"),
        ("", "<br>", None, ""),
    ],
)
def test_empty_fields_leave_no_gap(category: str, title: str, description: str, text: str) -> None:
    assert fill("{category}: {title}. {description}", category=category, title=title, description=description) == text


@pytest.mark.parametrize(
    ("title", "year", "by", "text"),
    [
        ("Cats", "1999", "Ann", 'Film "Cats" (1999), by Ann.'),
        ("Cats", "", "Ann", 'Film "Cats", by Ann.'),
        ("Cats", "1999", "", 'Film "Cats" (1999).'),
        ("", "1999", "Ann", "(1999), by Ann."),
        ("", "", "Ann", "by Ann."),
        ("Cats", "", "", 'Film "Cats".'),
        ("", "", "", ""),
    ],
)
def test_words_and_brackets_around_an_empty_field_go_with_it(title: str, year: str, by: str, text: str) -> None:
    assert fill('Film "{title}" ({year}), by {by}.', title=title, year=year, by=by) == text


def test_a_field_cannot_act_as_a_template() -> None:
    assert fill("{title}: {text}", title="{text} {0} %s", text="\\1 {title}") == "{text} {0} %s: \\1 {title}"


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{titel}", r"\[text\] template names 'titel', which items does not have; its columns are item_id, title"),
        ("{title.upper}", r"template names 'title\.upper', which items does not have"),
        ("{title[0]}", r"template names 'title\[0\]', which items does not have"),
        ("{0}", r"template names '0', which items does not have"),
        ("{}", r"template holds '\{\}', but only names may stand in braces; .* the columns are item_id, title"),
        ("{title:>9}", r"template holds '\{title:>9\}', but only names"),
        ("{title!r}", r"template holds '\{title!r\}', but only names"),
        ("{title:{item_id}}", r"template holds '\{title:\{item_id\}\}', but only names"),
        ("{title", r"template = '\{title' cannot be read \(expected '\}'.*; write names of columns in braces"),
        ("title}", r"template = 'title\}' cannot be read \(Single '\}'"),
        ("{{title}}", r"template = '\{\{title\}\}' names no column; write names of columns in braces"),
    ],
)
def test_a_bad_template_is_refused(template: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        item_texts(pl.DataFrame({"item_id": [1], "title": ["a"]}), (), template)


def test_a_catalogue_without_items_has_no_texts() -> None:
    items = pl.DataFrame({"title": []}, schema={"title": pl.String})
    assert item_texts(items, ("title",)) == item_texts(items, (), "{title}") == []


def test_items_without_text_are_counted_in_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        warn_of_empty(["cats", "dogs"])
        warn_of_empty([])
        assert caplog.messages == []
        warn_of_empty(["", "cats", "", "secret"])
    assert caplog.messages == [
        "2 of 4 items (50.0 %) have no text and share one vector; see [text] fields and template"
    ]


def test_the_columns_that_are_read_are_those_of_the_template_where_there_is_one() -> None:
    assert text_columns(["title", "text"]) == ("title", "text")
    assert text_columns(["title"], "{{a}} {category}: {text}") == ("category", "text")


def test_the_texts_of_versions_are_those_that_differ_from_the_text_before() -> None:
    hours = [None, 3, 1, 2, None, 5, 4]
    moments = [None if hour is None else datetime(2024, 3, 1, hour, tzinfo=UTC) for hour in hours]
    items = pl.DataFrame(
        {
            "item_id": [1, 1, 1, 1, 2, 3, 3],
            "title": ["sea", "boat", "sea", "boat", "sea", "sea", None],
            "price": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0],
            "known_at": pl.Series(moments, dtype=TIME),
        }
    )
    found, texts = own_texts(items, ["title"])
    assert found.columns == ["item_id", "known_at"]
    assert [*zip(found["item_id"], found["known_at"], texts, strict=True)] == [
        (1, None, "sea"),
        (1, moments[3], "boat"),
        (2, None, "sea"),
        (3, moments[5], "sea"),
        (3, moments[6], ""),
    ]
    plain = items.drop("known_at").unique("item_id", keep="first", maintain_order=True)
    for table in (plain, plain.with_columns(known_at=pl.lit(None, TIME))):
        found, texts = own_texts(table, ["title"])
        assert (found.columns, found["item_id"].to_list(), texts) == (["item_id"], [1, 2, 3], ["sea"] * 3)
