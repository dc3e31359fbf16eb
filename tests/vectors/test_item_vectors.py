import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.errors import ModelError
from recsys.schema import TIME
from recsys.vectors.item_vectors import GRID, Encoded, ItemVectors, round_to_grid, text_hashes


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


def fresh(texts: Sequence[str]) -> Encoded:
    count = len(texts)
    return Encoded(*np.full((2, count, 8), 0.5, np.float32), np.full(count, 9, np.float32))


def known(**texts: str) -> ItemVectors:
    base = vectors(pl.Series("item_id", list(texts), dtype=pl.String))
    return replace(base, text_hashes=pl.Series(text_hashes(list(texts.values())), dtype=pl.String), encoder="one")


def ids(given: list) -> pl.DataFrame:
    return pl.DataFrame({"item_id": pl.Series(given, dtype=pl.String if not given else None)})


def nothing_to_encode(texts: Sequence[str]) -> Encoded:
    raise AssertionError(f"{texts} were encoded")


def test_an_update_without_a_change_is_the_same_vectors() -> None:
    before = known(a="sea", b="boat")
    assert before.update(ids(["a", "b"]), ["sea", "boat"], nothing_to_encode) is before


def test_texts_are_known_under_whatever_ids_they_stand() -> None:
    before = known(a="sea", b="boat")
    after = before.update(ids(["new", "b", "a", "more"]), ["boat", "boat", "sea", "sea"], nothing_to_encode)
    assert after.item_ids.to_list() == ["new", "b", "a", "more"]
    assert after.encoder == "one"
    for name in ("candidate", "history", "appeal"):
        assert np.array_equal(getattr(after, name), getattr(before, name)[[1, 1, 0, 0]])
    assert after.text_hashes.to_list() == text_hashes(["boat", "boat", "sea", "sea"])


def test_new_texts_are_encoded_once_each() -> None:
    before = known(a="sea", b="boat")
    asked: list[str] = []

    def encode(texts: Sequence[str]) -> Encoded:
        asked.extend(texts)
        return fresh(texts)

    after = before.update(ids(["a", "b", "c", "d"]), ["salt", "boat", "salt", "bug"], encode)
    assert asked == ["salt", "bug"]
    assert after.appeal[[0, 2, 3]].tolist() == [9, 9, 9]
    assert np.array_equal(after.candidate[1], before.candidate[1])


def test_items_that_left_are_left_out() -> None:
    before = known(a="sea", b="boat")
    after = before.update(ids(["b"]), ["boat"], nothing_to_encode)
    assert len(after) == 1
    assert len(before.update(ids([]), [], nothing_to_encode)) == 0


def test_vectors_of_nothing_take_any_items() -> None:
    after = ItemVectors.of_nothing("one", 8).update(ids([7, 8]), ["sea", "sea"], fresh)
    assert after.item_ids.to_list() == [7, 8]
    assert after.candidate.shape == (2, 8)


def test_vectors_of_another_encoder_are_refused(tmp_path: Path) -> None:
    before = known(a="sea")
    before.save(tmp_path / "vectors.parquet")
    loaded = ItemVectors.load(tmp_path / "vectors.parquet")
    loaded.check_encoder("one")
    with pytest.raises(ModelError, match=r"made by the encoder one, this model has two; encode the items again"):
        loaded.check_encoder("two")
    with pytest.raises(ModelError, match=r"made by the encoder \(unknown\), this model has one"):
        vectors(pl.Series(["a"])).check_encoder("one")


