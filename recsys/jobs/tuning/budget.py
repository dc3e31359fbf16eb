"""Time that a tuning may take, and how it is shared."""

import time
from datetime import timedelta
from enum import Enum


class Spent(float, Enum):
    """What part of the time is over when a stage begins nothing more."""

    TRIALS = 0.5
    AGAIN = 0.75
    LEAVING = 1.0


class Budget:
    """Time from now on; each stage does what it cannot do without, however little is left.

    Parameters
    ----------
    whole
        Time for all stages together, zero or more.
    """

    def __init__(self, whole: timedelta) -> None:
        self._whole = whole.total_seconds()
        self._began = time.monotonic()

    def spent(self, stage: Spent) -> bool:
        """Say whether a stage may begin nothing more."""
        return time.monotonic() - self._began >= stage * self._whole
