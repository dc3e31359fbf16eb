"""What rules of ranked lists cost and bring: each by itself, all together, and the weight of diversity."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from recsys.shown import counted
from recsys.statistics.intervals import Interval
from recsys.statistics.numbers import plain


class Price(NamedTuple):
    """What a rule changes beside the order of scores.

    Attributes
    ----------
    cost
        nDCG@10 of the lists under it less that without, paired by request; what is left out counts as not listed.
    unlike
        How unlike the first ten are, less that without: 1 less the mean dot product of two of their text vectors.
    moved
        Share of the first ten places that hold something else.
    """

    cost: Interval
    unlike: Interval
    moved: float


class Weighed(NamedTuple):
    """A point of the curve of diversity.

    Attributes
    ----------
    weight
        Of diversity, see `recsys.arranging.settings.Diversity`.
    quality, unlike
        nDCG@10, and how unlike the first ten are, means over requests.
    """

    weight: float
    quality: float
    unlike: float


@dataclass(frozen=True)
class Prices:
    """What the rules of a model cost on judged lists.

    Attributes
    ----------
    rules
        Name of what is done, and its price; `"all"` last.
    lists
        On how many lists.
    curve
        Quality and diversity by the weight of diversity, all other rules as they are; empty where there is none.
    chosen
        The weight that the settings choose; None where there is no diversity.
    """

    rules: Mapping[str, Price]
    lists: int
    curve: tuple[Weighed, ...] = ()
    chosen: float | None = None

    def to_json(self) -> dict[str, object]:
        """Write as plain JSON."""
        return {
            "rules": {
                name: {"nDCG@10": price.cost.to_json(), "unlike": price.unlike.to_json(), "moved": price.moved}
                for name, price in self.rules.items()
            },
            "lists": self.lists,
            "curve": [{name: plain(value) for name, value in point._asdict().items()} for point in self.curve],
            "chosen": self.chosen,
        }

    def in_words(self) -> list[str]:
        """Say it in lines for a terminal."""
        lines = [f"What [rules] change beside the order of scores, each alone, on {counted(self.lists, 'list')}:"]
        width = max(map(len, self.rules))
        for name, (cost, unlike, moved) in self.rules.items():
            lines.append(
                f"  {name.ljust(width)}  nDCG@10 {_with_ends(cost)}, first ten unlike each other {_with_ends(unlike)}, "
                f"{moved:.1%} of their places hold another item, or none"
            )
        if self.curve:
            lines.append("By the weight of diversity:")
            for point in self.curve:
                mark = "  <- chosen" if point.weight == self.chosen else ""
                said = f"nDCG@10 {point.quality:.4f}, first ten unlike each other {point.unlike:.4f}"
                lines.append(f"  {point.weight:.2f}  {said}{mark}")
        return lines


def _with_ends(interval: Interval) -> str:
    if math.isnan(interval.mean):
        return "not defined"
    if math.isnan(interval.low):
        return f"{interval.mean:+.4f}"
    return f"{interval.mean:+.4f} ({interval.low:+.4f}..{interval.high:+.4f})"
