"""P-values: A and B swapped user by user, and many tests at once, of which some p-value is always small."""

from collections.abc import Iterator

import numpy as np

from recsys.errors import SettingsError
from recsys.statistics.numbers import Floats
from recsys.statistics.totals import UserTotals

_BLOCK_SIGNS = 1 << 18  # signs held at once: fits the processor's cache and keeps memory flat
_ROUNDING = 1e-12  # sums of the same numbers in another order are the same sum


def permutation_p_values(differences: UserTotals, permutations: int = 10_000, seed: int = 0) -> Floats:
    """Give the two-sided p-value of each of K mean differences.

    If A and B are alike, swapping their labels for a user turns the sign of what the user adds to the difference. The
    p-value is (1 + permutations at least as extreme) / (1 + permutations), which is never 0 and keeps its level
    (Phipson and Smyth 2010). A permutation swaps each user with chance one half, with all of its requests and for all
    means at once.

    Parameters
    ----------
    differences
        What each user adds to the differences B - A.
    permutations
        How many permutations, at least 1; the smallest p-value is 1 / (1 + permutations).
    seed
        Seed of the swaps.

    Returns
    -------
    Floats
        [K], NaN below two users.

    Raises
    ------
    SettingsError
        When `permutations` is below 1.

    Examples
    --------
    >>> permutation_p_values(UserTotals(np.zeros((3, 1)), np.ones((3, 1)))).tolist()
    [1.0]
    """
    if permutations < 1:
        raise SettingsError(f"permutations is {permutations}, which gives no p-value; write 10000")
    sums = differences.sums
    observed = np.abs(sums.sum(axis=0)) - _ROUNDING * np.abs(sums).sum(axis=0)
    extreme = np.zeros(sums.shape[1])
    for signs in _signs(len(sums), permutations, seed):
        extreme += np.count_nonzero(np.abs(signs @ sums) >= observed, axis=0)
    return np.where(differences.users > 1, (1 + extreme) / (1 + permutations), np.nan)


def _signs(users: int, permutations: int, seed: int) -> Iterator[Floats]:
    """Give permutations in blocks: [B, users], -1 where the labels are swapped, else 1."""
    random = np.random.default_rng(seed)
    block = max(1, _BLOCK_SIGNS // max(1, users))
    for first in range(0, permutations, block):
        swapped = random.integers(2, size=(min(block, permutations - first), users), dtype=np.int8)
        yield 1 - 2 * swapped.astype(np.float64)


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
