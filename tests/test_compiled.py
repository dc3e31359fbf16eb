import numpy as np
import pytest

from recsys import compiled as module
from recsys.compiled import compiled, inlined


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
