"""How texts speak for candidates: which past clicks of the user, and which words of the text."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from recsys.past.history import read_history
from recsys.past.streams import Ints, Singles
from recsys.statistics.numbers import Floats
from recsys.vectors.user_tower import UserTower

if TYPE_CHECKING:
    from recsys.past.lookup import Asked
    from recsys.vectors.reader import Reader, TextSource

MOST_WORDS = 60
"""So many different words of a text, at most, are left out one by one; the encoder reads the text anew each time."""

_WORD = re.compile(r"\w[\w'\N{RIGHT SINGLE QUOTATION MARK}-]*")


class Spoken(NamedTuple):
    """Something that was read, and what it adds.

    Attributes
    ----------
    what
        A word, or the code of an item.
    adds
        How much higher interest, or appeal, is for it.
    """

    what: int | str
    adds: float


@dataclass(frozen=True, eq=False)
class Attended:
    """What a user read last before one moment, as interest attends to it.

    Attributes
    ----------
    items
        Codes of those of which a text is known, shape [H].
    vectors
        Of those texts, shape [H, p].
    ages
        Hours since each, shape [H].
    tower
        What attends.
    """

    items: Ints
    vectors: Singles
    ages: npt.NDArray[np.float32]
    tower: UserTower

    @classmethod
    def of(cls, reader: "Reader", asked: "Asked", request: int) -> "Attended":
        """Read the last clicks that are known to a request."""
        log, row = asked.log, asked.starts[request : request + 1]
        user, as_of = asked.rows.codes["user"][row], asked.rows.as_of[row]
        history = read_history(log, user, as_of, reader.history_length)
        texts = reader.texts_of(history.versions)[0]
        known = texts >= 0
        vectors = (
            reader.vectors.history[texts[known]] if known.any() else np.empty((0, reader.tower.length), np.float32)
        )
        return cls(history.items[0][known], vectors, history.hours[0][known], reader.tower)

    def adds(self, candidates: Singles) -> Floats:
        """Say what each click adds to the interest in C candidates, by their vectors [C, p]; shape [H, C]."""
        if not len(self.items) or not len(candidates):
            return np.empty((len(self.items), len(candidates)))
        clicked, parts = self.vectors, self.tower.parts
        history = clicked.reshape(1, len(clicked), parts, -1).transpose(0, 2, 1, 3)
        asked = candidates.reshape(1, len(candidates), parts, -1).transpose(0, 2, 3, 1)
        known = np.ones((1, len(clicked)), dtype=bool)
        similarity, attention = np.ascontiguousarray(history @ asked), self.tower.attention(clicked)[None]
        found: Floats = self.tower.interest_by_click(similarity, attention, self.ages[None], known)[0]
        return found

    def spoke_for(self, candidates: Singles, most: int) -> list[list[Spoken]]:
        """Name the items whose clicks add most to each of C candidates, by their vectors [C, p].

        Clicks on one item count together.
        """
        items, of_click = np.unique(self.items, return_inverse=True)
        together = np.zeros((len(items), len(candidates)))
        np.add.at(together, of_click, self.adds(candidates))
        order = np.argsort(-together, axis=0, kind="stable")[:most]
        return [
            [Spoken(int(items[each]), float(adds[each])) for each in chosen if adds[each] > 0]
            for chosen, adds in zip(order.T, together.T, strict=True)
        ]


def words_that_raised(
    text: str, clicked: Attended, texts: "TextSource", most: int
) -> tuple[Literal["interest", "appeal"], list[Spoken]]:
    """Name the words of a text without which it would be of less interest.

    Each of the first `MOST_WORDS` different words is left out wherever it stands, and the text is read anew (Li, Monroe
    and Jurafsky 2016, "Understanding neural networks through representation erasure").

    Returns
    -------
    What the words raise, interest, or appeal where no click of the user is known; and the words that raise it most.

    Raises
    ------
    ModelError
        When the encoder cannot be loaded.
    """
    words = list(dict.fromkeys(found[0] for found in _WORD.finditer(text)))[:MOST_WORDS]
    raised: Literal["interest", "appeal"] = "interest" if len(clicked.items) else "appeal"
    if not words:
        return raised, []
    read = texts.encode([text, *(_without(text, word) for word in words)])
    worth = clicked.adds(read.candidate).sum(axis=0) if raised == "interest" else read.appeal.astype(np.float64)
    adds = worth[0] - worth[1:]
    return raised, [Spoken(words[each], float(adds[each])) for each in _largest(adds, most)]


def _without(text: str, word: str) -> str:
    return " ".join(_WORD.sub(lambda found: "" if found[0] == word else found[0], text).split())


def _largest(adds: Floats, most: int) -> Sequence[int]:
    chosen = np.argsort(-adds, kind="stable")[:most]
    return [int(each) for each in chosen if adds[each] > 0]
