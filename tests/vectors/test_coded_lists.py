import numpy as np
import pytest

from recsys.errors import DataError
from recsys.vectors.coded_lists import CodedLists


def lists(**changes: object) -> CodedLists:
    arrays: dict[str, object] = {
        "starts": np.array([0, 2, 2, 5]),
        "items": np.array([4, -1, 0, 1, 2], np.int32),
        "history": np.array([[1, -1], [-1, -1], [0, 3]], np.int32),
        "ages": np.array([[1, 0], [0, 0], [2, 30]], np.float32),
    }
    return CodedLists(**arrays | changes)  # type: ignore[arg-type]


def test_counts_requests_and_candidates() -> None:
    assert len(lists()) == 3
    assert lists().lengths.tolist() == [2, 0, 3]


def test_block_starts_at_zero_and_keeps_rows_together() -> None:
    block = lists().block(1, 3)
    assert block.starts.tolist() == [0, 0, 3]
    assert block.items.tolist() == [0, 1, 2]
    assert block.history.tolist() == [[-1, -1], [0, 3]]
    assert block.ages.tolist() == [[0, 0], [2, 30]]


def test_lists_may_be_empty() -> None:
    empty = CodedLists(
        np.zeros(1, np.int64), np.zeros(0, np.int32), np.zeros((0, 3), np.int32), np.zeros((0, 3), np.float32)
    )
    assert len(empty) == 0


@pytest.mark.parametrize("starts", [[], [1, 5], [0, 3, 2, 5], [[0, 5]]])
def test_refuses_offsets_that_fall(starts: list[int]) -> None:
    with pytest.raises(DataError, match="starts must hold R \\+ 1 offsets"):
        lists(starts=np.array(starts, np.int64))


def test_refuses_offsets_that_miss_candidates() -> None:
    with pytest.raises(DataError, match=r"starts ends at 4 but items has the shape \(5,\)"):
        lists(starts=np.array([0, 2, 2, 4]))


def test_refuses_history_of_another_size() -> None:
    with pytest.raises(DataError, match=r"history \(2, 2\) and ages \(3, 2\) must both have the shape \[3 requests"):
        lists(history=np.zeros((2, 2), np.int32))


@pytest.mark.parametrize("age", [-0.5, np.nan])
def test_refuses_clicks_from_the_future(age: float) -> None:
    ages = np.array([[age, 0], [0, 0], [2, 30]], np.float32)
    with pytest.raises(DataError, match="clicks lie before as_of"):
        lists(ages=ages)


def test_ages_of_no_click_are_not_read() -> None:
    assert len(lists(ages=np.array([[1, -9], [np.nan, 0], [2, 30]], np.float32))) == 3
