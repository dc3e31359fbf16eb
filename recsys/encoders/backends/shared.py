"""What backends share: extras that must be installed, and texts encoded side by side, one per thread."""

import importlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from recsys.encoders.tokens import Tokens
from recsys.errors import ModelError, first_line


def need(module: str, extra: str) -> Any:
    """Import a module of an extra.

    Raises
    ------
    ModelError
        When it is not installed; says what to type.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ModelError(
            f"[text] backend = {extra!r} needs {module} ({first_line(error)}); type, in the checkout of this "
            f"package: pip install --constraint constraints.txt --editable '.[{extra}]'"
        ) from error


def thread_count() -> int:
    """Return how many threads to use: `OMP_NUM_THREADS`, which torch obeys as well, or one per processor."""
    return max(1, int(os.environ.get("OMP_NUM_THREADS", "").split(",")[0] or os.cpu_count() or 1))


def embed_one_by_one(
    tokens: Tokens, dimension: int, embed: Callable[[NDArray[np.int64]], NDArray[np.float32]]
) -> NDArray[np.float32]:
    """Return embeddings [n, d] of n texts, each encoded by itself.

    An embedding then does not depend, to the last bit, on what else is encoded, though 8-bit arithmetic scales its
    numbers by the largest that it meets; nothing is padded either.

    Parameters
    ----------
    tokens
        Of n texts.
    dimension
        d.
    embed
        Turns the tokens [1, T] of a text into its embedding [d]; called in several threads at once.
    """
    found = np.empty((len(tokens), dimension), np.float32)

    def one(row: int) -> None:
        found[row] = embed(tokens.ids[None, tokens.starts[row] : tokens.starts[row + 1]])

    with (
        ThreadPoolExecutor(thread_count()) as pool,
        tqdm(total=len(tokens), desc="encode", unit="text", disable=None, leave=False) as progress,
    ):
        for _ in pool.map(one, range(len(tokens))):
            progress.update()
    return found
