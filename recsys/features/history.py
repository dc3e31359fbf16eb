"""The last clicks of a user that were known at a moment: what the text stage attends to."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recsys.features.counters import Ints
from recsys.features.log import MICROSECONDS_PER_HOUR, Log


@dataclass(frozen=True)
class History:
    """The last clicks before a moment, most recent first.

    Attributes
    ----------
    items
        Item codes, -1 where there is no further click, shape [R, H].
    hours
        Hours between the moment the click became known and `as_of`, 0 where there is none, shape [R, H].
    """

    items: Ints
    hours: npt.NDArray[np.float32]


def read_history(log: Log, users: Ints, as_of: Ints, length: int) -> History:
    """Look up the last `length` clicks of each user that were known before `as_of`.

    Parameters
    ----------
    log
        All behaviour.
    users
        User codes, -1 for unknown ones, shape [R].
    as_of
        Microseconds, shape [R].
    length
        Number of clicks H.
    """
    counter, items = log.clicks
    places = counter.before(users, as_of)[:, None] - 1 - np.arange(length)
    known = places >= counter.first(users)[:, None]
    codes = np.full(places.shape, -1, dtype=np.int64)
    hours = np.zeros(places.shape, dtype=np.float32)
    codes[known] = items[places[known]]
    moments = np.broadcast_to(as_of[:, None], places.shape)[known]
    hours[known] = (moments - counter.moment(places[known])) / MICROSECONDS_PER_HOUR
    return History(codes, hours)
