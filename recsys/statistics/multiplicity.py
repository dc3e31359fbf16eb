"""Many tests at once: some p-value is always small, so each is corrected for how many there are."""

import numpy as np

from recsys.evaluation.measures import Floats


def holm(p: Floats) -> Floats:
    """Correct p-values so that the chance of any false finding stays at the level (Holm 1979), whatever their ties.

    The i-th smallest of m p-values becomes the largest of (m - j + 1) * p_j over j up to i, at most 1.

    Parameters
    ----------
    p
        [K] p-values; NaN is no test and stays NaN.

    Examples
    --------
    >>> holm(np.array([0.01, 0.04, 0.03])).tolist()
    [0.03, 0.06, 0.06]
    """
    corrected = np.full(p.shape, np.nan)
    tests = np.flatnonzero(~np.isnan(p))
    order = tests[np.argsort(p[tests], kind="stable")]
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(np.arange(len(order), 0, -1) * p[order]))
    return corrected
