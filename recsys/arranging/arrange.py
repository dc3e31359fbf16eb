"""Rules put into effect: from scored candidates to the lists that people see."""

from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from recsys.arranging import diversity
from recsys.arranging.placing import chances, draws, placed
from recsys.arranging.rules import are_new, boosts_of, capped, fixed_places, left_out, numbered, texts_of, told
from recsys.arranging.settings import Diversity, Exploration, RuleSettings
from recsys.past.clicks import READ
from recsys.past.history import read_history
from recsys.past.lookup import Asked
from recsys.past.streams import Flags, Ints
from recsys.statistics.numbers import Floats

if TYPE_CHECKING:
    from recsys.vectors.reader import Reader


class Arranged(NamedTuple):
    """Lists under rules.

    Attributes
    ----------
    rows
        Rows of the candidates that stay, by request and place, shape [K].
    lengths
        How many each request has, shape [R].
    propensity
        How likely each stands at its place given those above it, shape [K]; None where nothing is left to chance.
    """

    rows: Ints
    lengths: Ints
    propensity: Floats | None


def arranged(
    asked: Asked, scores: Floats, order: Callable[[Floats], Ints], rules: RuleSettings, reader: "Reader"
) -> Arranged:
    """Put scored candidates under rules.

    Parameters
    ----------
    asked
        The candidates, Q of them.
    scores
        Their scores, shape [Q].
    order
        Orders rows by request and then from the best score to the worst, shape [Q].
    rules
        The rules.
    reader
        Knows what texts are alike.
    """
    worth = scores + boosts_of(asked, rules)
    by_worth, stays = order(worth), ~left_out(asked, rules)
    kept = by_worth[stays[by_worth]]
    of_row = np.repeat(np.arange(len(asked.lengths)), asked.lengths)
    lengths = np.bincount(of_row[kept], minlength=len(asked.lengths)).astype(np.int64)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    if rules.diversity is not None and rules.diversity.weight > 0:
        kept = diversified(asked, kept, starts, worth, rules.diversity, reader)
    fixed, (values, caps), exploration = fixed_places(asked, rules), capped(asked, rules), rules.exploration
    if exploration is None and not (len(caps) or (fixed >= 0).any()):
        return Arranged(kept, lengths, None)
    drawn = np.zeros(len(kept))
    if exploration is not None:
        first = asked.starts[:-1]
        requests, as_of = asked.candidates["request_id"].gather(first), asked.rows.as_of[first]
        drawn = draws(requests, as_of, lengths, exploration.seed)
    marks = np.stack([fixed, _new(asked, exploration).astype(np.int64)])
    rows, propensity = placed(kept, starts, marks, values, caps, worth, drawn, chances(exploration))
    return Arranged(rows, lengths, None if exploration is None else propensity)


def _new(asked: Asked, exploration: Exploration | None) -> Flags:
    """Say which candidates are new, where a place is kept for such."""
    if exploration is None or exploration.new_place is None:
        return np.zeros(len(asked.candidates), dtype=bool)
    return are_new(asked, exploration.new_within.total_seconds() / 3_600)


def diversified(asked: Asked, kept: Ints, starts: Ints, worth: Floats, settings: Diversity, reader: "Reader") -> Ints:
    """Fill the first places of each list for diversity; the others follow in their order, shape [K]."""
    found = kept.copy()
    values, liked = _values(asked, settings) if settings.over != "text" else (kept, np.empty((len(starts) - 1, 0)))
    for request, (start, end) in enumerate(pairwise(starts.tolist())):
        among = kept[start : min(end, start + settings.among)]
        if len(among) < 2:
            continue
        good = diversity.relevance(worth[among])
        if settings.by == "calibrated":
            clicked = liked[request][liked[request] >= 0]
            if not len(clicked):
                continue  # nobody knows what this user likes
            own, codes = np.unique(np.concatenate([values[among], clicked]), return_inverse=True)
            codes -= int(own[0] < 0)  # what has no value stays -1
            wished = np.bincount(codes[len(among) :], minlength=int(codes.max()) + 1) / len(clicked)
            chosen = diversity.calibrated(good, codes[: len(among)], wished, settings.weight, settings.first)
        else:
            fill = diversity.mmr if settings.by == "mmr" else diversity.dpp
            like = _vectors(asked, among, reader) if settings.over == "text" else _one_of(values[among])
            chosen = fill(good, like, settings.weight, settings.first)
        rest = np.delete(np.arange(len(among)), chosen)
        found[start : start + len(among)] = among[np.concatenate([np.array(chosen, dtype=np.int64), rest])]
    return found


def _vectors(asked: Asked, rows: Ints, reader: "Reader") -> npt.NDArray[np.float64]:
    """Give the vectors of some candidates, 0 where no text is known."""
    places = reader.texts_of(asked.lookup.items[rows])
    found = np.zeros((len(rows), reader.vectors.candidate.shape[1]))
    known = places >= 0
    if known.any():
        found[known] = reader.vectors.candidate[places[known]]
    return found


def _one_of(values: Ints) -> npt.NDArray[np.float64]:
    """Write values as vectors: alike where they are the same, 0 where there is none."""
    own, codes = np.unique(values, return_inverse=True)
    return np.eye(len(own))[codes] * (values >= 0)[:, None]


def _values(asked: Asked, settings: Diversity) -> tuple[Ints, Ints]:
    """Give each value of an attribute a number, -1 where there is none.

    Returns
    -------
    The number of each candidate, shape [Q], and of what each request's user clicked last, shape [R, H].
    """
    first, known = asked.starts[:-1], dict[str, int]()
    clicked = np.empty((len(first), 0), dtype=np.int64)
    if settings.by == "calibrated":  # of no more clicks than every state keeps
        users, as_of = asked.rows.codes["user"][first], asked.rows.as_of[first]
        clicked = read_history(asked.log, users, as_of, READ).versions
    column = asked.log.behaviour.items.get_column(settings.over)
    versions, of_click = np.unique(clicked, return_inverse=True)
    own, read = (numbered(texts, known) for texts in (texts_of(asked, settings.over), told(column, versions)))
    return own, read[of_click].reshape(clicked.shape)
