from pathlib import Path

import numpy as np
import pytest

from recsys import memory


def resident() -> int:
    """Bytes of memory that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.skipif(not hasattr(memory._c_library(), "malloc_trim"), reason="the C library keeps nothing, or all of it")
def test_what_many_small_arrays_took_is_given_back() -> None:
    memory.give_back()
    before = resident()
    pieces = [np.ones(8_000) for _ in range(4_000)]  # 256 MB, each below what is mapped apart
    last = [np.ones(8_000) for _ in range(10)]  # behind them, so that the C library cannot cut its end off
    del pieces
    memory.give_back()
    assert len(last) == 10
    assert resident() - before < 64_000_000


@pytest.mark.parametrize("library", [None, object()])
def test_where_it_cannot_be_asked_nothing_happens(monkeypatch: pytest.MonkeyPatch, library: object) -> None:
    monkeypatch.setattr(memory, "_c_library", lambda: library)
    memory.give_back()
