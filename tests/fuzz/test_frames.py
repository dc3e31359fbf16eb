"""Whatever frame `Ranker` is handed: an answer for every row, or an error that says what is wrong."""

from datetime import timedelta

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from recsys import Ranker
from recsys.model.ready import Ready
from tests.fuzz.columns import frames, pandas_frames
from tests.fuzz.fuzzing import answer, asking_all, fuzzed


@pytest.fixture(scope="module")
def ranker(line) -> Ranker:
    return Ranker.load(line.model)


@pytest.fixture(scope="module")
def asked(asking) -> Ranker:
    return Ranker.load(asking.model)


@pytest.fixture(scope="module")
def ready(line) -> Ready:
    return Ready.load(line.model, line.model / "state")


def _frame(data: st.DataObject, whole: pl.DataFrame) -> pl.DataFrame | pd.DataFrame:
    return data.draw(st.one_of(frames(whole), pandas_frames(whole)))


def _rank(ranker: Ranker, candidates: pl.DataFrame | pd.DataFrame) -> None:
    ranked = answer(lambda: ranker.rank(candidates))
    scores = answer(lambda: ranker.score(candidates))
    assert (ranked is None) == (scores is None)
    if ranked is not None:
        assert type(ranked) is type(candidates)
        assert len(ranked) == len(scores) == len(candidates)
        assert np.isfinite(np.asarray(scores)).all()


@fuzzed(data=st.data())
def test_any_candidates_are_ranked_or_refused(line, ranker, data) -> None:
    _rank(ranker, _frame(data, line.candidates(2)))


@fuzzed(data=st.data())
def test_any_candidates_with_a_text_of_their_own_are_ranked_or_refused(asking, asked, data) -> None:
    _rank(asked, _frame(data, asking_all(asking.candidates(2))))


@fuzzed(data=st.data())
def test_any_update_is_taken_or_refused_whole(line, ready, data) -> None:
    ranker, candidates = Ranker(ready), line.candidates(3)
    later = pl.col("timestamp") + timedelta(days=30)
    events = line.dataset.events.tail(20).with_columns(later)
    shown = line.dataset.requests.tail(30).with_columns(later, request_id=pl.col("request_id") + 10_000)
    for _ in range(data.draw(st.integers(1, 3), label="updates")):
        before = ranker.rank(candidates)
        done = _frame(data, events) if data.draw(st.booleans(), label="events") else None
        lists = _frame(data, shown) if data.draw(st.booleans(), label="requests") else None
        taken = answer(lambda done=done, lists=lists: ranker.update(done, lists))
        after = ranker.rank(candidates)
        if taken is None:
            assert_frame_equal(after, before, check_exact=True)
        assert after["score"].is_finite().all()


@fuzzed(data=st.data())
def test_any_items_and_users_are_taken_or_refused_whole(line, ready, data) -> None:
    ranker, candidates = Ranker(ready), line.candidates(3)
    known, users = line.dataset.items.tail(6), pl.DataFrame({"user_id": line.dataset.requests["user_id"].unique()[:5]})
    listed = known.with_columns(item_id=pl.col("item_id") + pl.Series([0, 0, 0, 10**6, 10**6, 10**6]))
    for _ in range(data.draw(st.integers(1, 3), label="updates")):
        before = ranker.rank(candidates)
        items = _frame(data, listed)
        people = _frame(data, users) if data.draw(st.booleans(), label="users") else None
        taken = answer(lambda items=items, people=people: ranker.update(items=items, users=people))
        after = ranker.rank(candidates)
        if taken is None:
            assert_frame_equal(after, before, check_exact=True)
        else:
            assert len(taken.items) + len(taken.users) + taken.ignored == len(items) + (
                0 if people is None else len(people)
            )
            assert taken.untexted == 0
        assert after["score"].is_finite().all()
