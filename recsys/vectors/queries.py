"""What requests ask with: read from a column, encoded text by text so that no batch changes a vector."""

from collections.abc import Callable
from functools import lru_cache
from threading import Lock

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys.data.texts import clean_texts

_KEPT = 2**16
"""Vectors of texts that are kept, 100 MB at a length of 384; the others are encoded again when they come back."""


class QueryReader:
    """Reads a column of `requests` into vectors; threads may share one.

    Parameters
    ----------
    column
        Name of the column, see `recsys.features.checks.check_query`.
    encode
        Gives the vector, float32 [p], of a text that is not empty; called for one text at a time.
    """

    def __init__(self, column: str, encode: Callable[[str], NDArray[np.float32]]) -> None:
        self.column = column
        self._vector = lru_cache(_KEPT)(encode)
        self._lock = Lock()  # tokenizers change while they read, and an encoder is loaded once only

    def read(self, texts: pl.Series, length: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Return what some requests ask with.

        Parameters
        ----------
        texts
            The column's values for R requests.
        length
            p, the length of vectors.

        Returns
        -------
        codes
            int32 [R]; rows of the vectors, -1 where a request has no text.
        vectors
            float32 [Q, p]; one for each distinct text.
        """
        codes, distinct = read_queries(texts)
        with self._lock:
            vectors = [self._vector(text) for text in distinct]
        return codes, np.array(vectors, np.float32).reshape(-1, length)


def read_queries(column: pl.Series) -> tuple[NDArray[np.int32], list[str]]:
    """Clean the texts of R requests as item texts are cleaned.

    Returns
    -------
    codes
        int32 [R]; places in `texts`, -1 where nothing is left of a text.
    texts
        The distinct texts, in the order in which they first occur.

    Examples
    --------
    >>> codes, texts = read_queries(pl.Series(["red  shoes", None, "<b>red</b> shoes", "hat"]))
    >>> codes.tolist(), texts
    ([0, -1, 0, 1], ['red shoes', 'hat'])
    """
    if column.null_count() == len(column):
        return np.full(len(column), -1, np.int32), []
    number = {"": -1}
    codes = [number.setdefault(text, len(number) - 1) for text in clean_texts(column)]
    return np.array(codes, np.int32), list(number)[1:]
