import numpy as np
import pytest

from recsys.statistics.stability import stability


def test_the_stability_index_is_that_of_the_formula() -> None:
    rng = np.random.default_rng(0)
    p, q = rng.dirichlet(np.full(6, 20.0), 2)
    names = "abcdef"
    index = stability(dict(zip(names, p, strict=True)), dict(zip(names, q, strict=True)))
    expected = sum((b - a) * np.log(b / a) for a, b in zip(p, q, strict=True))
    assert index == pytest.approx(expected, rel=1e-6)
    assert stability({"a": 1.0}, {"a": 1.0}) == 0


def test_rare_values_are_taken_together() -> None:
    many = {f"v{n}": 0.001 for n in range(500)} | {"a": 0.5}
    other = {f"w{n}": 0.001 for n in range(500)} | {"a": 0.5}
    assert stability(many, other) == pytest.approx(0, abs=1e-12)
    assert stability({"a": 0.5, "b": 0.5}, {"a": 1.0}) > 2
