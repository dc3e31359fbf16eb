from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Barrier

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.data.clock import TimeSettings
from recsys.data.tables import Dataset
from recsys.features.plan import build_features, neighbour_signals
from recsys.features.settings import FeatureSettings
from recsys.model.prepared import behaviour_of
from recsys.past.behaviour import Kept
from recsys.past.log import Log
from recsys.past.lookup import Asked, request_starts
from recsys.schema import TIME
from recsys.vectors import reader as neighbours_module
from recsys.vectors.item_vectors import Encoded, ItemVectors, round_to_grid
from recsys.vectors.reader import COUNT, Neighbours, Reader, find_items, read_lists
from recsys.vectors.user_tower import UserTower

START = datetime(2024, 5, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
TOWER = UserTower(np.ones((1, 8)), np.ones(1), np.ones(1), np.ones(1), np.ones(1))


def make_catalogue(seed: int, size: int, texts: int | None = None) -> tuple[pl.DataFrame, ItemVectors]:
    """Items, some without `available_at`, many out at one moment; and vectors, some equal, some of no listed item."""
    random = np.random.default_rng(seed)
    ids = random.permutation(3 * size + 3)[: size + 3]
    out = [None if random.random() < 0.2 else START + int(hour) * HOUR for hour in random.integers(0, 6, len(ids))]
    history = random.normal(size=(texts or len(ids), 8))[random.integers(0, texts or len(ids), len(ids))]
    history = round_to_grid(history / np.linalg.norm(history, axis=1, keepdims=True))
    vectors = ItemVectors(
        pl.Series("item_id", ids), pl.Series([""] * len(ids)), history[::-1], history, np.zeros(len(ids), np.float32)
    )
    items = pl.DataFrame({"item_id": ids, "available_at": pl.Series(out, dtype=TIME)})
    return items[3:], take(vectors, np.delete(np.arange(len(ids)), random.integers(3, len(ids))))


def take(vectors: ItemVectors, rows: np.ndarray) -> ItemVectors:
    arrays = {
        name: getattr(vectors, name)[rows] for name in ("item_ids", "text_hashes", "candidate", "history", "appeal")
    }
    return replace(vectors, **arrays)


def make_log(items: pl.DataFrame, seed: int = 0, lists: int = 60) -> Log:
    """Random lists of listed and unlisted items; events with other items move the codes."""
    random = np.random.default_rng(seed)
    ids = [*items["item_id"].to_list(), -5, 10_000]
    moments = [START + int(minute) * timedelta(minutes=10) for minute in random.integers(0, 100, lists)]
    shown = pl.DataFrame(
        [
            {
                "request_id": number,
                "user_id": 1,
                "timestamp": moment,
                "item_id": int(item),
                "label": int(random.random() < 0.4),
            }
            for number, moment in enumerate(moments)
            for item in random.choice(ids, min(4, len(ids)), replace=False)
        ],
        schema_overrides={"timestamp": TIME},
    )
    events = shown[:3].select("user_id", "item_id", "timestamp", event=pl.lit("click"))
    return Log(behaviour_of(Dataset(items, events, shown), Kept()), TimeSettings())


def plain_neighbours(items: pl.DataFrame, vectors: ItemVectors, item: int) -> list[tuple[int, float]]:
    """The ten nearest other items known to be out before, or with it; of two equally near the smaller id first."""
    out = dict(items.select("item_id", "available_at").iter_rows())
    row = {each: vectors.history[place].astype(np.float64) for place, each in enumerate(vectors.item_ids)}
    if out.get(item) is None or item not in row:
        return []
    older = [each for each in out if each in row and each != item and out[each] is not None and out[each] <= out[item]]
    return sorted(((each, float(row[item] @ row[each])) for each in older), key=lambda pair: (-pair[1], pair[0]))[
        :COUNT
    ]


def found_by(
    neighbours: Neighbours, log: Log, vectors: ItemVectors, asked: np.ndarray
) -> list[list[tuple[int, float]]]:
    """Neighbours by id, of rows of the vectors."""
    ids = {code: item for item, code in zip(vectors.item_ids, log.items.encode(vectors.item_ids), strict=True)}
    codes, similarity = neighbours.of(asked)
    assert codes.shape == similarity.shape == (len(asked), COUNT)
    for some, products in zip(codes, similarity, strict=True):
        count = (some >= 0).sum()
        assert (some[count:] == -1).all()
        assert (products[count:] == 0).all()
    return [
        [(ids[code], float(product)) for code, product in zip(some, products, strict=True) if code >= 0]
        for some, products in zip(codes, similarity, strict=True)
    ]


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.sampled_from([None, 2, 5]))
def test_neighbours_are_the_nearest_that_were_out_before(seed: int, size: int, texts: int | None) -> None:
    items, vectors = make_catalogue(seed, size, texts)
    log = make_log(items, seed)
    rows = np.append(np.arange(len(vectors)), -1)
    found = found_by(Neighbours(log, vectors), log, vectors, rows)
    expected = [plain_neighbours(items, vectors, item) for item in vectors.item_ids]
    assert found == [*expected, []]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(12, 40), st.sampled_from([None, 4]), st.sampled_from([1, 50, 4_000_000]))
