import itertools
from collections import Counter

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.errors import DataError, SettingsError
from recsys.experiment.interleaving import PositionBased, probabilistic, simulate_interleaving, team_draft

rankings = st.lists(st.integers(0, 12), min_size=1, max_size=9, unique=True)


def make_requests(requests=40, users=15, items=6, seed=0):
    random = np.random.default_rng(seed)
    of = np.repeat(np.arange(requests), items)
    return pl.DataFrame(
        {
            "request_id": [f"r{request}" for request in of],
            "user_id": random.integers(users, size=requests)[of],
            "item_id": np.tile(np.arange(items), requests),
            "label": (random.random(len(of)) < 0.3).astype(np.int64),
        }
    )


@given(rankings, rankings, st.integers(1, 12), st.integers(0, 5))
def test_team_draft_follows_the_rules_of_the_game(a, b, k, seed):
    shown = team_draft(a, b, k, seed)
    assert len(set(shown.items)) == len(shown.items) <= k
    counts = Counter(shown.teams)
    assert abs(counts["A"] - counts["B"]) <= 1
    for place, (item, team) in enumerate(zip(shown.items, shown.teams, strict=True)):
        ranking = a if team == "A" else b
        assert item == next(each for each in ranking if each not in shown.items[:place])
        before = Counter(shown.teams[:place])
        assert before[team] <= before["B" if team == "A" else "A"]  # nobody picks twice in a round
    if len(shown.items) < k:
        assert set(a) <= set(shown.items) or set(b) <= set(shown.items)
    assert shown.credit_b == tuple(float(team == "B") for team in shown.teams)


@given(rankings, rankings, st.integers(1, 12), st.integers(0, 5))
def test_probabilistic_lists_hold_no_item_twice_and_credit_whoever_lists_it(a, b, k, seed):
    shown = probabilistic(a, b, k, seed)
    assert len(set(shown.items)) == len(shown.items) <= k
    for item, team, credit in zip(shown.items, shown.teams, shown.credit_b, strict=True):
        assert item in (a if team == "A" else b)
        assert (credit > 0) == (item in b)
        assert (credit < 1) == (item in a)
    if len(shown.items) < k:
        assert set(a) <= set(shown.items) or set(b) <= set(shown.items)


@pytest.mark.parametrize("method", [team_draft, probabilistic])
def test_a_list_of_the_same_items_fills_every_place(method):
    a, b = list("abcdef"), list("fdbeca")
    assert sorted(method(a, b, 6).items) == a
    assert sorted(method(a, b, 60).items) == a
    assert len(method(a, b, 4).items) == 4


def test_equal_rankings_are_shown_as_they_are_by_team_draft():
    for seed in range(5):
        assert team_draft([3, 1, 2], [3, 1, 2], 3, seed).items == (3, 1, 2)
        assert probabilistic([3, 1, 2], [3, 1, 2], 3, seed).credit_b == (0.5, 0.5, 0.5)


def test_the_coin_of_team_draft_is_fair_in_every_round():
    random = np.random.default_rng(0)
    lists = Counter(team_draft("abc", "bca", 3, random).teams for _ in range(4000))
    assert set(lists) == {("A", "B", "A"), ("A", "B", "B"), ("B", "A", "A"), ("B", "A", "B")}
    assert all(abs(count - 1000) < 4 * (4000 * 3 / 16) ** 0.5 for count in lists.values())


def enumerate_probabilistic(a, b, k):
    """Every list with its probability and, given the list, the probability of B at every place: a plain recursion."""

    def chance(ranking, shown, item):
        left = [other for other in ranking if other not in shown]
        return (ranking.index(item) + 1) ** -3 / sum((ranking.index(other) + 1) ** -3 for other in left)

    answer = {}
    for shown in itertools.permutations(a, k):
        probability, credit = 1.0, []
        for place, item in enumerate(shown):
            by_a, by_b = (chance(ranking, shown[:place], item) for ranking in (a, b))
            probability *= (by_a + by_b) / 2
            credit.append(by_b / (by_a + by_b))
        answer[shown] = probability, credit
    return answer


def test_probabilistic_lists_come_as_often_as_they_should_with_the_right_credit():
    a, b = ["x", "y", "z"], ["z", "x", "y"]
    expected = enumerate_probabilistic(a, b, 2)
    assert sum(probability for probability, _ in expected.values()) == pytest.approx(1)
    random = np.random.default_rng(1)
    drawn = [probabilistic(a, b, 2, random) for _ in range(6000)]
    counts = Counter(shown.items for shown in drawn)
    for shown, (probability, _) in expected.items():
        assert counts[shown] / 6000 == pytest.approx(probability, abs=4 * (probability / 6000) ** 0.5)
    for shown in drawn[:200]:
        assert shown.credit_b == pytest.approx(expected[shown.items][1], abs=1e-12)
    of_b = np.mean([[team == "B" for team in shown.teams] for shown in drawn], axis=0)
    assert of_b == pytest.approx(np.mean([shown.credit_b for shown in drawn], axis=0), abs=0.02)


@pytest.mark.parametrize("method", [team_draft, probabilistic])
def test_the_seed_decides_the_list(method):
    a, b = list(range(20)), list(range(20))[::-1]
    assert method(a, b, 20, 7) == method(a, b, 20, 7)
    assert method(a, b, 20, 7) != method(a, b, 20, 8)


