"""What came of each block, and which of what learnt reads from then on."""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from recsys.statistics.intervals import bootstrap
from recsys.statistics.numbers import plain
from recsys.statistics.totals import UserTotals

Kept = Literal["published", "heads", "tuned"]

Gain = tuple[float, float | None, float | None]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Lesson:
    """What came of one block.

    Attributes
    ----------
    requests
        How many requests were learnt from, those held out included.
    judged
        Requests that nothing had learnt from, and that have both positive and other candidates: the new ones of the
        block before they are learnt from, those held out in the first block.
    published, heads, tuned
        Mean AUC on these: cosine similarity by the published encoder, heads and user tower that learnt on it, and
        those that learnt on an encoder that learnt, too. None where none could be judged, or nothing learnt.
    gain
        Mean, low and high end of tuned minus heads on all requests that were judged so far, with its 95 % interval over
        users; None where there is none.
    kept
        What reads from here on.
    share
        How much of what the encoder learnt in this block is in its weights, 0 to 1; the rest is as it was published. 0
        where it learnt nothing.
    old_auc_before, old_auc
        Mean AUC on older requests before and after: what was forgotten.
    """

    requests: int
    judged: int
    published: float | None
    heads: float | None
    tuned: float | None
    gain: Gain | None
    kept: Kept
    share: float
    old_auc_before: float | None
    old_auc: float | None


@dataclass
class Trial:
    """Whether what the encoder learnt is better than heads alone, by all requests that were judged so far.

    Requests of the next block, before it is learnt from, tell what the encoder will be asked; those held out of a block
    are of its hours and items, and flatter what was learnt from it.

    Attributes
    ----------
    tune
        `"auto"` keeps the tuned encoder where its mean gain is above one standard error over users, else the cheaper
        heads; `"always"` and `"never"` as they say.
    tuned
        Whether the tuned encoder is kept by now.
    """

    tune: Literal["auto", "always", "never"]
    tuned: bool = False
    _gains: list[Floats] = field(default_factory=list)
    _users: list[NDArray[np.int64]] = field(default_factory=list)

    def judge(self, heads: Floats, tuned: Floats, users: NDArray[np.int64]) -> Gain | None:
        """Take the AUCs of the requests that a block is judged on, NaN where there is none; all arrays are [R].

        Returns
        -------
        What tuning gains over all blocks, see `Lesson.gain`; None where nothing could be judged yet.
        """
        self._gains.append(tuned - heads)
        self._users.append(users)
        gains, everybody = np.concatenate(self._gains), np.unique(np.concatenate(self._users), return_inverse=True)[1]
        totals = UserTotals.of(gains[None], everybody)
        clear = bool(totals.means[0] > np.nan_to_num(totals.standard_errors[0], nan=np.inf))
        self.tuned = self.tune == "always" or (self.tune == "auto" and clear)
        if not np.isfinite(gains).any():
            return None
        interval = bootstrap(totals)[0]
        return interval.mean, plain(interval.low), plain(interval.high)


def mean(aucs: Floats) -> float | None:
    """Return the mean of what is known of some AUCs; None where nothing is."""
    known = aucs[np.isfinite(aucs)]
    return float(known.mean()) if len(known) else None