def test_neither_batches_nor_the_order_of_rows_matter(seed: int, size: int, texts: int | None, numbers: int) -> None:
    random = np.random.default_rng(seed)
    items, vectors = make_catalogue(seed, size, texts)
    log, rows = make_log(items, seed), np.arange(len(vectors))
    expected = dict(zip(vectors.item_ids, found_by(Neighbours(log, vectors), log, vectors, rows), strict=True))
    other = make_log(items.sample(fraction=1, shuffle=True, seed=seed % 1000), seed)
    moved = take(vectors, random.permutation(rows))
    neighbours = Neighbours(other, moved)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neighbours_module, "_NUMBERS_PER_BLOCK", numbers)
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
    old = found_by(Neighbours(before, fewer), before, fewer, np.arange(len(fewer)))
    rows = np.flatnonzero(vectors.item_ids.is_in(fewer.item_ids.implode()).to_numpy())
    new = found_by(Neighbours(after, vectors), after, vectors, rows)
    assert new == old
    dates = dict(items.select("item_id", "available_at").iter_rows())
    assert not any(some for item, some in zip(fewer.item_ids, old, strict=True) if dates[item] is None)
    assert all(dates[other] is not None for some in new for other, _ in some)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 25), st.sampled_from([None, timedelta(hours=2)]))
def test_rates_are_those_of_a_plain_loop_over_the_lists(seed: int, size: int, window: timedelta | None) -> None:
    random = np.random.default_rng(seed)
    items, vectors = make_catalogue(seed, size)
    log = make_log(items, seed)
    asked = [*items["item_id"].to_list(), vectors.item_ids[0], 777_777]
    candidates = pl.DataFrame(
        [(item, START + int(random.integers(0, 20)) * HOUR) for item in asked], schema={"item_id": pl.Int64, "timestamp": TIME}, orient="row"
    ).with_columns(user_id=1)  # fmt: skip
    windows = () if window is None else (window,)
    found = neighbour_signals(Reader.of(log, vectors, TOWER, 1), log.rows(candidates), log, windows, 3.0)
    delay = timedelta(minutes=10)
    for row, (item, moment, _) in enumerate(candidates.iter_rows()):
        beside = plain_neighbours(items, vectors, item)
        shown = log.behaviour.showings.filter(pl.col("timestamp") + delay < moment)
        if shown.is_empty():
            assert np.isnan(found[0][row])
            assert np.isnan(found[1][row])
        else:
            usual = shown["label"].mean()
            own = shown.filter(pl.col("item_id").is_in([each for each, _ in beside]))
            recent = own if window is None else own.filter(pl.col("timestamp") + delay >= moment - window)
            for lists, rates in zip((own, recent), found, strict=False):
                expected = (lists["label"].sum() + 3.0 * usual) / (len(lists) + 3.0)
                assert rates[row] == pytest.approx(expected, rel=1e-12)
        nearest = found[2][row]
        assert nearest == beside[0][1] if beside else np.isnan(nearest)


