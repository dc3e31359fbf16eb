"""Which clicks and words speak: against the signals that the ranker reads, and a reader of known answers."""

from pathlib import Path

import numpy as np
import pytest

from recsys.explaining.reading import MOST_WORDS, Attended, words_that_raised
from recsys.model.ready import Ready
from recsys.vectors.encoded import Encoded
from recsys.vectors.user_tower import UserTower

TOWER = UserTower(np.zeros((1, 2)), np.zeros(1), np.zeros(1), np.ones(1), np.ones(1))


class Counting:
    """Reads of a text how often it says sea and sun; each says what it appeals, too."""

    def __init__(self) -> None:
        self.read: list[str] = []

    def encode(self, texts) -> Encoded:
        self.read += texts
        vectors = np.array([[text.count("sea"), text.count("sun")] for text in texts], np.float32)
        return Encoded(vectors, vectors, vectors.sum(axis=1))

    def encode_lexically(self, texts):
        raise AssertionError("nobody asks for this")


def clicked(*vectors: tuple[float, float]) -> Attended:
    found = np.array(vectors, np.float32).reshape(len(vectors), 2)
    return Attended(np.arange(len(vectors)), found, np.zeros(len(vectors), np.float32), TOWER)


def test_what_clicks_add_is_the_interest_that_the_ranker_reads(line) -> None:
    ready = Ready.load(line.model, Path(line.model) / "state")
    asked = ready.ask(line.candidates(20))
    signals = ready.reader.signals(asked.log, asked.rows, asked.starts)
    texts = ready.reader.texts_of(asked.lookup.items)
    request, read = np.repeat(np.arange(len(asked.lengths)), asked.lengths), 0
    for row, which in enumerate(request.tolist()):
        own = Attended.of(ready.reader, asked, which)
        if not len(own.items) or texts[row] < 0:
            continue
        adds = own.adds(ready.reader.vectors.candidate[texts[row : row + 1]])
        assert adds.sum() == pytest.approx(signals.interest[row], abs=1e-6)
        read += 1
    assert read > 20


def test_clicks_on_one_item_count_together_and_what_speaks_against_is_not_named() -> None:
    history = Attended(
        np.array([7, 8, 7, 9]),
        np.array([[1, 0], [1, 0], [1, 0], [-1, 0]], np.float32),
        np.zeros(4, np.float32),
        TOWER,
    )
    named, against = history.spoke_for(np.array([[1, 0], [-1, 0]], np.float32), 3)
    assert [spoken.what for spoken in named] == [7, 8]
    assert [spoken.adds for spoken in named] == pytest.approx([0.5, 0.25])
    assert [spoken.what for spoken in against] == [9]
    assert history.spoke_for(np.array([[1, 0]], np.float32), 1) == [named[:1]]
    assert clicked().spoke_for(np.array([[1, 0]], np.float32), 3) == [[]]


def test_words_that_raise_interest_are_named_wherever_they_stand() -> None:
    texts = Counting()
    raised, words = words_that_raised("sea, sun and the sea", clicked((1, 0)), texts, 3)
    assert (raised, [(word.what, word.adds) for word in words]) == ("interest", [("sea", 2.0)])
    assert texts.read == [
        "sea, sun and the sea",
        ", sun and the",
        "sea, and the sea",
        "sea, sun the sea",
        "sea, sun and sea",
    ]
    raised, words = words_that_raised("sea and sun", clicked(), Counting(), 1)
    assert (raised, [word.what for word in words]) == ("appeal", ["sea"])
    assert words_that_raised("...", clicked((1, 0)), Counting(), 3) == ("interest", [])


def test_a_hostile_text_is_read_a_bounded_number_of_times() -> None:
    texts = Counting()
    words_that_raised(" ".join(f"w{number}" for number in range(5_000)), clicked((1, 0)), texts, 3)
    assert len(texts.read) == MOST_WORDS + 1
