"""How long work takes."""

import time
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


def timed(work: Callable[[], Result]) -> tuple[float, Result]:
    """Run once and return seconds and the result."""
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


def seconds(*works: Callable[[], object], runs: int = 3) -> list[float]:
    """Fastest of some runs of each, which is the one that was disturbed least; they take turns."""
    return [min(times) for times in zip(*([timed(work)[0] for work in works] for _ in range(runs)), strict=True)]
