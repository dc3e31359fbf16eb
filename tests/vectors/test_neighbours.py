from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.errors import ModelError
from recsys.past.log import Log
from recsys.schema import TIME
from recsys.vectors import neighbours as module
from recsys.vectors.encoded import Encoded
from recsys.vectors.item_vectors import ItemVectors
from recsys.vectors.neighbours import Ages, Neighbours
from tests.fixtures.catalogues import HOUR, START, found_by, make_catalogue, make_log, plain_neighbours, take


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.sampled_from([None, 2, 5]))
def test_neighbours_are_the_nearest_that_were_out_before(seed: int, size: int, texts: int | None) -> None:
    items, vectors = make_catalogue(seed, size, texts)
    log = make_log(items, seed)
    rows = np.append(np.arange(len(vectors)), -1)
    found = found_by(Neighbours.of(log, vectors), log, vectors, rows)
    expected = [plain_neighbours(items, vectors, item) for item in vectors.item_ids]
    assert found == [*expected, []]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(12, 40), st.sampled_from([None, 4]), st.sampled_from([1, 7, 500]))
def test_neither_batches_nor_the_order_of_rows_matter(seed: int, size: int, texts: int | None, numbers: int) -> None:
    random = np.random.default_rng(seed)
    items, vectors = make_catalogue(seed, size, texts)
    log, rows = make_log(items, seed), np.arange(len(vectors))
    expected = dict(zip(vectors.item_ids, found_by(Neighbours.of(log, vectors), log, vectors, rows), strict=True))
    other = make_log(items.sample(fraction=1, shuffle=True, seed=seed % 1000), seed)
    moved = take(vectors, random.permutation(rows))
    neighbours = Neighbours.of(other, moved)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_ROWS", numbers)
        patch.setattr(module, "_COLUMNS", numbers)
        for _ in range(6):
            asked = random.integers(-1, len(rows), 8)
            for row, found in zip(asked, found_by(neighbours, other, moved, asked), strict=True):
                assert found == (expected[moved.item_ids[int(row)]] if row >= 0 else [])


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(15, 40), st.sampled_from([None, 4]))
def test_newer_items_and_those_without_a_date_change_nothing(seed: int, size: int, texts: int | None) -> None:
    items, vectors = make_catalogue(seed, size, texts)
    moment = START + 3 * HOUR
    early = pl.col("available_at") <= moment
    known = items.filter(early | (pl.col("available_at").is_null() & (pl.col("item_id") % 2 == 0)))
    before, after = make_log(known, seed), make_log(items, seed)
    fewer = take(vectors, np.flatnonzero(vectors.item_ids.is_in(known["item_id"].implode()).to_numpy()))
    old = found_by(Neighbours.of(before, fewer), before, fewer, np.arange(len(fewer)))
    rows = np.flatnonzero(vectors.item_ids.is_in(fewer.item_ids.implode()).to_numpy())
    new = found_by(Neighbours.of(after, vectors), after, vectors, rows)
    assert new == old
    dates = dict(items.select("item_id", "available_at").iter_rows())
    assert not any(some for item, some in zip(fewer.item_ids, old, strict=True) if dates[item] is None)
    assert all(dates[other] is not None for some in new for other, _ in some)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 40), st.sampled_from([None, 3]), st.sampled_from([3, 500]))
def test_neighbours_that_are_told_are_those_of_all(seed: int, size: int, texts: int | None, numbers: int) -> None:
    """New items, other vectors and other dates; what was looked for before is right where it stays."""
    random = np.random.default_rng(seed)
    items, vectors = make_catalogue(seed, size, texts)
    vectors = take(vectors, np.flatnonzero(vectors.item_ids.is_in(items["item_id"].implode()).to_numpy()))
    log = make_log(items, seed)
    neighbours = Neighbours.of(log, vectors)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_ROWS", numbers)
        patch.setattr(module, "_COLUMNS", numbers)
        for _ in range(3):
            neighbours.find(random.integers(-1, len(vectors), 2 * size))
            old, others = items.sample(min(3, len(items)), seed=int(random.integers(99))), random.integers(0, 10**6, 3)
            told = pl.concat([old.select("item_id"), pl.DataFrame({"item_id": np.unique(others)})]).unique()
            out = [
                None if random.random() < 0.3 else START + int(hour) * HOUR
                for hour in random.integers(-2, 8, len(told))
            ]
            told = told.with_columns(available_at=pl.Series(out, dtype=TIME))
            items = pl.concat([items.join(told, on="item_id", how="anti"), told])
            after = log.told(told, log.behaviour.users)
            places = after.register.places(vectors.texts)
            codes = after.items.encode(told["item_id"])
            first = after.register.items.firsts[codes]
            moved = np.flatnonzero((places[first] < 0) | (random.random(len(told)) < 0.5))
            rows = vectors.history[random.integers(0, len(vectors), len(moved))]
            more = Encoded(rows, rows, np.zeros(len(moved), np.float32))
            places[first[moved]] = len(vectors) + np.arange(len(moved))
            vectors = vectors.followed_by(told.select("item_id")[moved], pl.Series([""] * len(moved)), more)
            neighbours, log = neighbours.told(after, vectors, places), after
            kept = take(vectors, places[places >= 0])
            expected = found_by(Neighbours.of(log, kept), log, kept, np.arange(len(kept)))
            assert found_by(neighbours, log, vectors, places[places >= 0]) == expected
            assert expected == [plain_neighbours(items, kept, item) for item in kept.item_ids]


