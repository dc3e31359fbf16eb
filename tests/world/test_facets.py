from collections import Counter

from recsys.world.facets import FACETS, GROUPS


def test_facet_names_do_not_repeat_and_groups_are_known():
    assert len({facet.name for facet in FACETS}) == len(FACETS)
    assert {facet.group for facet in FACETS} == set(GROUPS)


def test_every_facet_is_said_in_several_ways():
    assert all(min(len(facet.titles), len(facet.sentences)) >= 4 for facet in FACETS)


def test_no_phrase_stands_for_two_facets():
    phrases = Counter(phrase for facet in FACETS for phrase in (*facet.titles, *facet.sentences))
    assert max(phrases.values()) == 1


def test_only_formats_leave_room_for_a_thing_and_exactly_once():
    for facet in FACETS:
        room = {phrase.count("{}") for phrase in (*facet.titles, *facet.sentences)}
        assert room == ({1} if facet.group == "format" else {0})


SMALL_WORDS = """a an and are as at by each every for from has have in is it its life not of on or our out
report that the their this to up was we what who will with your you years {} {}: {}."""


def test_no_word_beyond_the_small_ones_gives_a_facet_away():
    for facet in FACETS:
        phrases = (*facet.titles, *facet.sentences)
        words = Counter(
            word for phrase in phrases for word in set(phrase.lower().strip(".?").split()) - set(SMALL_WORDS.split())
        )
        assert max(words.values()) <= len(phrases) / 2, facet.name
