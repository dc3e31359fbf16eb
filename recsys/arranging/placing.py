"""Places filled one after the other: what is fixed, what caps hold back, and what is left to chance."""

import numpy as np
import polars as pl

from recsys.arranging.settings import Exploration
from recsys.compiled import compiled
from recsys.past.streams import Flags, Ints
from recsys.statistics.hashes import hash_ids, mix
from recsys.statistics.numbers import Floats

BEST, EPSILON, PLACKETT_LUCE = 0.0, 1.0, 2.0
"""How places that chance fills are filled, see `recsys.arranging.settings.Exploration`."""

NOTHING = np.array([BEST, 0.0, 0.0, -1.0])
"""How lists are filled that leave nothing to chance, see `chances`."""


def chances(exploration: Exploration | None) -> Floats:
    """Say what is left to chance: how, epsilon or temperature, at how many places, and the place of new items."""
    if exploration is None:
        return NOTHING
    way = {"none": BEST, "epsilon": EPSILON, "plackett_luce": PLACKETT_LUCE}[exploration.by]
    size = exploration.temperature if exploration.by == "plackett_luce" else exploration.epsilon
    first = 0 if exploration.by == "none" else exploration.first
    return np.array([way, size, first, -1.0 if exploration.new_place is None else exploration.new_place - 1])


def draws(requests: pl.Series, as_of: Ints, lengths: Ints, seed: int) -> Floats:
    """Draw a number from 0 to 1 for each place of each request, by its id and moment alone; shape [K].

    Parameters
    ----------
    requests
        Ids, shape [R].
    as_of
        Moments, microseconds: a user's lists of two nights may have one id, shape [R].
    lengths
        Places of each, shape [R].
    seed
        Starts the draws.
    """
    moments = mix(as_of.astype(np.uint64) ^ mix(np.array([seed], np.uint64)))
    keys = np.repeat(hash_ids(requests) ^ moments, lengths)
    places = np.arange(len(keys)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return (mix(keys + mix(places.astype(np.uint64))) >> np.uint64(11)) / 2.0**53


@compiled
def placed(
    kept: Ints, starts: Ints, marks: Ints, values: Ints, caps: Ints, worth: Floats, drawn: Floats, how: Floats
) -> tuple[Ints, Floats]:
    """Give each list its order under fixed places, caps and chance.

    A place is taken by the item that is fixed to it, or else by one of those that are left and that no cap holds back
    there, or, where caps hold back all, of those that are left: the best, or whom chance says. Fixed items count in
    caps from the beginning.

    Parameters
    ----------
    kept
        Rows by request and then from the best to the worst, shape [K].
    starts
        First of each request and, last, K; shape [R + 1].
    marks
        The place, from 0 on, that each row is fixed to, -1 for none; and whether it is new; shape [2, Q].
    values
        Codes of the attribute of each cap, -1 for items without a value, shape [A, Q].
    caps
        How many each lets stand, and among how many of the first places, shape [A, 2].
    worth
        What softmax is over, shape [Q].
    drawn
        See `draws`, shape [K].
    how
        See `chances`, shape [4].

    Returns
    -------
    Rows by request and place, and the probability that each stands there given those above it, each of shape [K].
    """
    found, propensity = np.empty_like(kept), np.ones(len(kept))
    counts = np.zeros((len(caps), values.max() + 1 if values.size else 0), dtype=np.int64)
    for request in range(len(starts) - 1):
        start, end = starts[request], starts[request + 1]
        length = end - start
        taken = np.zeros(length, dtype=np.bool_)
        at = np.full(length, -1, dtype=np.int64)
        counts[:] = 0
        for rank in range(length):
            place = marks[0, kept[start + rank]]
            if 0 <= place < length and at[place] < 0:  # of two that are fixed to one place the better has it
                at[place], taken[rank] = rank, True
                _count(counts, place, kept[start + rank], values, caps)
        waiting = 0
        for place in range(length):
            if at[place] < 0:
                while taken[waiting]:
                    waiting += 1
                best = _best(kept[start:end], taken, counts, place, waiting, values, caps)
                if place < how[2] or place == how[3]:
                    free = _free(kept[start:end], taken, counts, place, values, caps)
                    best, propensity[start + place] = _drawn(
                        kept[start:end], free, best, place, marks, worth, drawn[start + place], how
                    )
                at[place], taken[best] = best, True
                _count(counts, place, kept[start + best], values, caps)
            found[start + place] = kept[start + at[place]]
    return found, propensity


@compiled
def _best(rows: Ints, taken: Flags, counts: Ints, place: int, waiting: int, values: Ints, caps: Ints) -> int:
    """Find the best that may stand at a place, from the best that is left on; that one where caps hold back all."""
    for rank in range(waiting, len(rows)):
        if not taken[rank] and not _held_back(counts, place, rows[rank], values, caps):
            return rank
    return waiting


@compiled
def _free(rows: Ints, taken: Flags, counts: Ints, place: int, values: Ints, caps: Ints) -> Ints:
    """List those that may stand at a place, from the best to the worst."""
    free = np.empty(len(rows), dtype=np.int64)
    for anybody in (False, True):
        size = 0
        for rank in range(len(rows)):
            if not taken[rank] and (anybody or not _held_back(counts, place, rows[rank], values, caps)):
                free[size] = rank
                size += 1
        if size > 0:
            break
    return free[:size]


@compiled
def _drawn(
    rows: Ints, free: Ints, best: int, place: int, marks: Ints, worth: Floats, drawn: float, how: Floats
) -> tuple[int, float]:
    """Let chance fill a place: who stands there, and how likely that was."""
    if place == how[3]:
        new = 0
        for rank in free:
            new += marks[1, rows[rank]]
        if new > 0:
            turn = min(int(drawn * new), new - 1)
            for rank in free:
                if marks[1, rows[rank]]:
                    if turn == 0:
                        return rank, 1.0 / new
                    turn -= 1
    if place >= how[2]:
        return best, 1.0
    if how[0] == EPSILON:
        chosen = best
        if drawn < how[1]:
            chosen = free[min(int(drawn / how[1] * len(free)), len(free) - 1)]
        return chosen, how[1] / len(free) + (1.0 - how[1] if chosen == best else 0.0)
    top = worth[rows[free[0]]]
    for rank in free:
        top = max(top, worth[rows[rank]])
    total = 0.0
    for rank in free:
        total += np.exp((worth[rows[rank]] - top) / how[1])
    chosen, left = free[0], drawn * total
    for rank in free:
        weight = np.exp((worth[rows[rank]] - top) / how[1])
        if weight > 0:
            chosen = rank
            left -= weight
            if left < 0:
                break
    return chosen, np.exp((worth[rows[chosen]] - top) / how[1]) / total


@compiled
def _count(counts: Ints, place: int, row: int, values: Ints, caps: Ints) -> None:
    """Count a row at a place under each cap that reaches so far."""
    for cap in range(len(caps)):
        if place < caps[cap, 1] and values[cap, row] >= 0:
            counts[cap, values[cap, row]] += 1


@compiled
def _held_back(counts: Ints, place: int, row: int, values: Ints, caps: Ints) -> bool:
    """Tell whether a cap holds back a row at a place."""
    for cap in range(len(caps)):
        if place < caps[cap, 1] and values[cap, row] >= 0 and counts[cap, values[cap, row]] >= caps[cap, 0]:
            return True
    return False
