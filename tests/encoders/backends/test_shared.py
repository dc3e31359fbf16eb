import os
import threading

import numpy as np
import pytest

from recsys.encoders.backends.shared import embed_one_by_one, need, thread_count
from recsys.encoders.tokens import pack


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

    found = embed_one_by_one(pack([[1, 2], [7], [], [4, 4, 4]], 9), 2, embed)
    assert found.tolist() == [[1, 3], [1, 7], [1, 9], [1, 12]]


def test_an_error_of_a_text_is_raised() -> None:
    def embed(ids: np.ndarray) -> np.ndarray:
        raise ValueError(f"token {ids[0, 0]}")

    with pytest.raises(ValueError, match="token 5"):
        embed_one_by_one(pack([[5]], 0), 2, embed)


def test_need_returns_the_module() -> None:
    assert need("json", "onnx").loads("1") == 1
