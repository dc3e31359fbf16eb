import dataclasses
import itertools
from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.errors import DataError, SettingsError
from recsys.features.rows import FeatureRows
from recsys.features.table import FeatureTable
from recsys.ranking.contract import Contract
from recsys.ranking.examples import Examples, check_weight
from recsys.ranking.settings import Objective, RankerSettings
from recsys.ranking.trees import grow

DAY = 86_400_000_000


def examples_of(lengths: list[int], weights: list[float] | None = None) -> Examples:
    rows = sum(lengths)
    table = FeatureRows.of(FeatureTable.of(pl.DataFrame({"x": np.arange(rows, dtype=np.float32)})))
    plain = Examples.alike(table, np.arange(rows) % 3, np.concatenate([[0], np.cumsum(lengths)]))
    plain = dataclasses.replace(plain, moments=np.repeat(np.arange(len(lengths)), lengths) * DAY)
    return plain if weights is None else dataclasses.replace(plain, weights=np.repeat(weights, lengths))


@given(st.lists(st.integers(1, 30), min_size=1, max_size=12), st.integers(1, 9))
def test_dealt_lists_hold_every_row_once_and_are_short_and_even(lengths: list[int], most: int) -> None:
    examples = examples_of(lengths)
    dealt, long = examples.dealt(most)
    assert long == sum(length > most for length in lengths)
    rows = dealt.table.column("x").astype(int)
    assert sorted(rows) == list(range(sum(lengths)))
    np.testing.assert_array_equal(dealt.labels, rows % 3)
    np.testing.assert_array_equal(dealt.moments, examples.moments[rows])
    hands = [rows[start:end] for start, end in zip(dealt.starts[:-1], dealt.starts[1:], strict=True)]
    of_list = np.repeat(np.arange(len(lengths)), lengths)
    assert all(len(hand) <= most and len(set(of_list[hand])) == 1 for hand in hands)
    assert len(hands) == sum(-(-length // most) for length in lengths)
    for number in range(len(lengths)):
        sizes = [len(hand) for hand in hands if of_list[hand[0]] == number]
        assert max(sizes) - min(sizes) <= 1


@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=12),
    st.integers(1, 9),
    st.sampled_from(["binary", "lambdarank", "rank_xendcg"]),
)
def test_of_drawn_lists_what_was_chosen_stays_and_counts_with_the_others_for_those_left_out(
    lengths: list[int], negatives: int, objective: Objective
) -> None:
    examples = examples_of(lengths)
    sampled = examples.sampled(negatives, 7, objective)
    rows, of_list = sampled.table.column("x").astype(int), np.repeat(np.arange(len(lengths)), lengths)
    chosen = np.flatnonzero(examples.labels > 0)
    assert set(chosen) <= set(rows)
    assert (np.diff(rows) > 0).all()
    np.testing.assert_array_equal(sampled.labels, examples.labels[rows])
    for number in range(len(lengths)):
        others = int(((examples.labels <= 0) & (of_list == number)).sum())
        kept = [row for row in rows if of_list[row] == number and examples.labels[row] <= 0]
        assert len(kept) == min(negatives, others)
        weights = sampled.weights[of_list[rows] == number]
        labels = sampled.labels[of_list[rows] == number]
        many = lengths[number] - others
        of_pairs = np.log2(1 + others * many) / np.log2(1 + len(kept) * many) if kept and many else 1.0
        times = {"binary": max(1.0, others / negatives), "lambdarank": of_pairs, "rank_xendcg": 1.0}[objective]
        np.testing.assert_allclose(weights[labels <= 0], times)
        np.testing.assert_allclose(weights[labels > 0], 1.0 if objective == "binary" else times)