def test_no_candidates_and_no_items_are_no_trouble() -> None:
    items, vectors = make_catalogue(0, 5)
    log = make_log(items)
    nobody = pl.DataFrame(schema={"item_id": pl.Int64, "timestamp": TIME, "user_id": pl.Int64})
    found = neighbour_signals(Reader.of(log, vectors, TOWER, 1), log.rows(nobody), log, (HOUR,), 1.0)
    assert [len(each) for each in found] == [0, 0, 0]
    nothing = Neighbours(log, take(vectors, np.empty(0, np.int64)))
    assert (nothing.of(np.array([-1, -1]))[0] == -1).all()


def test_threads_may_share_one() -> None:
    items, vectors = make_catalogue(3, 300)
    log, rows = make_log(items), np.arange(len(vectors))
    alone, shared, begin = Neighbours(log, vectors).of(rows), Neighbours(log, vectors), Barrier(6)

    def ask(seed: int) -> None:
        order = np.random.default_rng(seed).permutation(rows)
        begin.wait()
        for some in np.array_split(order, 20):
            codes, similarity = shared.of(some)
            assert np.array_equal(codes, alone[0][some])
            assert np.array_equal(similarity, alone[1][some])

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(ask, range(6)))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 40), st.sampled_from([None, 3]), st.sampled_from([30, 4_000_000]))
def test_neighbours_that_are_told_are_those_of_all(seed: int, size: int, texts: int | None, numbers: int) -> None:
    """New items, other vectors and other dates; what was looked for before is right where it stays."""
    random = np.random.default_rng(seed)
    items, vectors = make_catalogue(seed, size, texts)
    vectors = take(vectors, np.flatnonzero(vectors.item_ids.is_in(items["item_id"].implode()).to_numpy()))
    log = make_log(items, seed)
    neighbours = Neighbours(log, vectors)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neighbours_module, "_NUMBERS_PER_BLOCK", numbers)
        for _ in range(3):
            neighbours.of(random.integers(-1, len(vectors), 2 * size))
            old, others = items.sample(min(3, len(items)), seed=int(random.integers(99))), random.integers(0, 10**6, 3)
            told = pl.concat([old.select("item_id"), pl.DataFrame({"item_id": np.unique(others)})]).unique()
            out = [
                None if random.random() < 0.3 else START + int(hour) * HOUR
                for hour in random.integers(-2, 8, len(told))
            ]
            told = told.with_columns(available_at=pl.Series(out, dtype=TIME))
            items = pl.concat([items.join(told, on="item_id", how="anti"), told])
            after = log.told(told, log.behaviour.users)
            places = find_items(after, vectors.texts)
            codes = after.items.encode(told["item_id"])
            first = after.register.items.firsts[codes]
            moved = np.flatnonzero((places[first] < 0) | (random.random(len(told)) < 0.5))
            rows = vectors.history[random.integers(0, len(vectors), len(moved))]
            more = Encoded(rows, rows, np.zeros(len(moved), np.float32))
            places[first[moved]] = len(vectors) + np.arange(len(moved))
            vectors = vectors.followed_by(told.select("item_id")[moved], pl.Series([""] * len(moved)), more)
            neighbours, log = neighbours.told(after, vectors, codes, places[first]), after
            kept = take(vectors, places[places >= 0])
            expected = found_by(Neighbours(log, kept), log, kept, np.arange(len(kept)))
            assert found_by(neighbours, log, vectors, places[places >= 0]) == expected
            assert expected == [plain_neighbours(items, kept, item) for item in kept.item_ids]


