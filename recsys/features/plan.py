"""The plan of the feature table: every column in its order, with its name, its words, and how it is computed."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property, lru_cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.data.clock import clock_of, format_duration
from recsys.data.plain import known_number
from recsys.errors import SettingsError
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
    plain_name,
    score_column,
    user_column,
)
from recsys.features.declared import Declared
from recsys.features.feature import Feature, Floats, Told, spoken
from recsys.features.field import field_values, half_lives, references
from recsys.features.moments import Age
from recsys.features.settings import Declaration, FeatureSettings, declare, declare_families
from recsys.features.table import Category, FeatureTable, category_of
from recsys.features.within_list import divide
from recsys.past.lookup import Asked, Lookup, cut_requests, first_of_each
from recsys.past.reads import Key, Reads
from recsys.past.streams import CLICK, LAST, OUTCOME, SHOWING, Amount, Ints, Moment, Per, Rows, Singles, distinct
from recsys.vectors.neighbours import COUNT
from recsys.vectors.reader import Reader

if TYPE_CHECKING:
    from recsys.past.log import Log


_ROWS = 4_000
"""So many candidates are computed at once, by each of some threads: what is read of them stays near the processor."""


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
    compared
        Whether it is also compared within its list, see `COMPARISONS`.
    """

    family: str
    name: str
    per: Per
    told: Told
    values: Callable[[Source], npt.NDArray[Any]] | Declaration | str
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


def counted_keys(settings: FeatureSettings) -> tuple[Key, ...]:
    """Name all that is counted for features of these settings, and to say what of a request is not known."""
    asked = [ask for feature in declare(settings) for ask in feature.asks if isinstance(ask, Amount | Moment)]
    asked += [Amount(SHOWING, per) for per in ((), ("user",), ("item",))]
    return Reads.of([*asked, Amount(CLICK, ("item",)), Amount(CLICK, ("user",))], timedelta(0)).keys


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
    names
        Names of the numbers.
    declared, rows
        The declared features, and the row of each.
    others
        What computes the numbers that are not declared, each with its row.
    categories
        The columns that come after the numbers, each with the key column that it is.
    compared, logits
        Rows that are compared within their lists, and those of them whose shares are of `exp(value)`.
    """

    names: tuple[str, ...]
    declared: Declared
    rows: Ints
    others: tuple[tuple[int, Callable[[Source], Any]], ...]
    categories: tuple[tuple[str, str], ...]
    compared: Ints
    logits: Ints


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
    return _Planned(tuple(names), Declared.of(features), at[0], tuple(others), tuple(categories), at[1], at[2])


def build_features(asked: Asked, settings: FeatureSettings, reader: Reader | None) -> pl.DataFrame:
    """Compute every feature of candidates, see `compute_features`; one row per candidate in the same order."""
    return compute_features(asked, settings, reader).frame()


def compute_features(asked: Asked, settings: FeatureSettings, reader: Reader | None) -> FeatureTable:
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
    """
    in_field = settings.compared == "field"
    beside = ComparedWith.of(asked, references(asked, settings), settings.scores) if in_field else ComparedWith(asked)
    source, places = Source(beside.asked, settings, reader), _places(settings)
    numbers = np.empty((len(places.names), len(source.asked.candidates)), dtype=np.float32)
    for row, values in places.others:
        numbers[row] = values(source)
    cut = list(cut_requests(source.asked.starts, _ROWS)) if not in_field else [(0, len(source.asked.lengths))]
    if len(cut) > 1:
        with ThreadPoolExecutor() as threads:
            for _ in threads.map(lambda some: _fill_part(numbers, beside, places, *some), cut):
                pass
    elif cut:
        _fill(numbers, beside, places)
    codes, known = source.asked.rows.codes, asked.log.vocabularies
    categories = [
        category_of(name, beside.own_series(source.asked.candidates[key]))
        if key in settings.context
        else Category(name, beside.own_codes(codes[key]), known[key])
        for name, key in places.categories
    ]
    return FeatureTable(places.names, beside.own(numbers), tuple(categories))


def _fill_part(numbers: Singles, beside: ComparedWith, places: _Planned, first: int, last: int) -> None:
    """Fill in the declared columns of some requests, and how all columns are compared within their lists."""
    start, end = beside.asked.starts[first], beside.asked.starts[last]
    part = np.empty((len(numbers), end - start), dtype=np.float32)
    for row, _ in places.others:
        part[row] = numbers[row, start:end]
    _fill(part, ComparedWith(beside.asked.some(first, last)), places)
    numbers[:, start:end] = part


def _fill(numbers: Singles, beside: ComparedWith, places: _Planned) -> None:
    """Fill in the declared columns, and how all columns are compared."""
    places.declared.fill(beside.asked.lookup, numbers, places.rows)
    beside.compare(numbers, places.compared, logits=False)
    beside.compare(numbers, places.logits, logits=True)


def differs_in_list(per: Per, settings: FeatureSettings) -> bool:
    """Tell whether a feature of these keys differs between the candidates of one request."""
    alike = ("user", *settings.users, *settings.context)
    return any(name not in alike and not name.startswith(LAST) for name in per)


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


def neighbour_signals(
    reader: Reader, rows: Rows, log: "Log", window: tuple[timedelta, ...], prior: float
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
    keys = [((), None), *((("item",), back) for back in (None, *window))]
    asked = [Amount(OUTCOME, per, back, which) for per, back in keys for which in (0, 1)]
    if len(items) and (rows.as_of == rows.as_of[0]).all():  # one list, or those of one night: each item is read once
        own, of_row = distinct(items.ravel(), len(log.items))
        found = Lookup(log, Rows({"item": own}, rows.as_of[:1].repeat(len(own)), own)).read(asked)[:, of_row]
    else:
        found = Lookup(log, Rows({"item": items.ravel()}, np.repeat(rows.as_of, COUNT), items.ravel())).read(asked)
    usual = divide(found[1, ::COUNT], found[0, ::COUNT])
    together = found[2:].reshape(len(found) - 2, -1, COUNT).sum(axis=2)
    rates = [
        (clicked + prior * usual) / (shown + prior)
        for shown, clicked in zip(together[::2], together[1::2], strict=True)
    ]
    nearest = np.where(items[:, 0] >= 0, similarity[:, 0], np.nan).astype(np.float64)
    return rates[0], rates[-1], nearest
