from dataclasses import replace
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.errors import DataError
from recsys.vectors import signals as signals_module
from recsys.vectors.coded_lists import CodedLists
from recsys.vectors.encoded import round_to_grid
from recsys.vectors.item_vectors import ItemVectors
from recsys.vectors.signals import TextSignals, text_signals
from recsys.vectors.user_tower import UserTower

NAMES = ("interest", "appeal", "text_score", "nearest_click", "query_match", "last_click")
CODES = round_to_grid(np.random.default_rng(8).normal(size=(4, 48))).astype(np.float64)
TOWER = UserTower(
    CODES,
    np.array([3.1, 0.7, -2.0, 9.0]),
    np.array([0.2, 0.0, 1.3, 0.1]),
    np.array([5.0, 1.1, 0.3, 2.0]),
    np.array([1.7]),
)


def make_vectors(n: int, d: int = 48, seed: int = 0) -> ItemVectors:
    random = np.random.default_rng(seed)
    matrices = random.normal(size=(2, n, d))
    candidate, history = round_to_grid(matrices / np.linalg.norm(matrices, axis=-1, keepdims=True))
    return ItemVectors(
        pl.Series("item_id", np.arange(n)),
        pl.Series("text_hash", [""] * n),
        candidate,
        history,
        random.normal(size=n).astype(np.float32),
    )


ASKED = make_vectors(7, seed=9).history


def make_lists(random: np.random.Generator, requests: int, items: int, places: int, longest: int = 9) -> CodedLists:
    lengths = random.integers(0, longest + 1, requests)
    return CodedLists(
        np.concatenate([[0], np.cumsum(lengths)]),
        random.integers(-1, items, lengths.sum()).astype(np.int32),
        np.where(random.random((requests, places)) < 0.6, random.integers(-1, items, (requests, places)), -1).astype(
            np.int32
        ),
        random.uniform(0, 500, (requests, places)).astype(np.float32),
        random.integers(-1, len(ASKED), requests).astype(np.int32),
    )


def assert_same_bits(a: TextSignals, b: TextSignals, rows: np.ndarray | slice = slice(None)) -> None:
    for name in NAMES:
        assert getattr(a, name)[rows].tobytes() == getattr(b, name).tobytes(), name


def test_signals_are_what_a_plain_loop_says() -> None:
    vectors = make_vectors(30)
    lists = make_lists(np.random.default_rng(3), 25, 30, 6)
    found = text_signals(lists, vectors, TOWER, ASKED)
    for request in range(len(lists)):
        clicks = [place for place, code in enumerate(lists.history[request]) if code >= 0]
        for place in range(lists.starts[request], lists.starts[request + 1]):
            item = lists.items[place]
            values = [getattr(found, name)[place] for name in NAMES]
            if item < 0:
                assert np.isnan(values).all()
                continue
            assert found.appeal[place] == vectors.appeal[item]
            score, query = values[1] if np.isnan(values[0]) else values[0] + values[1], lists.queries[request]
            if query < 0:
                assert np.isnan(values[4])
                assert values[2] == score
            else:
                assert values[4] == (vectors.candidate[item].astype(np.float64) * ASKED[query]).sum()
                assert values[2] == pytest.approx(score + 1.7 * values[4], abs=1e-6)
            last = lists.history[request, 0]
            if last < 0:
                assert np.isnan(values[5])
            else:
                assert values[5] == (vectors.candidate[item].astype(np.float64) * vectors.history[last]).sum()
            if not clicks:
                assert np.isnan(values[0])
                assert np.isnan(values[3])
                continue
            past = vectors.history[lists.history[request, clicks]].astype(np.float64)
            products = vectors.candidate[item].astype(np.float64) * past
            similarity = products.reshape(len(clicks), 4, -1).sum(axis=2)
            force = np.exp(
                TOWER.sharpness * similarity
                + past @ TOWER.codes.T
                - TOWER.forgetting * np.log1p(lists.ages[request, clicks].astype(np.float64) / 24)[:, None]
            )
            expected = (TOWER.scale * (force * similarity).sum(axis=0) / force.sum(axis=0)).sum()
            assert values[0] == pytest.approx(expected, rel=1e-6, abs=1e-6)
            assert values[3] == products.sum(axis=1).max()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 13))
def test_answers_are_the_same_bits_in_any_batching(seed: int, requests: int, places: int) -> None:
    random = np.random.default_rng(seed)
    vectors = make_vectors(50, seed=seed)
    lists = make_lists(random, requests, 50, places)
    together = text_signals(lists, vectors, TOWER, ASKED)
    cuts = np.unique([0, *random.integers(0, requests + 1, 3), requests])
    for first, last in pairwise(cuts):
        alone = text_signals(lists.block(first, last), vectors, TOWER, ASKED)
        assert_same_bits(together, alone, slice(lists.starts[first], lists.starts[last]))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 30))
