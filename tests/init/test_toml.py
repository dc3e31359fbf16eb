import tomllib

from hypothesis import given
from hypothesis import strategies as st

from recsys.init.toml import Entry, Section, write_toml
from recsys.shown import plain, shown

texts = st.text() | st.sampled_from(
    ['"', "\\", "a\nb", "\r", "\x00", "\x7f", "'''", '"""', "größe", "日本", "#", "]", "\u2028"]
)
scalars = texts | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False)
values = scalars | st.lists(scalars, max_size=3) | st.dictionaries(texts, scalars, max_size=3)

hostile = st.text(st.sampled_from("a\"'\\ \x1b\x9b\u202e\u2066\r\n\t\u2028\u061c\x85\x7f"))


@given(st.dictionaries(texts, values, max_size=4), texts, texts, texts)
def test_whatever_is_written_comes_back(content: dict[str, object], name: str, reason: str, header: str) -> None:
    entries = tuple(Entry(key, value, reason) for key, value in content.items())
    written = write_toml(header, [Section((), (Entry("top", 1),)), Section(("a", name), entries, reason)])
    assert tomllib.loads(written) == {"top": 1, "a": {name: content}}


@given(st.dictionaries(hostile, hostile | st.lists(hostile) | st.dictionaries(hostile, hostile)), hostile)
def test_what_a_terminal_would_obey_is_escaped_and_comes_back(content: dict[str, object], name: str) -> None:
    written = write_toml(name, [Section((name,), tuple(Entry(key, value, name) for key, value in content.items()))])
    assert written == shown(written)
    assert tomllib.loads(written) == {name: content}


@given(st.text(), st.text())
def test_comments_say_nothing_to_the_reader_of_toml(header: str, reason: str) -> None:
    assert tomllib.loads(write_toml(header, [Section(("a",), (Entry("k", 1, reason),), reason)])) == {"a": {"k": 1}}


def test_reasons_stand_above_what_they_explain_and_long_ones_are_broken() -> None:
    written = write_toml("Hello.", [Section(("a",), (Entry("k", ["x"], "why " * 60),), "about a")])
    lines = written.splitlines()
    assert lines[:4] == ["# Hello.", "", "# about a", "[a]"]
    assert lines[-1] == 'k = ["x"]'
    assert len(lines) > 6
    assert all(line.startswith("# ") and len(line) <= 120 for line in lines[4:-1])


@given(st.text())
def test_plain_text_stays_on_its_line(text: str) -> None:
    assert len((plain(text) + "x").splitlines()) == 1
