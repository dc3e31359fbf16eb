"""What requests ask with: read from a column, encoded text by text so that no batch changes a vector."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from threading import Lock

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys.data.texts import clean_texts
from recsys.errors import SettingsError
from recsys.schema import AFTER_THE_LIST

_KEPT = 2**16
"""Vectors of texts that are kept, 100 MB at a length of 384; the others are encoded again when they come back."""


class QueryReader:
    """Reads a column of `requests` into vectors; threads may share one.

    Parameters
    ----------
    column
        Name of the column, see `check_query`.
    encode
        Gives the vector, float32 [p], of a text that is not empty; called for one text at a time.
    """

    def __init__(self, column: str, encode: Callable[[str], NDArray[np.float32]]) -> None:
        self.column = column
        self._vector = lru_cache(_KEPT)(encode)
        self._lock = Lock()  # tokenizers change while they read, and an encoder is loaded once only

    def read(self, requests: pl.DataFrame, length: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Return what some requests ask with.

        Parameters
        ----------
        requests
            R requests, one row each.
        length
            p, the length of vectors.

        Returns
        -------
        codes
            int32 [R]; rows of the vectors, -1 where a request has no text.
        vectors
            float32 [Q, p]; one for each distinct text.
        """
        codes, texts = read_queries(requests[self.column])
        with self._lock:
            vectors = [self._vector(text) for text in texts]
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
    number = {"": -1}
    codes = [number.setdefault(text, len(number) - 1) for text in clean_texts(column)]
    return np.array(codes, np.int32), list(number)[1:]


def check_query(requests: pl.DataFrame, column: str, recorded_after: Sequence[str]) -> None:
    """Refuse a query column that is missing, holds no texts, or was recorded with or after the list.

    Parameters
    ----------
    requests
        Requests or candidates.
    column
        Name of the column; empty when requests have no text.
    recorded_after
        Further columns that were recorded after the list.

    Raises
    ------
    SettingsError
        Naming the column and what to do.
    """
    if not column:
        return
    if column in AFTER_THE_LIST or column in recorded_after:
        declared = ", as its importer declares" if column in recorded_after else ""
        raise SettingsError(
            f"[text] query names {column!r}, which is recorded with or after the list{declared}, so it would tell the "
            "outcome; name another column, or none"
        )
    if column not in requests.columns:
        raise SettingsError(
            f"[text] query names {column!r}, which is not a column of the requests; add it, with nulls where a request "
            f"has no text; their columns are {', '.join(requests.columns)}"
        )
    kind = requests.schema[column]
    if kind not in (pl.String, pl.Categorical, pl.Enum, pl.Null):
        raise SettingsError(f"[text] query names {column!r}, which holds {kind}, not texts; name a column of strings")
