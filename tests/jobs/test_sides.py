from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

from recsys.data.clock import TimeSettings
from recsys.data.made import Made
from recsys.errors import SettingsError
from recsys.evaluation.rankings import Rankings
from recsys.jobs.sides import Opinion, Sides, System, last_learnt, making
from recsys.model.prepared import prepare

EARLY, LATE = datetime(2024, 3, 1, tzinfo=UTC), datetime(2024, 3, 8, tzinfo=UTC)


def system(**facts) -> System:
    return System("s", lambda asked: Opinion(np.zeros(len(asked.candidates))), **facts)


def test_a_side_is_a_model_a_list_of_rankings_or_a_baseline(line) -> None:
    assert system(prepared=prepare(line.dataset, line.settings)).kind == "model"
    assert system(rankings=Rankings("r", pl.DataFrame())).kind == "rankings"
    assert system().kind == "baseline"


def test_both_have_learnt_until_the_later_moment() -> None:
    assert last_learnt(system(learnt_until=EARLY), system(learnt_until=LATE)) == LATE
    assert last_learnt(system(), system(learnt_until=EARLY)) == EARLY
    assert last_learnt(system(), system()) is None


def test_sides_give_the_scores_of_both_and_the_lists_in_their_order(line) -> None:
    requests = line.dataset.requests.sort("request_id", "item_id")
    answers = (Opinion(np.zeros(len(requests))), Opinion(np.ones(len(requests))))
    sides = Sides(requests, line.dataset, Made(requests, requests.clear()), (system(), system()), answers, seed=0)
    assert [scores[0] for scores in sides.scores] == [0, 1]
    assert (sides.lists.order == np.arange(len(requests))).all()


def test_lists_are_made_where_one_side_makes_them_and_at_one_time_of_day_alone() -> None:
    four, five = (system(time=TimeSettings(freshness="nightly", made_at=at)) for at in ("04:00", "05:00"))
    live, baseline = system(time=TimeSettings(freshness="live")), system()
    assert making(live, baseline) is None
    assert making(live, four) == making(four, baseline) == making(four, four) == four.time
    slow = replace(four, name="slow", time=four.time.model_copy(update={"feedback_delay": LATE - EARLY}))
    assert making(slow, four) == slow.time
    other = replace(five, name="t")
    message = "are different lists: those of s nightly, made at 04:00 UTC and those of t nightly, made at 05:00 UTC; c"
    with pytest.raises(SettingsError, match=message):
        making(four, other)
    with pytest.raises(SettingsError, match="lists made at different times of day"):
        making(four, replace(four, name="t", time=four.time.model_copy(update={"zone": "Asia/Tokyo"})))
