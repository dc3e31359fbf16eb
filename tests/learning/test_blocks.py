import numpy as np
import pytest

from recsys.learning.blocks import Outcomes, Shuffled, Updates
from recsys.vectors.coded_lists import CodedLists

LISTS = CodedLists(
    np.array([0, 2, 2, 5, 6]),
    np.array([4, -1, 0, 1, 2, 3], np.int32),
    np.array([[1, -1], [-1, -1], [0, 3], [2, 2]], np.int32),
    np.arange(8, dtype=np.float32).reshape(4, 2),
    np.array([-1, 7, -1, 8], np.int32),
)
OUTCOMES = Outcomes(
    labels=np.array([1, 0, 0, 2, 0, 1], np.float32),
    showings=np.array([1, 1, 5, 9, 2, 1], np.float32),
    popularity=np.array([-1, 2, 0, 3, 4, 5], np.float32),
)


def test_updates_hold_every_request_once_in_order() -> None:
    updates = Updates(LISTS, OUTCOMES, 1, 4, size=2, steps=3)
    assert len(updates) == 1
    assert [step.history.tolist() for step in updates[0]] == [[[-1, -1], [0, 3]], [[2, 2]]]
    assert [step.queries.tolist() for step in updates[0]] == [[7, -1], [8]]


@pytest.mark.parametrize(("steps", "expected"), [(1, [1, 1, 1, 1]), (3, [3, 1]), (4, [4]), (9, [4])])
def test_an_update_holds_neighbouring_steps(steps: int, expected: list[int]) -> None:
    updates = Updates(LISTS, OUTCOMES, 0, 4, size=1, steps=steps)
    assert [len(updates[place]) for place in range(len(updates))] == expected
    flat = [step.history[0].tolist() for place in range(len(updates)) for step in updates[place]]
    assert flat == LISTS.history.tolist()


def test_a_step_is_padded_with_no_item_no_label_and_no_showing() -> None:
    (step,) = Updates(LISTS, OUTCOMES, 0, 3, size=5, steps=1, popularity=0.5)[0]
    assert step.items.tolist() == [[4, -1, -1], [-1, -1, -1], [0, 1, 2]]
    assert step.labels.tolist() == [[1, 0, 0], [0, 0, 0], [0, 2, 0]]
    assert step.showings.tolist() == [[1, 1, 0], [0, 0, 0], [5, 9, 2]]
    assert step.given.tolist() == [[-0.5, 1, 0], [0, 0, 0], [0, 1.5, 2]]
    assert step.ages.tolist() == [[0, 1], [2, 3], [4, 5]]


def test_no_requests_make_no_updates() -> None:
    assert len(Updates(LISTS, OUTCOMES, 2, 2, size=5, steps=1)) == 0


def test_each_pass_has_an_order_of_its_own_that_only_seed_and_pass_decide() -> None:
    first, again, other = Shuffled(50, 3), Shuffled(50, 3), Shuffled(50, 4)
    orders = []
    for epoch in (0, 1):
        first.set_epoch(epoch)
        orders.append(list(first))
    again.set_epoch(1)
    assert list(again) == orders[1] != orders[0]
    assert sorted(orders[1]) == list(range(50))
    assert list(other) != orders[0]
    assert len(first) == 50