def test_answers_follow_candidates_in_any_order_and_ignore_padding(seed: int, requests: int) -> None:
    random = np.random.default_rng(seed)
    vectors = make_vectors(50, seed=seed)
    lists = make_lists(random, requests, 50, 5)
    before = text_signals(lists, vectors, TOWER, ASKED)
    rows = np.concatenate(
        [random.permutation(np.arange(*lists.starts[request : request + 2])) for request in range(requests)]
    ).astype(np.int64)
    wider = np.full((requests, 3), -1, np.int32)
    after = text_signals(
        CodedLists(
            lists.starts,
            lists.items[rows],
            np.concatenate([lists.history, wider], axis=1),
            np.concatenate([lists.ages, wider.astype(np.float32)], axis=1),
            lists.queries,
        ),
        vectors,
        TOWER,
        ASKED,
    )
    assert_same_bits(before, after, rows)


def test_small_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    # Long histories and lists of one candidate: there, a library's sum would add in another order.
    vectors = make_vectors(50)
    lists = make_lists(np.random.default_rng(1), 60, 50, 40)
    before = text_signals(lists, vectors, TOWER, ASKED)
    monkeypatch.setattr(signals_module, "_NUMBERS_PER_BLOCK", 1)
    assert_same_bits(before, text_signals(lists, vectors, TOWER, ASKED))


def test_a_text_changes_nothing_but_its_match_and_the_score_of_its_own_request() -> None:
    vectors = make_vectors(50)
    lists = make_lists(np.random.default_rng(1), 60, 50, 4)
    silent = text_signals(replace(lists, queries=np.full(60, -1, np.int32)), vectors, TOWER)
    found = text_signals(lists, vectors, TOWER, ASKED)
    assert np.isnan(silent.query_match).all()
    for name in ("interest", "appeal", "nearest_click", "last_click"):
        assert getattr(found, name).tobytes() == getattr(silent, name).tobytes()
    other = np.repeat(lists.queries >= 0, lists.lengths) & (lists.items >= 0)
    assert found.text_score[~other].tobytes() == silent.text_score[~other].tobytes()
    assert (found.text_score[other] != silent.text_score[other]).mean() > 0.9


def test_the_last_click_is_the_most_recent_one_or_not_known() -> None:
    """Where the item clicked last has no vector, an older click does not take its place."""
    vectors = make_vectors(9)
    history = np.array([[3, 5, 1], [-1, 5, 1], [-1, -1, -1], [3, -1, -1]], np.int32)
    items = np.array([3, 7, -1], np.int32)
    lists = CodedLists(
        np.arange(0, 13, 3), np.tile(items, 4), history, np.ones((4, 3), np.float32), np.full(4, -1, np.int32)
    )
    found = text_signals(lists, vectors, TOWER)
    products = vectors.candidate[items[:2]] @ vectors.history[3]
    nothing = [np.nan] * 3
    np.testing.assert_array_equal(found.last_click, [*products, np.nan, *nothing, *nothing, *products, np.nan])
    assert np.isfinite(found.nearest_click[3:5]).all()
    assert np.isfinite(found.interest[3:5]).all()


def test_a_history_of_no_or_one_place() -> None:
    vectors = make_vectors(30)
    lists = make_lists(np.random.default_rng(5), 40, 30, 6)
    whole = text_signals(lists, vectors, TOWER, ASKED)
    one = text_signals(replace(lists, history=lists.history[:, :1], ages=lists.ages[:, :1]), vectors, TOWER, ASKED)
    assert one.last_click.tobytes() == whole.last_click.tobytes()
    assert one.nearest_click.tobytes() == whole.last_click.tobytes()
    none = text_signals(replace(lists, history=lists.history[:, :0], ages=lists.ages[:, :0]), vectors, TOWER, ASKED)
    for name in ("interest", "nearest_click", "last_click"):
        assert np.isnan(getattr(none, name)).all()
    assert none.appeal.tobytes() == whole.appeal.tobytes()


def test_lists_may_be_empty() -> None:
    found = text_signals(make_lists(np.random.default_rng(0), 0, 5, 3), make_vectors(5), TOWER, ASKED)
    assert all(len(getattr(found, name)) == 0 for name in NAMES)


def test_an_empty_catalogue_knows_nothing() -> None:
    lists = CodedLists(
        np.array([0, 2]),
        np.full(2, -1, np.int32),
        np.full((1, 3), -1, np.int32),
        np.zeros((1, 3), np.float32),
        np.zeros(1, np.int32),
    )
    found = text_signals(lists, make_vectors(0), TOWER, ASKED)
    assert all(np.isnan(getattr(found, name)).all() and len(getattr(found, name)) == 2 for name in NAMES)


@pytest.mark.parametrize(("field", "kind"), [("items", "item"), ("history", "item"), ("queries", "query")])
def test_refuses_codes_without_a_vector(field: str, kind: str) -> None:
    arrays = {
        "starts": np.array([0, 1]),
        "items": np.array([0], np.int32),
        "history": np.array([[1]], np.int32),
        "ages": np.zeros((1, 1), np.float32),
        "queries": np.array([4], np.int32),
    }
    arrays[field] = np.full_like(arrays[field], 5)
    with pytest.raises(DataError, match=f"{field} holds the code 5 but there are 5 {kind} vectors"):
        text_signals(CodedLists(**arrays), make_vectors(5), TOWER, ASKED[:5])
