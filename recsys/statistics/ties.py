"""Equal scores within a list: which candidates are tied, and an order of them that favours no id."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys.statistics.numbers import Flags, Integers, Scores

SMALL_SHARE = 0.01
"""From this share of tied candidates on, people are told."""

Hashes = NDArray[np.uint64]

_STEP = np.uint64(0x9E3779B97F4A7C15)
_FACTORS = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


def tied_rows(scores: Scores, request: Integers) -> Flags:
    """Say which rows have a listed neighbour of the same score in the same request.

    Parameters
    ----------
    scores
        [C] in such an order that equal scores of a request are neighbours; -inf is not listed and never tied.
    request
        [C] number of each row's request.

    Examples
    --------
    >>> tied_rows(np.array([3.0, 2.0, 2.0, 2.0]), np.array([0, 0, 0, 1]))
    array([False,  True,  True, False])
    """
    same = (scores[1:] == scores[:-1]) & (request[1:] == request[:-1]) & (scores[1:] > -np.inf)
    tied = np.zeros(len(scores), dtype=bool)
    tied[1:] |= same
    tied[:-1] |= same
    return tied


def tie_keys(request_ids: pl.Series, item_ids: pl.Series) -> Hashes:
    """Hash pairs of ids: the same pair has the same key whatever stands beside it, on every machine, in every version.

    An integer stands for itself modulo 2^64, a text for the sum over its UTF-8 bytes of mix(256 * place + byte), its
    length in the place of one more byte; the key is mix(mix(request) + item), with the mix of splitmix64 (Steele, Lea
    and Flood 2014).

    Parameters
    ----------
    request_ids, item_ids
        [C] integers of any width, or texts.

    Returns
    -------
    Hashes
        [C] keys to sort by.

    Examples
    --------
    >>> tie_keys(pl.Series(["r", "r"]), pl.Series([1, 2])).argsort().tolist()
    [0, 1]
    """
    return _mix(_mix(_codes(request_ids)) + _codes(item_ids))


def _codes(ids: pl.Series) -> Hashes:
    if ids.dtype.is_integer():
        return ids.cast(pl.Int64, wrap_numerical=True).to_numpy().view(np.uint64)
    texts = ids.cast(pl.String)
    lengths = texts.str.len_bytes().to_numpy().astype(np.int64)
    ends = np.cumsum(lengths)
    places = np.arange(lengths.sum()) - np.repeat(ends - lengths, lengths)
    letters = np.frombuffer("".join(texts.to_list()).encode(), np.uint8).astype(np.uint64)
    sums = np.concatenate([[np.uint64(0)], np.cumsum(_mix((places.astype(np.uint64) << np.uint64(8)) + letters))])
    return np.asarray(sums[ends] - sums[ends - lengths] + _mix(lengths.astype(np.uint64) << np.uint64(8)))


def _mix(numbers: Hashes) -> Hashes:
    """Scatter 64 bits: step and finish of splitmix64, modulo 2^64."""
    numbers = numbers + _STEP
    numbers = (numbers ^ (numbers >> np.uint64(30))) * _FACTORS[0]
    numbers = (numbers ^ (numbers >> np.uint64(27))) * _FACTORS[1]
    return numbers ^ (numbers >> np.uint64(31))
