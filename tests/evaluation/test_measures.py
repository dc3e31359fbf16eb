import math
from fractions import Fraction
from itertools import groupby, permutations, product

import ir_measures
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score, roc_auc_score

from recsys.errors import DataError, SettingsError
from recsys.evaluation import measures
from recsys.evaluation.measures import AUC, FIRST_HIT_MRR, MRR, auc_pooled, ndcg, per_request

ALL = (AUC, MRR, FIRST_HIT_MRR, ndcg(1), ndcg(3), ndcg(10))

one_list = st.lists(st.tuples(st.integers(0, 3), st.sampled_from([-1.5, 0.0, 0.25, 7.0])), min_size=1, max_size=9)


def arrays(lists):
    rows = [row for rows in lists for row in rows]
    return (
        np.array([label for label, _ in rows], dtype=np.int64),
        np.array([score for _, score in rows], dtype=np.float64),
        np.cumsum([0, *(len(rows) for rows in lists)]),
    )


def values(measure, labels, scores):
    return per_request([measure], np.array(labels), np.array(scores, dtype=float), np.array([0, len(labels)]))[0, 0]


def orders(rows):
    """Give every order of labels that the scores allow."""
    runs = [
        [label for label, _ in run] for _, run in groupby(sorted(rows, key=lambda row: -row[1]), key=lambda row: row[1])
    ]
    for chosen in product(*(sorted(set(permutations(run))) for run in runs)):
        yield [label for run in chosen for label in run]


def reciprocals(labels):
    return [1 / rank for rank, label in enumerate(labels, start=1) if label > 0]


def dcg(labels, k):
    return sum((2**label - 1) / math.log2(rank + 1) for rank, label in enumerate(labels[:k], start=1))


def expected(rows, value):
    """Mean of `value` over all orders that the scores allow; each distinct order of a run is equally likely."""
    found = [value(labels) for labels in orders(rows)]
    return math.fsum(found) / len(found)


@given(st.lists(one_list.filter(lambda rows: len(rows) <= 6), min_size=1, max_size=4))
def test_ties_take_the_expected_value_over_all_orders(lists):
    found = per_request([MRR, FIRST_HIT_MRR, ndcg(1), ndcg(3), ndcg(10)], *arrays(lists))
    for place, rows in enumerate(lists):
        labels = sorted((label for label, _ in rows), reverse=True)
        if not any(labels):
            assert np.isnan(found[:, place]).all()
            continue
        answers = [
            expected(rows, lambda order: np.mean(reciprocals(order))),
            expected(rows, lambda order: max(reciprocals(order))),
            *(expected(rows, lambda order, k=k: dcg(order, k)) / dcg(labels, k) for k in (1, 3, 10)),
        ]
        assert found[:, place] == pytest.approx(answers, abs=1e-12)


@given(st.lists(one_list, min_size=1, max_size=5))
def test_auc_equals_scikit_learn(lists):
    labels, scores, starts = arrays(lists)
    found = per_request([AUC], labels, scores, starts)[0]
    for place, rows in enumerate(lists):
        positive = [label > 0 for label, _ in rows]
        if len(set(positive)) < 2:
            assert math.isnan(found[place])
        else:
            assert found[place] == pytest.approx(roc_auc_score(positive, [score for _, score in rows]), abs=1e-12)
    if len(set((labels > 0).tolist())) == 2:
        assert auc_pooled(labels, scores) == pytest.approx(roc_auc_score(labels > 0, scores), abs=1e-12)
    else:
        assert math.isnan(auc_pooled(labels, scores))


@given(one_list.filter(lambda rows: len(rows) > 1 and any(label for label, _ in rows)), st.integers(1, 12))
def test_ndcg_equals_scikit_learn_on_exponential_gains(rows, k):
    labels, scores, starts = arrays([rows])
    answer = ndcg_score([2.0**labels - 1], [scores], k=k)
    assert per_request([ndcg(k)], labels, scores, starts)[0, 0] == pytest.approx(answer, abs=1e-12)


def test_orders_without_ties_equal_ir_measures():
    random = np.random.default_rng(3)
    sizes = random.integers(1, 30, 200)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    labels, scores = random.integers(0, 3, starts[-1]), random.permutation(starts[-1]).astype(float)
    labels[starts[:-1]] = 1  # ir-measures gives 0 where no candidate is positive
    lists = [(str(request), row) for request in range(200) for row in range(starts[request], starts[request + 1])]
    known = [ir_measures.Qrel(name, str(row), int(2 ** labels[row] - 1)) for name, row in lists]
    given_order = [ir_measures.ScoredDoc(name, str(row), scores[row]) for name, row in lists]
    pairs = {ir_measures.nDCG @ 5: ndcg(5), ir_measures.nDCG @ 10: ndcg(10), ir_measures.RR: FIRST_HIT_MRR}
    found = per_request(list(pairs.values()), labels, scores, starts)
    for theirs in ir_measures.iter_calc(list(pairs), known, given_order):
        ours = found[list(pairs).index(theirs.measure), int(theirs.query_id)]
        assert ours == pytest.approx(theirs.value, abs=1e-12)