@pytest.mark.parametrize("name", ["a[1].parquet", "*.parquet", "~/a.parquet"])
def test_vectors_are_read_from_the_path_as_it_is_written(tmp_path: Path, monkeypatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    known(b="boat").save("a1.parquet")
    known(b="boat").save("a.parquet")
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    known(a="sea").save(path)
    assert ItemVectors.load(name).item_ids.to_list() == ["a"]


def test_refuses_files_that_are_not_vectors(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"none\.parquet is not a table of item vectors"):
        ItemVectors.load(tmp_path / "none.parquet")
    pl.DataFrame({"item_id": [1]}).write_parquet(tmp_path / "other.parquet")
    with pytest.raises(ModelError, match="is not a table of item vectors"):
        ItemVectors.load(tmp_path / "other.parquet")
    table = {"item_id": [1], "text_hash": ["a"], "candidate": [1.0], "history": [1.0], "appeal": [0.0]}
    pl.DataFrame(table).write_parquet(tmp_path / "flat.parquet")
    with pytest.raises(ModelError, match="column candidate holds Float64 values, not arrays of numbers of 32 bits"):
        ItemVectors.load(tmp_path / "flat.parquet")


LONG = pl.lit(pl.Series([[1.0, 1.0, 1.0] + [0.0] * 5] * 2, dtype=pl.Array(pl.Float32, 8)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"item_id": pl.lit(0.5)}, "column item_id holds Float64 values, not integers or text"),
        ({"item_id": pl.struct("item_id")}, r"column item_id holds Struct\(.*\) values, not integers or text"),
        ({"item_id": pl.Series([1, None])}, "column item_id holds 1 nulls"),
        ({"text_hash": pl.lit(1)}, "column text_hash holds Int32 values, not text"),
        ({"candidate": pl.col("candidate").arr.to_list()}, r"candidate holds List\(Float32\) values, not arrays of"),
        ({"candidate": pl.col("candidate").arr.head(4).list.to_array(4)}, "candidate and history are of two lengths"),
        ({"history": pl.lit(None, pl.Array(pl.Float32, 8))}, "column history holds 2 nulls"),
        ({"history": pl.col("history").cast(pl.Array(pl.Int8, 8))}, r"history holds Array\(Int8.*\) values, not"),
        ({"history": pl.lit(pl.Series([[None] * 8] * 2, dtype=pl.Array(pl.Float32, 8)))}, r"not multiples of 2\*\*-11"),
        ({"history": pl.lit(pl.Series([[2.0**40] * 8] * 2, dtype=pl.Array(pl.Float32, 8)))}, "not multiples"),
        ({"history": LONG}, "holds vectors that are longer than 1"),
        ({"appeal": pl.lit(1)}, "column appeal holds Int32 values, not numbers of 32 bits"),
        ({"appeal": pl.lit(float("nan"), pl.Float32)}, "appeal holds values that are not finite or beyond 1e"),
        ({"appeal": pl.lit(1e30, pl.Float32)}, "appeal holds values that are not finite or beyond 1e"),
        ({"more": pl.lit(1)}, "column more does not belong to it"),
    ],
)
def test_refuses_a_table_of_other_kinds_or_values_by_name(tmp_path: Path, change, message) -> None:
    vectors(pl.Series("item_id", [1, 2])).save(tmp_path / "vectors.parquet")
    table = pl.read_parquet(tmp_path / "vectors.parquet").with_columns(**change)
    table.write_parquet(tmp_path / "vectors.parquet")
    with pytest.raises(ModelError, match=rf"vectors\.parquet .*{message}.*; encode the items again"):
        ItemVectors.load(tmp_path / "vectors.parquet")


@pytest.mark.parametrize("name", ["item_id", "text_hash", "candidate", "history", "appeal"])
def test_refuses_a_table_that_lacks_a_column(tmp_path: Path, name: str) -> None:
    vectors(pl.Series("item_id", [1, 2])).save(tmp_path / "vectors.parquet")
    pl.read_parquet(tmp_path / "vectors.parquet").drop(name).write_parquet(tmp_path / "vectors.parquet")
    with pytest.raises(ModelError, match=rf"vectors\.parquet .*column {name} is missing"):
        ItemVectors.load(tmp_path / "vectors.parquet")


def test_refuses_vectors_off_the_grid(tmp_path: Path) -> None:
    good = vectors(pl.Series("item_id", [1, 2]))
    loose = ItemVectors(good.item_ids, good.text_hashes, good.candidate + np.float32(1e-5), good.history, good.appeal)
    loose.save(tmp_path / "loose.parquet")
    with pytest.raises(ModelError, match=r"not multiples of 2\*\*-11"):
        ItemVectors.load(tmp_path / "loose.parquet")


def test_hashes_are_the_start_of_sha256() -> None:
    assert text_hashes(["é"]) == [hashlib.sha256("é".encode()).hexdigest()[:16]]
    assert text_hashes([]) == []


def test_rows_are_appended_without_a_copy_of_those_before() -> None:
    known = vectors_of_ids([1, 2])
    grown, moved = known, 0
    for number in range(3, 3_000, 3):
        more = vectors_of_ids([number, number + 1, number + 2])
        before, grown = grown, grown.followed_by(more.texts, more.text_hashes, Encoded(*parts_of(more)))
        moved += not np.shares_memory(before.candidate, grown.candidate)
    whole = vectors_of_ids([*range(1, 3_002)][: len(grown)])
    assert grown.item_ids.to_list() == whole.item_ids.to_list()
    assert grown.text_hashes.to_list() == whole.text_hashes.to_list()
    for one, other in zip(parts_of(grown), parts_of(whole), strict=True):
        assert np.array_equal(one, other)
    assert moved == 3  # room for a thousand rows each time
    assert grown.item_ids.n_chunks() == 1


