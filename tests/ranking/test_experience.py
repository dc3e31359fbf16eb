import numpy as np
import pytest

from recsys.ranking.experience import Experience

KNOWN = Experience(("drawn", "found"), 5, 41, 0.25)


def unlike(lengths: list[int], unseen: list[float], by_length: bool = True, known: Experience = KNOWN):
    return known.unlike(np.array(lengths), np.array(unseen), by_length)


def test_lists_have_in_common_what_lies_between_their_extremes() -> None:
    found = Experience.of("logged", np.array([3, 9, 4]), np.array([0.0, 0.5, 0.1]))
    assert found == Experience(("logged",), 3, 9, 0.5)
    assert found.joined(KNOWN) == KNOWN.joined(found) == Experience(("logged", "drawn", "found"), 3, 41, 0.5)
    assert found.joined(None) == found
    assert Experience.of("logged", np.array([], dtype=int), np.array([])) is None


def test_a_list_is_unlike_by_its_length_where_features_change_with_it() -> None:
    assert unlike([4, 5, 41, 42], [0.0] * 4) == ["length", None, None, "length"]
    assert unlike([4, 5, 41, 42], [0.0] * 4, by_length=False) == [None] * 4


def test_a_list_of_more_new_items_than_ever_is_unlike() -> None:
    assert unlike([10, 10, 50], [0.25, 0.26, 0.26]) == [None, "unseen items", "length, unseen items"]


def test_every_list_is_unlike_those_that_were_drawn_alone() -> None:
    drawn = Experience(("drawn",), 11, 11, 1.0)
    assert unlike([11, 12], [0.0, 0.0], known=drawn) == ["drawn lists alone", "length, drawn lists alone"]


def test_it_is_told_in_words() -> None:
    assert KNOWN.in_words() == (
        "lists (drawn, found) of 5 to 41 candidates, up to 25 % of them of items that nobody had seen"
    )


def test_what_is_written_reads_the_same() -> None:
    assert Experience.from_json(KNOWN.to_json()) == KNOWN


@pytest.mark.parametrize(
    "wrong",
    [
        {"kinds": []},
        {"kinds": ["stolen"]},
        {"shortest": 0},
        {"shortest": 42},
        {"longest": 41.5},
        {"longest": True},
        {"unseen": 1.5},
        {"unseen": float("nan")},
        {"unseen": "half"},
        {"more": 1},
    ],
)
def test_anything_else_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises((ValueError, TypeError)):
        Experience.from_json(KNOWN.to_json() | wrong)


def test_what_is_missing_is_refused() -> None:
    with pytest.raises(KeyError):
        Experience.from_json({"kinds": ["logged"]})
