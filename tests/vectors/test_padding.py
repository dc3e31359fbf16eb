import doctest

import numpy as np

from recsys.vectors import padding
from recsys.vectors.padding import pad, similar_blocks

STARTS = np.array([0, 2, 2, 5])


def test_pad_lays_elements_out_in_the_order_asked_for() -> None:
    places, present = pad(STARTS, np.array([2, 1, 0]))
    assert places[present].tolist() == [2, 3, 4, 0, 1]
    assert present.tolist() == [[True] * 3, [False] * 3, [True, True, False]]


def test_pad_of_nothing_is_empty() -> None:
    assert pad(STARTS, np.zeros(0, np.int64))[0].shape == (0, 0)


def test_blocks_hold_every_list_once_and_keep_to_the_size() -> None:
    lengths = np.random.default_rng(0).integers(0, 40, 200)
    blocks = list(similar_blocks(lengths, 100))
    assert sorted(np.concatenate(blocks).tolist()) == list(range(200))
    for block in blocks:
        assert len(block) == 1 or len(block) * lengths[block].max() <= 100
    assert sum(len(block) * lengths[block].max() for block in blocks) < 1.2 * lengths.sum()


def test_a_list_longer_than_a_block_has_one_of_its_own() -> None:
    assert [block.tolist() for block in similar_blocks(np.array([50, 50]), 10)] == [[0], [1]]
    assert list(similar_blocks(np.empty(0, np.int64), 10)) == []


def test_documented_examples_hold() -> None:
    assert doctest.testmod(padding).failed == 0
