"""Titles and descriptions composed from a thing to write about and the facets to show."""

import numpy as np

from recsys.world.facets import Facet

TITLE_WORDS = (5, 12)
DESCRIPTION_WORDS = (12, 25)
"""Fewest and most words; short, because an encoder pays by the word piece."""

_SMALL = frozenset(("a", "an", "and", "at", "by", "for", "in", "of", "on", "or", "the", "to"))
_FILLERS = (
    "More on {} inside.",
    "There is also a word on {}.",
    "And then there is the matter of {}.",
    "See also our page on {}.",
    "Read on for {}.",
    "Later on we turn to {}.",
)


def compose(things: tuple[str, ...], facets: tuple[Facet, ...], rng: np.random.Generator) -> tuple[str, str]:
    """Write the title and the description of one item.

    Parameters
    ----------
    things
        At least four things of its topic; one is the subject of the title, others are named in the description.
    facets
        Its facets, the first of the group `format`. Every one of them shows in the title or in the description.
    rng
        Chooses the words.

    Returns
    -------
    A title of 5 to 12 words and a description of 12 to 25 words.
    """
    while True:
        title, description = _draft(things, facets, rng)
        if _fits(title, TITLE_WORDS) and _fits(description, DESCRIPTION_WORDS):
            return title_case(title), description


def title_case(text: str) -> str:
    """Write a headline with capitals, small words excepted.

    Examples
    --------
    >>> title_case("pie crusts by the fireside: a step-by-step guide")
    'Pie Crusts by the Fireside: A Step-by-step Guide'
    """
    words = text.split()
    starts = [True, *(word.endswith((":", "?")) for word in words)]
    return " ".join(
        _capital(word) if start or word not in _SMALL else word for word, start in zip(words, starts, strict=False)
    )


def _draft(things: tuple[str, ...], facets: tuple[Facet, ...], rng: np.random.Generator) -> tuple[str, str]:
    subject, *others = (things[place] for place in rng.permutation(len(things)))
    form = facets[0]
    rest = [facets[1 + place] for place in rng.permutation(len(facets) - 1)]
    if rest and rng.random() < 0.75:
        subject = f"{subject} {_pick(rest.pop().titles, rng)}"
    title = _pick(form.titles, rng).format(subject)
    opening = _pick(form.sentences, rng).format(others[0])
    description = " ".join([_capital(opening), *(_pick(facet.sentences, rng) for facet in rest)])
    for thing in others[1:3]:
        if len(description.split()) < DESCRIPTION_WORDS[0]:
            description += " " + _pick(_FILLERS, rng).format(thing)
    return title, description


def _fits(text: str, words: tuple[int, int]) -> bool:
    return words[0] <= len(text.split()) <= words[1]


def _capital(word: str) -> str:
    """Make the first letter a capital, an opening quotation mark left alone."""
    place = int(word.startswith(("'", '"')))
    return word[:place] + word[place : place + 1].upper() + word[place + 1 :]


def _pick(options: tuple[str, ...], rng: np.random.Generator) -> str:
    return options[int(rng.integers(len(options)))]
