import doctest

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.errors import DataError
from recsys.evaluation import ordered_lists as module
from recsys.evaluation.measures import AUC, FIRST_HIT_MRR, average_precision, hit, ndcg, per_request
from recsys.evaluation.movement import movement
from recsys.evaluation.ordered_lists import make_lists, spread
from recsys.statistics.numbers import divide

rows_of_lists = st.lists(
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from([-np.inf, 0.0, 0.25, 7.0])), max_size=9), max_size=8
)


def arrays(lists):
    rows = [row for rows in lists for row in rows]
    return (
        np.array([label for label, _ in rows], dtype=np.int64),
        np.array([score for _, score in rows], dtype=np.float64),
        np.cumsum([0, *(len(rows) for rows in lists)]),
    )


def test_runs_with_a_positive_are_told_with_what_stands_above_them():
    labels, scores = np.array([0, 2, 1, 0, 1, 1, 0]), np.array([5.0, 3.0, 3.0, 3.0, -np.inf, 1.0, 9.0])
    lists = make_lists(labels, scores, np.array([0, 5, 5, 7]))
    assert lists.sizes.tolist() == [5, 0, 2]
    assert lists.positives.tolist() == [3, 0, 1]
    assert lists.longest == 5
    ties = lists.by_score
    assert ties.request.tolist() == [0, 0, 2]
    assert ties.above.tolist() == [1, 4, 1]
    assert ties.size.tolist() == [3, 1, 1]
    assert ties.positives.tolist() == [2, 1, 1]
    assert ties.positives_above.tolist() == [0, 2, 0]
    assert ties.gain.tolist() == [4.0, 1.0, 1.0]
    assert lists.ranked.above.tolist() == [1, 1]
    assert lists.by_label.above.tolist() == [0, 1, 0]
    assert lists.by_label.size.tolist() == [1, 2, 1]
    assert lists.total(ties, ties.gain).tolist() == [5.0, 0.0, 1.0]


@given(rows_of_lists, st.integers(1, 20), st.integers(1, 3))
def test_blocks_change_nothing(lists, rows, requests):
    measures = [AUC, FIRST_HIT_MRR, ndcg(3), average_precision(), hit(2)]
    whole = per_request(measures, *arrays(lists))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_BLOCK_ROWS", rows)
        patch.setattr(module, "_BLOCK_REQUESTS", requests)
        np.testing.assert_array_equal(per_request(measures, *arrays(lists)), whole)


@given(st.lists(st.integers(0, 5)))
def test_spread_gives_every_place_of_every_run(sizes):
    run, place = spread(np.array(sizes, dtype=np.int64))
    pairs = [(number, at) for number, size in enumerate(sizes) for at in range(1, size + 1)]
    assert list(zip(run.tolist(), place.tolist(), strict=True)) == pairs


def test_division_by_nothing_has_no_value():
    np.testing.assert_array_equal(divide(np.array([1, 0, 3]), np.array([2, 0, 0])), [0.5, np.nan, np.nan])


def test_the_examples_hold():
    assert doctest.testmod(module, extraglobs={"np": np}).failed == 0


@pytest.mark.parametrize("kind", ["uint8", "uint32", "bool"])
def test_scores_without_a_sign_are_refused_because_minus_them_is_another_order(kind):
    scores, starts = np.array([1, 0, 0]).astype(kind), np.array([0, 3])
    with pytest.raises(DataError, match=f"scores are {kind}, which cannot be turned around"):
        per_request([AUC], np.array([1, 0, 0]), scores, starts)
    with pytest.raises(DataError, match=f"scores of B are {kind}, which cannot be turned around"):
        movement(scores.astype(float), scores, starts)
