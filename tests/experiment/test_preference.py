import itertools
import json
import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from recsys.errors import DataError, SettingsError
from recsys.experiment.interleaving import PositionBased, probabilistic, simulate_interleaving, team_draft
from recsys.experiment.preference import credit_from_ranks, read_preference
from recsys.statistics.intervals import intervals_over_users
from recsys.statistics.verdict import Verdict


def make_log(rows, credit="team"):
    """Rows of (request, user, credit, label); items are numbered within their request."""
    return pl.DataFrame(rows, schema=["request_id", "user_id", credit, "label"], orient="row").with_columns(
        item_id=pl.int_range(pl.len()).over("request_id")
    )


def make_requests(requests, users, seed, items=6):
    random = np.random.default_rng(seed)
    of = np.repeat(np.arange(requests), items)
    return pl.DataFrame(
        {
            "request_id": of,
            "user_id": random.integers(users, size=requests)[of],
            "item_id": np.tile(np.arange(items), requests),
            "label": (random.random(len(of)) < 0.3).astype(np.int64),
        }
    )


def test_wins_are_counted_as_by_hand():
    log = make_log(
        [
            *[(1, 7, "A", 1), (1, 7, "B", 1), (1, 7, "B", 1)],  # B wins two to one
            *[(2, 7, "A", 1), (2, 7, "B", 1)],  # a tie
            *[(3, 8, "A", 1), (3, 8, "B", 0)],  # A wins
            *[(4, 8, "A", 0), (4, 8, "B", 2)],  # B wins
            *[(5, 9, "A", 0), (5, 9, "B", 0)],  # says nothing
        ]
    )
    found = read_preference(log)
    assert (found.requests, found.users, found.without_click) == (4, 2, 1)
    assert (found.wins, found.ties, found.losses) == (2, 1, 1)
    assert found.interval.mean == 2.5 / 4
    values, users = np.array([1, 0.5, 0, 1]), np.array([0, 0, 1, 1])
    assert found.interval == intervals_over_users(values[None], users, resamples=2000)[0]
    # leads per user are 0.5 and 0: swapping the first gives -0.5 or 0.5, always as far from 0
    assert found.p == 1.0
    spread = values - 2.5 / 4
    error = np.sqrt(((spread[:2].sum()) ** 2 + (spread[2:].sum()) ** 2) * 2) / 4
    assert found.detectable == pytest.approx((stats.t.ppf(0.975, 1) + stats.t.ppf(0.8, 1)) * error)


@given(st.lists(st.lists(st.floats(0, 1), min_size=1, max_size=5), min_size=1, max_size=6))
@settings(max_examples=40, deadline=None)
def test_a_shared_click_is_won_as_often_as_over_all_assignments(lists):
    rows = [(request, request, credit, 1) for request, shares in enumerate(lists) for credit in shares]
    found = read_preference(make_log(rows, "credit_b"), resamples=1)
    won = tied = 0.0
    for shares in lists:
        for given_by_b in itertools.product([0, 1], repeat=len(shares)):
            chance = math.prod(credit if by_b else 1 - credit for by_b, credit in zip(given_by_b, shares, strict=True))
            won += chance * (2 * sum(given_by_b) > len(shares))
            tied += chance * (2 * sum(given_by_b) == len(shares))
    assert found.wins == pytest.approx(won)
    assert found.ties == pytest.approx(tied)
    assert found.interval.mean == pytest.approx((won + tied / 2) / len(lists))


