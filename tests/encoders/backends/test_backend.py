import threading

import numpy as np
import pytest

from recsys.encoders.backends.backend import Backend, need_backend, one_by_one
from recsys.encoders.tokens import Tokens, pack


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
