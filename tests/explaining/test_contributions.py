"""Contributions against plain loops, and against trees that are known to add up."""

from itertools import pairwise

import numpy as np
import polars as pl
import pytest

from recsys.explaining.contributions import OTHERS, compared_with, contributions, families_of
from recsys.features.feature import Told
from recsys.features.plan import PlannedColumn
from recsys.features.rows import FeatureRows
from recsys.features.table import FeatureTable
from recsys.ranking.contract import Contract
from recsys.ranking.examples import Examples
from recsys.ranking.settings import RankerSettings
from recsys.ranking.trees import grow

NAMES = {"a": "popularity", "b": "popularity", "c": "freshness", "d": "text"}
COLUMNS = tuple(
    PlannedColumn(family, name, ("item",), Told(name, name, ""), lambda _: np.empty(0), compared=name == "b")
    for name, family in NAMES.items()
)
TABLE_NAMES = [name for column in COLUMNS for name in column.columns]


def make_table(lengths: np.ndarray, seed: int) -> tuple[FeatureTable, np.ndarray]:
    random = np.random.default_rng(seed)
    numbers = random.normal(size=(len(TABLE_NAMES), int(lengths.sum()))).astype(np.float32)
    numbers[:, random.random(numbers.shape[1]) < 0.05] = np.nan
    return FeatureTable(tuple(TABLE_NAMES), numbers, ()), np.concatenate([[0], np.cumsum(lengths)])


def grown(leaves: int, bags: int = 1):
    """Trees of clicks that follow every column, `b` and `d` most; with 2 leaves no two columns are in one tree."""
    table, starts = make_table(np.full(400, 8), 0)
    random = np.random.default_rng(1)
    worth = np.nan_to_num(table.numbers.T) @ np.linspace(0.2, 1.5, len(TABLE_NAMES)) + random.gumbel(size=starts[-1])
    labels = np.zeros(starts[-1], dtype=np.int64)
    for start, end in pairwise(starts):
        labels[start + worth[start:end].argmax()] = 1
    examples = Examples.alike(FeatureRows.of(table), labels, starts)
    settings = RankerSettings(rounds=60 * bags, leaves=leaves, rows_per_leaf=5, learning_rate=0.1, bags=bags)
    return grow(examples, Contract.of(examples.table), settings, seed=3, rounds=settings.rounds)


def of_request(starts: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return np.searchsorted(starts, rows, side="right") - 1


@pytest.mark.parametrize("bags", [1, 3])
def test_contributions_sum_to_the_score(bags: int) -> None:
    ranker = grown(leaves=8, bags=bags)
    lengths = np.array([1, 2, 8, 21, 22, 60])
    table, starts = make_table(lengths, 5)
    scores = ranker.score(table)
    order = np.lexsort((-scores, np.repeat(np.arange(len(lengths)), lengths)))
    rows = np.random.default_rng(0).permutation(len(scores))
    found = contributions(ranker, table, COLUMNS, (order, starts), rows, of_request(starts, rows))
    assert found.families == ("popularity", "freshness", "text")
    assert found.by_family.sum(axis=1) + found.others == pytest.approx(scores[rows], abs=1e-9)
    assert found.by_column.sum(axis=1) == pytest.approx(found.by_family.sum(axis=1), abs=1e-12)
    assert np.ptp(found.told.sum(axis=1) - scores[rows]) < 1e-9


def test_others_are_those_of_the_list_and_never_oneself() -> None:
    ranker, lengths = grown(leaves=8), np.array([1, 3, 40])
    table, starts = make_table(lengths, 6)
    scores = ranker.score(table)
    order = np.lexsort((-scores, np.repeat(np.arange(len(lengths)), lengths)))
    found = contributions(
        ranker, table, COLUMNS, (order, starts), np.arange(len(scores)), of_request(starts, np.arange(len(scores)))
    )
    told = ranker.contributions(table, np.arange(len(scores)))
    assert found.others[0] == pytest.approx(told[0, -1])  # nobody stands beside it
    assert found.others[1] == pytest.approx(scores[[2, 3]].mean())
    family = np.array([NAMES[name.split("_")[0]] for name in TABLE_NAMES])
    for row in range(4, 44):
        beside = [other for other in compared_with(order[4:44]) if other != row]
        assert len(beside) in (OTHERS, OTHERS + 1)
        assert found.others[row] == pytest.approx(scores[beside].mean())
        for place, name in enumerate(found.families):
            of = told[:, :-1][:, family == name].sum(axis=1)
            assert found.by_family[row, place] == pytest.approx(of[row] - of[beside].mean(), abs=1e-12)
            assert found.weights[row, place] == pytest.approx(np.abs(of[row] - of[beside]).mean(), abs=1e-12)
        assert np.all(np.diff(found.weights[row][found.first[row]]) <= 0)


def test_where_trees_add_up_a_family_adds_what_its_values_change() -> None:
    """Of trees with one column each it is known what the score is with another candidate's values of a family."""
    ranker, lengths = grown(leaves=2), np.array([12])
    table, starts = make_table(lengths, 7)
    scores = ranker.score(table)
    found = contributions(
        ranker, table, COLUMNS, (np.argsort(-scores), starts), np.arange(12), of_request(starts, np.arange(12))
    )
    family = np.array([NAMES[name.split("_")[0]] for name in TABLE_NAMES])
    first = 0
    for row in range(12):
        moved = []
        for place, name in enumerate(found.families):
            changes = []
            for other in range(12):
                numbers = table.numbers[:, [row]].copy()
                numbers[family == name, 0] = table.numbers[family == name, other]
                changes.append(scores[row] - ranker.score(FeatureTable(table.names, numbers, ()))[0])
            others = [change for other, change in enumerate(changes) if other != row]
            assert found.by_family[row, place] == pytest.approx(np.mean(others), abs=1e-9)
            assert found.weights[row, place] == pytest.approx(np.mean(np.abs(others)), abs=1e-9)
            moved.append(np.mean(np.abs(others)))
        first += int(found.first[row, 0] == np.argmax(moved))
    assert first == 12


def test_a_candidate_is_explained_alike_whatever_is_explained_beside_it() -> None:
    ranker, lengths = grown(leaves=8), np.array([5, 30, 7])
    table, starts = make_table(lengths, 8)
    scores = ranker.score(table)
    order = np.lexsort((-scores, np.repeat(np.arange(len(lengths)), lengths)))
    together = contributions(ranker, table, COLUMNS, (order, starts), np.arange(42), of_request(starts, np.arange(42)))
    for row in (0, 4, 5, 20, 41):
        alone = contributions(
            ranker, table, COLUMNS, (order, starts), np.array([row]), of_request(starts, np.array([row]))
        )
        assert alone.by_column[0] == pytest.approx(together.by_column[row], abs=1e-12)
        assert alone.others[0] == pytest.approx(together.others[row], abs=1e-12)
    nothing = contributions(
        ranker, table, COLUMNS, (order, starts), np.empty(0, np.int64), of_request(starts, np.empty(0, np.int64))
    )
    assert nothing.by_family.shape == (0, 3)


def test_families_stand_in_the_order_of_the_plan() -> None:
    assert families_of(COLUMNS) == ("popularity", "freshness", "text")


def test_compared_are_evenly_spread_from_the_best_to_the_worst() -> None:
    assert compared_with(np.arange(5)).tolist() == [0, 1, 2, 3, 4]
    many = compared_with(np.arange(1000))
    assert len(many) == OTHERS + 1
    assert many[0] == 0
    assert many[-1] == 999
    assert pl.Series(many).diff().drop_nulls().is_between(49, 50).all()
