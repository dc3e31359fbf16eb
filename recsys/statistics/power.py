"""How large a difference is, and how large one must be to be found."""

import numpy as np
from scipy import stats

from recsys.statistics.intervals import LEVEL
from recsys.statistics.numbers import Floats, divide
from recsys.statistics.totals import UserTotals

FEWEST_USERS = 6
"""Fewer users give no verdict: of five the smallest two-sided permutation p-value, 2 / 2^5, is above the 5 % level."""

POWER = 0.8
"""Chance to find a difference as large as the minimum detectable effect."""


def detectable_effects(differences: UserTotals) -> Floats:
    """Give the minimum detectable effect of each of K mean differences, in their own units.

    (t(97.5 %, G - 1) + t(80 %, G - 1)) * standard error, G the effective number of users (Bloom 1995): a true
    difference of this size is found in 80 % of comparisons with as many users. It is about 2.8 standard errors.

    Parameters
    ----------
    differences
        What each user adds to the differences B - A.

    Returns
    -------
    Floats
        [K], NaN below two users.
    """
    freedom = differences.effective_users - 1
    factor = stats.t.ppf(1 - LEVEL / 2, freedom) + stats.t.ppf(POWER, freedom)
    return np.asarray(factor * differences.standard_errors)


def effect_sizes(differences: UserTotals) -> Floats:
    """Give each of K mean differences as a share of the standard deviation between users (Cohen's d_z).

    The deviation is standard error * sqrt(G), G the effective number of users; with one request per user it is the
    standard deviation of the paired differences.

    Parameters
    ----------
    differences
        What each user adds to the differences B - A.

    Returns
    -------
    Floats
        [K], NaN below two users and where all users differ alike.
    """
    return divide(differences.means, differences.standard_errors * np.sqrt(differences.effective_users))
