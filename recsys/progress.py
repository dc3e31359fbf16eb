"""How far a long step has come: a bar on a terminal, elsewhere a line a minute."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

from recsys.shown import counted

logger = logging.getLogger(__name__)

EVERY = 60.0
"""Seconds between two lines where there is no terminal."""


@contextmanager
def progress(total: int, what: str, unit: str) -> Iterator[Callable[[int], None]]:
    """Show progress on standard error while the block runs.

    On a terminal a bar is rewritten in place and gone in the end. Elsewhere, as in a nightly job, a message is logged
    once a minute; steps that take less say nothing.

    Parameters
    ----------
    total
        How many units there are.
    what, unit
        What is done, and the singular of what is counted.

    Yields
    ------
    A function that is told how many more units are done.
    """
    begun = said = time.monotonic()
    done = 0
    with tqdm(total=total, desc=what, unit=unit, disable=None, leave=False) as bar:

        def advance(units: int) -> None:
            nonlocal done, said
            done += units
            bar.update(units)
            now = time.monotonic()
            if bar.disable and now - said >= EVERY:
                said = now
                logger.info("%s: %d of %s in %d s", what, done, counted(total, unit), now - begun)

        yield advance
