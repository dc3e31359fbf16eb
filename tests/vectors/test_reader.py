from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.data.clock import TimeSettings
from recsys.data.tables import Dataset
from recsys.features.plan import build_features
from recsys.features.settings import FeatureSettings
from recsys.model.prepared import behaviour_of
from recsys.past.behaviour import Kept
from recsys.past.log import Log
from recsys.past.lookup import Asked, request_starts
from recsys.schema import TIME
from recsys.vectors import reader as reader_module
from recsys.vectors.encoded import Encoded, round_to_grid
from recsys.vectors.item_vectors import ItemVectors
from recsys.vectors.reader import Reader, neighbour_signals, read_lists
from recsys.vectors.user_tower import UserTower
from tests.fixtures.catalogues import HOUR, START, make_catalogue, make_log, plain_neighbours

TOWER = UserTower(np.ones((1, 8)), np.ones(1), np.ones(1), np.ones(1), np.ones(1))


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 25), st.sampled_from([None, timedelta(hours=2)]), st.booleans())
def test_rates_are_those_of_a_plain_loop_over_the_lists(
    seed: int, size: int, window: timedelta | None, one_moment: bool
) -> None:
    random = np.random.default_rng(seed)
    items, vectors = make_catalogue(seed, size)
    log = make_log(items, seed)
    asked = [*items["item_id"].to_list(), vectors.item_ids[0], 777_777, *items["item_id"].to_list()]
    candidates = pl.DataFrame(
        [(item, START + (10 if one_moment else int(random.integers(0, 20))) * HOUR) for item in asked], schema={"item_id": pl.Int64, "timestamp": TIME}, orient="row"
    ).with_columns(user_id=1)  # fmt: skip
    windows = () if window is None else (window,)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reader_module, "_MANY", 2)
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
    assert log.register.places(texts).tolist() == [0, 1, 2, 3]
    assert log.register.places(texts[[0, 2]]).tolist() == [
        0,
        0,
        1,
        -1,
    ]  # a version without a text of its own has the one before
    assert log.register.places(texts[[2]].drop("known_at")).tolist() == [0, 0, 0, -1]
    requests = [(1, noon - hours * HOUR, {1: 0, 2: 0}) for hours in (5, 4, 3, 2, 1)]
    asked = tools.showings(requests)
    lists = read_lists(log, log.rows(asked), request_starts(asked), log.register.places(texts), 3)
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
