import doctest
import math
from fractions import Fraction
from itertools import groupby, permutations, product

import ir_measures
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, ndcg_score, roc_auc_score

from recsys.errors import DataError, SettingsError
from recsys.evaluation import measures
from recsys.evaluation.measures import (
    AUC,
    FIRST_HIT_MRR,
    MRR,
    auc_pooled,
    average_precision,
    hit,
    ndcg,
    parse_measure,
    per_request,
    precision,
    recall,
)

ORDERS = (AUC, MRR, FIRST_HIT_MRR, ndcg(1), ndcg(3), ndcg(10))
CUT = (ndcg, average_precision, hit, recall, precision)
ALL = (*ORDERS, average_precision(), *(of(k) for of in (average_precision, hit, recall, precision) for k in (1, 2, 4)))

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


def precisions(labels, k):
    """Precision at the place of each positive among the first k."""
    return [np.mean(np.array(labels[:rank]) > 0) for rank, label in enumerate(labels[:k], start=1) if label > 0]


def oracles(positives, ideal):
    """What each measure makes of one order of the listed candidates; all positives and the ideal order are given."""
    return {
        "MRR": lambda order: sum(reciprocals(order)) / positives,
        "first-hit MRR": lambda order: max(reciprocals(order), default=0.0),
        "MAP": lambda order: sum(precisions(order, None)) / positives,
        **{f"nDCG@{k}": lambda order, k=k: dcg(order, k) / dcg(ideal, k) for k in (1, 3, 10)},
        **{f"MAP@{k}": lambda order, k=k: sum(precisions(order, k)) / positives for k in (1, 2, 4)},
        **{f"hit@{k}": lambda order, k=k: float(any(order[:k])) for k in (1, 2, 4)},
        **{f"recall@{k}": lambda order, k=k: np.count_nonzero(order[:k]) / positives for k in (1, 2, 4)},
        **{f"precision@{k}": lambda order, k=k: np.count_nonzero(order[:k]) / k for k in (1, 2, 4)},
    }


short_list = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from([-np.inf, -1.5, 0.0, 0.25, 0.25])), min_size=0, max_size=6
)


@given(st.lists(short_list, min_size=1, max_size=4))
def test_ties_take_the_expected_value_over_all_orders(lists):
    found = per_request(ALL[1:], *arrays(lists))
    for place, rows in enumerate(lists):
        ideal = sorted((label for label, _ in rows), reverse=True)
        if not any(ideal):
            assert np.isnan(found[:, place]).all()
            continue
        listed = [row for row in rows if row[1] > -np.inf]
        known = oracles(np.count_nonzero(ideal), ideal)
        answers = [expected(listed, known[str(measure)]) for measure in ALL[1:]]
        assert found[:, place] == pytest.approx(answers, abs=1e-12)


@given(one_list.filter(lambda rows: 0 < sum(label > 0 for label, _ in rows) < len(rows)))
def test_map_without_ties_equals_scikit_learn(rows):
    labels, scores = np.array([label for label, _ in rows]), np.arange(len(rows), dtype=float)
    assert values(average_precision(), labels, scores) == pytest.approx(
        average_precision_score(labels > 0, scores), abs=1e-12
    )


@pytest.mark.slow
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


PEERS = {
    ir_measures.nDCG @ 5: ndcg(5),
    ir_measures.nDCG @ 10: ndcg(10),
    ir_measures.RR: FIRST_HIT_MRR,
    ir_measures.AP: average_precision(),
    ir_measures.AP @ 5: average_precision(5),
    ir_measures.Success @ 1: hit(1),
    ir_measures.Success @ 5: hit(5),
    ir_measures.R @ 5: recall(5),
    ir_measures.R @ 40: recall(40),
    ir_measures.P @ 5: precision(5),
    ir_measures.P @ 40: precision(40),
}