def test_a_newer_item_leaves_what_was_looked_for() -> None:
    items, vectors = make_catalogue(5, 200)
    log = make_log(items, 5)
    neighbours = Neighbours(log, vectors)
    neighbours.of(np.arange(len(vectors)))
    told = pl.DataFrame({"item_id": [10**6]}).with_columns(available_at=pl.lit(START + 9 * HOUR, TIME))
    after = log.told(told, log.behaviour.users)
    more = Encoded(vectors.candidate[:1], vectors.history[:1], vectors.appeal[:1])
    grown = vectors.followed_by(told.select("item_id"), pl.Series([""]), more)
    rows = np.array([len(vectors)])
    newer = neighbours.told(after, grown, after.items.encode(told["item_id"]), rows)
    assert np.array_equal(newer._found[:-1], neighbours._found)
    assert (newer._found[-1] == -2).all()
    assert newer.of(rows)[0][0, 0] >= 0


def test_the_columns_of_neighbours_and_of_the_last_click_need_a_reader(tools) -> None:
    moment = datetime(2024, 4, 1, 12, tzinfo=UTC)
    items = pl.DataFrame(
        {"item_id": [1, 2, 3, 4], "category": ["x"] * 4, "available_at": pl.Series([moment - HOUR] * 4, dtype=TIME)}
    )
    dataset = Dataset(
        items,
        tools.events([(1, 2, "click", moment - HOUR, None)]),
        tools.showings([(2, moment - 2 * HOUR, {1: 1, 2: 0, 3: 0, 4: 1})]).with_columns(device=pl.lit("phone")),
    )
    own = FeatureSettings(affinity=("category",), context=("device",), prior=3.0)
    log = Log(behaviour_of(dataset, own.kept), TimeSettings())
    asked = tools.showings([(1, moment, {1: 0, 3: 0, 9: 0})]).drop("label").with_columns(device=pl.lit("phone"))
    candidates = Asked.of(asked, log)
    names = ["last_click", "neighbour_click_rate", "neighbour_click_rate_recent", "neighbour_similarity"]
    names = [f"{name}{suffix}" for name in names for suffix in ("", "_rank", "_share", "_gap")]
    without = build_features(candidates, own, None).select(names)
    assert without.select(pl.all().is_nan().all()).row(0) == (True,) * len(names)
    reader = tools.reader(log)
    table = build_features(candidates, own, reader)
    vectors = reader.vectors  # rows are items 1, 2, 3, 4 and one that no catalogue holds
    last = vectors.candidate[[0, 2]] @ vectors.history[1]
    assert table["last_click"].to_list()[:2] == last.tolist()
    assert np.isnan(table["last_click"][2])
    others = [vectors.history[place] @ np.delete(vectors.history[:4], place, axis=0).T for place in (0, 2)]
    assert table["neighbour_similarity"].to_list()[:2] == [products.max() for products in others]
    rates = [(1 + 3 * 0.5) / (3 + 3), (2 + 3 * 0.5) / (3 + 3), 0.5]
    assert table["neighbour_click_rate"].to_list() == pytest.approx(rates)
    assert table["neighbour_click_rate_rank"].to_list() == [3.0, 1.0, 2.0]


def test_lists_hold_rows_of_the_vectors_and_the_last_clicks(tools) -> None:
    noon = datetime(2024, 3, 1, 12, tzinfo=UTC)
    dataset = Dataset(
        pl.DataFrame({"item_id": [1, 2, 3, 4, 5]}),
        tools.events([(1, 6, "like", noon - 2 * HOUR, timedelta(0))]),
        tools.showings([(1, noon - 3 * HOUR, {1: 1, 2: 0, 5: 0})]),
    )
    log = Log(behaviour_of(dataset, Kept()), TimeSettings())
    reader = tools.reader(log)
    assert reader.places.tolist() == [0, 1, 2, 3, -1]  # 6 has a vector but is not in the catalogue
    asked = tools.showings([(1, noon, dict.fromkeys([1, 2, 5, 6, 9], 0)), (2, noon + HOUR, {1: 0})])
    lists = read_lists(log, log.rows(asked), request_starts(asked), reader.places, 2)
    assert lists.items.tolist() == [0, 1, -1, -1, -1, 0]
    assert lists.history.tolist() == [[0, -1], [-1, -1]]
    assert lists.ages[0, 0] == pytest.approx(3 - 1 / 6)


