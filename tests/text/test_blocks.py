import numpy as np

from recsys.text.blocks import Blocks
from recsys.text.lists import Lists

LISTS = Lists(
    np.array([0, 2, 2, 5, 6]),
    np.array([4, -1, 0, 1, 2, 3], np.int32),
    np.array([[1, -1], [-1, -1], [0, 3], [2, 2]], np.int32),
    np.arange(8, dtype=np.float32).reshape(4, 2),
)
LABELS = np.array([1, 0, 0, 2, 0, 1], np.float32)


def test_blocks_hold_every_request_once_in_order() -> None:
    blocks = Blocks(LISTS, LABELS, 1, 4, 2)
    assert len(blocks) == 2
    assert [block.history.tolist() for block in (blocks[0], blocks[1])] == [[[-1, -1], [0, 3]], [[2, 2]]]


def test_a_block_is_padded_with_no_item_and_no_label() -> None:
    block = Blocks(LISTS, LABELS, 0, 3, 5)[0]
    assert block.items.tolist() == [[4, -1, -1], [-1, -1, -1], [0, 1, 2]]
    assert block.labels.tolist() == [[1, 0, 0], [0, 0, 0], [0, 2, 0]]
    assert block.ages.tolist() == [[0, 1], [2, 3], [4, 5]]


def test_no_requests_make_no_blocks() -> None:
    assert len(Blocks(LISTS, LABELS, 2, 2, 5)) == 0