@pytest.mark.parametrize("listed_share", [1.0, 0.4])
def test_orders_without_ties_equal_ir_measures_where_its_run_lacks_what_is_not_listed(listed_share):
    random = np.random.default_rng(3)
    sizes = random.integers(1, 30, 200)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    labels, scores = random.integers(0, 3, starts[-1]), random.permutation(starts[-1]).astype(float)
    labels[starts[:-1]] = 1  # ir-measures gives 0 where no candidate is positive
    scores[random.random(starts[-1]) >= listed_share] = -np.inf
    lists = [(str(request), row) for request in range(200) for row in range(starts[request], starts[request + 1])]
    gains = [ir_measures.Qrel(name, str(row), int(2 ** labels[row] - 1)) for name, row in lists]
    order = [ir_measures.ScoredDoc(name, str(row), scores[row]) for name, row in lists if scores[row] > -np.inf]
    found = per_request(list(PEERS.values()), labels, scores, starts)
    answers = {(theirs.query_id, theirs.measure): theirs.value for theirs in ir_measures.iter_calc(PEERS, gains, order)}
    for measure, ours in zip(PEERS, found, strict=True):
        theirs = [answers[str(request), measure] for request in range(200)]
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)


@pytest.mark.slow
@given(st.lists(one_list, min_size=1, max_size=5), st.randoms())
def test_rows_of_a_request_may_stand_in_any_order(lists, random):
    shuffled = [random.sample(rows, len(rows)) for rows in lists]
    np.testing.assert_array_equal(per_request(ALL, *arrays(lists)), per_request(ALL, *arrays(shuffled)))


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
    found = [values(measure, labels, scores) for measure in ORDERS]
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


@pytest.mark.parametrize("measure", [MRR, FIRST_HIT_MRR, average_precision(), *(of(3) for of in CUT)], ids=str)
def test_a_request_that_is_not_answered_counts_as_nothing(measure):
    assert values(measure, [1, 0, 2], [-np.inf] * 3) == 0.0


def test_candidates_that_are_not_listed_are_tied_last_in_auc():
    assert values(AUC, [1, 0, 0], [-np.inf] * 3) == 0.5
    assert values(AUC, [1, 0, 0], [-np.inf, 1.0, -np.inf]) == 0.25
    assert auc_pooled(np.array([1, 0, 0]), np.array([-np.inf, 1.0, -np.inf])) == 0.25


def test_a_candidate_that_is_not_listed_takes_no_place():
    assert values(precision(2), [1, 1], [1.0, -np.inf]) == 0.5
    assert values(recall(2), [1, 1], [1.0, -np.inf]) == 0.5
    assert values(average_precision(2), [1, 1], [1.0, -np.inf]) == 0.5
    assert values(MRR, [1, 1], [1.0, -np.inf]) == 0.5
    assert values(ndcg(2), [1, 1], [1.0, -np.inf]) == pytest.approx(1 / (1 + 1 / math.log2(3)))


def test_map_at_k_divides_by_all_positives():
    assert values(average_precision(1), [1, 1, 1], [3, 2, 1]) == pytest.approx(1 / 3)


def test_precision_divides_by_k_where_the_list_is_shorter():
    assert values(precision(10), [1, 1], [2, 1]) == 0.2


def test_recall_of_more_positives_than_k_stays_below_one():
    assert values(recall(2), [1, 1, 1, 1], [4, 3, 2, 1]) == 0.5


def test_only_ndcg_tells_grades_apart():
    labels, flat = [1, 0, 3], [1, 0, 1]
    for measure in ALL:
        same = values(measure, labels, [3, 2, 1]) == pytest.approx(values(measure, flat, [3, 2, 1]), nan_ok=True)
        assert same == (not str(measure).startswith("nDCG"))


@pytest.mark.parametrize("of", [average_precision, hit, recall, ndcg])
def test_a_list_shorter_than_k_is_judged_whole(of):
    assert values(of(9), [0, 1], [2, 1]) == values(of(2), [0, 1], [2, 1])


@pytest.mark.parametrize("measure", ALL, ids=str)
def test_a_request_without_a_positive_has_no_value(measure):
    assert math.isnan(values(measure, [0, 0], [2, 1]))


