import sys
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from recsys.errors import ModelError
from recsys.past import factors as factors_module
from recsys.past.clicks import Clicks
from recsys.past.factors import Factors

NOON = int(datetime(2024, 3, 1, 12, tzinfo=UTC).timestamp() * 1_000_000)
HOUR = 3_600_000_000
LONG = timedelta(days=9000)

TASTES = [(user, item, 2 + (user + item) % 5) for user in range(20) for item in range(10) if (user < 10) == (item < 5)]
"""Users 0 to 9 clicked items 0 to 4, the others 5 to 9; each of them left one out."""
TASTES = [row for row in TASTES if row[0] % 5 != row[1] % 5]


def clicks_of(rows, users=lambda user: user, items=lambda item: item):
    known = sorted((users(user), NOON - hours * HOUR, items(item)) for user, item, hours in rows)
    codes, moments, those = (np.array([row[place] for row in known], dtype=np.int64) for place in range(3))
    return Clicks(codes, those, moments)


def matches(factors, history):
    blocks = list(factors.match(np.array(history)))
    assert [some.start for some, _ in blocks] == [0, *(some.stop for some, _ in blocks[:-1])]
    return np.concatenate([scores for _, scores in blocks])


def test_what_was_left_out_of_a_taste_matches_better_than_what_lies_outside_it():
    factors = Factors.of(clicks_of(TASTES), np.arange(12), NOON, LONG)
    assert factors.items.tolist() == list(range(10))
    assert factors.column.tolist() == [*range(10), -1, -1]
    first, second, nobody = matches(factors, [[1, 2, 3, 4], [6, 7, -1, -1], [-1, 11, 77, -1]])
    assert first[0] > first[5:].max()
    assert second[[5, 8, 9]].min() > second[:5].max()
    assert np.isnan(nobody).all()


def test_only_clicks_known_before_the_moment_count():
    later = [*TASTES, (0, 11, 0), (19, 0, -3)]
    known, more = (Factors.of(clicks_of(rows), np.arange(12), NOON, LONG) for rows in (TASTES, later))
    np.testing.assert_array_equal(matches(known, [[1, 6]]), matches(more, [[1, 6]]))
    assert more.column[11] == -1


def test_the_codes_of_users_and_items_change_no_bit():
    """Codes say in which order ids were met, which is another one in a process that was told them."""
    order = np.random.default_rng(0).permutation(14)  # the place of each item's id among all ids
    plain = Factors.of(clicks_of(TASTES), np.arange(12), NOON, LONG)
    code = {place: item for item, place in enumerate(order)}
    told = Factors.of(clicks_of(TASTES, lambda user: (user * 7) % 23, code.get), order, NOON, LONG)
    assert order[told.items].tolist() == plain.items.tolist()
    np.testing.assert_array_equal(matches(told, [[code[1], code[6]], [code[9], -1]]), matches(plain, [[1, 6], [9, -1]]))


def test_any_number_of_users_at_once_gets_the_same(monkeypatch):
    factors = Factors.of(clicks_of(TASTES), np.arange(12), NOON, LONG)
    history = [[user % 10, (user * 3) % 10, -1] for user in range(9)]
    whole = matches(factors, history)
    np.testing.assert_array_equal(np.concatenate([matches(factors, [row]) for row in history]), whole)
    monkeypatch.setattr(factors_module, "_CELLS", 20)
    np.testing.assert_array_equal(matches(factors, history), whole)


def test_no_click_gives_no_factors():
    factors = Factors.of(clicks_of([]), np.arange(3), NOON, LONG)
    assert factors.items.tolist() == []
    assert matches(factors, [[0, 1], [-1, -1]]).shape == (2, 0)


def test_without_the_extra_it_says_what_to_type(monkeypatch):
    monkeypatch.setitem(sys.modules, "implicit.cpu.als", None)
    with pytest.raises(
        ModelError,
        match=r'"factors" in \[candidates\] sources or .* needs implicit\.cpu\.als .*--editable \'\.\[factors\]\'',
    ):
        Factors.of(clicks_of(TASTES), np.arange(12), NOON, LONG)
