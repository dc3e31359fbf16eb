"""Candidates compared with items of the field, held against a plain loop."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from recsys.features.beside import ComparedWith
from recsys.features.within_list import WithinList
from recsys.past.lookup import Asked

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)


def compared(beside, values, logits):
    table = np.vstack([values, np.zeros((3, len(values)))]).astype(np.float32)
    beside.compare(table, np.array([0]), logits, deviations=False)
    return WithinList(*table[1:])


@pytest.fixture
def asked(tools):
    case = tools.full_case(3, feedback_delay="10m")
    return Asked.of(case.candidates, case.log)


def test_items_of_the_field_are_asked_for_the_same_user_and_moment(asked):
    codes = np.full((len(asked.lengths), 3), -1)
    codes[::2] = [2, 0, -1]
    beside = ComparedWith.of(asked, codes, ("retrieval",))
    ids = asked.log.items.by_code.to_list()
    for request, (start, end) in enumerate(zip(beside.asked.starts, beside.asked.starts[1:], strict=False)):
        rows = beside.asked.candidates[start:end]
        own = asked.candidates[asked.starts[request] : asked.starts[request + 1]]
        assert rows.head(len(own)).equals(own)
        added = rows.slice(len(own))
        assert added["item_id"].to_list() == ([ids[2], ids[0]] if request % 2 == 0 else [])
        assert added["retrieval"].null_count() == len(added)
        assert added.drop("item_id", "retrieval").unique().height == min(1, len(added))
        assert beside.candidates[start:end].tolist() == [True] * len(own) + [False] * len(added)
    assert beside.own(np.arange(len(beside.asked.candidates), dtype=np.float32)[None]).shape == (
        1,
        len(asked.candidates),
    )


@pytest.mark.parametrize("logits", [False, True])
def test_comparisons_are_those_of_a_plain_loop_over_the_field_alone(asked, logits):
    random = np.random.default_rng(0)
    codes = random.integers(-1, 3, (len(asked.lengths), 4))
    codes.sort(axis=1)
    codes = codes[:, ::-1].copy()
    beside = ComparedWith.of(asked, codes, ())
    values = random.choice([np.nan, -1.0, 0.0, 0.5, 2.0, 7.25], len(beside.asked.candidates)).astype(np.float32)
    found = compared(beside, values, logits)
    for request, (start, end) in enumerate(zip(beside.asked.starts, beside.asked.starts[1:], strict=False)):
        length = asked.lengths[request]
        field = [float(value) for value in values[start + length : end] if not np.isnan(value)]
        for row in range(start, start + length):
            value, of = float(values[row]), np.exp if logits else (lambda each: max(each, 0.0))
            if np.isnan(value):
                assert np.isnan([found.rank[row], found.share[row], found.gap[row]]).all()
                continue
            assert found.rank[row] == 1 + sum(o > value for o in field) + sum(o == value for o in field) / 2
            whole = sum(map(of, field)) + of(value)
            assert found.share[row] == pytest.approx(of(value) / whole if whole > 0 else np.nan, rel=1e-6, nan_ok=True)
            assert found.gap[row] == pytest.approx(value - max(field) if field else np.nan, nan_ok=True)


def test_without_a_field_candidates_are_compared_with_their_list(asked):
    beside = ComparedWith(asked)
    values = np.arange(len(asked.candidates), dtype=np.float32)
    assert compared(beside, values, logits=False).gap.tolist() == [
        float(start + place - (end - 1))
        for start, end in zip(asked.starts, asked.starts[1:], strict=False)
        for place in range(end - start)
    ]
    series = pl.Series([NOON + timedelta(0)])
    assert beside.own_series(series) is series


def test_deviations_are_from_the_mean_of_the_field_alone(asked):
    random = np.random.default_rng(0)
    codes = np.sort(random.integers(-1, 3, (len(asked.lengths), 4)), axis=1)[:, ::-1].copy()
    codes[0] = -1
    beside = ComparedWith.of(asked, codes, ())
    values = random.choice([np.nan, -1.0, 0.0, 0.5, 2.0, 7.25], len(beside.asked.candidates)).astype(np.float32)
    values[0] = 1.0
    table = np.vstack([values, np.zeros((4, len(values)))]).astype(np.float32)
    beside.compare(table, np.array([0]), logits=False, deviations=True)
    for request, (start, end) in enumerate(zip(beside.asked.starts, beside.asked.starts[1:], strict=False)):
        field = values[start + asked.lengths[request] : end].astype(float)
        field = field[~np.isnan(field)]
        for row in range(start, start + asked.lengths[request]):
            if np.isnan(values[row]) or not len(field):
                assert np.isnan(table[4, row])
            elif field.std() == 0:
                assert table[4, row] == 0
            else:
                assert table[4, row] == pytest.approx((values[row] - field.mean()) / field.std(), rel=1e-5)


def test_deviations_are_from_the_mean_of_the_list_without_a_field(asked):
    table = np.vstack([np.arange(len(asked.candidates)), np.zeros((4, len(asked.candidates)))]).astype(np.float32)
    ComparedWith(asked).compare(table, np.array([0]), logits=False, deviations=True)
    for start, end in zip(asked.starts, asked.starts[1:], strict=False):
        own = table[0, start:end]
        assert table[4, start:end] == pytest.approx((own - own.mean()) / max(own.std(), 1e-9), abs=1e-5)
