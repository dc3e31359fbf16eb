import doctest
import math
from itertools import combinations, pairwise, permutations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.errors import DataError, SettingsError
from recsys.evaluation import beyond
from recsys.evaluation.beyond import coverage, diversity, freshness, gini, novelty, personalisation, show

ITEMS = 7


@st.composite
def systems(draw, tied=True):
    """Give some short lists: scores, items, starts; not every list or candidate is answered."""
    numbers = [-np.inf, 0.0, 1.0] if tied else list(range(ITEMS))
    lists = draw(st.lists(st.lists(st.integers(0, ITEMS - 1), unique=True, max_size=4), min_size=1, max_size=3))
    scores = [
        draw(st.lists(st.sampled_from(numbers), min_size=len(one), max_size=len(one), unique=not tied)) for one in lists
    ]
    return (
        np.array([score for one in scores for score in one], dtype=float),
        np.array([item for one in lists for item in one], dtype=np.int64),
        np.cumsum([0, *map(len, lists)]),
    )


def answers(scores, items, starts, k):
    """Give every way to break the ties of every request, equally likely: for each, the rows shown per request."""
    ways = []
    for first, last in pairwise(starts):
        rows = [row for row in range(first, last) if scores[row] > -np.inf]
        orders = [order for order in permutations(rows) if list(order) == sorted(order, key=lambda row: -scores[row])]
        orders = orders or [()]
        ways.append([order[:k] for order in orders])
    return list(product(*ways))


def mean_of(numbers):
    return math.fsum(numbers) / len(numbers) if len(numbers) else math.nan


def users_of(starts):
    return np.arange(len(starts) - 1) % 2


@given(systems(), st.integers(1, 3))
def test_ties_take_the_expected_value_over_all_ways_to_break_them(system, k):
    scores, items, starts = system
    ways = answers(scores, items, starts, k)
    seen = show(scores, items, starts, ITEMS, k)
    assert coverage(seen) == pytest.approx(
        mean_of([len({items[row] for rows in way for row in rows}) / ITEMS for way in ways]), abs=1e-12
    )
    past, ages = np.arange(ITEMS) * 3, np.arange(len(scores)) * 1.5
    bits = -np.log2((past + 1) / (past.sum() + ITEMS))
    fresh, novel = freshness(seen, ages), novelty(seen, past)
    for request in range(len(starts) - 1):
        assert novel[request] == pytest.approx(
            mean_of([mean_of([bits[items[row]] for row in way[request]]) for way in ways]), abs=1e-12, nan_ok=True
        )
        assert fresh[request] == pytest.approx(
            mean_of([mean_of([ages[row] for row in way[request]]) for way in ways]), abs=1e-12, nan_ok=True
        )
    pairs = [
        len({items[row] for row in way[a]} & {items[row] for row in way[b]}) / k
        for way in ways
        for a, b in combinations(range(len(starts) - 1), 2)
        if users_of(starts)[a] != users_of(starts)[b] and way[a] and way[b]
    ]
    assert personalisation(seen, users_of(starts)) == pytest.approx(1 - mean_of(pairs), abs=1e-12, nan_ok=True)


@given(systems(tied=False), st.integers(1, 3))
def test_gini_is_the_mean_difference_between_two_items(system, k):
    (way,) = answers(*system, k)
    showings = [sum(system[1][row] == item for rows in way for row in rows) for item in range(ITEMS)]
    apart = sum(abs(a - b) for a in showings for b in showings)
    answer = apart / (2 * (ITEMS - 1) * sum(showings)) if sum(showings) else math.nan
    assert gini(show(*system, ITEMS, k)) == pytest.approx(answer, abs=1e-12, nan_ok=True)


@given(systems(), st.integers(1, 3), st.integers(0, 5))
def test_diversity_is_the_mean_over_pairs_of_one_order_that_the_scores_allow(system, k, seed):
    scores, items, starts = system
    seen = show(scores, items, starts, ITEMS, k, seed)
    rows = tuple(tuple(sorted(seen.row[(seen.request == r) & seen.drawn].tolist())) for r in range(len(starts) - 1))
    assert rows in {tuple(tuple(sorted(rows)) for rows in way) for way in answers(scores, items, starts, k)}
    vectors = np.random.default_rng(1).normal(size=(ITEMS, 3))
    vectors[2], vectors[3] = np.nan, 0.0
    found, left_out = diversity(seen, vectors)
    assert left_out == sum(items[row] in (2, 3) for one in rows for row in one)
    for request, one in enumerate(rows):
        kept = [vectors[items[row]] for row in one if items[row] not in (2, 3)]
        apart = [1 - a @ b / math.sqrt(a @ a * (b @ b)) for a, b in combinations(kept, 2)]
        assert found[request] == pytest.approx(mean_of(apart), abs=1e-12, nan_ok=True)


def test_blocks_change_nothing_in_diversity(monkeypatch):
    random = np.random.default_rng(0)
    starts = np.array([0, 3, 3, 9, 10, 20])
    scores, items = random.normal(size=20), np.concatenate([random.permutation(10)[:n] for n in np.diff(starts)])
    vectors = random.normal(size=(10, 4)).astype(np.float32)
    seen = show(scores, items, starts, 10, 5)
    whole = diversity(seen, vectors)[0]
    monkeypatch.setattr(beyond, "_BLOCK_NUMBERS", 8)
    np.testing.assert_array_equal(diversity(seen, vectors)[0], whole)