@pytest.mark.parametrize("method", [team_draft, probabilistic])
def test_rankings_that_cannot_be_interleaved_are_refused(method):
    with pytest.raises(DataError, match="ranking B holds item 'x' twice; rank every item once"):
        method(["x", "y"], ["x", "y", "x"], 2)
    with pytest.raises(DataError, match="ranking A is empty; both rankings need at least one item"):
        method([], ["x"], 2)
    with pytest.raises(SettingsError, match="k is 0; show at least 1 item"):
        method(["x"], ["x"], 0)


def test_clicks_fall_with_the_place_and_rise_with_the_label():
    model = PositionBased(clicks=(0.1, 0.5), fall=2.0)
    found = model.probabilities(np.array([1, 2, 1, 2]), np.array([0, 0, 1, 7]))
    assert found == pytest.approx([0.1, 0.025, 0.5, 0.125])
    assert PositionBased(clicks=(0.3,), fall=0).probabilities(np.array([1, 9]), np.array([0, 4])).tolist() == [0.3, 0.3]


def test_click_models_that_are_none_are_refused():
    with pytest.raises(SettingsError, match=r"clicks is \(0.1, 1.5\); give one probability from 0 to 1 for each label"):
        PositionBased(clicks=(0.1, 1.5))
    with pytest.raises(SettingsError, match=r"clicks is \(\); give one probability"):
        PositionBased(clicks=())
    with pytest.raises(SettingsError, match=r"fall is -1; write 0 \(everything is seen\) or more"):
        PositionBased(fall=-1)


def test_simulated_lists_interleave_the_order_of_the_scores():
    requests = make_requests()
    random = np.random.default_rng(3)
    a, b = random.random((2, requests.height))
    log = simulate_interleaving(requests, a, b, k=3, seed=5)
    assert log.columns == ["request_id", "user_id", "item_id", "position", "team", "credit_b", "label"]
    assert log.height == 3 * 40
    scored = requests.with_columns(a=pl.Series(a), b=pl.Series(b))
    for (request,), rows in log.group_by("request_id"):
        of = scored.filter(pl.col("request_id") == request)
        assert rows["user_id"].unique().to_list() == of["user_id"].unique().to_list()
        assert rows["position"].to_list() == [1, 2, 3]
        left = {name: of.sort(name, descending=True)["item_id"].to_list() for name in ("a", "b")}
        for item, team in rows.select("item_id", "team").iter_rows():
            ranking = left[team.lower()]
            assert item == ranking[0]
            for other in left.values():
                other.remove(item)


def test_candidates_that_a_ranker_does_not_list_come_from_the_other():
    requests = make_requests()
    scores = np.random.default_rng(3).random((2, requests.height))
    a, b = (np.where(requests["item_id"].to_numpy() == item, -np.inf, scores[item]) for item in (0, 1))
    log = simulate_interleaving(requests, a, b, k=6, seed=5)
    assert set(log.filter(pl.col("item_id") == 0)["team"]) == {"B"}
    assert set(log.filter(pl.col("item_id") == 1)["team"]) == {"A"}
    with pytest.raises(
        DataError, match="b lists nothing for 1 requests, such as 'r7'; leave out requests that only one"
    ):
        simulate_interleaving(requests, a, np.where(requests["request_id"].to_numpy() == "r7", -np.inf, b))


def test_simulation_does_not_depend_on_the_order_of_the_rows():
    requests = make_requests()
    a, b = np.random.default_rng(3).integers(3, size=(2, requests.height)).astype(float)  # many ties
    order = np.random.default_rng(4).permutation(requests.height)
    for method in (team_draft, probabilistic):
        first = simulate_interleaving(requests, a, b, method=method, seed=1)
        assert first.equals(simulate_interleaving(requests[order], a[order], b[order], method=method, seed=1))
        assert not first.equals(simulate_interleaving(requests, a, b, method=method, seed=2))


def test_simulated_clicks_are_those_of_the_model():
    requests = make_requests(requests=3000, users=100)
    a, b = np.random.default_rng(3).random((2, requests.height))
    log = simulate_interleaving(requests, a, b, clicks=PositionBased((0.2, 0.8), fall=0.5), seed=1)
    log = log.join(requests.rename({"label": "truth"}), on=["request_id", "user_id", "item_id"])
    rates = log.group_by("position", "truth").agg(pl.col("label").mean(), pl.len())
    for position, truth, rate, count in rates.iter_rows():
        expected = (0.2, 0.8)[truth] / position**0.5
        assert rate == pytest.approx(expected, abs=4 * (0.25 / count) ** 0.5)


def test_requests_that_cannot_be_simulated_are_refused():
    requests = make_requests(requests=2)
    scores = np.arange(12.0)
    with pytest.raises(DataError, match="b has 3 scores for 12 candidates; give one per row"):
        simulate_interleaving(requests, scores, scores[:3])
    with pytest.raises(DataError, match="a holds 2 scores that are NaN; give every candidate a number"):
        simulate_interleaving(requests, np.where(scores < 2, np.nan, scores), scores)
    with pytest.raises(DataError, match="request 'r0' holds item 0 twice; keep one row per item of a request"):
        simulate_interleaving(pl.concat([requests, requests[:1]]), np.arange(13.0), np.arange(13.0))
    with pytest.raises(DataError, match="there is no request to interleave; pass at least one candidate"):
        simulate_interleaving(requests[:0], scores[:0], scores[:0])
    for label in (None, -1):
        wrong = requests.with_columns(label=pl.lit(label, dtype=pl.Int64))
        with pytest.raises(DataError, match="labels are missing or below 0; give every candidate a grade"):
            simulate_interleaving(wrong, scores, scores)
