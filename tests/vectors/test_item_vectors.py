import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from recsys.errors import ModelError
from recsys.past.blocks import map_table, write_table
from recsys.schema import TIME
from recsys.vectors.encoded import Encoded, round_to_grid
from recsys.vectors.item_vectors import ItemVectors, text_hashes


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
    before.save(tmp_path)
    after = ItemVectors.load(tmp_path)
    assert after.item_ids.dtype == item_ids.dtype
    assert after.item_ids.to_list() == item_ids.to_list()
    assert after.text_hashes.to_list() == before.text_hashes.to_list()
    for name in ("candidate", "history", "appeal"):
        assert np.array_equal(getattr(after, name), getattr(before, name))
        assert np.asarray(getattr(after, name)).dtype == np.float32


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
    before.save(tmp_path)
    loaded = ItemVectors.load(tmp_path)
    loaded.check_encoder("one")
    with pytest.raises(ModelError, match=r"made by the encoder one, this model has two; encode the items again"):
        loaded.check_encoder("two")
    with pytest.raises(ModelError, match=r"made by the encoder \(unknown\), this model has one"):
        vectors(pl.Series(["a"])).check_encoder("one")


def test_refuses_folders_that_hold_no_vectors(tmp_path: Path) -> None:
    known(a="sea").save(tmp_path)
    for name, said in (
        ("candidate.numbers", r"candidate\.numbers"),
        ("item_vectors.arrow", r"item_vectors\.arrow cannot be read .*; copy the whole folder again"),
        ("item_vectors.json", r"item_vectors\.json .*; copy the whole folder again"),
    ):
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).unlink()
        with pytest.raises(ModelError, match=said):
            ItemVectors.load(tmp_path)
        (tmp_path / name).write_bytes(content)
    (tmp_path / "item_vectors.json").write_text('{"encoder": "one"}')
    with pytest.raises(ModelError, match=r"item_vectors\.json is damaged \(KeyError\('length'\)\)"):
        ItemVectors.load(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"item_id": pl.lit(0.5)}, "column item_id holds Float64 values, not integers or text"),
        ({"item_id": pl.struct("item_id")}, r"column item_id holds Struct\(.*\) values, not integers or text"),
        ({"item_id": pl.Series([1, None])}, "column item_id holds 1 nulls"),
        ({"text_hash": pl.lit(1)}, "column text_hash holds Int32 values, not text"),
        ({"appeal": pl.lit(1)}, "column appeal holds Int32 values, not numbers of 32 bits"),
        ({"appeal": pl.lit(float("nan"), pl.Float32)}, "appeal holds values that are not finite or beyond 1e"),
        ({"appeal": pl.lit(1e30, pl.Float32)}, "appeal holds values that are not finite or beyond 1e"),
        ({"more": pl.lit(1)}, "column more does not belong to it"),
    ],
)
def test_refuses_a_table_of_other_kinds_or_values_by_name(tmp_path: Path, change, message) -> None:
    vectors(pl.Series("item_id", [1, 2])).save(tmp_path)
    rewrite(tmp_path, map_table(tmp_path / "item_vectors.arrow").with_columns(**change))
    with pytest.raises(ModelError, match=rf"item_vectors\.arrow .*{message}.*; encode the items again"):
        ItemVectors.load(tmp_path)


def rewrite(folder: Path, table: pl.DataFrame) -> None:
    table = table.rechunk()
    (folder / "item_vectors.arrow").unlink()
    write_table(folder / "item_vectors.arrow", table)


@pytest.mark.parametrize("name", ["item_id", "text_hash", "appeal"])
def test_refuses_a_table_that_lacks_a_column(tmp_path: Path, name: str) -> None:
    vectors(pl.Series("item_id", [1, 2])).save(tmp_path)
    rewrite(tmp_path, map_table(tmp_path / "item_vectors.arrow").drop(name))
    with pytest.raises(ModelError, match=rf"item_vectors\.arrow .*column {name} is missing"):
        ItemVectors.load(tmp_path)


def test_refuses_a_table_of_other_rows_than_the_vectors(tmp_path: Path) -> None:
    vectors(pl.Series("item_id", [1, 2])).save(tmp_path)
    rewrite(tmp_path, map_table(tmp_path / "item_vectors.arrow").head(1))
    with pytest.raises(ModelError, match=r"candidate\.numbers does not hold 1 rows of 8 numbers"):
        ItemVectors.load(tmp_path)


def test_vectors_that_were_changed_are_refused_when_they_are_read(tmp_path: Path) -> None:
    vectors(pl.Series("item_id", [1, 2])).save(tmp_path)
    content = bytearray((tmp_path / "history.numbers").read_bytes())
    content[3] ^= 1
    (tmp_path / "history.numbers").write_bytes(content)
    loaded = ItemVectors.load(tmp_path)
    assert np.isfinite(loaded.candidate[np.array([0, 1])]).all()
    with pytest.raises(ModelError, match=r"history\.numbers was changed after it was written"):
        loaded.history[np.array([1])]
    with pytest.raises(ModelError, match=r"history\.numbers was changed after it was written"):
        ItemVectors.load(tmp_path, verify_all=True)


def test_hashes_are_the_start_of_sha256() -> None:
    assert text_hashes(["é"]) == [hashlib.sha256("é".encode()).hexdigest()[:16]]
    assert text_hashes([]) == []


def test_rows_are_appended_without_a_copy_of_those_before() -> None:
    known = vectors_of_ids([1, 2])
    grown, moved = known, 0
    for number in range(3, 3_000, 3):
        more = vectors_of_ids([number, number + 1, number + 2])
        before, grown = grown, grown.followed_by(more.texts, more.text_hashes, Encoded(*parts_of(more)))
        moved += number > 3 and not np.shares_memory(before.candidate.later, grown.candidate.later)
        assert grown.candidate.first is known.candidate
    whole = vectors_of_ids([*range(1, 3_002)][: len(grown)])
    assert grown.item_ids.to_list() == whole.item_ids.to_list()
    assert grown.text_hashes.to_list() == whole.text_hashes.to_list()
    for one, other in zip(parts_of(grown), parts_of(whole), strict=True):
        assert np.array_equal(one, other)
    assert moved == 2  # room for a thousand rows, and for more each time
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
    in_versions().save(tmp_path)
    assert ItemVectors.load(tmp_path).texts.equals(in_versions().texts)
    table = map_table(tmp_path / "item_vectors.arrow")
    for change, words in (
        (pl.lit("noon").alias("known_at"), "column known_at holds String values, not moments"),
        (pl.col("known_at").dt.date(), "column known_at holds Date values, not moments"),
    ):
        rewrite(tmp_path, table.with_columns(change))
        with pytest.raises(ModelError, match=rf"item_vectors\.arrow .*{words}"):
            ItemVectors.load(tmp_path)
    (tmp_path / "plain").mkdir()
    vectors(pl.Series("item_id", [1, 2, 3])).save(tmp_path / "plain")
    assert map_table(tmp_path / "plain" / "item_vectors.arrow").columns == ["item_id", "text_hash", "appeal"]


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
