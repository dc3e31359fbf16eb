"""Sample-ratio mismatch: whether the arms hold the users they were meant to."""

from collections.abc import Mapping
from dataclasses import dataclass

from scipy.stats import chisquare

THRESHOLD = 0.001
"""Below this p-value the split is taken for broken; an honest split falls below once in a thousand experiments."""


@dataclass(frozen=True)
class SampleRatio:
    """How many users each arm holds against its share.

    Attributes
    ----------
    users
        Arm, users it holds.
    expected
        Arm, users that its share of all would be.
    p
        P-value of the chi-square test that the shares hold.
    """

    users: Mapping[str, int]
    expected: Mapping[str, float]
    p: float

    @property
    def mismatch(self) -> bool:
        """Whether the split is broken, so that no difference between the arms can be believed."""
        return self.p < THRESHOLD

    def __str__(self) -> str:
        counts = ", ".join(f"{arm} {users:,} of {self.expected[arm]:,.0f}" for arm, users in self.users.items())
        return f"users against those expected: {counts} (chi-square p = {self.p:.3g})"


def sample_ratio(users: Mapping[str, int], shares: Mapping[str, float]) -> SampleRatio:
    """Test the numbers of users against the planned shares (Fabijan et al. 2019).

    Parameters
    ----------
    users
        Arm, users it holds; at least one in all.
    shares
        Arm, its planned share; they add up to 1.

    Examples
    --------
    >>> sample_ratio({"A": 5000, "B": 5300}, {"A": 0.5, "B": 0.5}).mismatch
    False
    >>> sample_ratio({"A": 5000, "B": 5400}, {"A": 0.5, "B": 0.5}).mismatch
    True
    """
    total = sum(users.values())
    expected = {arm: total * shares[arm] for arm in users}
    return SampleRatio(users, expected, float(chisquare(list(users.values()), list(expected.values())).pvalue))
