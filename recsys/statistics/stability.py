"""How far the shares of values have moved: the population stability index."""

from collections.abc import Mapping

import numpy as np

_RARE, _EMPTY = 0.01, 1e-4
"""Values below this share are taken together; a share of nothing counts as this much."""


def stability(usual: Mapping[str, float], now: Mapping[str, float]) -> float:
    """Give the population stability index of two distributions: the sum over values of (q - p) ln(q / p).

    Rare values are taken together. Rows of one day are alike, for items come out and are much asked for on the same
    days, so what is usual is not what chance alone would give: hold the index against that of single days.

    Parameters
    ----------
    usual, now
        The share of each value, 0 to 1.

    Examples
    --------
    >>> round(stability({"a": 0.5, "b": 0.5}, {"a": 0.8, "b": 0.2}), 3)
    0.416
    """
    frequent = [value for value, share in usual.items() if share >= _RARE]
    p, q = (np.array([of.get(value, 0.0) for value in frequent]) for of in (usual, now))
    p, q = (np.maximum(np.append(each, max(0.0, 1 - each.sum())), _EMPTY) for each in (p, q))
    return float(np.sum((q - p) * np.log(q / p)))
