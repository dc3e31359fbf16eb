import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.errors import DataError
from recsys.offpolicy.policies import ListPolicy, expected_next, inside_of, plackett_luce_scores
from recsys.world.policy import plackett_luce

lists_of_scores = st.lists(st.lists(st.floats(-4, 4), min_size=1, max_size=4), min_size=1, max_size=3)


def flat(lists):
    starts = np.concatenate([[0], np.cumsum([len(each) for each in lists])])
    return np.concatenate([np.asarray(each, dtype=float) for each in lists]), starts


def chance_of_order(scores, order):
    """Plackett-Luce by its definition: softmax over what remains, place after place."""
    chance, left = 1.0, list(range(len(scores)))
    for item in order:
        chance *= np.exp(scores[item]) / sum(np.exp(scores[each]) for each in left)
        left.remove(item)
    return chance


def placements_by_loop(scores):
    found = np.zeros((len(scores), len(scores)))
    for order in itertools.permutations(range(len(scores))):
        for place, item in enumerate(order):
            found[item, place] += chance_of_order(scores, order)
    return found


@given(lists_of_scores)
@settings(deadline=None, max_examples=20)
def test_plackett_luce_is_that_of_all_orders_one_by_one(lists):
    scores, starts = flat(lists)
    policy = ListPolicy.plackett_luce(scores, starts)
    assert policy.placements.shape == (len(scores), max(map(len, lists)))
    for first, own in zip(starts, lists, strict=False):
        rows = slice(first, first + len(own))
        assert policy.placements[rows, : len(own)] == pytest.approx(placements_by_loop(own), abs=1e-7)
        assert (policy.placements[rows, len(own) :] == 0).all()
        for place in range(len(own)):  # in the order of the rows, each given those above it
            odds = np.exp(np.array(own[place:]) - own[place])
            assert policy.probability[first + place] == pytest.approx(1 / odds.sum())


def test_long_lists_and_far_apart_scores_stay_exact():
    scores = np.random.default_rng(0).normal(0, 3, 60)
    starts = np.array([0, 30, 60])
    placements = ListPolicy.plackett_luce(scores, starts).placements
    assert placements.sum(axis=1) == pytest.approx(np.ones(60), abs=1e-6)
    assert placements[:30].sum(axis=0) == pytest.approx(np.ones(30), abs=1e-6)
    weights = np.exp(scores[30:])
    assert placements[30:, 0] == pytest.approx(weights / weights.sum(), abs=1e-7)


def test_placements_are_how_often_a_drawn_order_puts_an_item_there():
    scores = np.array([1.0, 0.0, -1.0, 0.5])
    order, _ = plackett_luce(np.tile(scores, (40_000, 1)), np.random.default_rng(1))
    drawn = np.array([[(order[:, place] == item).mean() for place in range(4)] for item in range(4)])
    assert ListPolicy.plackett_luce(scores, np.array([0, 4])).placements == pytest.approx(drawn, abs=0.01)


def test_adding_a_constant_to_a_list_changes_nothing():
    scores, starts = flat([[0.3, -1.0, 2.0], [0.0, 1.0]])
    moved = scores + np.repeat([500.0, -900.0], [3, 2])
    assert ListPolicy.plackett_luce(moved, starts).placements == pytest.approx(
        ListPolicy.plackett_luce(scores, starts).placements
    )


@given(lists_of_scores)
@settings(deadline=None, max_examples=20)
def test_scores_are_recovered_from_logged_propensities(lists):
    scores, starts = flat(lists)
    found = plackett_luce_scores(ListPolicy.plackett_luce(scores, starts).probability, starts)
    for first, last in itertools.pairwise(starts):
        own = np.exp(scores[first:last])
        assert np.exp(found[first:last]) == pytest.approx(own / own.sum(), rel=1e-6)


def test_the_worlds_own_propensities_are_read_back():
    scores = np.array([[0.5, -0.2, 1.0, -np.inf], [0.0, 2.0, 0.1, 0.3]])
    order, propensity = plackett_luce(scores, np.random.default_rng(2))
    inside = np.isfinite(np.take_along_axis(scores, order, axis=1))
    found = plackett_luce_scores(propensity[inside], np.array([0, 3, 7]))
    shown = np.take_along_axis(scores, order, axis=1)[inside]
    assert found - shown == pytest.approx(np.repeat([found[0] - shown[0], found[3] - shown[3]], [3, 4]))


