"""Which arm a user sees, the same in every process and for ever; and whether the arms hold the users they should."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from math import inf, log

import polars as pl
from scipy.stats import chisquare

from recsys.errors import DataError, SettingsError

_TOLERANCE = 1e-9


def assign(user_ids: pl.Series | Sequence[int] | Sequence[str], salt: str, shares: Mapping[str, float]) -> pl.Series:
    """Give every user an arm.

    Every arm draws a waiting time from the hash of salt, arm and user, exponential with the arm's share as its rate;
    the first to ring has the user (weighted rendezvous hashing, Thaler and Ravishankar 1998). So the arms hold their
    shares, another salt splits anew and independently, the order of the arms plays no part, and changed shares move
    users only to arms whose share grew against their old one: with two arms, or where one arm gains from all others
    alike, as few as possible.

    Parameters
    ----------
    user_ids
        [N] integers or text; the integer 12 and the text "12" are one user.
    salt
        Name of the experiment, not empty; a new experiment needs a new one.
    shares
        Arm, its share of users above 0; they add up to 1. Traffic outside the experiment is an arm, too.

    Returns
    -------
    pl.Series
        [N] `arm`.

    Raises
    ------
    SettingsError
        When the salt is empty, an arm has no name, a share is not above 0 or the shares do not add up to 1.
    DataError
        When ids are missing or neither integers nor text.

    Examples
    --------
    >>> assign([12, 13, 14], "bigger pictures", {"A": 0.5, "B": 0.5}).to_list()
    ['A', 'B', 'B']
    """
    if not salt:
        raise SettingsError("salt is empty; write the name of the experiment, so that each splits users anew")
    check_shares(shares)
    ids = pl.Series("user_id", user_ids) if len(user_ids) else pl.Series("user_id", [], dtype=pl.String)
    if not (ids.dtype.is_integer() or ids.dtype in (pl.String, pl.Categorical)):
        raise DataError(f"user ids are {ids.dtype}; give integers or text, because 12.0 and 12 would be two users")
    if ids.null_count():
        raise DataError(f"{ids.null_count()} of {len(ids)} user ids are missing; leave out users without an id")
    prefixes = {arm: blake2b(_part(salt) + _part(arm), digest_size=8) for arm in shares}
    arms = []
    for user in ids.cast(pl.String):
        first, earliest = "", inf
        for arm, share in shares.items():
            digest = prefixes[arm].copy()
            digest.update(user.encode())
            waiting = -log((int.from_bytes(digest.digest()) + 1) / 2**64) / share
            if waiting < earliest:
                first, earliest = arm, waiting
        arms.append(first)
    return pl.Series("arm", arms, dtype=pl.String)


def check_shares(shares: Mapping[str, float]) -> None:
    """Refuse shares that are no split of the users.

    Raises
    ------
    SettingsError
        When an arm has no name, a share is not above 0 or they do not add up to 1.
    """
    if not all(shares):
        raise SettingsError("an arm has no name; name every arm")
    wrong = {arm: share for arm, share in shares.items() if not share > 0}
    if wrong:
        raise SettingsError(f"shares are {wrong}; give each arm a share above 0 or leave it out")
    if abs(sum(shares.values()) - 1) > _TOLERANCE:
        raise SettingsError(
            f"shares add up to {sum(shares.values()):g}; they must add up to 1, so name the rest an arm"
        )


def _part(text: str) -> bytes:
    """Write text so that two parts in a row can be told apart."""
    encoded = text.encode()
    return len(encoded).to_bytes(4) + encoded


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
