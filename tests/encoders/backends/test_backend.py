import os
import threading

import numpy as np
import pytest

from recsys.encoders.backends.backend import Backend, need_backend, one_by_one, thread_count
from recsys.encoders.tokens import Tokens, pack


@pytest.mark.parametrize(
    ("given", "expected"), [("3", 3), ("2,1", 2), ("0", 1), ("", os.cpu_count()), (None, os.cpu_count())]
)
def test_threads_follow_the_variable_that_torch_follows(
    monkeypatch: pytest.MonkeyPatch, given: str | None, expected: int
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if given is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", given)
    assert thread_count() == expected


def test_each_text_is_embedded_by_itself_and_in_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    together = threading.Barrier(2, timeout=10)  # breaks unless two texts are under way at once

    def embed(ids: np.ndarray) -> np.ndarray:
        together.wait()
        return np.array([ids.shape[0], ids.sum()], np.float32)

    found = one_by_one(2, lambda _: pack([[1, 2], [7], [], [4, 4, 4]], 9), embed).embed(["a", "b", "c", "d"])
    assert found.tolist() == [[1, 3], [1, 7], [1, 9], [1, 12]]


def test_an_error_of_a_text_is_raised() -> None:
    def embed(ids: np.ndarray) -> np.ndarray:
        raise ValueError(f"token {ids[0, 0]}")

    with pytest.raises(ValueError, match="token 5"):
        one_by_one(2, lambda _: pack([[5]], 0), embed).embed(["a"])


def test_distinct_texts_are_encoded_in_order_of_first_appearance() -> None:
    seen: list[list[str]] = []

    def tokenize(texts: list[str]) -> Tokens:
        seen.append(list(texts))
        return pack([[len(text)] for text in texts], 9)

    backend = Backend(1, tokenize, lambda tokens: tokens.ids[:, None].astype(np.float32))
    assert backend.embed(["bb", "a", "bb", ""]).tolist() == [[2], [1], [2], [0]]
    assert backend.embed([]).shape == (0, 1)
    assert seen == [["bb", "a", ""], []]


def test_need_returns_the_module() -> None:
    assert need_backend("json", "onnx").loads("1") == 1
