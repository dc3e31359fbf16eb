"""Equal scores within a list: which candidates are tied, and an order of them that favours no id."""

import numpy as np
import polars as pl

from recsys.statistics.hashes import Hashes, hash_ids, id_codes, mix
from recsys.statistics.numbers import Flags, Integers, Scores

SMALL_SHARE = 0.01
"""From this share of tied candidates on, people are told."""


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

    The key is mix(hash of the request + code of the item), see `recsys.statistics.hashes`.

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
    return mix(hash_ids(request_ids) + id_codes(item_ids))
