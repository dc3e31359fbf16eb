from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.vectors.encoded import GRID, round_to_grid


def unit(random: np.random.Generator, *shape: int) -> np.ndarray:
    vectors = random.normal(size=shape)
    return round_to_grid(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))


def test_rounding_moves_a_component_by_at_most_half_a_step() -> None:
    values = np.random.default_rng(0).uniform(-1, 1, 1000)
    rounded = round_to_grid(values)
    assert rounded.dtype == np.float32
    assert np.abs(rounded - values).max() <= GRID / 2
    assert np.array_equal(rounded * 2048, np.round(rounded * 2048))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 60), st.integers(1, 400), st.integers(0, 2**32 - 1))
def test_dot_products_are_exact_in_any_order_and_shape(n: int, d: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    a, b = unit(random, n, d), unit(random, 7, d)
    whole = a @ b.T
    rows = random.permutation(n)
    columns = random.permutation(d)
    assert np.array_equal((a[rows] @ b.T), whole[rows])
    assert np.array_equal(a[:, columns] @ b[:, columns].T, whole)
    assert np.array_equal(np.stack([a[row : row + 1] @ b.T for row in range(n)])[:, 0], whole)
    assert np.array_equal(np.einsum("nd,md->nm", a, b), whole)
    exact = sum((Fraction(float(x)) * Fraction(float(y)) for x, y in zip(a[0], b[0], strict=True)), Fraction(0))
    assert Fraction(float(whole[0, 0])) == exact


def test_off_the_grid_dot_products_would_not_be_exact() -> None:
    random = np.random.default_rng(0)
    loose = random.normal(size=(500, 384)).astype(np.float32)
    loose /= np.linalg.norm(loose, axis=1, keepdims=True)
    columns = random.permutation(384)
    assert not np.array_equal(loose @ loose.T, loose[:, columns] @ loose[:, columns].T)
