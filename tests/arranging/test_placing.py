"""Places against a plain reading of fixed items and caps, and chance against its own probabilities."""

from itertools import pairwise, permutations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from recsys.arranging.placing import NOTHING, chances, draws, placed
from recsys.arranging.settings import Exploration

NOBODY = np.empty((0, 2), dtype=np.int64)


def by_place(kept, starts, fixed, values, caps, worth=None, drawn=None, how=NOTHING, new=None):
    rows = len(fixed)
    marks = np.stack([fixed, np.zeros(rows, np.int64) if new is None else np.asarray(new, dtype=np.int64)])
    worth = np.zeros(rows) if worth is None else worth
    drawn = np.zeros(len(kept)) if drawn is None else drawn
    return placed(kept, starts, marks, values, np.array(caps, dtype=np.int64).reshape(len(caps), 2), worth, drawn, how)


def plainly(order: list[int], fixed: dict[int, int], values: list[list[int]], caps: list[tuple[int, int]]) -> list[int]:
    """Place after place: what is fixed there, else the best that no cap holds back, else the best."""
    pinned = {place: row for row, place in fixed.items() if row in order and place < len(order)}
    left, found = [row for row in order if row not in pinned.values()], dict(pinned)
    for place in range(len(order)):
        if place in pinned:
            continue

        def free(row: int, place: int = place) -> bool:
            for (most, first), of in zip(caps, values, strict=True):
                if place < first and of[row] >= 0:
                    others = [found[each] for each in range(min(first, len(order))) if each in found]
                    if sum(of[other] == of[row] for other in others) >= most:
                        return False
            return True

        best = next((row for row in left if free(row)), left[0])
        found[place] = best
        left.remove(best)
    return [found[place] for place in range(len(order))]


@settings(max_examples=200)
@given(st.data())
def test_places_are_those_of_a_plain_reading(data: st.DataObject) -> None:
    lengths = data.draw(st.lists(st.integers(0, 9), min_size=1, max_size=4))
    rows = sum(lengths)
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    orders = [data.draw(st.permutations(range(start, end))) for start, end in pairwise(starts)]
    caps = data.draw(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 8)), max_size=2))
    values = [data.draw(st.lists(st.integers(-1, 2), min_size=rows, max_size=rows)) for _ in caps]
    fixed = np.full(rows, -1, dtype=np.int64)
    for start, length in zip(starts, lengths, strict=False):
        for place, row in enumerate(data.draw(st.permutations(range(length)))[:2]):
            fixed[start + row] = data.draw(st.sampled_from([-1, 2 * place, 8 + place]))
    kept = np.array([row for order in orders for row in order], dtype=np.int64)
    table = np.array(values, dtype=np.int64).reshape(len(caps), rows)
    found, propensity = by_place(kept, starts, fixed, table, caps)
    assert (propensity == 1).all()
    for order, (start, end) in zip(orders, pairwise(starts), strict=True):
        of_list = {row: int(fixed[row]) for row in order if fixed[row] >= 0}
        assert found[start:end].tolist() == plainly(list(order), of_list, values, caps)


def one_list(size: int, many: int) -> tuple[np.ndarray, np.ndarray]:
    """The same list so many times, best first."""
    return np.arange(size * many), np.arange(0, size * many + 1, size)


def drawn_lists(exploration: Exploration, worth: np.ndarray, many: int, values=None, caps=(), fixed=None, new=None):
    """Draw one list for many requests; rows of each, and propensities."""
    size = len(worth)
    kept, starts = one_list(size, many)
    ids, moments = pl.Series(np.arange(many)), np.zeros(many, np.int64)
    uniform = draws(ids, moments, np.full(many, size), exploration.seed)
    table = np.empty((0, len(kept)), np.int64) if values is None else np.tile(values, (1, many))
    pins = np.full(size, -1) if fixed is None else np.array(fixed)
    news = None if new is None else np.tile(new, many)
    found, propensity = by_place(
        kept, starts, np.tile(pins, many), table, caps, np.tile(worth, many), uniform, chances(exploration), news
    )
    return (found % size).reshape(many, size), propensity.reshape(many, size)


WORTH = np.array([2.0, 1.5, 1.0, 0.0])


@pytest.mark.parametrize(
    "exploration",
    [
        Exploration(by="epsilon", epsilon=0.3, seed=5),
        Exploration(by="epsilon", epsilon=0.5, first=2, seed=1),
        Exploration(by="plackett_luce", temperature=0.7, seed=2),
        Exploration(by="plackett_luce", temperature=2.0, first=1, seed=3),
        Exploration(by="epsilon", epsilon=1.0, new_place=2, seed=4),
        Exploration(by="none", new_place=1, seed=4),
    ],
    ids=str,
)
@pytest.mark.parametrize("ruled", [False, True])
def test_propensities_are_the_frequencies_of_lists(exploration: Exploration, ruled: bool) -> None:
    """Chi-square over all orders of 100,000 lists, also under a cap and with a fixed place."""
    caps, values = ([(1, 2)], np.array([[0, 0, 1, -1]])) if ruled else ((), None)
    fixed = [-1, -1, -1, 2] if ruled else None
    orders, propensity = drawn_lists(exploration, WORTH, 100_000, values, caps, fixed, [False, True, True, False])
    codes = orders @ np.array([64, 16, 4, 1])
    chance = {code: propensity[place].prod() for place, code in enumerate(codes)}
    assert sum(chance.values()) == pytest.approx(1.0, abs=2e-3)
    spread = [propensity[codes == code].prod(axis=1) for code in chance]
    assert max(np.ptp(each) for each in spread) < 1e-12
    counts = np.array([np.sum(codes == code) for code in chance])
    expected = np.array([*chance.values()]) * 100_000
    often = expected >= 5
    if often.sum() > 1:
        found = stats.chisquare(counts[often], expected[often] * counts[often].sum() / expected[often].sum())
        assert found.pvalue > 1e-4
    else:
        assert counts.sum() == 100_000
    assert len(chance) <= len([*permutations(range(4))])


