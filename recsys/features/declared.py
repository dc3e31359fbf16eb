"""Declared features of candidates: all that they ask is read at once, and each formula runs once for its kind."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from recsys.features.feature import Answer, Ask, Available, Code, Feature, Floats, Stated
from recsys.past.lookup import Lookup
from recsys.past.streams import Amount, Ints, Moment

_KINDS: tuple[type[Ask], ...] = (Amount, Moment, Code, Stated, Available)


@dataclass(frozen=True, eq=False)
class _Alike:
    """Features of one kind that ask alike.

    Attributes
    ----------
    formula
        Their formula.
    numbers
        Numbers of their declarations, each of shape [k, 1].
    asks
        For each answer, what kind of thing it is, and where among those asked of this kind theirs stand.
    places
        Where among all features they stand, shape [k].
    """

    formula: Callable[..., Floats]
    numbers: tuple[Floats, ...]
    asks: tuple[tuple[type[Ask], slice], ...]
    places: Ints


@dataclass(frozen=True, eq=False)
class Declared:
    """Features, in the form in which they are computed.

    Attributes
    ----------
    asks
        What they ask, by kind; what features of one kind ask stands together.
    groups
        The features by kind.
    """

    asks: dict[type[Ask], tuple[Ask, ...]]
    groups: tuple[_Alike, ...]

    @classmethod
    def of(cls, features: Sequence[Feature]) -> "Declared":
        """Sort features by kind, and what they ask."""
        return _sorted_out(tuple(features))

    def fill(self, lookup: Lookup, table: npt.NDArray[np.floating], rows: Ints) -> None:
        """Compute the features of Q candidates.

        Parameters
        ----------
        lookup
            The candidates.
        table
            What is written to, shape [columns, Q].
        rows
            Which row of it each feature has.
        """
        answers = self.read(lookup)
        for group in self.groups:
            table[rows[group.places]] = group.formula(
                group.numbers, *(answers[kind][those] for kind, those in group.asks)
            )

    def read(self, lookup: Lookup) -> dict[type[Ask], Answer]:
        """Read what is asked, by kind, each of shape [asks, Q]."""
        amounts, rows = len(self.asks[Amount]), len(lookup.rows.as_of)
        found = lookup.read_with_ever((*self.asks[Amount], *self.asks[Moment]))  # type: ignore[arg-type]
        answers: dict[type[Ask], Answer] = {Amount: found[:amounts], Moment: lookup.hours(found[amounts:])}
        codes = [lookup.codes[each.name] for each in self.asks[Code] if isinstance(each, Code)]
        answers[Code] = np.array(codes, dtype=np.int64).reshape(len(codes), rows)
        stated = [lookup.number(each.name) for each in self.asks[Stated] if isinstance(each, Stated)]
        answers[Stated] = np.array(stated, dtype=np.float64).reshape(len(stated), rows)
        if self.asks[Available]:
            answers[Available] = lookup.hours_since_available()[None]
        return answers


def values_of(feature: Feature, lookup: Lookup) -> Floats:
    """Compute one feature of Q candidates, NaN where it is not known, shape [Q]."""
    table = np.empty((1, len(lookup.rows.as_of)))
    Declared.of((feature,)).fill(lookup, table, np.zeros(1, dtype=np.int64))
    found: Floats = table[0]
    return found


@lru_cache(maxsize=32)
def _sorted_out(features: tuple[Feature, ...]) -> Declared:
    alike: dict[tuple[type[Feature], tuple[type[Ask], ...]], list[int]] = {}
    for place, feature in enumerate(features):
        alike.setdefault((type(feature), tuple(type(ask) for ask in feature.asks)), []).append(place)
    asks: dict[type[Ask], list[Ask]] = {kind: [] for kind in _KINDS}
    groups = []
    for (_, kinds), places in alike.items():
        those = [features[place] for place in places]
        own = []
        for turn, kind in enumerate(kinds):
            first = len(asks[kind])
            asks[kind] += [each.asks[turn] for each in those]
            own.append((kind, slice(first, len(asks[kind]))))
        numbers = np.array([each.numbers for each in those], dtype=np.float64).reshape(len(those), -1)
        groups.append(
            _Alike(those[0].formula, tuple(numbers.T[:, :, None]), tuple(own), np.array(places, dtype=np.int64))
        )
    return Declared({kind: tuple(those) for kind, those in asks.items()}, tuple(groups))