def test_p_is_that_of_all_swaps_of_users():
    random = np.random.default_rng(0)
    users = random.integers(9, size=40)
    teams = np.where(random.random(40) < 0.6, "B", "A").tolist()
    rows = list(zip(range(40), users.tolist(), teams, [1] * 40, strict=True))
    leads = np.bincount(users, weights=[0.5 if team == "B" else -0.5 for team in teams])
    every = [abs(np.dot(signs, leads)) >= abs(leads.sum()) - 1e-9 for signs in itertools.product([-1, 1], repeat=9)]
    assert 0.01 < np.mean(every) < 0.5
    assert read_preference(make_log(rows), permutations=20_000).p == pytest.approx(np.mean(every), abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("method", [team_draft, probabilistic])
def test_random_clicks_prefer_neither_ranking(method):
    random = np.random.default_rng(1)
    clicks = PositionBased(clicks=(0.4,), fall=1.0)  # the label plays no part
    shares, false = [], 0
    for world in range(40):
        requests = make_requests(60, 25, world)
        a, b = random.random((2, requests.height))
        log = simulate_interleaving(requests, a, b, 5, method, clicks, seed=world)
        found = read_preference(log, resamples=100, permutations=500)
        shares.append(found.interval.mean)
        false += found.p < 0.05
    error = np.std(shares) / np.sqrt(len(shares))
    assert np.mean(shares) == pytest.approx(0.5, abs=4 * error)
    assert error < 0.02
    assert false <= 7  # 2 expected


@pytest.mark.parametrize("method", [team_draft, probabilistic])
def test_a_better_ranker_wins_and_a_worse_one_loses(method):
    requests = make_requests(400, 150, seed=2)
    noise = np.random.default_rng(2).normal(size=(2, requests.height))
    good, poor = requests["label"].to_numpy() + noise[0], noise[1]
    better = read_preference(simulate_interleaving(requests, poor, good, 5, method, seed=3))
    worse = read_preference(simulate_interleaving(requests, good, poor, 5, method, seed=3))
    assert better.verdict is Verdict.BETTER
    assert worse.verdict is Verdict.WORSE
    assert better.interval.mean > 0.55 > 0.45 > worse.interval.mean
    assert better.p < 0.01
    assert better.rule.endswith("which lies above 50 %: better.")
    assert worse.rule.endswith("which lies below 50 %: worse.")


def test_shared_clicks_are_less_noisy_than_those_of_the_drawn_team():
    requests = make_requests(1500, 1500, seed=4)
    a, b = np.random.default_rng(4).random((2, requests.height))
    log = simulate_interleaving(requests, a, b, 5, probabilistic, seed=1)
    shared, drawn = read_preference(log), read_preference(log.drop("credit_b"))
    assert shared.requests == drawn.requests
    assert shared.detectable < 0.8 * drawn.detectable
    assert shared.interval.mean == pytest.approx(drawn.interval.mean, abs=0.03)


def test_credit_from_ranks_is_that_of_the_drawing():
    random = np.random.default_rng(5)
    rows, expected = [], {}
    for request in range(30):
        a, b = (random.permutation(9)[: random.integers(3, 9)].tolist() for _ in range(2))
        shown = probabilistic(a, b, 4, random)
        for item in {*a, *b}:
            rank_a, rank_b, position = (
                sequence.index(item) + 1 if item in sequence else None for sequence in (a, b, shown.items)
            )
            rows.append((request, item, rank_a, rank_b, position))
        expected |= {(request, item): credit for item, credit in zip(shown.items, shown.credit_b, strict=True)}
    log = pl.DataFrame(rows, schema=["request_id", "item_id", "rank_a", "rank_b", "position"], orient="row")
    log = log.sample(fraction=1.0, shuffle=True, seed=1)
    found = credit_from_ranks(log)
    assert found.drop("credit_b").equals(log.filter(pl.col("position").is_not_null()))
    assert found.height == len(expected)
    for request, item, credit in found.select("request_id", "item_id", "credit_b").iter_rows():
        assert credit == pytest.approx(expected[request, item], abs=1e-12)


def test_the_answer_does_not_depend_on_the_order_of_the_rows():
    requests = make_requests(80, 20, seed=6)
    a, b = np.random.default_rng(6).random((2, requests.height))
    log = simulate_interleaving(requests, a, b, 5, probabilistic)
    found = read_preference(log, resamples=50)
    assert found == read_preference(log.sample(fraction=1.0, shuffle=True, seed=2), resamples=50)
    assert found != read_preference(log, resamples=50, seed=1)


def test_without_a_clear_interval_the_detectable_distance_decides():
    rows = [(user, user, "AB"[user % 2], 1) for user in range(200)]
    found = read_preference(make_log(rows), matters=0.2, resamples=200)
    assert found.detectable == pytest.approx(2.8016 * 0.5 / math.sqrt(199), rel=1e-2)
    assert found.verdict is Verdict.NO_DIFFERENCE
    assert found.rule.endswith("80 % power, 10.0%, is at most the 20.0% that matters: no difference shown.")
    found = read_preference(make_log(rows), resamples=200)
    assert found.verdict is Verdict.UNDERPOWERED
    assert found.rule.endswith("80 % power, 10.0%, is more than the 1.0% that matters: underpowered.")


def test_a_log_without_a_click_or_of_one_user_has_no_interval():
    silent = read_preference(make_log([(1, 1, "A", 0), (1, 1, "B", 0)]))
    assert (silent.requests, silent.users, silent.without_click) == (0, 0, 1)
    assert silent.verdict is Verdict.UNDERPOWERED
    one = read_preference(make_log([(1, 1, "A", 0), (1, 1, "B", 1), (2, 1, "B", 1)]))
    assert one.verdict is Verdict.UNDERPOWERED
    assert one.rule == (
        "B wins 100.0% of 2 requests with a click, from fewer than two users, which gives no interval: underpowered."
    )
    written = json.loads(json.dumps(silent.to_json(), allow_nan=False))
    assert written["share"] is written["low"] is written["p"] is written["detectable"] is None
    assert written["verdict"] == "underpowered"
    assert written["without_click"] == 1


def test_logs_that_cannot_be_read_are_refused():
    log = make_log([(1, 1, "A", 0), (1, 1, "B", 1)])
    with pytest.raises(
        DataError, match=r"team holds \['C', 'a'\]; write 'A' or 'B' for the ranking that gave the item"
    ):
        read_preference(log.with_columns(team=pl.Series(["a", "C"])))
    with pytest.raises(DataError, match="request 1 shows item 0 twice; keep one row per shown item"):
        read_preference(pl.concat([log, log[:1]]))
    with pytest.raises(DataError, match="the log of interleaved lists is empty; pass at least one shown list"):
        read_preference(log[:0])
    with pytest.raises(
        DataError, match=r"interleaved lists lack \['team'\]; they have .*, so rename or add the columns"
    ):
        read_preference(log.drop("team"))
    with pytest.raises(DataError, match=r"interleaved lists lack values in \['label'\]; log every shown item in full"):
        read_preference(log.with_columns(label=pl.Series([1, None])))
    with pytest.raises(DataError, match="request 1 belongs to two users; give every list its own request_id"):
        read_preference(log.with_columns(user_id=pl.Series([1, 2])))
    for credit in (1.5, math.nan, -0.1):
        with pytest.raises(DataError, match=r"credit_b holds \[.*\]; it is B's share of a click, from 0 to 1"):
            read_preference(log.with_columns(credit_b=pl.Series([0.5, credit])))
    lost = pl.DataFrame({"request_id": [1], "item_id": [2], "rank_a": [None], "rank_b": [None], "position": [1]})
    with pytest.raises(DataError, match="1 shown items stand in neither ranking, such as 2 in request 1; leave out"):
        credit_from_ranks(lost)
    with pytest.raises(DataError, match=r"interleaved lists lack \['rank_b'\]"):
        credit_from_ranks(lost.drop("rank_b"))


def test_a_few_users_who_agree_prefer_nothing():
    def verdict(users):
        rows = [{"request_id": user, "user_id": user, "item_id": 1, "team": "B", "label": 1} for user in range(users)]
        return read_preference(pl.DataFrame(rows))

    assert verdict(5).verdict == Verdict.UNDERPOWERED
    assert "from 5 users, and fewer than 6 give no verdict: underpowered." in verdict(5).rule
    assert verdict(6).verdict == Verdict.BETTER


@pytest.mark.parametrize("matters", [0.0, -0.1, 0.5, math.nan])
def test_a_distance_that_cannot_matter_is_refused(matters):
    log = pl.DataFrame({"request_id": [1], "user_id": [1], "item_id": [1], "team": ["A"], "label": [1]})
    with pytest.raises(SettingsError, match="matters is .*; write a distance from one half, above 0 and below 0.5"):
        read_preference(log, matters=matters)