MOMENTS = {"item_id": pl.Int64, "known_at": TIME, "available_at": TIME}


@pytest.mark.parametrize("freshness", ["live", "1d"])
def test_candidates_have_the_text_of_the_request_and_past_clicks_that_of_then(tools, freshness) -> None:
    noon = datetime(2024, 3, 1, 12, tzinfo=UTC)
    versions = [(1, None, noon), (1, noon - 5 * HOUR, noon), (1, noon - 2 * HOUR, noon), (2, noon - 4 * HOUR, noon)]
    items = pl.DataFrame(versions, schema=MOMENTS, orient="row")
    dataset = Dataset(
        items,
        tools.events([(1, 1, "click", noon - 6 * HOUR, timedelta(0)), (1, 2, "click", noon - 4 * HOUR, timedelta(0))]),
        tools.showings([(1, noon - 5 * HOUR / 2, {1: 1, 2: 0})]),
    )
    log = Log(behaviour_of(dataset, Kept()), TimeSettings(feedback_delay=HOUR, freshness=freshness))
    texts = items.select("item_id", "known_at")
    assert find_items(log, texts).tolist() == [0, 1, 2, 3]
    assert find_items(log, texts[[0, 2]]).tolist() == [
        0,
        0,
        1,
        -1,
    ]  # a version without a text of its own has the one before
    assert find_items(log, texts[[2]].drop("known_at")).tolist() == [0, 0, 0, -1]
    requests = [(1, noon - hours * HOUR, {1: 0, 2: 0}) for hours in (5, 4, 3, 2, 1)]
    asked = tools.showings(requests)
    lists = read_lists(log, log.rows(asked), request_starts(asked), find_items(log, texts), 3)
    # Each holds from just after its moment; the click on the list is on the text that was shown.
    assert lists.items.reshape(-1, 2).tolist() == [[0, -1], [1, -1], [1, 3], [1, 3], [2, 3]]
    read = {"live": [[0, -1, -1], [0, -1, -1], [-1, 0, -1], [-1, 0, -1], [1, -1, 0]], "1d": [[-1, -1, -1]] * 5}
    assert lists.history.tolist() == read[freshness]


def test_neighbours_are_known_no_later_and_are_those_of_the_first_text(tools) -> None:
    noon = datetime(2024, 3, 1, 12, tzinfo=UTC)
    known = {1: None, 2: noon, 3: noon + HOUR, 4: noon - HOUR}
    items = pl.DataFrame([(item, since, noon) for item, since in known.items()], schema=MOMENTS, orient="row")
    random = np.random.default_rng(2)
    arrays = round_to_grid(random.normal(size=(6, 8)) / 3)
    later = items[1:2].with_columns(known_at=pl.lit(noon + 9 * HOUR, TIME))
    for rows in (items, pl.concat([items, later])):
        texts = rows.select("item_id", "known_at")
        vectors = ItemVectors.of_texts(
            texts,
            pl.Series([""] * len(texts)),
            Encoded(arrays[: len(texts)], arrays[: len(texts)], np.zeros(len(texts), np.float32)),
            "",
        )
        log = Log(behaviour_of(Dataset(rows, tools.events([]), tools.showings([])), Kept()), TimeSettings())
        reader = Reader.of(log, vectors, TOWER, 1)
        asked = tools.showings([(1, noon + 30 * HOUR, {1: 0, 2: 0, 3: 0, 4: 0}), (1, noon, {2: 0, 4: 0})])
        codes, _ = reader.beside(log, log.rows(asked))
        found = [{log.items.values[int(code)] for code in row if code >= 0} for row in codes]
        assert found == [set(), {1, 4}, {1, 2, 4}, {1}, set(), {1}]
