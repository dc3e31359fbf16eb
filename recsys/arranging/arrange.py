"""Rules put into effect: from scored candidates to the lists that people see."""

from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.arranging import diversity
from recsys.arranging.placing import chances, draws, placed
from recsys.arranging.rules import are_new, as_texts, boosts_of, capped, fixed_places, left_out, texts_of
from recsys.arranging.settings import Diversity, RuleSettings
from recsys.past.history import read_history
from recsys.past.lookup import Asked
from recsys.past.streams import Flags, Ints, pick
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
    drawn, new = np.zeros(len(kept)), np.zeros(len(fixed), dtype=bool)
    if exploration is not None:
        requests = asked.candidates["request_id"].gather(asked.starts[:-1])
        drawn, new = draws(requests, lengths, exploration.seed), _new(asked, rules)
    marks = np.stack([fixed, new.astype(np.int64)])
    rows, propensity = placed(kept, starts, marks, values, caps, worth, drawn, chances(exploration))
    return Arranged(rows, lengths, None if exploration is None else propensity)


def _new(asked: Asked, rules: RuleSettings) -> Flags:
    """Say which candidates are new, where a place is kept for such."""
    exploration = rules.exploration
    if exploration is None or exploration.new_place is None:
        return np.zeros(len(asked.candidates), dtype=bool)
    return are_new(asked, exploration.new_within.total_seconds() / 3_600)


def diversified(asked: Asked, kept: Ints, starts: Ints, worth: Floats, settings: Diversity, reader: "Reader") -> Ints:
    """Fill the first places of each list for diversity; the others follow in their order, shape [K]."""
    found = kept.copy()
    values = np.empty(0, np.int64) if settings.over == "text" else _codes(asked, settings.over)
    wished = _wished(asked, settings) if settings.by == "calibrated" else None
    for request, (start, end) in enumerate(pairwise(starts.tolist())):
        among = kept[start : min(end, start + settings.among)]
        if len(among) < 2:
            continue
        good = diversity.relevance(worth[among])
        if wished is not None:
            liked = wished[request]
            if liked is None:
                continue  # nobody knows what this user likes
            chosen = diversity.calibrated(good, values[among], liked, settings.weight, settings.first)
        else:
            fill = diversity.mmr if settings.by == "mmr" else diversity.dpp
            like = _vectors(asked, among, reader) if settings.over == "text" else _one_of(values[among])
            chosen = fill(good, like, settings.weight, settings.first)
        rest = np.delete(np.arange(len(among)), chosen)
        found[start : start + len(among)] = among[np.concatenate([np.array(chosen, dtype=np.int64), rest])]
    return found


def _vectors(asked: Asked, rows: Ints, reader: "Reader") -> npt.NDArray[np.float64]:
    """Give the vectors of some candidates, 0 where no text is known."""
    versions = asked.lookup.items[rows]
    places = pick(reader.places, versions, -1)
    found = np.zeros((len(rows), reader.vectors.candidate.shape[1]))
    known = places >= 0
    if known.any():
        found[known] = reader.vectors.candidate[places[known]]
    return found


def _one_of(values: Ints) -> npt.NDArray[np.float64]:
    """Write values as vectors: alike where they are the same, 0 where there is none."""
    found = np.zeros((len(values), int(values.max(initial=-1)) + 1))
    found[np.flatnonzero(values >= 0), values[values >= 0]] = 1.0
    return found


def _known_values(asked: Asked, name: str) -> list[str]:
    """List the values of an attribute, in order; the same whatever is asked."""
    return as_texts(asked.log.behaviour.items.get_column(name)).unique().drop_nulls().sort().to_list()


def _codes(asked: Asked, name: str) -> Ints:
    """Give each candidate's value its place among all there are, -1 for none, shape [Q]."""
    return _encoded(texts_of(asked, name), _known_values(asked, name))


def _encoded(texts: pl.Series, known: list[str]) -> Ints:
    places = texts.cast(pl.Enum(known)).to_physical().cast(pl.Int64).fill_null(-1)
    found: Ints = places.to_numpy()
    return found


def _wished(asked: Asked, settings: Diversity) -> list[Floats | None]:
    """Give the share of each value in what each request's user clicked last; None where nothing is known."""
    first, known = asked.starts[:-1], _known_values(asked, settings.over)
    users, as_of = asked.rows.codes["user"][first], asked.rows.as_of[first]
    history = read_history(asked.log, users, as_of, settings.among).versions
    column = as_texts(asked.log.behaviour.items.get_column(settings.over))
    codes = np.append(_encoded(column, known), -1)[history]
    found = list[Floats | None]()
    for own in codes:
        counts = np.bincount(own[own >= 0], minlength=len(known)).astype(np.float64)
        found.append(counts / counts.sum() if counts.sum() else None)
    return found