def test_lists_that_were_cut_or_left_nothing_to_chance_are_refused():
    starts = np.array([0, 2, 4])
    with pytest.raises(DataError, match=r"1 of 2 lists end with a propensity below 1, such as 0\.5, so candidates"):
        plackett_luce_scores(np.array([0.5, 1.0, 0.2, 0.5]), starts)
    with pytest.raises(DataError, match="1 places before the last have propensity 1: .*ListPolicy.ranking"):
        plackett_luce_scores(np.array([0.5, 1.0, 1.0, 1.0]), starts)


def ranking_by_loop(scores):
    """All orders of falling score, each as likely as any other."""
    orders = [
        order
        for order in itertools.permutations(range(len(scores)))
        if all(scores[a] >= scores[b] for a, b in itertools.pairwise(order))
    ]
    placements = np.zeros((len(scores), len(scores)))
    for order in orders:
        for place, item in enumerate(order):
            placements[item, place] += 1 / len(orders)
    return placements


some_listed = st.lists(st.sampled_from([0.0, 1.0, 2.0, -np.inf]), min_size=1, max_size=5)


@given(st.lists(some_listed.filter(lambda own: max(own) > -np.inf), min_size=1, max_size=4))
@settings(deadline=None, max_examples=50)
def test_a_ranking_takes_ties_in_random_order(lists):
    scores, starts = flat(lists)
    policy = ListPolicy.ranking(scores, starts)
    for first, own in zip(starts, lists, strict=False):
        assert policy.placements[first : first + len(own), : len(own)] == pytest.approx(ranking_by_loop(own))
        for place in range(len(own)):
            left = own[place:]
            expected = (own[place] == max(left)) / left.count(max(left))
            assert policy.probability[first + place] == pytest.approx(expected)


def test_a_ranking_without_ties_has_one_order():
    policy = ListPolicy.ranking(np.array([2.0, 3.0, 1.0]), np.array([0, 3]))
    assert policy.placements.tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 1]]
    assert policy.probability.tolist() == [0, 1, 1]  # the best of what is left, after a first item that is not the best


def test_a_ranking_is_plackett_luce_with_scores_far_apart():
    scores, starts = flat([[1.0, 3.0, 2.0], [0.0, -1.0]])
    near = ListPolicy.plackett_luce(30 * scores, starts)
    far = ListPolicy.ranking(scores, starts)
    assert near.placements == pytest.approx(far.placements, abs=1e-6)
    assert near.probability == pytest.approx(far.probability, abs=1e-6)


def test_expected_next_is_a_softmax_mean_over_what_is_left():
    lists = [[0.2, 1.0, -0.5], [0.0, 0.7]]
    scores, starts = flat(lists)
    predictions = np.random.default_rng(3).random((5, 3))
    found = expected_next(scores, starts, predictions)
    for first, own in zip(starts, lists, strict=False):
        for place in range(len(own)):
            odds = np.exp(own[place:])
            earned = predictions[first + place : first + len(own), place]
            assert found[first + place] == pytest.approx((odds * earned).sum() / odds.sum())


def test_inside_walks_the_rows_in_order():
    inside = inside_of(np.array([0, 2, 2, 5]))
    assert inside.tolist() == [[True, True, False], [False] * 3, [True] * 3]


def test_scores_that_are_no_numbers_are_refused():
    starts = np.array([0, 3])
    with pytest.raises(DataError, match=r"1 of 3 scores cannot be used, the first is -inf in row 2; give every"):
        ListPolicy.plackett_luce(np.array([0.0, -np.inf, 1.0]), starts)
    with pytest.raises(DataError, match=r"1 of 3 scores cannot be used, the first is nan in row 3"):
        ListPolicy.ranking(np.array([0.0, -np.inf, np.nan]), starts)
    with pytest.raises(DataError, match="1 lists hold no candidate that is listed, the first is list 2; leave out"):
        ListPolicy.ranking(np.array([0.0, -np.inf, -np.inf]), np.array([0, 2, 3]))
    with pytest.raises(
        DataError, match="scores of a list lie more than 500 apart, .* temperature, or use ListPolicy.rank"
    ):
        ListPolicy.plackett_luce(np.array([0.0, 501.0, 1.0]), starts)
    with pytest.raises(DataError, match="there is no list; a policy is described"):
        ListPolicy.ranking(np.empty(0), np.array([0]))
    with pytest.raises(DataError, match="there are 2 scores for 3 candidates; give one per row"):
        ListPolicy.ranking(np.array([0.0, 1.0]), starts)
