"""Functions that numba compiles: loops over arrays that run at the speed of the machine, without Python's lock."""

import os
from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

Compiled = TypeVar("Compiled", bound=Callable[..., Any])


def compiled(function: Compiled) -> Compiled:
    """Compile a function when it is first called, once per installation.

    What was compiled is kept beside the module, or where that cannot be written in the user's cache, or where that
    cannot either in memory alone.
    """
    return _compiled(function)


def borrowing(function: Compiled) -> Compiled:
    """Compile a function that makes no array of its own, as `compiled` does.

    Nobody counts who holds the arrays that it was lent, which at every assignment costs more than most of its loops do.
    """
    return _compiled(function, _nrt=False)


def inlined(function: Compiled) -> Compiled:
    """Write a function into those that call it, when they are compiled: passing arrays on costs more than loops."""
    return cast(Compiled, njit(inline="always")(function))


def _compiled(function: Compiled, **options: Any) -> Compiled:
    try:
        return cast(Compiled, njit(cache=True, nogil=True, **options)(function))
    except RuntimeError:  # numba found no folder that can be written
        return cast(Compiled, njit(nogil=True, **options)(function))


def thread_count() -> int:
    """Return how many threads to use: `OMP_NUM_THREADS`, which torch obeys as well, or one per processor.

    What is no whole number there says nothing, as to OpenMP.
    """
    try:
        return max(1, int(os.environ.get("OMP_NUM_THREADS", "").split(",")[0]))
    except ValueError:
        return os.cpu_count() or 1
