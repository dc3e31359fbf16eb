"""The planted truth: the utility of an item for a user at a moment, and the chance of a click.

utility = BASE + interest(user, topic) + interest(user, facets) + appeal(item) + FRESH * exp(-age / FRESH_DAYS)
          + whim,                                       whim ~ Normal(0, WHIM) for every candidate anew
P(click) = examination(position) * sigmoid(utility),    examination(position) = position ** -0.5
"""

import numpy as np
from numpy.typing import NDArray

from recsys.world.calendar import DAY
from recsys.world.catalogue import Catalogue
from recsys.world.population import Population

BASE = -3.6
FRESH, FRESH_DAYS = 1.6, 1.5
WHIM = 0.3


def utility(
    population: Population,
    catalogue: Catalogue,
    users: NDArray[np.int64],
    items: NDArray[np.int64],
    moments: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Return the utility without whim, in log odds; the three arrays have one shape or broadcast to one."""
    facets = catalogue.facets[items]
    return np.asarray(
        BASE
        + population.topic_interest[users, catalogue.topic[items]]
        + sum(population.facet_interest[users, facets[..., group]] for group in range(facets.shape[-1]))
        + catalogue.appeal[items]
        + freshness(moments - catalogue.published[items])
    )


def freshness(age: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return what newness adds to the utility, in log odds, for an age in seconds of at least 0."""
    return FRESH * np.exp(-np.maximum(age, 0) / (FRESH_DAYS * DAY))


def examination(position: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the probability that a position, 1 = first, is looked at."""
    return position.astype(np.float64) ** -0.5


def sigmoid(log_odds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return probabilities for log odds."""
    return 1.0 / (1.0 + np.exp(-log_odds))
