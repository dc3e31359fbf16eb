"""Rules put into effect: candidates are left out, fixed to places and capped; all else keeps the order of scores."""

import numpy as np
import polars as pl

from recsys.arranging.settings import RuleSettings
from recsys.compiled import compiled
from recsys.errors import SettingsError
from recsys.past.lookup import Asked
from recsys.past.streams import Flags, Ints, pick


def arranged(asked: Asked, order: Ints, rules: RuleSettings) -> tuple[Ints, Ints]:
    """Put ranked candidates under rules.

    Parameters
    ----------
    asked
        The candidates, Q of them.
    order
        Rows by request and then from the best to the worst, shape [Q].
    rules
        The rules.

    Returns
    -------
    Rows that stay, by request and place, and how many each request has, shapes [K] and [R].
    """
    stays = ~left_out(asked, rules)
    kept = order[stays[order]]
    of_row = np.repeat(np.arange(len(asked.lengths)), asked.lengths)
    lengths = np.bincount(of_row[kept], minlength=len(asked.lengths)).astype(np.int64)
    if not (rules.fixed or rules.caps):
        return kept, lengths
    values = np.stack([codes_of(asked, cap.attribute) for cap in rules.caps] or [np.empty(0, np.int64)])
    caps = np.array([(cap.most, cap.first) for cap in rules.caps], dtype=np.int64).reshape(len(rules.caps), 2)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    return placed(kept, starts, fixed_places(asked, rules), values, caps), lengths


def check_top(top: int | None) -> None:
    """Refuse a number of places that is not a whole number of at least 1.

    Raises
    ------
    SettingsError
        Naming the value.
    """
    if top is not None and (not isinstance(top, int) or isinstance(top, bool) or top < 1):
        raise SettingsError(f"top = {top!r}; keep at least 1 candidate per request, as a whole number")


def keep_top(rankings: pl.DataFrame, top: int | None) -> pl.DataFrame:
    """Keep the first `top` places of every request; all when None."""
    return rankings if top is None else rankings.filter(pl.col("rank") <= top)


def left_out(asked: Asked, rules: RuleSettings) -> Flags:
    """Say which candidates no list may hold, shape [Q]."""
    lookup = asked.lookup
    found = np.zeros(len(asked.candidates), dtype=bool)
    if rules.asks:
        found |= (lookup.read(rules.asks) > 0).any(axis=0)
    if rules.available:
        available = pick(lookup.log.available_at, lookup.rows.codes["item"], np.nan)
        found |= (lookup.items < 0) | (available > lookup.rows.timestamp)
    for name, values in rules.unavailable.items():
        found |= texts_of(asked, name).is_in([as_text(value) for value in values]).fill_null(value=False).to_numpy()
    return found


def texts_of(asked: Asked, name: str) -> pl.Series:
    """Give an attribute of each candidate's item as text, null where there is none, shape [Q]."""
    rows = pl.Series(asked.lookup.items)
    return as_texts(asked.log.behaviour.items.get_column(name).gather(rows.set(rows < 0, None)))


def as_texts(column: pl.Series) -> pl.Series:
    """Write values as text; whole numbers alike, however they are kept."""
    texts = column.cast(pl.String)
    return texts.str.strip_suffix(".0") if column.dtype.is_float() else texts


def as_text(value: str | int | bool) -> str:
    """Write a value as `as_texts` does."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def codes_of(asked: Asked, name: str) -> Ints:
    """Give each value of an attribute a number, -1 where there is none, shape [Q]."""
    ranks = texts_of(asked, name).rank("dense").fill_null(0).cast(pl.Int64).to_numpy()
    codes: Ints = ranks - 1
    return codes


def fixed_places(asked: Asked, rules: RuleSettings) -> Ints:
    """Give the place, from 0 on, that each candidate is fixed to, -1 for none, shape [Q]."""
    items = asked.candidates["item_id"].cast(pl.String)
    found = np.full(len(items), -1, dtype=np.int64)
    for place, item in rules.fixed.items():
        found[(items == str(item)).to_numpy()] = place - 1
    return found


@compiled
def placed(kept: Ints, starts: Ints, fixed: Ints, values: Ints, caps: Ints) -> Ints:
    """Give each list its order under fixed places and caps.

    A place is taken by the item that is fixed to it, or else by the best that is left and that no cap holds back there,
    or, where caps hold back all, by the best that is left. Fixed items count in caps from the beginning.

    Parameters
    ----------
    kept
        Rows by request and then from the best to the worst, shape [K].
    starts
        First of each request and, last, K; shape [R + 1].
    fixed
        See `fixed_places`, shape [Q].
    values
        Codes of the attribute of each cap, -1 for items without a value, shape [A, Q].
    caps
        How many each lets stand, and among how many of the first places, shape [A, 2].

    Returns
    -------
    Rows by request and place, shape [K].
    """
    found = np.empty_like(kept)
    counts = np.zeros((len(caps), values.max() + 1 if values.size else 0), dtype=np.int64)
    for request in range(len(starts) - 1):
        start, end = starts[request], starts[request + 1]
        length = end - start
        taken = np.zeros(length, dtype=np.bool_)
        at = np.full(length, -1, dtype=np.int64)
        counts[:] = 0
        for rank in range(length):
            place = fixed[kept[start + rank]]
            if 0 <= place < length:
                at[place], taken[rank] = rank, True
                _count(counts, place, kept[start + rank], values, caps)
        waiting = 0
        for place in range(length):
            if at[place] < 0:
                while taken[waiting]:
                    waiting += 1
                best = waiting
                for rank in range(waiting, length):
                    if not taken[rank] and not _held_back(counts, place, kept[start + rank], values, caps):
                        best = rank
                        break
                at[place], taken[best] = best, True
                _count(counts, place, kept[start + best], values, caps)
            found[start + place] = kept[start + at[place]]
    return found


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
