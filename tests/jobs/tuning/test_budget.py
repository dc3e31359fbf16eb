from datetime import timedelta

import pytest

from recsys.jobs.tuning import budget as module
from recsys.jobs.tuning.budget import Budget, Spent


@pytest.mark.parametrize(
    ("seconds", "over"),
    [
        (299, set()),
        (300, {Spent.TRIALS}),
        (449, {Spent.TRIALS}),
        (450, {Spent.TRIALS, Spent.AGAIN}),
        (600, {Spent.TRIALS, Spent.AGAIN, Spent.LEAVING}),
    ],
)
def test_trials_have_half_of_the_time_and_the_rest_is_for_what_they_found(seconds, over, monkeypatch) -> None:
    now = iter((100.0, *[100.0 + seconds] * len(Spent)))
    monkeypatch.setattr(module.time, "monotonic", lambda: next(now))
    budget = Budget(timedelta(minutes=10))
    assert {stage for stage in Spent if budget.spent(stage)} == over


@pytest.mark.parametrize("stage", Spent)
def test_no_time_is_over_at_once(stage) -> None:
    assert Budget(timedelta(0)).spent(stage)
