"""The plan of the feature table: every column in its order, with its name, its words, and how it is computed."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property, lru_cache, partial
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.compiled import thread_count
from recsys.data.clock import clock_of, format_duration
from recsys.data.plain import known_number
from recsys.errors import SettingsError
from recsys.features.beside import ComparedWith
from recsys.features.columns import (
    FACTORS,
    NEIGHBOURS,
    REQUEST,
    SIGNALS,
    context_column,
    field_columns,
    item_column,
    plain_name,
    score_column,
    user_column,
    with_comparisons,
)
from recsys.features.declared import Declared
from recsys.features.feature import Feature, Floats, Told, spoken
from recsys.features.field import field_values, half_lives, references
from recsys.features.moments import Age
from recsys.features.settings import Declaration, FeatureSettings, declare, declare_families, differs_in_list
from recsys.features.table import Category, FeatureTable, category_of
from recsys.past.lookup import Asked, cut_requests, first_of_each
from recsys.past.reads import Key, Reads
from recsys.past.streams import CLICK, SHOWING, Amount, Ints, Moment, Per, Singles
from recsys.shown import did_you_mean
from recsys.vectors.reader import Reader, neighbour_signals

_ROWS = 4_000
"""So many candidates are computed at once, by each of some threads: what is read of them stays near the processor."""

Made = TypeVar("Made")


AGE_COLUMNS, FROM_AGES = (with_comparisons(Age().name, deviations) for deviations in (False, True))
"""The columns that come from `available_at` of the candidate in every table, and all that may."""


@dataclass(frozen=True, eq=False)
class Source:
    """What columns are computed from.

    Attributes
    ----------
    asked, settings
        The candidates, and which features.
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
        words = None if queries is None else first_of_each(asked.candidates[queries.column], asked.starts)
        signals = self.reader.signals(asked.log, rows, asked.starts, words)
        beside = neighbour_signals(self.reader, rows, asked.log, self.settings.windows[-1:], self.settings.prior)
        return {**vars(signals), **dict(zip(NEIGHBOURS, beside, strict=True))}

    @cached_property
    def field(self) -> Mapping[str, Floats]:
        """Where candidates stand in the field: `recsys.features.columns.field_columns`, each of shape [Q]."""
        return field_values(self.asked, self.settings)

    @cached_property
    def local(self) -> tuple[Ints, Ints]:
        """Hour and day of the week of every candidate's request in the zone of the daily cut, each of shape [Q]."""
        return clock_of(self.asked.rows.timestamp, self.asked.log.time.zone)


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
        Computes it, shape [Q], NaN where not known; or the declaration whose formula does; or the key column that it
        is, as a category.
    compared, deviations
        Whether it is also compared within its list, see `COMPARISONS`, and whether by deviations from the mean, too.
    """

    family: str
    name: str
    per: Per
    told: Told
    values: Callable[[Source], npt.NDArray[Any]] | Declaration | str
    compared: bool = False
    deviations: bool = False

    @property
    def keys(self) -> str:
        """The key columns in words."""
        return spoken(self.per)

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column of the table that it stands for, in their order."""
        return with_comparisons(self.name, self.deviations) if self.compared else (self.name,)


_STAYING = ("scores", "text", "text neighbours", "declarations")
"""What does not come of families, and stays unless it is taken out where it is named."""


def may_be_left_out(column: PlannedColumn) -> bool:
    """Tell whether `without` may name a column."""
    return column.family not in _STAYING


@lru_cache(maxsize=16)
def plan(settings: FeatureSettings) -> tuple[PlannedColumn, ...]:
    """List the columns that the settings ask for, in the order of the table.

    Raises
    ------
    SettingsError
        When `without` names what is no feature, or what texts say.
    """
    planned = tuple(_columns(settings.model_copy(update={"without": ()})))
    known = {column.name: column.family for column in planned}
    for name in settings.without:
        if name not in known:
            raise SettingsError(f"[features] without names {name!r}, which is no feature{did_you_mean(name, known)}")
        if known[name] in _STAYING:
            raise SettingsError(
                f"[features] without names {name!r}, which is of no family but of the {known[name]}; leave it out here"
            )
    kept = (column for column in planned if column.name not in settings.without)
    return tuple(replace(column, deviations=settings.deviations) for column in kept)


