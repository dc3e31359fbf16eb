"""All clicks of a log, and what each of them counts at a moment."""

from datetime import timedelta
from typing import NamedTuple

import numpy as np

from recsys.past.streams import Ints

READ = 20
"""How many of a user's last clicks say what the user may choose next."""

UNIT = 2**20
"""A click of this moment counts so much; one that is a half-life old counts half, one of 21 half-lives nothing."""

FADING, FADES = 0.9, 1024
"""What a click counts beside the one after it, when a user's last clicks are read; in whole parts of one."""


class Clicks(NamedTuple):
    """All clicks of a log, or all its events of another kind.

    Attributes
    ----------
    users, items, moments
        Codes, and when each became known, microseconds, by user, moment and item, each of shape [N].
    """

    users: Ints
    items: Ints
    moments: Ints

    def of_users(self, users: Ints, as_of: Ints) -> tuple[Ints, Ints]:
        """Find what users, -1 for unknown ones, did before some moments, each of shape [R].

        Returns
        -------
        The place among the users and the place among the clicks of each that was known, in their order.
        """
        first, last = (np.searchsorted(self.users, users, side=side) for side in ("left", "right"))
        many = np.where(users < 0, 0, last - first)
        which = np.repeat(np.arange(len(users)), many)
        places = np.arange(len(which)) - np.repeat(np.cumsum(many) - many, many) + np.repeat(first, many)
        known = self.moments[places] < as_of[which]
        return which[known], places[known]


def weigh(clicks: Clicks, cut: int, half_life: timedelta) -> tuple[Clicks, Ints]:
    """Give the clicks that count at a moment, microseconds, and what each of them does, in `UNIT`s."""
    ages = (cut - clicks.moments) / (half_life.total_seconds() * 1_000_000)
    some = (clicks.moments < cut) & (ages < 1 + np.log2(UNIT))
    return Clicks(*(of[some] for of in clicks)), np.rint(UNIT * np.exp2(-ages[some])).astype(np.int64)
