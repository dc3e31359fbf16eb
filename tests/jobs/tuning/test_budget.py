from datetime import timedelta

import pytest

from recsys.jobs.tuning import budget as module
from recsys.jobs.tuning.budget import Budget, Share


@pytest.mark.parametrize(
    ("seconds", "over"),
    [
        (299, set()),
        (300, {Share.TRIALS}),
        (449, {Share.TRIALS}),
        (450, {Share.TRIALS, Share.AGAIN}),
        (600, {Share.TRIALS, Share.AGAIN, Share.LEAVING}),
    ],
)
def test_trials_have_half_of_the_time_and_the_rest_is_for_what_they_found(seconds, over, monkeypatch) -> None:
    now = iter((100.0, *[100.0 + seconds] * len(Share)))
    monkeypatch.setattr(module.time, "monotonic", lambda: next(now))
    budget = Budget(timedelta(minutes=10))
    assert {stage for stage in Share if budget.spent(stage)} == over


@pytest.mark.parametrize("stage", Share)
def test_no_time_is_over_at_once(stage) -> None:
    assert Budget(timedelta(0)).spent(stage)
