import math

import numpy as np
import pytest

from recsys.evaluation.field_lists import OF_FIELD, Choices, OrderedItems, judge_lists


def listed(*lists):
    rows = [(which, item, -place) for which, items in enumerate(lists) for place, item in enumerate(items)]
    requests, items, scores = (np.array([row[place] for row in rows]) for place in range(3))
    return OrderedItems(requests.astype(np.int64), items.astype(np.int64), scores.astype(np.float64))


CHOICES = Choices(np.array([0, 0, 1, 2]), np.array([5, 7, 1, 3]), np.array([0, 1, 1]))


def test_a_choice_that_a_list_lacks_earns_nothing_and_a_list_of_nothing_is_a_list():
    table = judge_lists({"one": listed([5, 6], [2, 1])}, CHOICES, 0)["one"]
    assert table["recall@10"].mean == pytest.approx((0.5 + 1 + 0) / 3)
    assert table["hit@10"].mean == pytest.approx(2 / 3)
    first = 1 / (1 + 1 / math.log2(3))
    assert table["nDCG@10"].mean == pytest.approx((first + 1 / math.log2(3) + 0) / 3)
    assert set(table) == {str(measure) for measure in OF_FIELD}


def test_recall_counts_the_first_places_alone():
    long = [100 + item for item in range(60)]
    table = judge_lists({"one": listed([*long[:49], 5, *long[49:], 7], [1], [*long, 3])}, CHOICES, 0)["one"]
    assert table["recall@50"].mean == pytest.approx((0.5 + 1 + 0) / 3)
    assert table["recall@100"].mean == pytest.approx(1)


def test_differences_are_paired_by_list_and_taken_from_the_product():
    systems = {"both": listed([5, 7], [1], [3]), "popularity": listed([7, 5], [2], [3])}
    table = judge_lists(systems, CHOICES, 0, "both")
    assert list(table) == ["both", "popularity", "both-popularity"]
    assert table["both-popularity"]["hit@10"].mean == pytest.approx(1 / 3)
    assert table["both-popularity"]["nDCG@10"].mean == pytest.approx(1 / 3)
    assert "both-popularity" not in judge_lists(systems, CHOICES, 0)
