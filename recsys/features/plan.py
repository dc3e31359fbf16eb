"""The plan of the feature table: every column in its order, with its name, its words, and how it is computed."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property, lru_cache, partial
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.data.plain import known_number
from recsys.features.beside import ComparedWith
from recsys.features.columns import (
    COMPARISONS,
    FACTORS,
    NEIGHBOURS,
    REQUEST,
    SIGNALS,
    context_column,
    field_columns,
    item_column,
    score_column,
    user_column,
)
from recsys.features.feature import Feature, Floats, Past, Per, Told, spoken
from recsys.features.field import field_values, half_lives, references
from recsys.features.moments import Age
from recsys.features.settings import FeatureSettings, declare_families
from recsys.features.within_list import Singles, divide
from recsys.past.counters import Ints
from recsys.past.log import Log
from recsys.past.lookup import Asked, Lookup
from recsys.past.streams import LAST, OUTCOME, Rows
from recsys.vectors.reader import COUNT, Reader

_LONG = 10_000
"""So many values are compared within their lists at once, in a thread beside the look-ups."""


def with_comparisons(name: str) -> tuple[str, ...]:
    """Name a column and how it is compared within its list."""
    return (name, *(f"{name}_{comparison}" for comparison in COMPARISONS))


TEXT_COLUMNS = tuple(column for name in (*SIGNALS, *NEIGHBOURS) for column in with_comparisons(name))
"""The columns that come from texts; `behaviour` alone is the ranker without them."""

AGE_COLUMNS = with_comparisons(Age().name)
"""The columns that come from `available_at` of the candidate."""


@dataclass(frozen=True, eq=False)
class Source:
    """What columns are computed from.

    Attributes
    ----------
    asked
        The candidates.
    settings
        Which features.
    reader
        What reads texts; without one, what comes from texts is NaN.
    """

    asked: Asked
    settings: FeatureSettings
    reader: Reader | None

    @cached_property
    def texts(self) -> Mapping[str, npt.NDArray[np.floating]]:
        """What texts say: `SIGNALS` and `NEIGHBOURS`, each of shape [Q]."""
        asked, rows = self.asked, self.asked.rows
        if self.reader is None:
            return dict.fromkeys((*SIGNALS, *NEIGHBOURS), np.full(len(asked.candidates), np.nan))
        queries = self.reader.queries  # a request's own text is that of its first row
        words = None if queries is None else asked.candidates[queries.column].gather(asked.starts[:-1])
        signals = self.reader.signals(asked.log, rows, asked.starts, words)
        beside = neighbour_signals(self.reader, rows, asked.log, self.settings.windows[-1:], self.settings.prior)
        return {**vars(signals), **dict(zip(NEIGHBOURS, beside, strict=True))}

    @cached_property
    def field(self) -> Mapping[str, Floats]:
        """Where candidates stand in the field: `recsys.features.columns.field_columns`, each of shape [Q]."""
        return field_values(self.asked, self.settings)

    @cached_property
    def local(self) -> pl.Series:
        """The moment of every candidate's request in the zone of the daily cut."""
        return self.asked.candidates["timestamp"].dt.convert_time_zone(self.asked.log.time.zone)


