import json
from datetime import timedelta

import numpy as np
import pytest

from recsys.sources.merging import EVEN, Merging, Ranked, merge
from recsys.sources.settings import SOURCES

DAY = timedelta(days=1)


class Items:
    """A log of ten items whose ids stand in the order of their codes."""

    def __init__(self):
        self.items, self.order = self, np.arange(10)

    def __len__(self):
        return 10


def ranked(*lists):
    """Per request the item codes of a list, best first."""
    rows = [(which, item, place) for which, items in enumerate(lists) for place, item in enumerate(items, 1)]
    return Ranked(*(np.array([row[place] for row in rows], dtype=np.int64) for place in range(3)))


def test_what_stands_near_the_top_of_several_sources_comes_first():
    found = merge({"popular": ranked([0, 1, 2], [3]), "recent": ranked([2, 1], [4, 5])}, Items(), 3)
    assert found.requests.tolist() == [0, 0, 0, 1, 1, 1]
    assert found.items.tolist() == [2, 1, 0, 3, 4, 5]  # equal ones by their ids
    assert found.places.tolist() == [1, 2, 3, 1, 2, 3]
    assert merge({"popular": ranked([0, 1, 2], [3])}, Items(), 1).items.tolist() == [0, 3]


def test_only_so_many_of_each_source_count():
    deep = {"popular": ranked([0, 1, 2]), "recent": ranked([7, 8, 1])}
    assert (
        merge(deep, Items(), 2).items.tolist()
        == merge({"popular": ranked([0, 1]), "recent": ranked([7, 8])}, Items(), 2).items.tolist()
    )


def test_a_source_whose_finds_are_chosen_more_often_comes_first():
    lists = {"popular": ranked(*[[0, 1, 2, 3]] * 50), "recent": ranked(*[[4, 5, 6, 7]] * 50)}
    choices = (np.arange(50), np.array([4] * 30 + [5] * 10 + [0] * 10))
    learnt = Merging.learn(lists, choices, 10, 10.0)
    assert learnt.rates["recent"][0] == pytest.approx(0.6, abs=0.08)
    assert learnt.rates["recent"][1] == pytest.approx(0.1, abs=0.03)  # ten times of two places in fifty lists
    for rates in learnt.rates.values():
        assert (rates > 0).all()
        assert (np.diff(rates) <= 0).all()
    found = merge(
        {name: Ranked(*(each[of.requests == 0] for each in of)) for name, of in lists.items()}, Items(), 10, learnt
    )
    assert found.items.tolist()[:2] == [4, 5]
    assert set(found.items) == set(range(8))


@pytest.mark.parametrize("merging", [EVEN, Merging({name: np.linspace(0.5, 0.01, 14) for name in SOURCES})])
def test_worth_falls_with_every_place(merging):
    places = np.arange(1, 10_001)
    for name in SOURCES:
        worth = merging.worth(name, places)
        assert (np.diff(worth) <= 0).all()
        assert worth[-1] > 0


def test_nothing_found_teaches_and_merges_nothing():
    learnt = Merging.learn({"popular": ranked([])}, (np.array([0]), np.array([1])), 10, 10.0)
    assert ((learnt.rates["popular"] > 0) & (learnt.rates["popular"] <= 1)).all()
    assert merge({"popular": ranked([])}, Items(), 3, learnt).items.tolist() == []


@pytest.mark.parametrize("half_life", [None, DAY])
def test_what_was_learnt_is_read_as_it_was_written(half_life):
    found, choices = {"popular": ranked([0, 1, 2])}, (np.array([0]), np.array([1]))
    learnt = Merging.learn(found, choices, 10, 10.0, half_life)
    again = Merging.from_json(json.loads(json.dumps(learnt.to_json())), ("popular",), (DAY,))
    assert again.half_life == half_life
    assert again.rates["popular"].tolist() == learnt.rates["popular"].tolist()


@pytest.mark.parametrize(
    "content",
    [
        {},
        [],
        {"rates": {"popular": [0.5] * 14}},
        {"rates": {"popular": [0.5] * 14}, "half_life": "2d"},
        {"rates": {"popular": [0.5] * 14}, "half_life": 1},
        *(
            {"half_life": None, "rates": rates}
            for rates in (
                None,
                {"popular": [0.5] * 13},
                {"popular": [0.1, *[0.5] * 13]},
                {"popular": [1.5] * 14},
                {"popular": [float("nan")] * 14},
                {"popular": "x"},
                {"recent": [0.5] * 14},
            )
        ),
    ],
)
def test_anything_else_is_refused(content):
    with pytest.raises((KeyError, TypeError, ValueError)):
        Merging.from_json(content, ("popular",), (DAY,))