@pytest.mark.parametrize("objective", ["lambdarank", "rank_xendcg"])
def test_long_lists_weigh_no_more_against_short_ones_than_before_they_were_drawn_from(objective: Objective) -> None:
    """What is liked in lists of 100 is told by one number, in lists of 8 by another: gains say what each weighs."""
    random, lengths = np.random.default_rng(3), [100] * 100 + [8] * 500
    starts = np.concatenate([[0], np.cumsum(lengths)])
    numbers = random.normal(size=(starts[-1], 2)).astype(np.float32)
    labels = np.zeros(starts[-1], np.int64)
    for start, end in itertools.pairwise(starts):
        liked = 2 * numbers[start:end, 0 if end - start > 8 else 1] + random.gumbel(size=end - start)
        labels[start + np.argmax(liked)] = 1
    table = FeatureRows.of(FeatureTable(("long", "short"), numbers.T, ()))
    examples = Examples.alike(table, labels, starts)
    settings = RankerSettings(objective=objective, rounds=30, rows_per_leaf=20, feature_fraction=1)
    shares = []
    for negatives in (None, 4):
        own = settings.model_copy(update={"negatives": negatives})
        gains = grow(examples, Contract.of(table), own, 7, rounds=30).importance()
        shares.append(gains["long"] / (gains["long"] + gains["short"]))
    assert shares[1] == pytest.approx(shares[0], abs=0.15)


def test_the_seed_draws_the_others_evenly() -> None:
    examples = examples_of([30])
    others = np.flatnonzero(examples.labels <= 0)
    drawn = [examples.sampled(3, seed, "lambdarank").table.column("x").astype(int) for seed in range(400)]
    counts = np.bincount(np.concatenate(drawn), minlength=30)[others]
    assert counts.sum() == 1_200
    assert counts.min() > 80
    assert counts.max() < 165
    assert (drawn[5] == examples.sampled(3, 5, "lambdarank").table.column("x")).all()


def test_each_half_life_of_age_halves_what_a_list_counts() -> None:
    counts = examples_of([1, 2, 1], [1.0, 3.0, 1.0]).counts(timedelta(days=1))
    np.testing.assert_allclose(counts / counts[-1], [0.25, 1.5, 1.5, 1.0])
    assert counts.mean() == pytest.approx(1)


def test_without_weights_and_half_life_all_count_alike() -> None:
    assert examples_of([2, 3]).counts(None).tolist() == [1.0] * 5


def test_lists_of_ages_beyond_all_numbers_count_nothing_and_harm_nothing() -> None:
    counts = examples_of([1] * 5000).counts(timedelta(seconds=1))
    assert counts[-1] == 5000
    assert counts[0] == 0


def test_age_is_that_against_the_newest_row_that_counts() -> None:
    counts = examples_of([1] * 5000, [1.0] + [0.0] * 4999).counts(timedelta(seconds=1))
    assert counts[0] == 5000
    assert not counts[1:].any()


def test_grades_of_rows_that_do_not_count_are_none() -> None:
    assert examples_of([3, 3], [0.0, 0.5]).graded.tolist() == [0, 0, 0, 0, 1, 2]


@pytest.mark.parametrize(
    ("weights", "told"),
    [
        ([1.0, -0.5, 2.0], "1 weights in requests.w are no numbers from 0 on, the first -0.5 in request 'b'"),
        ([1.0, None, float("nan")], "2 weights in requests.w are no numbers from 0 on, the first None in request 'b'"),
        ([float("inf"), 1.0, 1.0], "the first inf in request 'a'; write how much each row counts, such as 1"),
    ],
)
def test_what_is_no_weight_is_refused(weights: list[float | None], told: str) -> None:
    with pytest.raises(DataError, match=told):
        check_weight(pl.DataFrame({"request_id": ["a", "b", "b"], "w": weights}), "w")


def test_weights_near_the_largest_number_count_as_they_should() -> None:
    assert examples_of([1, 1], [1e308, 1e307]).counts(None).tolist() == pytest.approx([20 / 11, 2 / 11])


@pytest.mark.parametrize("name", ["label", "item_id"])
def test_columns_that_say_something_else_are_no_weights(name: str) -> None:
    with pytest.raises(
        SettingsError, match=f"weight names '{name}', which says something else; name a column of its own"
    ):
        check_weight(pl.DataFrame({"request_id": [1], "item_id": [2], "label": [1]}), name)


def test_a_column_that_holds_no_weights_is_refused() -> None:
    requests = pl.DataFrame({"request_id": ["a"], "device": ["phone"]})
    with pytest.raises(SettingsError, match="weight names 'device', which holds String; name a column of numbers"):
        check_weight(requests, "device")
    with pytest.raises(SettingsError, match="weight names 'w', which is no column of the requests; .* are request_id"):
        check_weight(requests, "w")
    check_weight(requests, "")
    check_weight(pl.DataFrame({"request_id": ["a"], "w": [0]}), "w")
