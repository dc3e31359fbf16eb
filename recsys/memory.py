"""Memory that was let go, and that the C library would keep for itself."""

import ctypes
from functools import lru_cache
from typing import Any


@lru_cache(maxsize=1)
def _c_library() -> Any:
    """Find the functions of this process, those of the C library among them; None where it cannot be asked."""
    try:
        return ctypes.CDLL(None)
    except (OSError, TypeError):  # Windows names no process
        return None


def give_back() -> None:
    """Give the system back what was let go.

    LightGBM holds its bins in thousands of pieces. glibc keeps them when they are freed, and large arrays, which it
    maps apart, never reuse them: https://man7.org/linux/man-pages/man3/malloc_trim.3.html

    Where the C library has no `malloc_trim`, as musl and that of macOS, nothing is done.

    Examples
    --------
    >>> give_back()
    """
    trim = getattr(_c_library(), "malloc_trim", None)
    if trim is not None:
        trim(0)
