"""Diversity against independent computations of what is sought at each place."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.arranging.diversity import JITTER, SMOOTHED, calibrated, dpp, mmr, relevance


def drawn(data: st.DataObject, size: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    seed = data.draw(st.integers(0, 10_000))
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(size, width))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[random.random(size) < 0.2] = 0
    return relevance(random.normal(size=size)), vectors


@settings(max_examples=60)
@given(st.data())
def test_marginal_relevance_is_that_of_its_definition(data: st.DataObject) -> None:
    size, weight = data.draw(st.integers(1, 12)), data.draw(st.sampled_from([0.0, 0.2, 0.5, 0.9, 1.0]))
    worth, vectors = drawn(data, size, 4)
    first = data.draw(st.integers(1, 12))
    chosen: list[int] = []
    while len(chosen) < min(first, size):
        best, gain = -1, -np.inf
        for each in range(size):
            if each in chosen:
                continue
            near = max((float(vectors[each] @ vectors[other]) for other in chosen), default=0.0)
            worthwhile = (1 - weight) * worth[each] - weight * near
            if worthwhile > gain + 1e-12:
                best, gain = each, worthwhile
        chosen.append(best)
    assert mmr(worth, vectors, weight, first) == chosen


@settings(max_examples=60)
@given(st.data())
def test_each_place_raises_the_likelihood_of_the_set_most(data: st.DataObject) -> None:
    size, weight = data.draw(st.integers(1, 9)), data.draw(st.sampled_from([0.0, 0.2, 0.5, 0.9]))
    worth, vectors = drawn(data, size, 6)
    first = data.draw(st.integers(1, 9))
    kernel = (1 - JITTER) * vectors @ vectors.T
    np.fill_diagonal(kernel, 1.0)

    def likelihood(chosen: list[int]) -> float:
        return (1 - weight) * worth[chosen].sum() + weight * np.linalg.slogdet(kernel[np.ix_(chosen, chosen)])[1]

    found = dpp(worth, vectors, weight, first)
    assert len(set(found)) == len(found) == min(first, size)
    for place in range(len(found)):
        others = [each for each in range(size) if each not in found[:place]]
        best = max(likelihood([*found[:place], each]) for each in others)
        assert likelihood(found[: place + 1]) == pytest.approx(best, abs=1e-8)


@settings(max_examples=60)
@given(st.data())
def test_calibration_seeks_what_it_says(data: st.DataObject) -> None:
    size, weight = data.draw(st.integers(1, 8)), data.draw(st.sampled_from([0.0, 0.3, 0.8, 1.0]))
    random = np.random.default_rng(data.draw(st.integers(0, 10_000)))
    worth, values = relevance(random.normal(size=size)), random.integers(-1, 3, size)
    wished = random.dirichlet([0.5, 0.5, 0.5])
    wished[random.integers(3)] = 0
    wished /= wished.sum()

    def sought(chosen: list[int]) -> float:
        shares = np.array([np.mean(values[chosen] == value) for value in range(3)])
        smooth = (1 - SMOOTHED) * shares + SMOOTHED * wished
        apart = sum(p * np.log(p / q) for p, q in zip(wished, smooth, strict=True) if p > 0)
        return (1 - weight) * worth[chosen].sum() - weight * apart

    found = calibrated(worth, values, wished, weight, size)
    assert sorted(found) == list(range(size))
    for place in range(size):
        others = [each for each in range(size) if each not in found[:place]]
        best = max(sought([*found[:place], each]) for each in others)
        assert sought(found[: place + 1]) == pytest.approx(best, abs=1e-9)


def test_no_weight_keeps_the_order_and_full_weight_takes_one_of_each() -> None:
    worth = relevance(np.array([5.0, 4.0, 3.0, 2.0, 1.0]))
    kinds = np.eye(3)[[0, 0, 0, 1, 2]]
    for fill in (mmr, dpp):
        assert fill(worth, kinds, 0.0, 5) == [0, 1, 2, 3, 4]
        assert set(fill(worth, kinds, 0.95, 3)) == {0, 3, 4}
    wished = np.array([0.5, 0.5, 0.0])
    found = calibrated(worth, np.array([0, 0, 0, 1, 2]), wished, 0.95, 4)
    assert set(found[:2]) == {0, 3}


def test_relevance_is_between_0_and_1() -> None:
    assert relevance(np.array([3.0, -1.0, 1.0])).tolist() == [1.0, 0.0, 0.5]
    assert relevance(np.array([2.0, 2.0])).tolist() == [1.0, 1.0]
    assert relevance(np.empty(0)).tolist() == []