def test_hits_and_precision_are_exact_on_long_ties():
    size, positives, above, k = 3000, 40, 7, 60
    labels, scores = [0] * above + [1] * positives + [0] * (size - positives), [1.0] * above + [0.0] * size
    missed = Fraction(math.comb(size - positives, k - above), math.comb(size, k - above))
    assert values(hit(k), labels, scores) == pytest.approx(float(1 - missed), rel=1e-12)
    others = Fraction(positives - 1, size - 1)
    places = [(1 + (place - 1) * others) / (above + place) for place in range(1, size + 1)]
    answer = float(sum(map(Fraction, places)) / size)
    assert values(average_precision(), labels, scores) == pytest.approx(answer, rel=1e-12)


def test_a_measure_prints_as_its_name_and_equals_its_like():
    assert [str(measure) for measure in ORDERS] == ["AUC", "MRR", "first-hit MRR", "nDCG@1", "nDCG@3", "nDCG@10"]
    assert ndcg(5) == ndcg(5)
    assert len({ndcg(5), ndcg(5), ndcg(10)}) == 2
    assert [str(of(7)) for of in CUT] == ["nDCG@7", "MAP@7", "hit@7", "recall@7", "precision@7"]
    assert str(average_precision()) == "MAP"


@given(st.sampled_from([*ALL, *CUT]), st.integers(1, 10**9 - 1))
def test_what_prints_parses_and_computes_the_same(chosen, k):
    measure = chosen(k) if chosen in CUT else chosen
    parsed = parse_measure(str(measure))
    assert parsed == measure
    assert str(parsed) == str(measure)
    labels, scores, starts = np.array([0, 1, 2, 0]), np.array([1.0, 1.0, 0.0, 2.0]), np.array([0, 4])
    np.testing.assert_array_equal(*(per_request([one], labels, scores, starts) for one in (parsed, measure)))


@pytest.mark.parametrize(
    ("text", "nearest"),
    [
        ("ndgc@10", "nDCG@10"),
        ("ndcg@5", "nDCG@5"),
        ("nDCG", "nDCG@10"),
        ("AUC@5", "AUC"),
        ("Auc", "AUC"),
        ("recal@20", "recall@20"),
        ("hit@0", "hit@10"),
        ("hit@05", "hit@10"),
        ("nDCG@٣", "nDCG@10"),
        ("precision@ 5", "precision@10"),
        (" MAP", "MAP"),
        ("first hit MRR", "first-hit MRR"),
    ],
)
def test_what_no_measure_prints_is_refused_with_the_nearest_name(text, nearest):
    with pytest.raises(SettingsError) as caught:
        parse_measure(text)
    said = str(caught.value)
    assert said.startswith(f"no measure is called {text!r}; did you mean {nearest!r}? There are AUC, ")
    assert all(
        name in said for name in ("MRR, ", "MAP, ", "nDCG@k, ", "MAP@k, ", "hit@k, ", "recall@k, ", "precision@k")
    )


def test_what_is_near_no_measure_is_answered_with_all_of_them():
    with pytest.raises(SettingsError, match="no measure is called 'foo'; there are AUC, "):
        parse_measure("foo")


def test_nan_scores_are_refused_with_their_place():
    scores = np.array([1.0, 2.0, np.nan, np.nan])
    with pytest.raises(DataError, match="2 of 4 scores are NaN, the first in request number 2; give every candidate"):
        per_request(ALL, np.array([0, 1, 0, 1]), scores, np.array([0, 2, 4]))


@pytest.mark.parametrize("label", [-1, 53])
def test_labels_that_are_no_grade_are_refused(label):
    with pytest.raises(DataError, match=rf"labels hold \[{label}\]; a label is a grade from 0 to 52"):
        values(AUC, [0, label], [1, 2])


@pytest.mark.parametrize("of", CUT)
def test_a_cut_needs_a_place(of):
    name = str(of(1)).partition("@")[0]
    with pytest.raises(SettingsError, match=f"{name}@0 looks at no place; write {name}@1 or more"):
        of(0)


def test_the_examples_hold():
    assert doctest.testmod(measures, extraglobs={"np": np}).failed == 0
