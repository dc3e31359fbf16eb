import doctest
import math
from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.stats import kendalltau

from recsys.errors import DataError, SettingsError
from recsys.evaluation import movement as module
from recsys.evaluation.movement import QUANTILES, movement

UNLISTED = -math.inf
scores = st.one_of(st.integers(0, 4).map(float), st.just(UNLISTED))
lists = st.lists(st.lists(st.tuples(scores, scores), max_size=5), min_size=1, max_size=4)


def move(requests, k=10):
    """Movement of requests given as lists of (score by A, score by B)."""
    starts = np.cumsum([0, *map(len, requests)])
    pairs = np.array([pair for request in requests for pair in request]).reshape(-1, 2)
    return movement(pairs[:, 0], pairs[:, 1], starts, k)


def places(scores):
    """Rank of every candidate in every order that the scores allow, None for one that is not listed."""
    listed = [place for place, score in enumerate(scores) if score > UNLISTED]
    orders = [
        order for order in permutations(listed) if all(scores[one] >= scores[next_] for one, next_ in pairwise(order))
    ]
    return [{candidate: rank for rank, candidate in enumerate(order, 1)} for order in orders]


def share_of_top(scores, k):
    orders = places(scores)
    return [sum(order.get(place, k + 1) <= k for order in orders) / len(orders) for place in range(len(scores))]


def mean_rank(scores, candidate):
    orders = places(scores)
    return sum(order[candidate] for order in orders) / len(orders)


def overlap(request, k):
    a, b = (share_of_top(scores, k) for scores in zip(*request, strict=True))
    return sum(map(min, a, b)) / max(sum(a), sum(b))


@given(lists, st.integers(1, 4))
@example([[(1.0, 1.0)] * 3], 1)
@example([[(UNLISTED, UNLISTED)]], 2)
def test_every_number_equals_a_plain_loop_over_all_orders_of_ties(requests, k):
    found = move(requests, k)
    answered = [request for request in requests if any(max(pair) > UNLISTED for pair in request)]
    assert found.requests == len(answered)
    if not answered:
        assert math.isnan(found.first_changed)
        assert math.isnan(found.overlap)
        return
    assert found.first_changed == pytest.approx(1 - np.mean([overlap(request, 1) for request in answered]))
    assert found.overlap == pytest.approx(np.mean([overlap(request, k) for request in answered]))
    ups = []
    for request in answered:
        a, b = zip(*request, strict=True)
        both = [place for place, pair in enumerate(request) if min(pair) > UNLISTED]
        ups += [mean_rank(a, place) - mean_rank(b, place) for place in both]
    for moves in found.moves:
        whole = [math.copysign(math.ceil(abs(up)), up) for up in ups]
        assert moves.candidates == sum(moves.low <= up <= moves.high for up in whole)
    assert sum(moves.candidates for moves in found.moves) == len(ups)
    pairs = [pair for request in requests for pair in request]
    assert found.entered == sum(a == UNLISTED < b for a, b in pairs)
    assert found.dropped == sum(b == UNLISTED < a for a, b in pairs)


@pytest.mark.filterwarnings("ignore:One or more:Warning", "ignore:invalid value:RuntimeWarning")
@given(lists)
def test_tau_is_that_of_scipy_per_request_over_what_either_lists(requests):
    taus = []
    for request in requests:
        pairs = [pair for pair in request if max(pair) > UNLISTED]
        if len(pairs) > 1:
            a, b = ([max(score, -1.0) for score in scores] for scores in zip(*pairs, strict=True))
            taus.append(kendalltau(a, b, variant="b").statistic)
    taus = [tau for tau in taus if not math.isnan(tau)]
    found = move(requests)
    assert found.ordered == len(taus)
    assert found.tau == pytest.approx(np.mean(taus) if taus else math.nan, abs=1e-12, nan_ok=True)


def test_long_lists_have_the_tau_of_scipy():
    random = np.random.default_rng(5)
    sizes = random.integers(2, 400, 20)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    a = random.normal(size=starts[-1]).round(1)
    b = (a + random.normal(size=starts[-1])).round(1)
    expected = np.mean([kendalltau(a[low:high], b[low:high]).statistic for low, high in pairwise(starts)])
    assert movement(a, b, starts).tau == pytest.approx(expected, abs=1e-12)


def test_rows_may_stand_in_any_order_within_their_request():
    random = np.random.default_rng(2)
    starts = np.arange(0, 121, 12)
    a, b = random.integers(0, 6, (2, 120)).astype(float)
    order = np.concatenate([random.permutation(np.arange(low, low + 12)) for low in starts[:-1]])
    assert movement(a, b, starts) == movement(a[order], b[order], starts)


def test_a_system_moves_nothing_against_itself():
    scores = np.random.default_rng(1).integers(0, 3, 60).astype(float)
    found = movement(scores, scores, np.arange(0, 61, 6))
    assert (found.first_changed, found.overlap, found.tau) == (pytest.approx(0), pytest.approx(1), pytest.approx(1))
    assert [(moves.low, moves.candidates) for moves in found.moves if moves.candidates] == [(0, 60)]


def test_a_reversed_order_has_tau_minus_one_and_moves_both_ways_alike():
    found = move([[(float(place), -float(place)) for place in range(6)]], k=3)
    assert (found.tau, found.first_changed, found.overlap) == (-1, 1, 0)
    assert [(moves.low, moves.high, moves.candidates) for moves in found.moves] == [
        (-8, -5, 1), (-4, -3, 1), (-2, -2, 0), (-1, -1, 1), (0, 0, 0), (1, 1, 1), (2, 2, 0), (3, 4, 1), (5, 8, 1),
    ]  # fmt: skip


def test_a_request_that_one_system_does_not_answer_changes_its_first_place():
    found = move([[(1.0, UNLISTED), (0.0, UNLISTED)], [(1.0, 2.0)]])
    assert (found.requests, found.first_changed, found.overlap, found.dropped) == (2, 0.5, 0.5, 2)


def test_quantiles_are_scores_of_listed_candidates():
    found = move([[(float(place), UNLISTED) for place in range(1, 101)]])
    assert found.scores_a == {0.05: 5, 0.25: 25, 0.5: 50, 0.75: 75, 0.95: 95}
    assert set(found.scores_b) == set(QUANTILES)
    assert all(math.isnan(score) for score in found.scores_b.values())


def test_bad_arguments_are_refused_with_the_next_step():
    good, starts = np.zeros(3), np.array([0, 3])
    with pytest.raises(SettingsError, match=r"k is 0, and the top of a list has at least 1 place; write 10"):
        movement(good, good, starts, k=0)
    with pytest.raises(DataError, match=r"B has 2 scores for 3 candidates; give one per candidate"):
        movement(good, good[:2], starts)
    with pytest.raises(DataError, match=r"1 of 3 scores of A are NaN; give every candidate a number"):
        movement(np.array([0, math.nan, 1]), good, starts)


def test_the_example_of_the_documentation_holds():
    assert doctest.testmod(module, extraglobs={"np": np}).failed == 0