def feature_names(settings: FeatureSettings) -> list[str]:
    """Name the columns of `build_features` in their order."""
    return [name for column in plan(settings) for name in column.columns]


@lru_cache(maxsize=16)
def counted_keys(settings: FeatureSettings, others: tuple[Amount, ...] = ()) -> tuple[Key, ...]:
    """Name all that is counted for features of these settings and for others, and to say what is not known."""
    asked = [ask for feature in declare(settings) for ask in feature.asks if isinstance(ask, Amount | Moment)]
    asked += [Amount(SHOWING, per) for per in ((), ("user",), ("item",))]
    return Reads.of([*asked, *others, Amount(CLICK, ("item",)), Amount(CLICK, ("user",))], timedelta(0)).keys


def refuse_doubles(settings: FeatureSettings) -> None:
    """Refuse settings that make two features of one name.

    Raises
    ------
    SettingsError
        Naming it.
    """
    taken: set[str] = set()
    for name in map(plain_name, feature_names(settings)):
        if name in taken:
            raise SettingsError(f"[features] makes two features called {name!r}; rename a column")
        taken.add(name)


@dataclass(frozen=True, eq=False)
class _Planned:
    """Where the columns of a plan stand among the numbers.

    Attributes
    ----------
    names, declared, rows
        Names of the numbers, the declared features, and the row of each.
    others
        What computes the numbers that are not declared, each with its row.
    categories
        The columns that come after the numbers, each with the key column that it is.
    compared, logits
        Rows that are compared within their lists, and others of which shares are of `exp(value)`.
    deviations
        Whether by deviations from the mean, too.
    """

    names: tuple[str, ...]
    declared: Declared
    rows: Ints
    others: tuple[tuple[int, Callable[[Source], Any]], ...]
    categories: tuple[tuple[str, str], ...]
    compared: Ints
    logits: Ints
    deviations: bool


@lru_cache(maxsize=16)
def _places(settings: FeatureSettings) -> _Planned:
    names, features, rows = list[str](), list[Feature](), list[int]()
    others = list[tuple[int, Callable[[Source], Any]]]()
    categories = list[tuple[str, str]]()
    compared: dict[bool, list[int]] = {False: [], True: []}
    for column in plan(settings):
        if column.family == "categories":
            categories.append((column.name, str(column.values)))
            continue
        if callable(column.values):
            others.append((len(names), column.values))
        elif not isinstance(column.values, str):
            features.append(column.values)
            rows.append(len(names))
        if column.compared:
            compared[column.name in SIGNALS].append(len(names))
        names += column.columns
    at = [np.array(those, dtype=np.int64) for those in (rows, compared[False], compared[True])]
    own, told = Declared.of(features), settings.deviations
    return _Planned(tuple(names), own, at[0], tuple(others), tuple(categories), at[1], at[2], told)


@dataclass(frozen=True, eq=False)
class _Parts:
    """A feature table that is computed part by part.

    Attributes
    ----------
    places
        The plan.
    others
        The numbers that are not declared, in the order of the plan, of all candidates.
    categories
        Categories of all candidates.
    parts
        The first row of each part, and its candidates with what they are compared with.
    """

    places: _Planned
    others: Singles
    categories: tuple[Category, ...]
    parts: tuple[tuple[int, ComparedWith], ...]

    @classmethod
    def of(cls, asked: Asked, settings: FeatureSettings, reader: Reader | None) -> "_Parts":
        """Compute what is computed of all candidates together."""
        in_field = settings.compared == "field"
        beside = (
            ComparedWith.of(asked, references(asked, settings), settings.scores) if in_field else ComparedWith(asked)
        )
        source, places = Source(beside.asked, settings, reader), _places(settings)
        others = np.empty((len(places.others), len(source.asked.candidates)), dtype=np.float32)
        for row, (_, values) in enumerate(places.others):
            others[row] = values(source)
        codes, known = source.asked.rows.codes, asked.log.vocabularies
        categories = tuple(
            category_of(name, beside.own_series(source.asked.candidates[key]))
            if key in settings.context
            else Category(name, beside.own_codes(codes[key]), known[key])
            for name, key in places.categories
        )
        cut = [] if in_field else list(cut_requests(source.asked.starts, _ROWS))
        parts = [(int(asked.starts[first]), ComparedWith(asked.some(first, last))) for first, last in cut]
        return cls(places, others, categories, tuple(parts) if len(parts) > 1 else ((0, beside),))

    def table(self, start: int, beside: ComparedWith) -> FeatureTable:
        """Compute the features of a part."""
        places, end = self.places, start + len(beside.asked.candidates)
        numbers = np.empty((len(places.names), end - start), dtype=np.float32)
        for (row, _), values in zip(places.others, self.others, strict=True):
            numbers[row] = values[start:end]
        places.declared.fill(beside.asked.lookup, numbers, places.rows)
        beside.compare(numbers, places.compared, False, places.deviations)
        beside.compare(numbers, places.logits, True, places.deviations)
        return FeatureTable(places.names, beside.own(numbers), tuple(each.part(start, end) for each in self.categories))

    def each(self, make: Callable[[int, FeatureTable], Made]) -> list[Made]:
        """Make something of every part and where it begins, by threads."""
        if len(self.parts) == 1:
            return [make(0, self.table(*self.parts[0]))]
        with ThreadPoolExecutor(thread_count()) as threads:
            return list(threads.map(lambda part: make(part[0], self.table(*part)), self.parts))


