import os

import numpy as np
import pytest
from numba.core.errors import TypingError

from recsys import compiled as module
from recsys.compiled import borrowing, compiled, inlined, thread_count


def doubled(values):
    found = np.empty_like(values)
    for place in range(len(values)):
        found[place] = 2 * values[place]
    return found


def test_a_compiled_function_does_what_it_says_in_python():
    values = np.arange(5)
    made = compiled(doubled)
    assert made(values).tolist() == doubled(values).tolist() == [0, 2, 4, 6, 8]
    assert made.signatures


def test_where_nothing_can_be_kept_it_is_compiled_all_the_same(monkeypatch):
    real = module.njit

    def refusing(cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return real(**options)

    monkeypatch.setattr(module, "njit", refusing)
    assert compiled(doubled)(np.arange(3)).tolist() == [0, 2, 4]


def test_an_inlined_function_is_part_of_those_that_call_it():
    half = inlined(lambda value: value / 2)
    whole = compiled(lambda value: half(value) + half(value))
    assert whole(5.0) == pytest.approx(5.0)


def doubled_into(values, found):
    for place in range(len(values)):
        found[place] = 2 * values[place]


def test_a_borrowing_function_counts_no_holders_and_makes_no_arrays():
    found, values = np.zeros(5, dtype=np.int64), np.arange(5)
    made = borrowing(doubled_into)
    made(values, found)
    assert found.tolist() == [0, 2, 4, 6, 8]
    assert "NRT_incref" not in next(iter(made.inspect_llvm().values()))
    with pytest.raises(TypingError, match="Only accept returning of array passed into the function"):
        borrowing(lambda count: np.empty(count))(5)


@pytest.mark.parametrize(
    ("given", "expected"),
    [("3", 3), ("2,1", 2), ("0", 1), *((said, os.cpu_count()) for said in ("", " ", "4.0", "all", None))],
)
def test_threads_follow_the_variable_that_torch_follows(monkeypatch, given, expected):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if given is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", given)
    assert thread_count() == expected
