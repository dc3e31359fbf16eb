import sys

import numpy as np
import pytest

from recsys.errors import ModelError
from recsys.sources.index import Index


def unit(count, seed):
    """Vectors around forty directions, as texts of some topics are."""
    rng = np.random.default_rng(seed)
    found = rng.normal(size=(40, 32))[rng.integers(0, 40, count)] + 0.4 * rng.normal(size=(count, 32))
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


VECTORS, QUERIES = unit(8_000, 0), unit(50, 1)


def test_most_of_the_nearest_are_found_and_always_the_same():
    rows = np.arange(8_000)
    found = Index().near(VECTORS, rows, QUERIES, 50)
    exact = np.argsort(-(QUERIES @ VECTORS.T), axis=1)[:, :50]
    hit = np.mean([len(set(few) & set(all_)) / 50 for few, all_ in zip(found.tolist(), exact.tolist(), strict=True)])
    assert 0.9 < hit < 1
    np.testing.assert_array_equal(found, Index().near(VECTORS, rows, QUERIES, 50))
    one_by_one = [set(Index().near(VECTORS, rows, QUERIES[row : row + 1], 50)[0]) for row in range(3)]
    assert one_by_one == [set(few) for few in found[:3].tolist()]


def test_only_the_rows_that_are_named_are_found_whatever_was_asked_before():
    index, rows = Index(), np.arange(0, 8_000, 80)
    near = [index.near(VECTORS, rows, QUERIES, 100) for _ in range(2)]
    for found in near:
        assert all(sorted(few) == list(range(100)) for few in found.tolist())  # so few lie in cells that are all seen
    others = np.arange(1, 8_000, 80)
    np.testing.assert_array_equal(index.near(VECTORS, others, QUERIES, 9), Index().near(VECTORS, others, QUERIES, 9))
    moved = VECTORS[::-1].copy()
    np.testing.assert_array_equal(index.near(moved, others, QUERIES, 9), Index().near(moved, others, QUERIES, 9))


def test_without_the_extra_it_says_what_to_type(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(ModelError, match=r'index = "faiss" needs faiss .*--editable \'\.\[ann\]\''):
        Index().near(VECTORS, np.arange(9), QUERIES, 3)
