"""What a comparison measures and what decides it, fixed before looking."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from recsys.errors import SettingsError
from recsys.evaluation.measures import (
    AUC,
    FIRST_HIT_MRR,
    POOLED,
    Measure,
    average_precision,
    hit,
    ndcg,
    parse_measure,
    recall,
)

MEASURES = (ndcg(10), AUC, FIRST_HIT_MRR, average_precision(), hit(1), recall(5))
"""What is compared unless other measures are named."""


OF_FIELD = (ndcg(10), hit(10), recall(10), recall(50), recall(100))
"""What is computed of lists that were made of the whole field."""


@dataclass(frozen=True)
class Plan:
    """What is to be compared and how, fixed before looking.

    Attributes
    ----------
    measures
        Measures of order that `compare_rankers` computes, next to the pooled AUC.
    primary
        Name of the measure that decides.
    matters
        The smallest difference that would matter, above 0, in units of the measure.
    resamples
        Resamples of the bootstrap over users.
    permutations
        Permutations of the test; with m segments the Holm correction needs more than 20 m to find anything.
    seed
        Seed of both; the same seed gives the same numbers, whatever the order of the rows.
    pooled
        Whether the AUC over the candidates of all requests as one list is computed, too.
    """

    measures: tuple[Measure, ...] = MEASURES
    primary: str = "nDCG@10"
    matters: float = 0.01
    resamples: int = 2000
    permutations: int = 10_000
    seed: int = 0
    pooled: bool = True

    @classmethod
    def of(
        cls, primary: str = "nDCG@10", measures: Sequence[str] | None = None, matters: float = 0.01, seed: int = 0
    ) -> "Plan":
        """Plan by the names of measures; the one that decides is always among them.

        Raises
        ------
        SettingsError
            When a measure is not known or `matters` is no number above 0.
        """
        others = MEASURES if measures is None else [parse_measure(name) for name in measures]
        deciding = [] if primary == POOLED else [parse_measure(primary)]  # pooled, it is always there
        chosen = {str(measure): measure for measure in (*deciding, *others)}
        return cls(tuple(chosen.values()), primary, matters, seed=seed)

    def of_field(self, decides: bool = True) -> "Plan":
        """Give the same plan for lists that were made of the whole field.

        No AUC is computed: it would change with what the other side lists.

        Parameters
        ----------
        decides
            Whether these lists give the verdict; where they do not, nDCG@10 stands in for an AUC that does.

        Raises
        ------
        SettingsError
            When an AUC is to decide.
        """
        areas = (str(AUC), POOLED)
        if self.primary in areas and decides:
            raise SettingsError(
                f"{self.primary} cannot decide between lists made of the whole field, for each side chooses its own "
                "candidates; name nDCG@10 or recall@50"
            )
        primary = MEASURES[0] if self.primary in areas else parse_measure(self.primary)
        others = [measure for measure in self.measures if str(measure) not in areas]
        chosen = {str(measure): measure for measure in (primary, *others, *OF_FIELD)}
        return replace(self, measures=tuple(chosen.values()), primary=str(primary), pooled=False)

    def __post_init__(self) -> None:
        if not 0 < self.matters < math.inf:
            raise SettingsError(
                f"matters is {self.matters:g}; write the smallest difference that would matter, a number above 0"
            )
        if self.seed < 0:
            raise SettingsError(f"seed is {self.seed}; write a whole number of at least 0")
        twice = sorted({str(measure) for measure in self.measures if self.measures.count(measure) > 1})
        if twice:
            raise SettingsError(f"measures hold {', '.join(twice)} more than once; name each measure once")


DEFAULT_PLAN = Plan()
"""nDCG@10 decides, and a hundredth matters."""
