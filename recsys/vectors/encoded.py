"""What an encoder says about texts: vectors on a grid, so that their products are exact."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

GRID = 2.0**-11
"""Vector components are multiples of this, so that dot products are exact.

A product of two components is then a multiple of 2**-22. Vectors have length 1 within rounding, so the sum of any
subset of the products lies between -2 and 2 (Cauchy-Schwarz). Float32 holds every multiple of 2**-22 below 4 exactly:
no addition rounds, and the dot product is the same number in whatever order, blocks or library it is computed.
"""


def round_to_grid(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    """Round components to the nearest multiple of 2**-11; shape kept.

    Examples
    --------
    >>> (round_to_grid(np.array([0.6, -0.8])) * 2048).tolist()
    [1229.0, -1638.0]
    """
    return (np.round(np.asarray(vectors, np.float64) / GRID) * GRID).astype(np.float32)


class Encoded(NamedTuple):
    """What an encoder says about n texts.

    Attributes
    ----------
    candidate, history
        float32 [n, p]; the item as a candidate and as a past click, of length 1 and rounded to `GRID`.
    appeal
        float32 [n]; how much the text attracts clicks from anybody.
    """

    candidate: NDArray[np.float32]
    history: NDArray[np.float32]
    appeal: NDArray[np.float32]