@given(st.lists(one_list, min_size=1, max_size=5), st.randoms())
def test_rows_of_a_request_may_stand_in_any_order(lists, random):
    shuffled = [random.sample(rows, len(rows)) for rows in lists]
    np.testing.assert_array_equal(per_request(ALL, *arrays(lists)), per_request(ALL, *arrays(shuffled)))


@given(st.lists(one_list, min_size=2, max_size=8), st.integers(1, 20), st.integers(1, 3))
def test_blocks_change_nothing(lists, rows, requests):
    whole = per_request(ALL, *arrays(lists))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measures, "_BLOCK_ROWS", rows)
        patch.setattr(measures, "_BLOCK_REQUESTS", requests)
        np.testing.assert_array_equal(per_request(ALL, *arrays(lists)), whole)


def test_many_requests_are_each_judged_alone():
    requests = 70_000  # more than one block holds
    labels, scores = np.tile([0, 1], requests), np.tile([2.0, 1.0], requests)
    scores[-2] = 0.0
    found = per_request([AUC, MRR], labels, scores, np.arange(0, 2 * requests + 1, 2))
    assert found[:, :-1].tolist() == [[0.0] * (requests - 1), [0.5] * (requests - 1)]
    assert found[:, -1].tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("labels", "scores", "answers"),
    [
        pytest.param([1, 2], [0.2, 0.1], [math.nan, 0.75, 1, 1 / 3, None, None], id="all positive"),
        pytest.param([0, 0, 0], [3, 2, 1], [math.nan] * 6, id="none positive"),
        pytest.param([1], [0.5], [math.nan, 1, 1, 1, 1, 1], id="one candidate, positive"),
        pytest.param([0], [0.5], [math.nan] * 6, id="one candidate, label 0"),
        pytest.param([0, 1], [0.2, 0.1], [0, 0.5, 0.5, 0, 1 / math.log2(3), 1 / math.log2(3)], id="k beyond the list"),
        pytest.param([0, 1, 0], [1, 1, 1], [0.5, 11 / 18, 11 / 18, 1 / 3, None, None], id="all scores tied"),
        pytest.param([1, 0], [np.inf, -np.inf], [1, 1, 1, 1, 1, 1], id="infinite scores"),
    ],
)
def test_edge_cases(labels, scores, answers):
    found = [values(measure, labels, scores) for measure in ALL]
    chosen = [place for place, answer in enumerate(answers) if answer is not None]
    assert [found[place] for place in chosen] == pytest.approx([answers[place] for place in chosen], nan_ok=True)


def test_a_tie_cut_by_k_shares_the_places_above_the_cut():
    # one of three tied candidates takes the one remaining place of nDCG@2
    assert values(ndcg(2), [0, 1, 0, 0], [9, 5, 5, 5]) == pytest.approx(1 / 3 / math.log2(3))


def test_first_hit_expectation_is_exact_on_long_ties():
    size, positives, above = 3000, 40, 7
    labels = [0] * above + [1] * positives + [0] * (size - positives)
    weights = [math.comb(size - place, positives - 1) for place in range(1, size - positives + 2)]
    answer = sum(Fraction(weight, above + place) for place, weight in enumerate(weights, start=1)) / sum(weights)
    found = values(FIRST_HIT_MRR, labels, [1.0] * above + [0.0] * size)
    assert found == pytest.approx(float(answer), rel=1e-12)


def test_requests_without_candidates_have_no_value():
    labels, scores = np.array([1, 0]), np.array([1.0, 0.0])
    assert per_request([MRR], labels, scores, np.array([0, 0, 2, 2]))[0].tolist() == pytest.approx(
        [math.nan, 1.0, math.nan], nan_ok=True
    )
    assert np.isnan(per_request(ALL, labels[:0], scores[:0], np.array([0, 0]))).all()


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32])
def test_narrow_labels_lose_nothing(dtype):
    labels, starts = np.array([52, 51, 0]), np.array([0, 3])
    scores = np.array([1, 2, 3], dtype=np.float32)
    whole = per_request(ALL, labels, scores.astype(float), starts)
    np.testing.assert_array_equal(per_request(ALL, labels.astype(dtype), scores, starts), whole)


def test_a_measure_prints_as_its_name_and_equals_its_like():
    assert [str(measure) for measure in ALL] == ["AUC", "MRR", "first-hit MRR", "nDCG@1", "nDCG@3", "nDCG@10"]
    assert ndcg(5) == ndcg(5)
    assert len({ndcg(5), ndcg(5), ndcg(10)}) == 2


def test_nan_scores_are_refused_with_their_place():
    scores = np.array([1.0, 2.0, np.nan, np.nan])
    with pytest.raises(DataError, match="2 of 4 scores are NaN, the first in request number 2; give every candidate"):
        per_request(ALL, np.array([0, 1, 0, 1]), scores, np.array([0, 2, 4]))


@pytest.mark.parametrize("label", [-1, 53])
def test_labels_that_are_no_grade_are_refused(label):
    with pytest.raises(DataError, match=rf"labels hold \[{label}\]; a label is a grade from 0 to 52"):
        values(AUC, [0, label], [1, 2])


def test_ndcg_needs_a_place():
    with pytest.raises(SettingsError, match="nDCG@0 looks at no place; write nDCG@1 or more"):
        ndcg(0)