def test_a_newer_item_leaves_what_was_looked_for() -> None:
    items, vectors = make_catalogue(5, 200)
    log = make_log(items, 5)
    neighbours = Neighbours.of(log, vectors)
    neighbours.find()
    told = pl.DataFrame({"item_id": [10**6]}).with_columns(available_at=pl.lit(START + 9 * HOUR, TIME))
    after = log.told(told, log.behaviour.users)
    more = Encoded(vectors.candidate[:1], vectors.history[:1], vectors.appeal[:1])
    grown = vectors.followed_by(told.select("item_id"), pl.Series([""]), more)
    with pytest.MonkeyPatch.context() as patch:
        looked = list[int]()
        search = Neighbours._search
        patch.setattr(Neighbours, "_search", lambda self, rows, *rest: looked.extend(rows) or search(self, rows, *rest))
        newer = neighbours.told(after, grown, after.register.places(grown.texts))
    assert looked == [len(vectors)]
    assert np.array_equal(newer.found[:-1], neighbours.found)
    assert newer.items(np.array([len(vectors)]))[0][0, 0] >= 0


def by_age(items: pl.DataFrame, vectors: ItemVectors, item: int, ages: Ages) -> list[tuple[int, float]]:
    """The nearest of those of the item's own age and the one before, by a plain loop."""
    out = dict(items.select("item_id", "available_at").iter_rows())
    first = [*zip(ages.moments.tolist(), ages.hashes.tolist(), strict=True)]
    keys = {
        each: (out[each].timestamp() * 1e6, int(hashed[:8], 16))
        for each, hashed in zip(vectors.item_ids, vectors.text_hashes, strict=True)
        if out.get(each) is not None
    }
    age = {each: sum(key >= begin for begin in first) for each, key in keys.items()}
    if item not in age:
        return []
    near = items.filter(pl.col("item_id").is_in([each for each in age if age[item] - 1 <= age[each] <= age[item]]))
    return plain_neighbours(near, vectors, item)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.sampled_from([None, 3]), st.sampled_from([1, 4, 9]))
def test_a_large_catalogue_is_cut_into_ages_also_within_one_date(
    seed: int, size: int, texts: int | None, age: int
) -> None:
    items, vectors = make_catalogue(seed, size, texts)
    log, rows = make_log(items, seed), np.arange(len(vectors))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_AGE", age)
        neighbours = Neighbours.of(log, vectors)
    dated = int(items["available_at"].is_not_null().sum() - (~items["item_id"].is_in(vectors.item_ids.implode())).sum())
    ages = neighbours.ages
    assert len(ages.moments) <= max(0, dated - 1) // age + 1
    found = found_by(neighbours, log, vectors, rows)
    assert found == [by_age(items, vectors, item, ages) for item in vectors.item_ids]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 40), st.sampled_from([None, 3]), st.sampled_from([3, 10**6]))
