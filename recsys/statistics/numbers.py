"""Numbers that everything which measures shares: the kinds of arrays, a quotient, and what JSON takes."""

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]
Scores = NDArray[np.floating]
Labels = NDArray[np.integer]


def divide(above: Floats | Integers, below: Floats | Integers) -> Floats:
    """Divide arrays of one shape, with NaN where the divisor is 0."""
    quotient = np.full(above.shape, np.nan)
    np.divide(above, below, out=quotient, where=below != 0)
    return quotient


def plain(number: float | None) -> float | None:
    """Return a number as it is, None for what is none.

    Examples
    --------
    >>> plain(0.5), plain(float("nan"))
    (0.5, None)
    """
    return None if number is None or math.isnan(number) else number
