"""The first places of one list filled for diversity: marginal relevance, determinantal point process, calibration."""

import numpy as np
import numpy.typing as npt

from recsys.statistics.numbers import Floats, Integers

Vectors = npt.NDArray[np.floating]

JITTER = 0.01
"""How little two items of a determinantal process are alike at least: no two are one and the same."""

SMOOTHED = 0.01
"""Share of the wished distribution in that of a list: no value of it is quite missing."""


def relevance(scores: Floats) -> Floats:
    """Bring the scores of candidates to 0 for the worst and 1 for the best, all 1 where they are alike, shape [M]."""
    low, high = scores.min(initial=np.inf), scores.max(initial=-np.inf)
    return (scores - low) / (high - low) if high > low else np.ones(len(scores))


def mmr(worth: Floats, vectors: Vectors, weight: float, first: int) -> list[int]:
    """Fill places by marginal relevance (Carbonell and Goldstein 1998).

    Each place goes to the candidate whose `(1 - weight) * worth - weight * likeness` is largest, likeness the largest
    dot product with one that stands above it, 0 where none does; of equals the one that comes first.

    Parameters
    ----------
    worth
        0 to 1, shape [M].
    vectors
        Of length 1, or 0 where nothing is known, shape [M, p].
    weight
        0 to 1.
    first
        How many places.

    Returns
    -------
    Candidates by place.
    """
    left, found = np.ones(len(worth), dtype=bool), list[int]()
    nearest = np.zeros(len(worth))
    for place in range(min(first, len(worth))):
        gain = np.where(left, (1 - weight) * worth - weight * nearest, -np.inf)
        best = int(np.argmax(gain))
        found.append(best)
        left[best] = False
        likeness = vectors @ vectors[best]
        nearest = likeness if place == 0 else np.maximum(nearest, likeness)
    return found


def dpp(worth: Floats, vectors: Vectors, weight: float, first: int) -> list[int]:
    """Fill places by the greedy mode of a determinantal point process (Chen, Zhang and Zhou 2018).

    The set S is sought for which `(1 - weight) * sum(worth) + weight * log det(K)` is large, K the dot products of S,
    one less `JITTER` of them, and 1 on the diagonal; each place goes to the candidate that raises it most. Parameters
    and what comes back are as of `mmr`.
    """
    count = min(first, len(worth))
    left, found = np.ones(len(worth), dtype=bool), list[int]()
    rest = np.ones(len(worth))  # squared distance from those chosen
    rows = np.zeros((count, len(worth)))  # of Cholesky's factor
    for place in range(count):
        gain = (1 - weight) * worth + weight * np.log(np.maximum(rest, np.finfo(float).tiny))
        best = int(np.argmax(np.where(left, gain, -np.inf)))
        found.append(best)
        left[best] = False
        likeness = (1 - JITTER) * (vectors @ vectors[best]).astype(np.float64)
        likeness[best] = 1.0
        rows[place] = (likeness - rows[:place].T @ rows[:place, best]) / np.sqrt(rest[best])
        rest = np.maximum(rest - rows[place] ** 2, 0.0)
    return found


def calibrated(worth: Floats, values: Integers, wished: Floats, weight: float, first: int) -> list[int]:
    """Fill places so that values stand in a list as often as they are wished (Steck 2018).

    Each place goes to the candidate for which `(1 - weight) * sum(worth) - weight * KL(wished, list)` is largest, the
    list's distribution smoothed by `SMOOTHED` of the wished one. What has no value counts as none.

    Parameters
    ----------
    worth
        0 to 1, shape [M].
    values
        Codes of values, -1 for none, shape [M].
    wished
        Probability of each value, shape [V].
    weight, first
        As of `mmr`.
    """
    left, found = np.ones(len(worth), dtype=bool), list[int]()
    counts, total, some = np.zeros(len(wished)), 0.0, wished > 0

    def apart(count: Floats, size: int) -> Floats:
        """Give what each value adds to the divergence of a list of some size that holds it so often."""
        smooth = (1 - SMOOTHED) * count / size + SMOOTHED * wished
        return np.where(some, wished * np.log(np.where(some, wished / np.where(some, smooth, 1), 1)), 0.0)

    for place in range(min(first, len(worth))):
        as_it_is, with_one = apart(counts, place + 1), apart(counts + 1, place + 1)
        whole = np.append(as_it_is.sum() - as_it_is + with_one, as_it_is.sum())  # last, with what has no value
        gain = (1 - weight) * (total + worth) - weight * whole[values]
        best = int(np.argmax(np.where(left, gain, -np.inf)))
        found.append(best)
        left[best] = False
        total += float(worth[best])
        if values[best] >= 0:
            counts[values[best]] += 1
    return found