def test_the_draw_that_breaks_ties_is_seeded_and_knows_no_order_of_rows():
    items, starts = np.arange(6), np.array([0, 6])

    def drawn(items, seed):
        seen = show(np.zeros(6), items, starts, 6, 2, seed)
        return set(seen.item[seen.drawn].tolist())

    assert drawn(items, 3) == drawn(items[::-1], 3)
    assert len({frozenset(drawn(items, seed)) for seed in range(20)}) > 3


def test_unknown_ages_are_left_out():
    seen = show(np.array([2.0, 1.0, 3.0]), np.array([0, 1, 0]), np.array([0, 2, 3]), 2, 2)
    np.testing.assert_array_equal(freshness(seen, np.array([4.0, np.nan, np.nan])), [4.0, np.nan])


def test_showing_one_item_only_is_gini_one_and_even_showings_zero():
    starts, scores = np.array([0, 1, 2, 3]), np.zeros(3)
    assert gini(show(scores, np.array([1, 1, 1]), starts, 3, 5)) == 1.0
    assert gini(show(scores, np.array([2, 0, 1]), starts, 3, 5)) == 0.0


def test_one_item_has_no_gini():
    assert math.isnan(gini(show(np.zeros(1), np.array([0]), np.array([0, 1]), 1, 5)))


def test_all_users_seeing_the_same_is_not_personal_and_nothing_shared_is():
    starts, scores = np.array([0, 2, 4]), np.array([2.0, 1.0, 2.0, 1.0])
    same, apart = (show(scores, np.array(items), starts, 4, 2) for items in ([0, 1, 1, 0], [0, 1, 2, 3]))
    assert personalisation(same, np.array([0, 1])) == 0.0
    assert personalisation(apart, np.array([0, 1])) == 1.0


def test_two_lists_of_one_user_say_nothing_of_personalisation():
    seen = show(np.zeros(2), np.array([0, 0]), np.array([0, 1, 2]), 2, 1)
    assert math.isnan(personalisation(seen, np.array([4, 4])))


def test_lists_of_one_user_are_not_compared_with_each_other():
    seen = show(np.zeros(3), np.array([0, 0, 1]), np.array([0, 1, 2, 3]), 2, 1)
    assert personalisation(seen, np.array([0, 0, 1])) == 1.0


def test_a_system_that_shows_nothing_covers_nothing():
    seen = show(np.full(2, -np.inf), np.array([0, 1]), np.array([0, 2]), 3, 1)
    assert coverage(seen) == 0.0
    assert math.isnan(gini(seen))
    assert math.isnan(personalisation(seen, np.array([0])))
    assert np.isnan([novelty(seen, np.ones(3)), freshness(seen, np.ones(2)), diversity(seen, np.ones((3, 2)))[0]]).all()


def test_without_requests_or_items_there_is_nothing_to_say():
    seen = show(np.empty(0), np.empty(0, dtype=np.int64), np.array([0]), 0, 5)
    assert math.isnan(coverage(seen))
    assert math.isnan(gini(seen))
    assert len(diversity(seen, np.empty((0, 2)))[0]) == 0


def test_no_item_by_user_table_is_ever_held():
    requests, items = 60_000, 50_000  # such a table would hold 3,000 million numbers
    random = np.random.default_rng(0)
    item = ((random.integers(items, size=requests)[:, None] + np.arange(8) * 6_000) % items).ravel()
    seen = show(random.random(8 * requests), item, np.arange(0, 8 * requests + 1, 8), items, 5)
    assert len(seen.row) == 5 * requests
    assert 0.99 < personalisation(seen, np.arange(requests)) < 1
    assert 0.99 < coverage(seen) <= 1


def test_k_shows_at_least_one_place():
    with pytest.raises(SettingsError, match="k is 0, which shows nothing; write 1 or more"):
        show(np.zeros(1), np.array([0]), np.array([0, 1]), 1, 0)


def test_nan_scores_are_refused():
    with pytest.raises(DataError, match="1 of 1 scores are NaN, the first in request number 1"):
        show(np.array([np.nan]), np.array([0]), np.array([0, 1]), 1, 1)


@pytest.mark.parametrize("item", [-1, 4])
def test_items_outside_the_catalogue_are_refused(item):
    with pytest.raises(DataError, match=f"items are numbered {item} to {item} but there are 4; number them from 0"):
        show(np.zeros(1), np.array([item]), np.array([0, 1]), 4, 1)


@pytest.mark.parametrize("past", [[1], [1, -1], [1, np.nan]])
def test_a_past_that_is_no_count_per_item_is_refused(past):
    seen = show(np.zeros(1), np.array([0]), np.array([0, 1]), 2, 1)
    with pytest.raises(DataError, match=f"past holds {len(past)} counts for 2 items; give each one of at least 0"):
        novelty(seen, np.array(past))


def test_vectors_of_other_items_are_refused():
    seen = show(np.zeros(1), np.array([0]), np.array([0, 1]), 2, 1)
    with pytest.raises(DataError, match=r"vectors have the shape \(3, 2\) for 2 items; give one row per item"):
        diversity(seen, np.ones((3, 2)))


def test_the_examples_hold():
    assert doctest.testmod(beyond, extraglobs={"np": np}).failed == 0
