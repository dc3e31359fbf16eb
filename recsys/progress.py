"""What long work does now, in words, and how far it has come: a bar on a terminal, elsewhere a line a minute."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from tqdm import tqdm

from recsys.shown import counted

logger = logging.getLogger(__name__)

EVERY = 60.0
"""Seconds between two lines where there is no terminal."""

_REDRAWN = 0.1
"""Seconds between two looks of a bar for what is done inside its step."""

_BAR = "{desc} {percentage:3.0f}% |{bar:20}| {unit}, {elapsed} gone, {remaining} to go{postfix}"


class Story:
    """The stages of long work, told one after another: what happens now, and what came of it.

    Parameters
    ----------
    stages
        How many there are.
    """

    def __init__(self, stages: int) -> None:
        self._stages, self._begun, self._since = stages, 0, 0.0

    def begin(self, what: str) -> None:
        """Say what the next stage does."""
        self._begun, self._since = self._begun + 1, time.monotonic()
        logger.info("%d/%d %s", self._begun, self._stages, what)

    def end(self, outcome: str) -> None:
        """Say what came of the stage, and how long it took."""
        logger.info("    %s (%s)", outcome, _lasting(time.monotonic() - self._since))


class _Step:
    """The outermost of the steps that are on their way; it is shown with what is done inside it.

    Parameters
    ----------
    total, what, unit, worth
        See `progress`.
    """

    def __init__(self, total: int, what: str, unit: str, worth: Sequence[float]) -> None:
        self._total, self._what, self._unit, self._worth = total, what, unit, worth
        self._done = 0
        self._begun = self._said = time.monotonic()
        whole = sum(worth) if worth else total
        self.bar = tqdm(
            total=whole,
            desc=what,
            unit=_so_far(self._done, self._total, self._unit),
            disable=None,
            leave=False,
            bar_format=_BAR,
            smoothing=0,
        )
        self.filled = False

    def advance(self, units: int) -> None:
        """Count units that are done."""
        before, self._done = self._done, self._done + units
        self.bar.set_postfix_str("", refresh=False)
        self.bar.unit = _so_far(self._done, self._total, self._unit)
        self.bar.update(sum(self._worth[before : self._done]) if self._worth else units)
        self.look("")

    def look(self, inside: str) -> None:
        """Show, where it is time, how far this is, and what is done inside."""
        now = time.monotonic()
        if now - self._said < (EVERY if self.bar.disable else _REDRAWN):
            return
        self._said = now
        if self.bar.disable:
            logger.info("%s%s", self._in_words(now - self._begun), inside and f"; {inside}")
        elif inside:
            self.bar.set_postfix_str(inside)

    def _in_words(self, seconds: float) -> str:
        done, whole = self._done, self._total
        gone, left = (sum(self._worth[:done]), sum(self._worth[done:])) if self._worth else (done, whole - done)
        more = f", about {_lasting(seconds * left / gone)} to go" if left > 0 and gone else ""
        return f"{self._what}: {_so_far(self._done, self._total, self._unit)} in {_lasting(seconds)}{more}"


_outermost: _Step | None = None


@contextmanager
def progress(total: int, what: str, unit: str, worth: Sequence[float] = ()) -> Iterator[Callable[[int], None]]:
    """Show progress on standard error while the block runs.

    On a terminal a bar is rewritten in place and gone in the end. Elsewhere, as in a nightly job, a message is logged
    once a minute; steps that take less say nothing. A step inside another one has no bar and no line of its own: that
    of the outer step says how far the inner one is, and is silent about steps inside that.

    Parameters
    ----------
    total
        How many units there are.
    what, unit
        What is done, and the singular of what is counted.
    worth
        How long each unit takes against the others; all take as long where none is given.

    Yields
    ------
    A function that is told how many more units are done.
    """
    global _outermost
    outer = _outermost
    if outer is not None:
        with _inside(outer, total, what, unit) as advance:
            yield advance
        return
    _outermost = step = _Step(total, what, unit, worth)
    try:
        with step.bar:
            yield step.advance
    finally:
        _outermost = None


@contextmanager
def _inside(outer: _Step, total: int, what: str, unit: str) -> Iterator[Callable[[int], None]]:
    """Let the outer step say how far this one is, unless another one is in it already."""
    first, outer.filled = not outer.filled, True
    done = 0

    def advance(units: int) -> None:
        nonlocal done
        done += units
        if first:
            outer.look(f"{what}: {_so_far(done, total, unit)}")

    try:
        yield advance
    finally:
        if first:
            outer.filled = False


def _so_far(done: int, total: int, unit: str) -> str:
    return f"{done:,} of {counted(total, unit)}"


def _lasting(seconds: float) -> str:
    """Write a duration to two figures or so: nobody plans by more."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
