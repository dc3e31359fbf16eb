import doctest
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.errors import SettingsError
from recsys.features.checks import check_query
from recsys.vectors import queries
from recsys.vectors.queries import QueryReader, read_queries


def encode(text: str) -> np.ndarray:
    return np.array([len(text), ord(text[0])], np.float32)


def test_examples_run() -> None:
    assert doctest.testmod(queries, extraglobs={"pl": pl}).failed == 0


@given(st.lists(st.none() | st.sampled_from(["a", "b ", " b", "", " ", "<p>a", "c"])))
def test_codes_lead_back_to_the_cleaned_texts(column: list[str | None]) -> None:
    codes, texts = read_queries(pl.Series(column, dtype=pl.String))
    clean = [(text or "").replace("<p>", "").strip() for text in column]
    assert [texts[code] if code >= 0 else "" for code in codes] == clean
    assert texts == [text for text in dict.fromkeys(clean) if text]
    assert codes.dtype == np.int32


def test_vectors_are_made_once_and_by_one_text_at_a_time() -> None:
    asked = []
    reader = QueryReader("words", lambda text: (asked.append(text), encode(text))[1])
    frame = pl.DataFrame({"words": ["sea", None, "boat", "sea", " boat"]})
    codes, vectors = reader.read(frame["words"], 2)
    assert codes.tolist() == [0, -1, 1, 0, 1]
    assert vectors.tolist() == [encode("sea").tolist(), encode("boat").tolist()]
    codes, vectors = reader.read(frame["words"].reverse(), 2)
    assert codes.tolist() == [0, 1, 0, -1, 1]
    assert vectors.tolist() == [encode("boat").tolist(), encode("sea").tolist()]
    assert asked == ["sea", "boat"]


def test_requests_without_a_text_need_no_encoder() -> None:
    reader = QueryReader("words", lambda text: pytest.fail(f"{text!r} was encoded"))
    for words in (pl.Series([None, ""]), pl.Series([None, None]), pl.Series([], dtype=pl.String)):
        codes, vectors = reader.read(words, 5)
        assert codes.tolist() == [-1] * len(words)
        assert vectors.shape == (0, 5)
        assert vectors.dtype == np.float32


def test_threads_take_turns() -> None:
    inside = threading.Lock()
    encoded = []

    def alone(text: str) -> np.ndarray:
        assert inside.acquire(blocking=False)
        encoded.append(text)
        found = np.sort(np.random.default_rng(0).random(100_000))[:2].astype(np.float32)
        inside.release()
        return found

    reader = QueryReader("words", alone)
    frames = [
        pl.DataFrame({"words": [f"{number} {half}" for number in range(10)]}) for half in (0, 1) for _ in range(4)
    ]
    with ThreadPoolExecutor(8) as pool:
        assert all(len(vectors) == 10 for _, vectors in pool.map(lambda frame: reader.read(frame["words"], 2), frames))
    assert len(encoded) == 20


@pytest.mark.parametrize("kind", [pl.String, pl.Categorical, pl.Enum(["a"])])
def test_a_column_of_strings_is_taken(kind: pl.DataType) -> None:
    frame = pl.DataFrame({"words": pl.Series(["a", None], dtype=kind), "nothing": [None, None]})
    for name in ("words", "nothing", ""):
        check_query(frame, name, ())
    assert read_queries(frame["words"])[1] == ["a"]


@pytest.mark.parametrize("name", ["label", "position", "propensity", "views", "clicks", "later"])
def test_what_is_recorded_with_the_list_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match=f"query names '{name}', which is recorded with or after the list"):
        check_query(pl.DataFrame({name: ["a"]}), name, ("later",))


def test_a_missing_column_and_one_without_texts_are_refused() -> None:
    frame = pl.DataFrame({"request_id": [1], "words": [["a"]]})
    with pytest.raises(SettingsError, match=r"'text', which is not a column .*their columns are request_id, words$"):
        check_query(frame, "text", ())
    with pytest.raises(SettingsError, match=r"query names 'words', which holds List\(String\), not texts"):
        check_query(frame, "words", ())
