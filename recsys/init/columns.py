"""What the columns of one file may be: who, what, when, what happened, and whole lists."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import polars as pl

from recsys.data.importers.numbers import yes_as_one
from recsys.init import words
from recsys.init.samples import Sample
from recsys.past.behaviour import are_written_lists

_SEPARATORS = (" ", ",", "|", ";")
_INTEGERS = (pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64)
MOST_EMPTY = 0.9
"""Share of rows that may lack a text which is one all the same: few products are described in most shops."""
_FEW_STATES = 20
"""Up to so many values a column is a state of orders."""
_ROWS = 500
"""Rows on which whole lists are compared with what was clicked in them."""


@dataclass(frozen=True)
class ListColumn:
    """Columns of a file in which a row is a whole list.

    Attributes
    ----------
    shown, clicked
        Their names; `clicked` may be missing.
    separator
        What stands between the ids where they are text.
    """

    shown: str
    clicked: str | None
    separator: str


@dataclass(frozen=True)
class Roles:
    """Names of the columns that play a part; None where there is none.

    Attributes
    ----------
    user, item, time, request, kind, value, label
        As in our tables; `kind` is the column of event kinds.
    formats
        The ways in which `time` can be read, the likeliest first.
    lists
        Whole lists, where a row is one.
    """

    user: str | None
    item: str | None
    time: str | None
    formats: tuple[str, ...]
    request: str | None
    kind: str | None
    value: str | None
    label: str | None
    lists: ListColumn | None


def find_roles(sample: Sample) -> Roles:
    """Guess what the columns of a file are, by their names and by their values."""
    user = best_id(sample.ids, words.USER)
    time = _time(sample, [user])
    item = best_id([name for name in sample.ids if name not in (user, time)], words.ITEM)
    taken = {user, item, time}
    free = [name for name in sample.frame.columns if name not in taken]
    label = next((name for name in words.most_like(free, words.LABEL) if is_label(sample.frame[name])), None)
    requests = [name for name in sample.ids if name in free and name != label and not _few(sample, name)]
    return Roles(
        user=user,
        item=item,
        time=time,
        formats=tuple(sample.times.get(time or "", [])),
        request=best_id(requests, words.REQUEST),
        kind=_kind(sample, free),
        value=next((name for name in words.most_like(free, words.VALUE) if _counts(sample.frame[name])), None),
        label=label,
        lists=_lists(sample, free),
    )


def best_id(names: Iterable[str], meaning: str) -> str | None:
    """Give the name that sounds most like a meaning, those that sound like an id first; None when none does."""
    scores = {name: words.likeness(name, meaning) for name in names}
    scores = {name: score + 1.5 * words.sounds_like_id(name) for name, score in scores.items() if score > 0}
    return max(scores, key=lambda name: scores[name]) if scores else None


def text_columns(sample: Sample) -> list[str]:
    """Give the columns that read like text, the title first, then the longest."""
    lengths = {}
    for name in sample.frame.columns:
        column = sample.frame[name]
        if column.dtype == pl.List(pl.String):
            lengths[name] = number(column.list.len().mean())
        if column.dtype != pl.String or name in sample.stamps or column.null_count() > MOST_EMPTY * len(column):
            continue
        address = number(column.str.contains(r"^(https?://|www\.|/)").mean())
        several = number((column.str.count_matches(r"[\s|]+") + 1).mean())
        named = words.likeness(name, words.TITLE) >= 2 or words.likeness(name, words.TEXT) >= 2
        if address < 0.5 and (several >= 1.8 or named):
            lengths[name] = number(column.str.len_chars().mean())
    titles = [name for name in words.most_like(lengths, words.TITLE) if lengths[name] <= 300]
    others = sorted((name for name in lengths if name not in titles[:1]), key=lambda name: -lengths[name])
    return [*titles[:1], *others]


def number(value: Any) -> float:
    """Give a statistic of polars as a number, 0 where there was nothing to count."""
    return 0.0 if value is None else float(value)


def are_groups(column: pl.Series, most: float = 50) -> bool:
    """Tell whether values that are no fractions, and no lists written as text, are several and few."""
    whole = column.dtype in (pl.String, pl.Boolean) or column.dtype.is_integer()
    return whole and 2 <= column.n_unique() <= most and not are_written_lists(column)


def is_label(column: pl.Series) -> bool:
    """Tell whether a column holds nothing but small whole numbers from 0 on, some of them 0, or yes and no."""
    filled = column.drop_nulls()
    if column.dtype == pl.String:
        return yes_as_one(filled) is not filled
    if column.dtype == pl.Boolean:
        return filled.n_unique() == 2
    if not column.dtype.is_numeric() or filled.is_empty():
        return False
    whole = bool((filled.cast(pl.Float64) % 1 == 0).all())
    return whole and filled.min() == 0 and number(filled.max()) in range(1, 11)


def _time(sample: Sample, taken: list[str | None]) -> str | None:
    """Give the column of moments; numbers need a name that says so, unless nothing else is one."""
    names = [name for name in sample.times if name not in taken]
    written = [name for name in names if name in sample.stamps]
    named = words.most_like(names, words.TIME)
    numbers = [name for name in names if name not in named and not words.sounds_like_id(name)]
    return next(iter([*(name for name in named if name in written), *named, *written, *numbers]), None)


def _few(sample: Sample, name: str) -> bool:
    return sample.frame[name].n_unique() <= 5 and len(sample.frame) > 50


def _kind(sample: Sample, names: list[str]) -> str | None:
    """Give the column of event kinds: few distinct texts under a name that says so, or texts that sound like kinds."""
    texts = [name for name in names if sample.frame[name].dtype == pl.String and name not in sample.stamps]
    texts = [name for name in texts if not void_states(sample, name)]
    few = {name: values for name in texts if len(values := sample.values(name)) <= 30}
    sounding = {name: sum(words.kind_of(value) is not None for value in values) for name, values in few.items()}
    by_values = [name for name in few if sounding[name] and 2 * sounding[name] >= len(few[name])]
    by_name = [name for name in words.most_like(few, words.KIND) if words.likeness(name, words.KIND) >= 2.5]
    both = [name for name in by_name if name in by_values]
    return next(iter([*both, *by_values, *by_name]), None)


def void_states(sample: Sample, name: str) -> list[str]:
    """Give the values of a column of states, such as `cancelled`, whose rows are no choices; none in other columns."""
    if words.likeness(name, words.STATUS) == 0 or sample.frame[name].dtype != pl.String:
        return []
    values = sample.values(name).sort().to_list()
    void = [value for value in values if words.likeness(value, words.VOID) > 0]
    return void if len(void) < len(values) <= _FEW_STATES else []


def _counts(column: pl.Series) -> bool:
    return column.dtype.is_numeric() and column.null_count() < len(column)


def _lists(sample: Sample, names: list[str]) -> ListColumn | None:
    """Find a column of whole lists and the one whose ids are among them."""
    rows = sample.written.head(_ROWS)
    parts: dict[str, tuple[str, list[set[str]]]] = {}
    for name in names:
        column = rows[name]
        if column.dtype.is_integer():
            column = column.cast(pl.String)
        if isinstance(column.dtype, pl.List) and column.dtype.inner in (pl.String, *_INTEGERS):
            parts[name] = " ", [set(map(str, each or ())) for each in column.to_list()]
        elif column.dtype == pl.String and _names_lists(name):
            separator = max(_SEPARATORS, key=lambda mark: number(column.str.split(mark).list.len().mean()))
            texts = column.fill_null("").str.split(separator).to_list()
            parts[name] = separator, [{part.strip() for part in text} - {""} for text in texts]
    lengths = {name: sum(map(len, each)) / len(rows) for name, (_, each) in parts.items()}
    shown = max((name for name in parts if lengths[name] >= 2), key=lambda name: lengths[name], default=None)
    if shown is None:
        return None
    separator, wholes = parts[shown]
    for name in words.most_like(parts, words.LABEL) + list(parts):
        pairs = list(zip(parts[name][1], wholes, strict=True))
        inside = sum(part <= whole for part, whole in pairs)
        if name != shown and inside >= 0.9 * len(rows) and any(part for part, _ in pairs):
            return ListColumn(shown, name, separator)
    return ListColumn(shown, None, separator)


def _names_lists(name: str) -> bool:
    return words.likeness(name, words.SHOWN) > 0 or words.likeness(name, words.LABEL) >= 2