@dataclass(frozen=True)
class PlannedColumn:
    """One column of the feature table, and how it is compared within its list.

    Attributes
    ----------
    family
        What it stands under in the catalogue.
    name
        Its name.
    per
        Key columns.
    told
        Its meaning, its formula, and what it is where nothing is known.
    values
        Computes it, shape [Q]: numbers, NaN where not known, as an array, or categories as a series.
    compared
        Whether it is also compared within its list, see `COMPARISONS`.
    """

    family: str
    name: str
    per: Per
    told: Told
    values: Callable[[Source], npt.NDArray[Any] | pl.Series]
    compared: bool = False

    @property
    def keys(self) -> str:
        """The key columns in words."""
        return spoken(self.per)

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column of the table that it stands for, in their order."""
        return with_comparisons(self.name) if self.compared else (self.name,)


@lru_cache(maxsize=16)
def plan(settings: FeatureSettings) -> tuple[PlannedColumn, ...]:
    """List the columns that the settings ask for, in the order of the table."""
    return tuple(_columns(settings))


def feature_names(settings: FeatureSettings) -> list[str]:
    """Name the columns of `build_features` in their order."""
    return [name for column in plan(settings) for name in column.columns]


def build_features(asked: Asked, settings: FeatureSettings, reader: Reader | None) -> pl.DataFrame:
    """Compute every feature of candidates.

    Parameters
    ----------
    asked
        Whole requests with the context columns, the scores, and the column of the reader's `queries`; only what is
        known before each request's `as_of` is read.
    settings
        Which behavioural features; see `recsys.features.checks.check_context`.
    reader
        What reads texts; without one, the text columns are NaN.

    Returns
    -------
    One row per candidate in the same order: numbers as Float32 (NaN = not known), categories as strings or integers.
    """
    in_field = settings.compared == "field"
    beside = ComparedWith.of(asked, references(asked, settings), settings.scores) if in_field else ComparedWith(asked)
    source = Source(beside.asked, settings, reader)
    columns, rows = plan(settings), len(source.asked.candidates)
    numbers = np.empty((sum(len(column.columns) for column in columns), rows), dtype=np.float32)
    names: list[str] = []
    categories: list[pl.Series] = []
    waiting: dict[bool, list[int]] = {True: [], False: []}
    with ThreadPoolExecutor(1) as thread:
        running: list[Future[None]] = []
        for column in columns:
            values = column.values(source)
            if isinstance(values, pl.Series):
                categories.append(values.alias(column.name))
                continue
            numbers[len(names)] = values
            if column.compared:
                logits = column.name in SIGNALS
                waiting[logits].append(len(names))
                if len(waiting[logits]) * rows >= _LONG:
                    running.append(thread.submit(_compare, numbers, waiting[logits], beside, logits))
                    waiting[logits] = []
            names += column.columns
        for logits, places in waiting.items():
            if places:
                _compare(numbers, places, beside, logits)
        for each in running:
            each.result()
    numbers, rows = beside.own(numbers[: len(names)]), len(asked.candidates)
    whole = pl.Series(numbers.ravel())  # one series cut into columns is made faster than many
    cut = [whole.slice(place * rows, rows).alias(name) for place, name in enumerate(names)]
    return pl.DataFrame([*cut, *(beside.own_series(each) for each in categories)])


def _compare(numbers: Singles, places: list[int], beside: ComparedWith, logits: bool) -> None:
    """Fill in the rows after each of these, which hold how it is compared within its list, or with the field."""
    within = beside.compare(numbers[places], logits)
    for place, comparison in enumerate(COMPARISONS, 1):
        numbers[np.add(places, place)] = getattr(within, comparison)


def differs_in_list(per: Per, settings: FeatureSettings) -> bool:
    """Tell whether a feature of these keys differs between the candidates of one request."""
    alike = ("user", *settings.users, *settings.context)
    return any(name not in alike and not name.startswith(LAST) for name in per)


def _columns(settings: FeatureSettings) -> Iterator[PlannedColumn]:
    for family, features in declare_families(settings).items():
        for feature in features:
            compared = differs_in_list(feature.per, settings)
            yield PlannedColumn(family, feature.name, feature.per, feature.told, partial(_declared, feature), compared)
        for name, described in field_columns(half_lives(settings)).items() if family == "field" else ():
            compared = not name.endswith("_place")
            yield PlannedColumn(family, name, *described, partial(_field, name), compared)
        for name, described in FACTORS.items() if family == "factors" else ():
            yield PlannedColumn(family, name, *described, partial(_field, name), not name.endswith("_place"))
    for name in settings.scores:
        yield PlannedColumn("scores", name, *score_column(name), partial(_score, name), compared=True)
    for name, described in REQUEST.items():
        if name == "list_size" and settings.compared == "field":
            continue  # it would tell lists that were learnt from and lists that are asked apart
        yield PlannedColumn("request", name, *described, _REQUEST_VALUES[name])
    for family, those in (("text", SIGNALS), ("text neighbours", NEIGHBOURS)):
        for name, described in those.items():
            yield PlannedColumn(family, name, *described, partial(_text, name), compared=True)
    for name in settings.affinity:
        yield PlannedColumn("categories", f"item_{name}", *item_column(name), partial(_of_item, name))
    for name in settings.users:
        yield PlannedColumn("categories", f"user_{name}", *user_column(name), partial(_of_user, name))
    for name in settings.context:
        yield PlannedColumn("categories", name, *context_column(name), partial(_context, name))


def _declared(feature: Feature, source: Source) -> Floats:
    past: Past = source.asked.lookup
    return feature.values(past)


def _score(name: str, source: Source) -> Floats:
    return known_number(source.asked.candidates[name]).fill_null(np.nan).to_numpy()


def _field(name: str, source: Source) -> Floats:
    return source.field[name]


def _text(name: str, source: Source) -> npt.NDArray[np.floating]:
    return source.texts[name]


def _of_item(name: str, source: Source) -> pl.Series:
    return _gather(source.asked.log.behaviour.items[name], source.asked.lookup.items)


def _of_user(name: str, source: Source) -> pl.Series:
    return _gather(source.asked.log.behaviour.users[name], source.asked.lookup.users)


def _context(name: str, source: Source) -> pl.Series:
    return source.asked.candidates[name]


_REQUEST_VALUES: dict[str, Callable[[Source], npt.NDArray[Any]]] = {
    "list_size": lambda source: np.repeat(source.asked.lengths, source.asked.lengths),
    "hour": lambda source: source.local.dt.hour().to_numpy(),
    "weekday": lambda source: source.local.dt.weekday().to_numpy(),
}


def _gather(values: pl.Series, rows: Ints) -> pl.Series:
    """Read values of rows of items or users, null where there is none (-1)."""
    return pl.concat([values, pl.Series(values.name, [None], dtype=values.dtype)]).gather(rows % (len(values) + 1))


def neighbour_signals(
    reader: Reader, rows: Rows, log: Log, window: tuple[timedelta, ...], prior: float
) -> tuple[Floats, Floats, Floats]:
    """Add up what is known of the text neighbours of Q candidates.

    Parameters
    ----------
    reader
        Knows who they are.
    rows, log
        The candidates in codes, and behaviour.
    window
        How far back the recent rate looks; none is without limit.
    prior
        Strength of the overall click rate, in showings.

    Returns
    -------
    Smoothed click rate of the neighbours together, ever and in the window, NaN as long as nothing was shown; and the
    dot product with the nearest neighbour, about -1 to 1, NaN without one. Each of shape [Q].
    """
    items, similarity = reader.beside(log, rows)
    beside = Lookup(log, Rows({"item": items.ravel()}, np.repeat(rows.as_of, COUNT), np.repeat(rows.timestamp, COUNT)))
    shown, clicked = (beside.amount(OUTCOME, (), None, which)[::COUNT] for which in (0, 1))
    usual = divide(clicked, shown)
    rates = []
    for back in (None, *window):
        of_each = (beside.amount(OUTCOME, ("item",), back, which) for which in (0, 1))
        shown, clicked = (of.reshape(-1, COUNT).sum(axis=1) for of in of_each)
        rates.append((clicked + prior * usual) / (shown + prior))
    nearest = np.where(items[:, 0] >= 0, similarity[:, 0], np.nan).astype(np.float64)
    return rates[0], rates[-1], nearest
