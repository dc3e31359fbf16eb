import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from recsys.evaluation.measures import auc_pooled
from recsys.statistics.paired import pooled_auc_parts
from recsys.statistics.totals import UserTotals


def make_rows(random, users=40):
    requests = random.geometric(0.3, users)
    user = np.repeat(np.arange(users), requests)
    sizes = random.integers(1, 7, len(user))
    owner = np.repeat(np.arange(len(user)), sizes)
    labels = (random.random(len(owner)) < 0.3).astype(np.int64)
    skill = random.normal(0.8, 1.5, users)[user][owner]  # a ranker knows some users better than others
    scores = (random.normal(size=len(owner)) + skill * labels).round(1)
    return labels, scores, np.concatenate([[0], np.cumsum(sizes)]), user


def totals_of(labels, scores, starts, user):
    parts, weights = pooled_auc_parts(labels, scores, starts)
    count = int(user.max()) + 1
    return UserTotals(np.bincount(user, parts, count)[:, None], np.bincount(user, weights, count)[:, None])


@given(st.integers(0, 1000))
def test_the_parts_sum_to_scikit_learns_value(seed):
    labels, scores, starts, user = make_rows(np.random.default_rng(seed))
    if 0 < labels.sum() < len(labels):
        parts, weights = pooled_auc_parts(labels, scores, starts)
        assert parts.sum() == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
        assert weights.sum() == pytest.approx(1)
        assert totals_of(labels, scores, starts, user).means[0] == pytest.approx(auc_pooled(labels, scores))


def test_the_components_are_those_of_a_plain_loop():
    labels, scores, starts, _ = make_rows(np.random.default_rng(3), users=5)
    auc = roc_auc_score(labels, scores)
    above, below = scores[labels > 0], scores[labels == 0]
    parts, weights = pooled_auc_parts(labels, scores, starts)
    for request, (first, last) in enumerate(itertools.pairwise(starts)):
        part = weight = 0.0
        for label, score in zip(labels[first:last], scores[first:last], strict=True):
            if label:
                part += np.mean([(score > other) + (score == other) / 2 for other in below]) / len(above)
                weight += 0.5 / len(above)
            else:
                part += np.mean([(other > score) + (score == other) / 2 for other in above]) / len(below)
                weight += 0.5 / len(below)
        assert weights[request] == pytest.approx(weight)
        assert parts[request] == pytest.approx(part - auc * weight)


def test_with_one_row_per_user_the_error_is_delongs():
    random = np.random.default_rng(4)
    labels = (random.random(400) < 0.4).astype(np.int64)
    scores = random.normal(size=400) + labels
    above, below = scores[labels > 0], scores[labels == 0]
    ten = [(positive > below).mean() for positive in above]
    one = [(above > negative).mean() for negative in below]
    delong = math.sqrt(np.var(ten, ddof=1) / len(above) + np.var(one, ddof=1) / len(below))
    found = totals_of(labels, scores, np.arange(401), np.arange(400))
    assert found.standard_errors[0] == pytest.approx(delong, rel=0.005)


def test_the_error_of_a_difference_is_that_of_a_bootstrap_over_users():
    random = np.random.default_rng(5)
    labels, scores, starts, user = make_rows(random, users=80)
    other = (scores + random.normal(0, 1, len(scores))).round(1)
    owner = user[np.repeat(np.arange(len(user)), np.diff(starts))]
    rows = [np.flatnonzero(owner == one) for one in range(80)]
    resampled = []
    for _ in range(1500):
        drawn = np.concatenate([rows[one] for one in random.integers(80, size=80)])
        resampled.append(auc_pooled(labels[drawn], other[drawn]) - auc_pooled(labels[drawn], scores[drawn]))
    a, b = totals_of(labels, scores, starts, user), totals_of(labels, other, starts, user)
    difference = UserTotals(b.sums - a.sums, a.weights)
    assert difference.means[0] == pytest.approx(auc_pooled(labels, other) - auc_pooled(labels, scores))
    assert difference.standard_errors[0] == pytest.approx(np.std(resampled), rel=0.1)
    by_row = totals_of(labels, other, np.arange(len(labels) + 1), np.arange(len(labels)))
    assert b.standard_errors[0] > 1.15 * by_row.standard_errors[0]  # users matter here


@pytest.mark.parametrize("labels", [[0, 0, 0], [1, 1, 1]])
def test_one_class_weighs_nothing(labels):
    parts, weights = pooled_auc_parts(np.array(labels), np.arange(3.0), np.array([0, 1, 3]))
    assert parts.tolist() == weights.tolist() == [0.0, 0.0]


def test_candidates_that_were_not_listed_tie_last():
    labels, scores = np.array([1, 0, 1, 0]), np.array([2.0, 1.0, -np.inf, -np.inf])
    parts, _ = pooled_auc_parts(labels, scores, np.array([0, 2, 4]))
    assert parts.sum() == pytest.approx((1 + 1 + 0 + 0.5) / 4)
