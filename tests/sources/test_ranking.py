import numpy as np

from recsys.sources import ranking
from recsys.sources.ranking import Asking
from recsys.sources.settings import SOURCES
from recsys.vectors.encoded import round_to_grid


class Items:
    """What is asked of a log of four items."""

    def __init__(self, out):
        self.register, self.items = self, self
        self.out_at = np.array(out)

    def __len__(self):
        return len(self.out_at)


def asking(out, taken, moments):
    empty = np.empty((len(moments), 0), dtype=np.int64)
    users = np.arange(len(moments))
    at = np.array(moments)
    return Asking(Items(out), None, None, None, users, at, at, (empty,) * 3, np.array(taken, np.int64))


def test_only_items_that_are_out_and_not_taken_fit():
    some = asking([np.nan, 5.0, 9.0, np.inf], [0, 6], [7, 9])
    users, items = np.repeat([0, 1], 5), np.tile([0, 1, 2, 3, -1], 2)
    assert some.fits(users, items).tolist() == [False, True, False, False, False, True, True, False, False, False]
    assert some.most_taken == 1
    assert asking([np.nan], [], [7]).most_taken == 0


def test_the_first_that_fit_are_kept_and_numbered():
    some = asking([np.nan, 5.0, 9.0, np.nan], [0, 6], [7, 9])
    found = some.wide(np.array([[0, 1, 2, 3], [3, 2, 1, 0]]), 2)
    assert found.requests.tolist() == [0, 0, 1, 1]
    assert found.items.tolist() == [1, 3, 3, 1]
    assert found.places.tolist() == [1, 2, 1, 2]
    assert [len(each) for each in some.wide(np.empty((2, 0), dtype=np.int64), 2)] == [0, 0, 0]


def test_every_source_has_a_way_to_rank_the_field():
    assert set(ranking._SOURCES) == set(SOURCES)


def test_sums_of_vectors_are_multiplied_exactly_in_single_precision():
    random = np.random.default_rng(0)
    drawn = random.normal(size=(60, 384))
    vectors = round_to_grid(drawn / np.linalg.norm(drawn, axis=1, keepdims=True))
    clicked = np.array([vectors[random.integers(3, size=20)].astype(np.float64).sum(axis=0) for _ in range(5)])
    rows = random.permutation(60)[:40]
    found = ranking._exact_products(clicked, vectors, rows)
    assert np.array_equal(found, clicked @ vectors[rows].astype(np.float64).T)
    assert not np.array_equal(found, (clicked.astype(np.float32) @ vectors[rows].T).astype(np.float64))
