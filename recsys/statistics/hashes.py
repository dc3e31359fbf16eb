"""Hashes of ids: the same on every machine and in every version, whatever stands beside an id."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]

_STEP = np.uint64(0x9E3779B97F4A7C15)
_FACTORS = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


def hash_ids(ids: pl.Series) -> Hashes:
    """Hash ids, integers of any width or texts, shape [C]: the mix of their codes.

    Examples
    --------
    >>> (hash_ids(pl.Series([7, 8])) % np.uint64(10)).tolist()
    [7, 2]
    """
    return mix(id_codes(ids))


def part_of(users: pl.Series, count: int) -> NDArray[np.int64]:
    """Give the part of each user, from 0 to `count` - 1, shape [R]: the same wherever and whenever it is asked.

    Examples
    --------
    >>> part_of(pl.Series(["ann", "bob", "ann"]), 4).tolist()
    [3, 2, 3]
    """
    return (hash_ids(users) % np.uint64(count)).astype(np.int64)


def id_codes(ids: pl.Series) -> Hashes:
    """Give a number for each id, shape [C].

    An integer stands for itself modulo 2^64, a text for the sum over its UTF-8 bytes of mix(256 * place + byte), its
    length in the place of one more byte.
    """
    if ids.dtype.is_integer():
        return ids.cast(pl.Int64, wrap_numerical=True).to_numpy().view(np.uint64)
    texts = ids.cast(pl.String)
    lengths = texts.str.len_bytes().to_numpy().astype(np.int64)
    ends = np.cumsum(lengths)
    places = np.arange(lengths.sum()) - np.repeat(ends - lengths, lengths)
    letters = np.frombuffer("".join(texts.to_list()).encode(), np.uint8).astype(np.uint64)
    sums = np.concatenate([[np.uint64(0)], np.cumsum(mix((places.astype(np.uint64) << np.uint64(8)) + letters))])
    return np.asarray(sums[ends] - sums[ends - lengths] + mix(lengths.astype(np.uint64) << np.uint64(8)))


def mix(numbers: Hashes) -> Hashes:
    """Scatter 64 bits: step and finish of splitmix64, modulo 2^64."""
    numbers = numbers + _STEP
    numbers = (numbers ^ (numbers >> np.uint64(30))) * _FACTORS[0]
    numbers = (numbers ^ (numbers >> np.uint64(27))) * _FACTORS[1]
    return numbers ^ (numbers >> np.uint64(31))