def test_two_ways_to_go_on_from_the_same_rows_do_not_meet() -> None:
    known = vectors_of_ids([1, 2])
    more = [vectors_of_ids([number]) for number in (3, 4, 5)]
    first, *others = (known.followed_by(each.texts, each.text_hashes, Encoded(*parts_of(each))) for each in more)
    one, other = (first.followed_by(each.texts, each.text_hashes, Encoded(*parts_of(each))) for each in more[1:])
    for found, ids in ((first, [1, 2, 3]), (one, [1, 2, 3, 4]), (other, [1, 2, 3, 5])):
        assert found.item_ids.to_list() == ids
        assert np.array_equal(found.appeal, vectors_of_ids(ids).appeal)
    assert [len(each) for each in others] == [3, 3]


def test_rows_may_follow_none() -> None:
    more = vectors_of_ids([7])
    grown = ItemVectors.of_nothing("one", 2).followed_by(more.texts, more.text_hashes, Encoded(*parts_of(more)))
    assert grown.item_ids.to_list() == [7]
    assert grown.encoder == "one"


def vectors_of_ids(ids: list[int]) -> ItemVectors:
    numbers = np.array(ids, np.float32)
    matrix = np.stack([numbers, -numbers], axis=1)
    return ItemVectors(
        pl.Series("item_id", ids), pl.Series([str(each) for each in ids]), matrix, -matrix, numbers, "one"
    )


def parts_of(vectors: ItemVectors) -> tuple[np.ndarray, ...]:
    return vectors.candidate, vectors.history, vectors.appeal


MOMENTS = [None, datetime(2024, 3, 1, tzinfo=UTC), datetime(2024, 3, 2, tzinfo=UTC)]


def in_versions() -> ItemVectors:
    items = pl.DataFrame({"item_id": [1, 1, 2], "known_at": pl.Series(MOMENTS, dtype=TIME)})
    base = vectors(pl.Series("item_id", [1, 2, 3]))
    return ItemVectors.of_texts(items, base.text_hashes, Encoded(base.candidate, base.history, base.appeal), "one")


def test_the_moments_of_versions_are_kept_where_there_are_any(tmp_path: Path) -> None:
    in_versions().save(tmp_path / "vectors.parquet")
    assert ItemVectors.load(tmp_path / "vectors.parquet").texts.equals(in_versions().texts)
    vectors(pl.Series("item_id", [1, 2, 3])).save(tmp_path / "plain.parquet")
    assert pl.read_parquet(tmp_path / "plain.parquet").columns == [
        "item_id", "text_hash", "candidate", "history", "appeal"
    ]  # fmt: skip
    for change, words in (
        (pl.lit("noon").alias("known_at"), "column known_at holds String values, not moments"),
        (pl.col("known_at").dt.date(), "column known_at holds Date values, not moments"),
    ):
        table = pl.read_parquet(tmp_path / "vectors.parquet").with_columns(change)
        table.write_parquet(tmp_path / "other.parquet")
        with pytest.raises(ModelError, match=rf"other\.parquet .*{words}"):
            ItemVectors.load(tmp_path / "other.parquet")


def test_an_update_knows_that_the_moments_of_texts_are_others() -> None:
    before = known(a="sea", b="boat")
    items = pl.DataFrame({"item_id": ["a", "b"], "known_at": pl.Series(MOMENTS[:2], dtype=TIME)})
    after = before.update(items, ["sea", "boat"], nothing_to_encode)
    assert after is not before
    assert after.texts.equals(items)
    assert after.update(items, ["sea", "boat"], nothing_to_encode) is after


def test_a_version_may_follow_rows_that_have_none() -> None:
    more, known = vectors_of_ids([7]), vectors_of_ids([1, 2])
    text = more.texts.with_columns(known_at=pl.lit(MOMENTS[1], TIME))
    grown = known.followed_by(text, more.text_hashes, Encoded(*parts_of(more)))
    assert grown.texts.rows() == [(1, None), (2, None), (7, MOMENTS[1])]
