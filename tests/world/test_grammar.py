import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.world.facets import FACETS, GROUPS, Facet
from recsys.world.grammar import compose, title_case
from recsys.world.topics import TOPICS

THINGS = [things for topics in TOPICS.values() for things in topics.values()]


def members(group: str) -> list[Facet]:
    return [facet for facet in FACETS if facet.group == group]


@st.composite
def shown(draw: st.DrawFn) -> tuple[Facet, ...]:
    optional = [draw(st.one_of(st.none(), st.sampled_from(members(group)))) for group in list(GROUPS)[1:]]
    return (draw(st.sampled_from(members("format"))), *(facet for facet in optional if facet is not None))


def says(facet: Facet, title: str, description: str) -> bool:
    """Whether one of the phrases of the facet stands in the text, whatever thing it is about."""
    for phrases, text in ((facet.titles, title.lower()), (facet.sentences, description.lower())):
        for phrase in phrases:
            start, _, end = phrase.lower().partition("{}")
            if start in text and end in text[text.index(start) + len(start) :]:
                return True
    return False


@given(st.sampled_from(THINGS), shown(), st.integers(0, 2**32))
def test_every_text_has_its_length_and_says_every_facet(things, facets, seed):
    title, description = compose(things, facets, np.random.default_rng(seed))
    assert 5 <= len(title.split()) <= 12
    assert 12 <= len(description.split()) <= 25
    assert all(says(facet, title, description) for facet in facets)
    assert sum(thing in title.lower() for thing in things) == 1
    assert any(thing in description.lower() for thing in things)
    assert "{}" not in title + description


def test_same_seed_gives_the_same_text():
    facets = (members("format")[0], members("tone")[0])
    first, second = (compose(THINGS[0], facets, np.random.default_rng(5)) for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    ("plain", "titled"),
    [
        ("the best of pie crusts by the fireside, ranked", "The Best of Pie Crusts by the Fireside, Ranked"),
        ("night trains: the simple method", "Night Trains: The Simple Method"),
        ("'i owe it to jazz', he says", "'I Owe It to Jazz', He Says"),
    ],
)
def test_headlines_are_written_with_capitals(plain, titled):
    assert title_case(plain) == titled
