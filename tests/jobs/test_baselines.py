from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from recsys.data.clock import TimeSettings
from recsys.data.tables import Dataset
from recsys.evaluation.evaluation import BASELINES
from recsys.jobs.baselines import baseline_scores, chosen_before, covisitation, popularity, random, recency
from recsys.model.prepared import prepare
from recsys.past.lookup import Asked
from recsys.settings import Settings

NOON = datetime(2024, 5, 6, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
ITEMS = ["apple", "bread", "cup", "dill", "egg"]


def make_dataset() -> Dataset:
    """User ann clicked bread yesterday and bought it, clicked cup an hour ago, and only looked at dill."""
    shown = [
        ("y", "ann", NOON - DAY, "bread", 1),
        ("y", "ann", NOON - DAY, "apple", 0),
        ("z", "bob", NOON - DAY, "apple", 1),
        ("z", "bob", NOON - DAY, "egg", 0),
        ("t", "ann", NOON - HOUR, "cup", 1),
        ("t", "ann", NOON - HOUR, "dill", 0),
        *(("now", "ann", NOON, item, int(item == "egg")) for item in ITEMS),
        *(("own", "bob", NOON, item, 0) for item in ITEMS),
        ("later", "ann", NOON + HOUR, "egg", 1),
        ("later", "ann", NOON + HOUR, "dill", 0),
    ]
    done = [
        ("ann", "bread", "purchase", NOON - DAY + HOUR),
        ("ann", "dill", "view", NOON - 2 * DAY),
        ("ann", "egg", "purchase", NOON + HOUR),
    ]
    return Dataset(
        items=pl.DataFrame({"item_id": ITEMS, "title": ITEMS}),
        events=pl.DataFrame(done, schema=["user_id", "item_id", "event", "timestamp"], orient="row"),
        requests=pl.DataFrame(shown, schema=["request_id", "user_id", "timestamp", "item_id", "label"], orient="row"),
    )


def asked_at(dataset: Dataset, request: str, **time: object) -> Asked:
    log = prepare(dataset, Settings(time=TimeSettings(**time))).log
    return Asked.of(dataset.requests.filter(pl.col("request_id") == request), log)


@pytest.mark.parametrize(
    ("request_id", "time", "often"),
    [
        ("now", {}, [0, 2, 1, 0, 0]),  # bread clicked and bought, cup clicked; dill was viewed, egg comes later
        ("now", {"freshness": "1d"}, [0, 2, 0, 0, 0]),  # the click of an hour ago is not known at midnight
        ("now", {"feedback_delay": 2 * HOUR}, [0, 2, 0, 0, 0]),  # nor within the feedback delay
        ("own", {}, [1, 0, 0, 0, 0]),  # what others chose is not this user's
    ],
)
def test_what_this_user_chose_before_counts_and_the_rest_goes_by_popularity(request_id, time, often) -> None:
    asked = asked_at(make_dataset(), request_id, **time)
    scores, rates = chosen_before(asked.lookup), popularity(asked.lookup)
    assert np.floor(scores).tolist() == often
    assert np.array_equal(scores, np.array(often) + rates)
    assert (rates < 1).all()


def test_the_order_counted_by_hand() -> None:
    """Bread was chosen twice and cup once; apple is the most popular of the others, dill and egg are tied."""
    asked = asked_at(make_dataset(), "now")
    order = asked.candidates["item_id"].gather(np.argsort(-chosen_before(asked.lookup), kind="stable"))
    assert order.to_list() == ["bread", "cup", "apple", "dill", "egg"]
    # apple: one click of two showings, egg: none of one, dill: none of one; 3 clicks of 6 showings in all, prior 20
    assert popularity(asked.lookup).tolist() == pytest.approx([11 / 22, 11 / 21, 11 / 21, 10 / 21, 10 / 21])


@pytest.mark.parametrize("name", BASELINES)
@pytest.mark.parametrize("time", [{}, {"freshness": "1d"}])
def test_nothing_that_comes_later_changes_a_baseline(name, time) -> None:
    dataset = make_dataset()
    later = pl.col("timestamp") > NOON
    cut = replace(dataset, events=dataset.events.filter(~later), requests=dataset.requests.filter(~later))
    flipped = dataset.requests.with_columns(label=pl.when(pl.col("timestamp") >= NOON).then(0).otherwise("label"))
    for other in (cut, replace(dataset, requests=flipped)):
        one, two = (asked_at(of, "now", **time) for of in (dataset, other))
        assert np.array_equal(baseline_scores(name, one, 5), baseline_scores(name, two, 5))


def test_a_random_order_follows_its_seed() -> None:
    asked = asked_at(make_dataset(), "now")
    one, again, other = (baseline_scores("random", asked, seed) for seed in (1, 1, 2))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


def test_random_numbers_are_even_and_tell_nothing_of_each_other() -> None:
    rows = pl.DataFrame({"request_id": np.repeat(np.arange(2000), 10), "item_id": np.tile(np.arange(10), 2000)})
    drawn = random(rows, 7).reshape(2000, 10)
    assert drawn.min() >= 0
    assert drawn.max() < 1
    counts = np.bincount((drawn.ravel() * 20).astype(int), minlength=20)
    assert ((counts - 1000) ** 2 / 1000).sum() < 43.8  # chi-square of 19 degrees of freedom, beyond it 1 in 1,000
    firsts = np.bincount(drawn.argmax(axis=1), minlength=10)
    assert ((firsts - 200) ** 2 / 200).sum() < 27.9  # of 9
    others = np.array([random(rows, seed)[0] for seed in range(200)])
    assert len(np.unique(others)) == 200


def test_what_came_out_last_is_first_and_what_nobody_knows_last() -> None:
    dataset = make_dataset()
    out = [NOON - 3 * DAY, NOON - HOUR, None, NOON - DAY, NOON - 2 * DAY]
    dataset = replace(dataset, items=dataset.items.with_columns(available_at=pl.Series(out)))
    asked = asked_at(dataset, "now")
    order = asked.candidates["item_id"].gather(np.argsort(-recency(asked.lookup), kind="stable"))
    assert order.to_list() == ["bread", "dill", "egg", "apple", "cup"]


def test_what_comes_out_after_what_is_known_is_new_and_no_more() -> None:
    """Under daily knowledge nobody knows which of the items that come out today are first."""
    midnight = NOON.replace(hour=0)
    out = [midnight - HOUR, midnight + HOUR, midnight + 9 * HOUR, NOON, NOON + DAY]
    dataset = make_dataset()
    dataset = replace(dataset, items=dataset.items.with_columns(available_at=pl.Series(out)))
    asked = asked_at(dataset, "now", freshness="1d")
    assert recency(asked.lookup).tolist() == [-1, 0, 0, 0, 0]


def test_what_followed_the_last_click_counts_and_the_rest_goes_by_popularity() -> None:
    """Carl clicked cup after bread; bob clicked apple last, ann cup after bread."""
    dataset = make_dataset()
    more = [("c", "carl", NOON - 3 * HOUR, "bread", 1), ("d", "carl", NOON - 2 * HOUR, "cup", 1)]
    more += [
        ("e", "dora", NOON - 2 * HOUR, "bread", 1),
        ("ask", "dora", NOON, "cup", 0),
        ("ask", "dora", NOON, "egg", 0),
    ]
    rows = pl.DataFrame(more, schema=dataset.requests.columns, orient="row")
    dataset = replace(dataset, requests=pl.concat([dataset.requests, rows]))
    asked = asked_at(dataset, "ask")
    scores = covisitation(asked.lookup)
    assert np.floor(scores).tolist() == [2, 0]  # cup after bread: carl and ann; egg never
    assert np.array_equal(scores, np.array([2, 0]) + popularity(asked.lookup))
