"""Declared features of candidates: all that they ask is read at once, and each formula runs once for its kind."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from recsys.features.feature import Answer, Ask, Available, Code, Feature, Floats, Stated
from recsys.past.lookup import Lookup
from recsys.past.streams import Amount, Ints, Moment


@dataclass(frozen=True, eq=False)
class _Alike:
    """Features of one kind that ask alike.

    Attributes
    ----------
    formula
        Their formula.
    numbers
        Numbers of their declarations, each of shape [k, 1].
    kinds
        What kind of thing each answer is.
    asks
        Which of the asks of this kind, for each answer, shape [k].
    places
        Where among all features they stand, shape [k].
    """

    formula: Callable[..., Floats]
    numbers: tuple[Floats, ...]
    kinds: tuple[type[Ask], ...]
    asks: tuple[Ints, ...]
    places: Ints


@dataclass(frozen=True, eq=False)
class Declared:
    """Features, in the form in which they are computed.

    Attributes
    ----------
    asks
        What they ask, by kind, each once.
    groups
        The features by kind.
    """

    asks: dict[type[Ask], list[Ask]]
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
            asked = [answers[kind][which] for kind, which in zip(group.kinds, group.asks, strict=True)]
            table[rows[group.places]] = group.formula(group.numbers, *asked)

    def read(self, lookup: Lookup) -> dict[type[Ask], Answer]:
        """Read what is asked, by kind, each of shape [asks, Q]."""
        amounts, moments = self.asks[Amount], self.asks[Moment]
        found = lookup.read((*amounts, *moments))  # type: ignore[arg-type]
        answers: dict[type[Ask], Answer] = {Amount: found[: len(amounts)]}
        answers[Moment] = lookup.hours(found[len(amounts) :])
        codes = [lookup.codes[each.name] for each in self.asks[Code] if isinstance(each, Code)]
        answers[Code] = np.array(codes, dtype=np.int64).reshape(len(codes), found.shape[1])
        stated = [lookup.number(each.name) for each in self.asks[Stated] if isinstance(each, Stated)]
        answers[Stated] = np.array(stated, dtype=np.float64).reshape(len(stated), found.shape[1])
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
    kinds: tuple[type[Ask], ...] = (Amount, Moment, Code, Stated, Available)
    asks: dict[type[Ask], list[Ask]] = {}
    for kind in kinds:
        every = [ask for feature in features for ask in feature.asks if isinstance(ask, kind)]
        asks[kind] = list(dict.fromkeys(every))
    alike: dict[tuple[type[Feature], tuple[type[Ask], ...]], list[int]] = {}
    for place, feature in enumerate(features):
        alike.setdefault((type(feature), tuple(type(ask) for ask in feature.asks)), []).append(place)
    groups = []
    for (_, own), places in alike.items():
        those = [features[place] for place in places]
        which = [[asks[kind].index(each.asks[turn]) for each in those] for turn, kind in enumerate(own)]
        numbers = np.array([each.numbers for each in those], dtype=np.float64).reshape(len(those), -1)
        groups.append(
            _Alike(
                those[0].formula,
                tuple(numbers.T[:, :, None]),
                own,
                tuple(np.array(each, dtype=np.int64) for each in which),
                np.array(places, dtype=np.int64),
            )
        )
    return Declared(asks, tuple(groups))
