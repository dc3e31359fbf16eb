from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from recsys.evaluation.comparison import compare_rankers
from recsys.evaluation.measures import AUC, ndcg
from recsys.evaluation.nights import Night, judge_night
from recsys.evaluation.plan import Plan

PLAN = Plan(measures=(ndcg(10), AUC), resamples=100, permutations=100)
BEGIN, DAY = datetime(2024, 5, 1, 4, tzinfo=UTC), timedelta(days=1)


def night(number: int) -> Night:
    begins = BEGIN + number * DAY
    return Night(f"2024-05-{number + 1:02}", begins, begins + DAY, {"b": "2024-05-01"})


@pytest.fixture
def log() -> tuple[pl.DataFrame, np.ndarray, np.ndarray]:
    """Lists of three days, one of them at the very beginning of its night; nobody clicks on the third."""
    random, rows = np.random.default_rng(1), 3 * 12 * 4
    request = np.arange(rows) // 4
    requests = pl.DataFrame(
        {
            "request_id": request,
            "user_id": request % 8,
            "timestamp": [BEGIN + (each // 12) * DAY + timedelta(hours=int(each % 12)) for each in request],
            "label": np.where(request < 24, np.arange(rows) % 4 == request % 4, 0).astype(int),
        }
    )
    return requests, random.normal(size=rows), random.normal(size=rows)


def test_a_night_is_judged_on_its_own_lists_as_any_comparison_would(log) -> None:
    requests, a, b = log
    found = judge_night(night(1), requests, (a, b), ("A", "B"), PLAN)
    own = (requests["request_id"].is_between(12, 23)).to_numpy()
    alone = compare_rankers(requests.filter(pl.Series(own)), a[own], b[own], ("A", "B"), {}, "any", PLAN)
    assert found.overall == alone.overall
    assert (found.requests, found.clicked, found.users, found.note) == (12, 12, 8, "")
    assert found.to_json()["overall"]["nDCG@10"]["difference"]["mean"] == alone.overall["nDCG@10"].interval.mean


def test_nights_that_say_nothing_say_so(log) -> None:
    requests, a, b = log
    silent, empty = (judge_night(night(number), requests, (a, b), ("A", "B"), PLAN) for number in (2, 3))
    assert (silent.requests, silent.clicked, silent.note) == (12, 0, "no list was clicked")
    assert silent.to_json()["overall"]["AUC"]["a"] is None
    assert (empty.requests, empty.users, dict(empty.overall), empty.note) == (0, 0, {}, "no list was shown")
    assert empty.to_json()["trained"] == {"b": "2024-05-01"}