def test_epsilon_and_softmax_are_what_they_say() -> None:
    orders, propensity = drawn_lists(Exploration(by="epsilon", epsilon=0.4), WORTH, 2_000)
    first = orders[:, 0] == 0
    assert propensity[first, 0] == pytest.approx(0.6 + 0.1)
    assert propensity[~first, 0] == pytest.approx(0.1)
    assert propensity[:, -1] == pytest.approx(1.0)
    orders, propensity = drawn_lists(Exploration(by="plackett_luce", temperature=0.5), WORTH, 2_000)
    weights = np.exp(WORTH / 0.5)
    assert propensity[:, 0] == pytest.approx(weights[orders[:, 0]] / weights.sum())
    left = weights.sum() - weights[orders[:, 0]]
    assert propensity[:, 1] == pytest.approx(weights[orders[:, 1]] / left)
    orders, propensity = drawn_lists(Exploration(by="epsilon", epsilon=0.0), WORTH, 10)
    assert (orders == np.arange(4)).all()
    assert (propensity == 1).all()


def test_scores_far_apart_leave_nothing_to_chance_and_never_break() -> None:
    worth = np.array([1e6, 0.0, -1e6])
    orders, propensity = drawn_lists(Exploration(by="plackett_luce", temperature=1e-3), worth, 50)
    assert (orders == np.arange(3)).all()
    assert (propensity == 1).all()


def test_a_place_for_new_items_goes_to_one_of_them_all_alike() -> None:
    exploration = Exploration(by="none", new_place=3, seed=9)
    orders, propensity = drawn_lists(exploration, WORTH, 4_000, new=[False, False, True, True])
    assert set(orders[:, 2]) == {2, 3}
    assert propensity[:, 2] == pytest.approx(0.5)
    assert abs((orders[:, 2] == 3).mean() - 0.5) < 0.04
    assert (orders[:, :2] == [0, 1]).all()
    nothing, likely = drawn_lists(exploration, WORTH, 5, new=[False] * 4)
    assert (nothing == np.arange(4)).all()
    assert (likely == 1).all()


def test_fixed_items_and_caps_hold_whatever_chance_says() -> None:
    exploration = Exploration(by="epsilon", epsilon=1.0, seed=3)
    values, worth = np.array([[0, 0, 0, 1, 1, -1]]), np.arange(6.0)[::-1]
    orders, propensity = drawn_lists(exploration, worth, 3_000, values, [(1, 3)], [-1, -1, -1, -1, 1, -1])
    assert (orders[:, 1] == 4).all()
    assert (propensity[:, 1] == 1).all()
    tops = values[0][orders[:, :3]]
    assert max(np.sum(tops == 0, axis=1)) == 1
    assert max(np.sum(tops == 1, axis=1)) == 1
    assert (np.sort(orders, axis=1) == np.arange(6)).all()


def test_draws_are_of_the_request_its_moment_and_the_seed_alone() -> None:
    ids, moments = pl.Series(["a", "b", "c"]), np.array([5, 5, 9])
    whole = draws(ids, moments, np.array([3, 2, 4]), 7)
    assert np.array_equal(draws(ids[1:2], moments[1:2], np.array([2]), 7), whole[3:5])
    assert np.array_equal(draws(ids[2:], moments[2:], np.array([2]), 7), whole[5:7])
    assert not np.array_equal(draws(ids, moments, np.array([3, 2, 4]), 8), whole)
    tomorrow = draws(ids, moments + 1, np.array([3, 2, 4]), 7)
    assert not np.isin(tomorrow, whole).any()
    many = draws(pl.Series(range(20_000)), np.zeros(20_000, np.int64), np.full(20_000, 5), 0)
    nights = draws(pl.Series([7] * 20_000), np.arange(20_000) * 86_400_000_000, np.full(20_000, 5), 0)
    for drawn in (many, nights):
        assert ((drawn >= 0) & (drawn < 1)).all()
        assert stats.kstest(drawn, "uniform").pvalue > 1e-4
        assert abs(np.corrcoef(drawn[0::5], drawn[1::5])[0, 1]) < 0.03
        assert abs(np.corrcoef(drawn[0:-5:5], drawn[5::5])[0, 1]) < 0.03


def test_of_two_items_that_are_fixed_to_one_place_the_better_has_it_and_none_is_lost() -> None:
    found, _ = by_place(
        np.arange(6), np.array([0, 3, 6]), np.array([1, 1, -1, 0, -1, 0]), np.empty((0, 6), np.int64), []
    )
    assert sorted(found[:3].tolist()) == [0, 1, 2]
    assert found[1] == 0
    assert found[3:].tolist() == [3, 4, 5]