def test_what_today_does_not_change_is_carried_over(seed: int, size: int, texts: int | None, age: int) -> None:
    """Items leave and come, and get other texts and dates; rows stand in another order."""
    random = np.random.default_rng(seed)
    items, vectors = make_catalogue(seed, size, texts)
    log = make_log(items, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_AGE", age)
        before = Neighbours.of(log, vectors)
    before.find()
    stay = items.filter(pl.Series(random.random(len(items)) < 0.7))
    moved = pl.Series(random.random(len(stay)) < 0.2)
    out = pl.when(moved).then(pl.lit(START + 2 * HOUR, TIME)).otherwise("available_at")
    new = pl.DataFrame({"item_id": [10_001, 10_002]}).with_columns(
        available_at=pl.Series([START + int(hour) * HOUR for hour in random.integers(-1, 8, 2)], dtype=TIME)
    )
    today = pl.concat([stay.with_columns(available_at=out), new]).sample(fraction=1, shuffle=True, seed=seed % 997)
    rows = random.permutation(np.flatnonzero(random.random(len(vectors)) < 0.9))
    kept = take(vectors, rows)
    other = random.random(len(rows)) < 0.2
    history = kept.history.copy()
    history[other] = vectors.history[random.integers(0, len(vectors), int(other.sum()))]
    hashes = pl.Series([f"{place + 4096:08x}" if each else hashed for place, (hashed, each) in enumerate(zip(kept.text_hashes, other, strict=True))], dtype=pl.String)  # fmt: skip
    kept = replace(kept, history=history, text_hashes=hashes)
    more = Encoded(*(vectors.history[random.integers(0, len(vectors), 2)] for _ in "ab"), np.zeros(2, np.float32))
    kept = kept.followed_by(new.select("item_id"), pl.Series(["0000f000", "0000f001"]), more)
    after = make_log(today, seed + 1)
    carried, every = before.carried_to(after, kept, log), np.arange(len(kept))
    expected = Neighbours.of(after, kept, before.ages)
    assert found_by(carried, after, kept, every) == found_by(expected, after, kept, every)


def test_nothing_is_looked_for_again_where_only_newer_items_came() -> None:
    items, vectors = make_catalogue(7, 200)
    log = make_log(items, 7)
    before = Neighbours.of(log, vectors)
    before.find()
    new = pl.DataFrame({"item_id": [10**6]}).with_columns(available_at=pl.lit(START + 9 * HOUR, TIME))
    after = make_log(pl.concat([items, new]), 8)
    more = Encoded(vectors.candidate[:1], vectors.history[:1], vectors.appeal[:1])
    grown = vectors.followed_by(new.select("item_id"), pl.Series(["new"]), more)
    carried = before.carried_to(after, grown, log)
    assert np.flatnonzero(carried.found[:, 0] == -2).tolist()[-1] == len(vectors)
    held = np.flatnonzero(carried.codes[:-1] >= 0)
    assert (carried.found[held, 0] != -2).all()


def test_what_was_found_is_kept_in_a_folder(tmp_path: Path) -> None:
    items, vectors = make_catalogue(9, 60)
    log = make_log(items, 9)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_AGE", 7)
        found = Neighbours.of(log, vectors)
    found.save(tmp_path)
    again = Neighbours.load(tmp_path, log, vectors)
    assert np.array_equal(again.found, found.found)
    assert np.array_equal(again.similarity, found.similarity)
    assert again.ages.moments.tolist() == found.ages.moments.tolist()
    assert again.ages.hashes.tolist() == found.ages.hashes.tolist()


def spoil_a_number(folder: Path, log: Log, vectors: ItemVectors) -> ItemVectors:
    content = bytearray((folder / "neighbours.numbers").read_bytes())
    content[8] ^= 1
    (folder / "neighbours.numbers").write_bytes(content)
    return vectors


def write_of_others(folder: Path, log: Log, vectors: ItemVectors) -> ItemVectors:
    return take(vectors, np.arange(len(vectors) - 1))


def write_too_large(folder: Path, log: Log, vectors: ItemVectors) -> ItemVectors:
    wrong = Neighbours.of(log, vectors)
    wrong.find()
    wrong.found[0, 0] = len(vectors)
    for name in ("neighbours.numbers", "neighbours.numbers.sha256"):
        (folder / name).unlink()
    wrong.save(folder)
    return vectors


def forget_the_ages(folder: Path, log: Log, vectors: ItemVectors) -> ItemVectors:
    (folder / "neighbours.json").write_text('{"moments": [1.0], "hashes": []}')
    return vectors


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (spoil_a_number, r"neighbours\.numbers was changed after it was written .* copy the whole folder again"),
        (write_of_others, r"neighbours\.numbers does not fit the item vectors .* copy the whole folder again"),
        (write_too_large, r"does not fit the item vectors \(ValueError: a neighbour is no item\)"),
        (forget_the_ages, r"does not fit the item vectors"),
    ],
)
def test_what_does_not_fit_is_refused(spoil, said: str, tmp_path: Path) -> None:
    items, vectors = make_catalogue(9, 60)
    log = make_log(items, 9)
    Neighbours.of(log, vectors).save(tmp_path)
    vectors = spoil(tmp_path, log, vectors)
    with pytest.raises(ModelError, match=said):
        Neighbours.load(tmp_path, log, vectors)