def build_features(asked: Asked, settings: FeatureSettings, reader: Reader | None) -> pl.DataFrame:
    """Compute every feature of candidates, see `compute_features`; one row per candidate in the same order."""
    return compute_features(asked, settings, reader).frame()


def compute_features(asked: Asked, settings: FeatureSettings, reader: Reader | None) -> FeatureTable:
    """Compute every feature of candidates, as one table of what `from_features` gives in parts."""
    parts = _Parts.of(asked, settings, reader)
    if len(parts.parts) == 1:
        return parts.table(*parts.parts[0])
    names = parts.places.names
    numbers = np.empty((len(names), len(asked.candidates)), dtype=np.float32)

    def put(start: int, table: FeatureTable) -> None:
        numbers[:, start : start + table.numbers.shape[1]] = table.numbers

    parts.each(put)
    return FeatureTable(names, numbers, parts.categories)


def from_features(
    make: Callable[[FeatureTable], Made], asked: Asked, settings: FeatureSettings, reader: Reader | None
) -> list[Made]:
    """Compute every feature of candidates, and make something of each part while it is near the processor.

    Parameters
    ----------
    make
        What is made of a part; several threads call it at a time.
    asked
        Whole requests with the context columns, the scores, and the column of the reader's `queries`; only what is
        known before each request's `as_of` is read.
    settings
        Which behavioural features; see `recsys.features.checks.check_context`.
    reader
        What reads texts; without one, the text columns are NaN.

    Returns
    -------
    What was made of the parts, at least one, in the order of the candidates.
    """
    return _Parts.of(asked, settings, reader).each(lambda _, table: make(table))


def _columns(settings: FeatureSettings) -> Iterator[PlannedColumn]:
    for family, features in declare_families(settings).items():
        for feature in features:
            compared = differs_in_list(feature.per, settings)
            told = feature.told if settings.horizon is None else _within(feature, settings.horizon)
            yield PlannedColumn(family, feature.name, feature.per, told, feature, compared)
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
        yield PlannedColumn("categories", f"item_{name}", *item_column(name), name)
    for name in settings.users:
        yield PlannedColumn("categories", f"user_{name}", *user_column(name), name)
    for name in settings.context:
        yield PlannedColumn("categories", name, *context_column(name), name)


def _within(feature: Declaration, horizon: timedelta) -> Told:
    """Say of a feature whose counts have no window how far back they reach."""
    limited = any(isinstance(ask, Moment) or (isinstance(ask, Amount) and ask.window is None) for ask in feature.asks)
    said = f"; rows since the midnight before as_of - {format_duration(horizon)}, outcomes as of their showings"
    return feature.told._replace(formula=feature.told.formula + said) if limited else feature.told


def _score(name: str, source: Source) -> Floats:
    return known_number(source.asked.candidates[name]).fill_null(np.nan).to_numpy()


def _field(name: str, source: Source) -> Floats:
    return source.field[name]


def _text(name: str, source: Source) -> npt.NDArray[np.floating]:
    return source.texts[name]


_REQUEST_VALUES: dict[str, Callable[[Source], npt.NDArray[Any]]] = {
    "list_size": lambda source: np.repeat(source.asked.lengths, source.asked.lengths),
    "hour": lambda source: source.local[0],
    "weekday": lambda source: source.local[1],
}
