"""What rules say of candidates: who is left out, who is put forward, who has a place, and who is capped."""

from collections.abc import Collection, Iterator, Mapping

import numpy as np
import polars as pl

from recsys.arranging.settings import Boost, ListRules, RuleSettings, Value
from recsys.errors import SettingsError
from recsys.past.lookup import Asked
from recsys.past.streams import Flags, Ints, pick
from recsys.shown import did_you_mean
from recsys.statistics.numbers import Floats

_PAST_INTEGERS = 2.0**63
"""Whole numbers from here on are no integers of 64 bits."""

_KINDS = 1_000
"""Among so many values, at most, the nearest to one that is not there is looked for."""


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


def unmatched(
    rules: RuleSettings, items: pl.DataFrame, users: pl.DataFrame | None, kinds: Collection[str]
) -> Iterator[str]:
    """Say which rules name what is not in the tables, so that they do nothing: most likely it is spelt otherwise.

    Parameters
    ----------
    rules
        Rules whose columns are there.
    items, users
        The tables.
    kinds
        Kinds of events that there are.
    """
    for of, held_for in rules.of_lists:
        for boost in of.boosts:
            yield from _unmatched("boosts", "item", items[boost.attribute], boost.values)
        for name, values in held_for.items():
            if users is not None and name in users.columns:
                yield from _unmatched("segments", "user", users[name], values)
        if of.fixed:
            yield from _unmatched("fixed", "item", items["item_id"], tuple(of.fixed.values()))
        for kind in of.chosen:
            if kind not in kinds:
                yield f"[rules] chosen names {kind!r}, and no event is one{did_you_mean(kind, kinds)}"


def _unmatched(rule: str, whose: str, column: pl.Series, values: tuple[Value, ...]) -> Iterator[str]:
    known = as_texts(column.unique()).drop_nulls()
    there = {*known.filter(known.is_in([as_text(value) for value in values])).to_list()}
    for value in values:
        if (text := as_text(value)) not in there:
            hint = did_you_mean(text, known.to_list()) if len(known) <= _KINDS else ""  # of many it takes seconds
            yield f"[rules] {rule} names {column.name} {value!r}, which no {whose} has{hint}"


def left_out(asked: Asked, rules: RuleSettings) -> Flags:
    """Say which candidates no list may hold, shape [Q]."""
    found = np.zeros(len(asked.candidates), dtype=bool)
    for of, users in rules.of_lists:
        if of.leaves_out:
            found |= _left_out(asked, of) & held(asked, users)
    return found


def _left_out(asked: Asked, rules: ListRules) -> Flags:
    lookup = asked.lookup
    found = np.zeros(len(asked.candidates), dtype=bool)
    if rules.own_asks:
        found |= (lookup.read(rules.own_asks) > 0).any(axis=0)
    if rules.available:
        available = pick(lookup.log.available_at, lookup.rows.codes["item"], np.nan)
        found |= (lookup.items < 0) | (available > lookup.rows.timestamp)
    if rules.newest is not None:
        found |= lookup.hours_since_available() > rules.newest.total_seconds() / 3_600
    for name, values in rules.unavailable.items():
        found |= holds(texts_of(asked, name), values)
    return found


def held(asked: Asked, users: Mapping[str, tuple[Value, ...]]) -> Flags:
    """Say of which candidates' users rules hold: whoever has one of the values of each column, shape [Q]."""
    found = np.ones(len(asked.candidates), dtype=bool)
    for name, values in users.items():
        found &= holds(told(asked.log.behaviour.users.get_column(name), asked.lookup.users), values)
    return found


def boosts_of(asked: Asked, rules: RuleSettings) -> Floats:
    """Add up what boosts add to the score that each candidate is ordered by, shape [Q]."""
    found = np.zeros(len(asked.candidates))
    for of, users in rules.of_lists:
        for boost in of.boosts:
            found += _boosted(asked, boost) * held(asked, users)
    return found


def _boosted(asked: Asked, boost: Boost) -> Floats:
    return np.where(holds(texts_of(asked, boost.attribute), boost.values), boost.by, 0.0)


def fixed_places(asked: Asked, rules: RuleSettings) -> Ints:
    """Give the place, from 0 on, that each candidate is fixed to, -1 for none, shape [Q]."""
    items = asked.candidates["item_id"].cast(pl.String)
    found = np.full(len(items), -1, dtype=np.int64)
    for of, users in rules.of_lists:
        for place, item in of.fixed.items():
            found[(items == str(item)).to_numpy() & held(asked, users)] = place - 1
    return found


def capped(asked: Asked, rules: RuleSettings) -> tuple[Ints, Ints]:
    """Give what caps count.

    Returns
    -------
    Codes of the attribute of each cap, -1 for items without a value and users whom it does not hold for, shape [A, Q];
    and how many each lets stand among how many of the first places, shape [A, 2].
    """
    values, caps = [np.empty((0, len(asked.candidates)), dtype=np.int64)], list[tuple[int, int]]()
    for of, users in rules.of_lists:
        for cap in of.caps:
            values.append(np.where(held(asked, users), numbered(texts_of(asked, cap.attribute), {}), -1)[None])
            caps.append((cap.most, cap.first))
    return np.concatenate(values), np.array(caps, dtype=np.int64).reshape(len(caps), 2)


def are_new(asked: Asked, within: float) -> Flags:
    """Say which candidates came out in the last hours before their request, shape [Q]."""
    hours = asked.lookup.hours_since_available()
    return (hours >= 0) & (hours <= within)


def texts_of(asked: Asked, name: str) -> pl.Series:
    """Give an attribute of each candidate's item as text, null where there is none, shape [Q]."""
    return told(asked.log.behaviour.items.get_column(name), asked.lookup.items)


def told(column: pl.Series, rows: Ints) -> pl.Series:
    """Read a column at rows as text, null where a row is below 0."""
    places = pl.Series(rows)
    return as_texts(column.gather(places.set(places < 0, None)))


def holds(texts: pl.Series, values: tuple[Value, ...]) -> Flags:
    """Say which texts are one of some values."""
    wanted = {as_text(value) for value in values}
    return np.array([text in wanted for text in texts.to_list()], dtype=bool)  # of a short list far faster than polars


def as_texts(column: pl.Series) -> pl.Series:
    """Write values as text; whole numbers alike, however they are kept."""
    texts = column.cast(pl.String)
    if column.dtype.is_decimal():
        bare = texts.str.strip_chars_end("0").str.strip_suffix(".")
        return bare.zip_with(texts.str.contains(".", literal=True), texts)
    if column.dtype.is_float():
        whole = (column.floor() == column) & (column.abs() < _PAST_INTEGERS)
        return column.cast(pl.Int64, strict=False).cast(pl.String).zip_with(whole, texts)
    return texts


def as_text(value: Value) -> str:
    """Write a value as `as_texts` does."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def numbered(texts: pl.Series, known: dict[str, int]) -> Ints:
    """Give each text a number, -1 where there is none; texts that are not known yet become so."""
    numbers = [-1 if text is None else known.setdefault(text, len(known)) for text in texts.to_list()]
    return np.array(numbers, dtype=np.int64)
