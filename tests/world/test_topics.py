from recsys.world.topics import TOPICS


def test_there_are_eight_categories_of_five_topics():
    assert [len(topics) for topics in TOPICS.values()] == [5] * 8


def test_topic_names_do_not_repeat():
    names = [topic for topics in TOPICS.values() for topic in topics]
    assert len(set(names)) == len(names)


def test_things_have_a_few_words_and_belong_to_one_topic():
    things = [thing for topics in TOPICS.values() for things in topics.values() for thing in things]
    assert len(set(things)) == len(things)
    assert all(2 <= len(thing.split()) <= 4 for thing in things)
