"""What users read last before a moment, with the age of each."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from recsys.past.streams import MICROSECONDS_PER_HOUR, Ints

if TYPE_CHECKING:
    from recsys.past.log import Log


@dataclass(frozen=True)
class History:
    """What users read before a moment, most recent first: clicks, and what counts as history beside them.

    Attributes
    ----------
    items
        Item codes, -1 where there is no further click, shape [R, H].
    versions
        Rows of the items table that said what each item was when it was read, -1 where none did, shape [R, H].
    hours
        Hours between the moment the click became known and `as_of`, 0 where there is none, shape [R, H].
    """

    items: Ints
    versions: Ints
    hours: npt.NDArray[np.float32]


def read_history(log: "Log", users: Ints, as_of: Ints, length: int) -> History:
    """Look up the last `length` that each user read and that were known before `as_of`.

    Parameters
    ----------
    log
        All behaviour.
    users, as_of
        User codes, -1 for unknown ones, and microseconds, each of shape [R].
    length
        Number of clicks H.
    """
    items, moments, happened = log.last_clicks(users, as_of, length)
    hours = np.where(items >= 0, (as_of[:, None] - moments) / MICROSECONDS_PER_HOUR, 0.0)
    return History(items, log.register.items.at(items, happened), hours.astype(np.float32))
