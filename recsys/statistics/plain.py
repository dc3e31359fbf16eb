"""Numbers as JSON takes them."""

import math


def plain(number: float | None) -> float | None:
    """Return a number as it is, None for what is none.

    Examples
    --------
    >>> plain(0.5), plain(float("nan"))
    (0.5, None)
    """
    return None if number is None or math.isnan(number) else number
