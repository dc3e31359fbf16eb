"""Features that earn nothing: those of the least gain are left out where the valid window is sure not to mind."""

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from recsys.features.plan import may_be_left_out, plan
from recsys.jobs.tuning.budget import Budget, Spent
from recsys.progress import progress
from recsys.ranking.trees import TreeRanker
from recsys.settings import Settings
from recsys.shown import counted

if TYPE_CHECKING:
    from recsys.jobs.tuning.tune import Bench

logger = logging.getLogger(__name__)

Floats = npt.NDArray[np.float64]

_SHARES = (0.0, 0.003, 0.01, 0.03, 0.1)
"""Shares of all gain that features may have had which are left out together."""

_MIND = 0.002
"""Loss of nDCG@10 that fewer features are worth at worst, by the lower end of its interval or as it was found."""


@dataclass(frozen=True)
class LeftOut:
    """Settings without some features.

    Attributes
    ----------
    settings
        Without them.
    features
        Their names.
    ndcg
        nDCG@10 of each list of the valid window, mean over seeds.
    """

    settings: Settings
    features: tuple[str, ...]
    ndcg: Floats


def leave_out(bench: "Bench", settings: Settings, before: Floats, grown: list[TreeRanker], budget: Budget) -> LeftOut:
    """Leave out as many features as surely can be without a loss, those first by which trees gained least.

    Those by which no tree gained anything may go where the loss was not larger than that: other draws are all that
    differs, and there is nothing to be sure of.

    Parameters
    ----------
    bench, settings
        What is tried on, and where it starts.
    before, grown
        What `Bench.of_seeds` gives of these settings.
    budget
        Time; those without any gain are always tried without.
    """
    found = [LeftOut(settings, (), before)]
    sets = dict.fromkeys(_least(settings, grown, share) for share in _SHARES)
    with progress(len(sets), "leaving out features", "choice") as advance:
        for number, names in enumerate(sets):
            if number and budget.spent(Spent.LEAVING):
                logger.info("    no time to try without %s", counted(len(sets) - number, "larger set"))
                break
            if names:
                without = (*settings.features.without, *names)
                fewer = settings.model_copy(
                    update={"features": settings.features.model_copy(update={"without": without})}
                )
                found.append(LeftOut(fewer, names, bench.of_seeds(fewer)[0]))
            advance(1)
    unused, most = _least(settings, grown, 0.0), found[0]
    for each in found[1:]:  # ever more features
        gain = bench.gain(each.ndcg, before)
        if gain.low >= -_MIND or (each.features == unused and gain.mean >= -_MIND):
            most = each
    return most


def _least(settings: Settings, grown: list[TreeRanker], share: float) -> tuple[str, ...]:
    """Name the features of least gain that together have at most a share of all, in the order of the table.

    Those that settings speak of stay, and so does half of what there is: trees that found nothing say nothing.
    """
    gains = dict[str, float]()
    of_column = [each.importance() for each in grown]
    whole = sum(sum(each.values()) for each in of_column)
    spoken_of = {*settings.ranker.monotone, *settings.features.vouched}
    for column in plan(settings.features):
        if may_be_left_out(column) and not spoken_of & {*column.columns}:
            gains[column.name] = sum(of.get(name, 0.0) for of in of_column for name in column.columns)
    ascending = sorted(gains, key=lambda name: gains[name])
    reached = np.cumsum([gains[name] for name in ascending])
    count = min(int(np.searchsorted(reached, share * whole, side="right")), len(gains) // 2)
    least = set(ascending[:count])
    return tuple(name for name in gains if name in least)
