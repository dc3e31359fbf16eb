from fractions import Fraction
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.errors import ModelError
from recsys.text.vectors import GRID, ItemVectors, round_to_grid


def unit(random: np.random.Generator, *shape: int) -> np.ndarray:
    vectors = random.normal(size=shape)
    return round_to_grid(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))


def vectors(item_ids: pl.Series) -> ItemVectors:
    random = np.random.default_rng(1)
    n = len(item_ids)
    hashes = pl.Series([f"h{place}" for place in range(n)], dtype=pl.String)
    return ItemVectors(
        item_ids, hashes, unit(random, n, 8), unit(random, n, 8), random.normal(size=n).astype(np.float32)
    )


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


@pytest.mark.parametrize(
    "item_ids",
    [
        pl.Series("item_id", [3, 1, 2], pl.Int32),
        pl.Series("item_id", ["b", "å", ""], pl.String),
        pl.Series("item_id", [], pl.UInt64),
    ],
)
def test_saved_vectors_are_the_same(tmp_path: Path, item_ids: pl.Series) -> None:
    before = vectors(item_ids)
    before.save(tmp_path / "vectors.parquet")
    after = ItemVectors.load(tmp_path / "vectors.parquet")
    assert after.item_ids.dtype == item_ids.dtype
    assert after.item_ids.to_list() == item_ids.to_list()
    assert after.text_hashes.to_list() == before.text_hashes.to_list()
    for name in ("candidate", "history", "appeal"):
        assert np.array_equal(getattr(after, name), getattr(before, name))
        assert getattr(after, name).dtype == np.float32


def test_rows_finds_items_whose_text_is_the_same() -> None:
    known = vectors(pl.Series("item_id", [10, 11, 12]))
    wanted = pl.Series("item_id", [12, 10, 11, 99])
    assert known.rows(wanted, ["h2", "h0", "other", "h1"]).tolist() == [2, 0, -1, -1]


def test_covers_asks_for_every_item() -> None:
    known = vectors(pl.Series("item_id", [10, 11, 12]))
    assert known.covers(pl.Series([12, 10]), ["h2", "h0"])
    assert not known.covers(pl.Series([12, 10]), ["h2", "h1"])
    assert known.covers(pl.Series([], dtype=pl.Int64), [])


def test_refuses_files_that_are_not_vectors(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"none\.parquet is not a table of item vectors"):
        ItemVectors.load(tmp_path / "none.parquet")
    pl.DataFrame({"item_id": [1]}).write_parquet(tmp_path / "other.parquet")
    with pytest.raises(ModelError, match="is not a table of item vectors"):
        ItemVectors.load(tmp_path / "other.parquet")
    table = {"item_id": [1], "text_hash": ["a"], "candidate": [1.0], "history": [1.0], "appeal": [0.0]}
    pl.DataFrame(table).write_parquet(tmp_path / "flat.parquet")
    with pytest.raises(ModelError, match="candidate is not a full array of numbers"):
        ItemVectors.load(tmp_path / "flat.parquet")


def test_refuses_vectors_off_the_grid(tmp_path: Path) -> None:
    good = vectors(pl.Series("item_id", [1, 2]))
    loose = ItemVectors(good.item_ids, good.text_hashes, good.candidate + np.float32(1e-5), good.history, good.appeal)
    loose.save(tmp_path / "loose.parquet")
    with pytest.raises(ModelError, match=r"not multiples of 2\*\*-11"):
        ItemVectors.load(tmp_path / "loose.parquet")
