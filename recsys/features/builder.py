"""The feature table: one row per candidate, computed by the same function for training, batch and serving."""

import re
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.data.tables import Dataset
from recsys.errors import SettingsError
from recsys.features.columns import COMPARISONS, NEIGHBOURS, REQUEST, SIGNALS
from recsys.features.settings import FeatureSettings, declare
from recsys.features.within_list import WithinList, compare_in_list
from recsys.past.behaviour import is_category
from recsys.past.history import read_history
from recsys.past.log import Log
from recsys.past.lookup import Lookup
from recsys.past.streams import LAST, Per, Rows
from recsys.schema import AFTER_THE_LIST
from recsys.vectors.coded_lists import CodedLists
from recsys.vectors.item_vectors import ItemVectors
from recsys.vectors.neighbours import Neighbours, neighbour_signals
from recsys.vectors.queries import QueryReader
from recsys.vectors.signals import TextSignals, text_signals
from recsys.vectors.user_tower import UserTower

Ints = npt.NDArray[np.int64]

_LONG = 10_000
"""Rows from which on lists are compared in a thread beside the look-ups."""

TEXT_COLUMNS = tuple(
    f"{name}{suffix}" for name in (*SIGNALS, *NEIGHBOURS) for suffix in ("", *(f"_{each}" for each in COMPARISONS))
)
"""The columns that come from texts; `behaviour` alone is the ranker without them."""


@dataclass(frozen=True)
class Reader:
    """What reads texts for the feature table.

    Attributes
    ----------
    vectors
        Vectors of the known items.
    places
        Row in `vectors` of every item code of the log, -1 where there is none.
    tower
        Turns vectors and past clicks into interest.
    history_length
        How many past clicks are attended to.
    neighbours
        Text neighbours of the known items.
    queries
        What reads the requests' own texts; None when they have none.
    """

    vectors: ItemVectors
    places: Ints
    tower: UserTower
    history_length: int
    neighbours: Neighbours
    queries: QueryReader | None = None

    @classmethod
    def of(
        cls, log: Log, vectors: ItemVectors, tower: UserTower, history_length: int, queries: QueryReader | None = None
    ) -> "Reader":
        """Join the items of a log with their vectors."""
        places = find_items(log, vectors.item_ids)
        return cls(vectors, places, tower, history_length, Neighbours(log, vectors), queries)

    def on(self, log: Log) -> "Reader":
        """Read the same items on top of a tail, see `Log.with_tail`."""
        later = np.full(len(log.items) - len(self.places), -1, dtype=np.int64)
        return replace(self, places=np.concatenate([self.places, later]))

    def signals(self, candidates: pl.DataFrame, log: Log, rows: Rows, starts: Ints) -> TextSignals:
        """Compute the text signals of candidates, see `read_lists`; a request's own text is that of its first row."""
        lists = read_lists(log, rows, starts, self.places, self.history_length)
        if self.queries is None:
            return text_signals(lists, self.vectors, self.tower)
        codes, asked = self.queries.read(candidates[starts[:-1]], self.vectors.history.shape[1])
        return text_signals(replace(lists, queries=codes), self.vectors, self.tower, asked)


def sort_candidates(candidates: pl.DataFrame) -> pl.DataFrame:
    """Bring candidates into the one order that features are computed in: by request, then by item."""
    return candidates.sort("request_id", "item_id")


def request_starts(candidates: pl.DataFrame) -> Ints:
    """Give the first row of every request of sorted candidates and, last, the number of rows, shape [R + 1]."""
    lengths = candidates["request_id"].rle().struct.field("len").to_numpy()
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])


def find_items(log: Log, item_ids: pl.Series) -> Ints:
    """Give for every item code of the log its row in `item_ids`, -1 where it is not there or not in the items table."""
    places = np.full(len(log.items), -1, dtype=np.int64)
    codes = log.items.encode(item_ids)
    known = codes >= 0
    known[known] = log.listed[codes[known]]
    places[codes[known]] = np.flatnonzero(known)
    return places


def read_lists(log: Log, rows: Rows, starts: Ints, places: Ints, history_length: int) -> CodedLists:
    """Turn candidates into what the text stage sees.

    Parameters
    ----------
    log
        Behaviour; only clicks known before each request's `as_of` are read.
    rows, starts
        Candidates in codes, whole requests together, and the first row of each request.
    places
        Row in the catalogue of every item code, see `find_items`.
    history_length
        How many past clicks.
    """
    padded = np.append(places, -1)  # code -1, an unknown item, finds the last element
    first = starts[:-1]
    history = read_history(log, rows.codes["user"][first], rows.as_of[first], history_length)
    return CodedLists(
        starts=starts,
        items=padded[rows.codes["item"]].astype(np.int32),
        history=padded[history.items].astype(np.int32),
        ages=history.hours,
    )


def build_features(
    candidates: pl.DataFrame, log: Log, settings: FeatureSettings, reader: Reader | None
) -> pl.DataFrame:
    """Compute every feature of candidates.

    Parameters
    ----------
    candidates
        Whole requests in the order of `sort_candidates`; columns `request_id`, `user_id`, `timestamp`, `item_id`,
        the context columns, the scores, and the column of the reader's `queries`.
    log
        Behaviour; only what is known before each request's `as_of` is read.
    settings
        Which behavioural features; see `check_context`.
    reader
        What reads texts; without one, the text columns are NaN.

    Returns
    -------
    One row per candidate in the same order: numbers as Float32 (NaN = not known), categories as strings or integers.
    """
    starts = request_starts(candidates)
    rows = log.rows(candidates)
    with ThreadPoolExecutor(1) as beside:
        table = _Table(starts, beside)
        lookup = Lookup(log, rows)
        for feature in declare(settings):
            table.add(feature.name, feature.values(lookup), compared=differs_in_list(feature.per, settings))
        for name in settings.scores:
            table.add(name, candidates[name].cast(pl.Float64).fill_null(np.nan).to_numpy(), compared=True)
        table.add("list_size", np.repeat(np.diff(starts), np.diff(starts)))
        local = candidates["timestamp"].dt.convert_time_zone(log.time.zone)
        table.add("hour", local.dt.hour().to_numpy())
        table.add("weekday", local.dt.weekday().to_numpy())
        for name, values in _read_texts(candidates, log, rows, settings, reader).items():
            table.add(name, values, compared=True, logits=name in SIGNALS)
        return table.frame().with_columns(_categories(candidates, log, rows, settings))


def _read_texts(
    candidates: pl.DataFrame, log: Log, rows: Rows, settings: FeatureSettings, reader: Reader | None
) -> dict[str, npt.NDArray[np.floating]]:
    """Compute the columns that come from texts; NaN without a reader."""
    if reader is None:
        return dict.fromkeys((*SIGNALS, *NEIGHBOURS), np.full(len(candidates), np.nan))
    signals = reader.signals(candidates, log, rows, request_starts(candidates))
    places = np.append(reader.places, -1)[rows.codes["item"]]
    recent = settings.windows[-1] if settings.windows else None
    beside = neighbour_signals(reader.neighbours, places, log, rows, recent, settings.prior)
    return {
        **{name: getattr(signals, name) for name in SIGNALS},
        **{name: getattr(beside, name) for name in NEIGHBOURS},
    }


@dataclass
class _Table:
    """Columns in the making, and the lists that their rows belong to; long ones are compared beside the look-ups."""

    starts: Ints
    beside: Executor
    columns: dict[str, npt.NDArray[np.float32]] = field(default_factory=dict)
    within: dict[str, WithinList | Future[WithinList]] = field(default_factory=dict)

    def add(self, name: str, values: npt.NDArray[Any], compared: bool = False, logits: bool = False) -> None:
        single = values.astype(np.float32)
        self.columns[name] = single
        if compared and len(single) < _LONG:
            self.within[name] = compare_in_list(single, self.starts, logits)
        elif compared:
            self.within[name] = self.beside.submit(compare_in_list, single, self.starts, logits)

    def frame(self) -> pl.DataFrame:
        made = {}
        for name, values in self.columns.items():
            made[name] = values
            within = self.within.get(name)
            if within is not None:
                found = within.result() if isinstance(within, Future) else within
                made |= {f"{name}_{comparison}": getattr(found, comparison) for comparison in COMPARISONS}
        return pl.DataFrame(made)


def differs_in_list(per: Per, settings: FeatureSettings) -> bool:
    """Tell whether a feature of these keys differs between the candidates of one request."""
    alike = ("user", *settings.users, *settings.context)
    return any(name not in alike and not name.startswith(LAST) for name in per)


def with_comparisons(name: str) -> list[str]:
    """Name a column and how it is compared within its list."""
    return [name, *(f"{name}_{comparison}" for comparison in COMPARISONS)]


def feature_names(settings: FeatureSettings) -> list[str]:
    """Name the columns of `build_features` in their order."""
    compared = [(feature.name, differs_in_list(feature.per, settings)) for feature in declare(settings)]
    compared += [(name, True) for name in settings.scores]
    compared += [(name, False) for name in REQUEST]
    names = []
    for name, within in compared:
        names += with_comparisons(name) if within else [name]
    names += TEXT_COLUMNS
    return [
        *names,
        *(f"item_{name}" for name in settings.affinity),
        *(f"user_{name}" for name in settings.users),
        *settings.context,
    ]


def check_context(
    candidates: pl.DataFrame, settings: FeatureSettings, recorded_after: tuple[str, ...], called: str = "candidates"
) -> None:
    """Refuse context columns and scores that are missing, named as a feature, or recorded with or after the list.

    Raises
    ------
    SettingsError
        Naming the column and what to do.
    """
    for setting, names in (("context", settings.context), ("scores", settings.scores)):
        for name in names:
            if name in AFTER_THE_LIST or name in recorded_after:
                declared = ", as its importer declares" if name in recorded_after else ""
                raise SettingsError(
                    f"[features] {setting} names {name!r}, which is recorded with or after the list{declared}, so it "
                    "would tell the outcome; remove it"
                )
            if name not in candidates.columns:
                raise SettingsError(
                    f"[features] {setting} names {name!r}, which is not a column of the {called}; add it, with nulls "
                    f"where it is not known; their columns are {', '.join(candidates.columns)}"
                )
    for name in settings.scores:
        if not candidates.schema[name].is_numeric() and candidates.schema[name] != pl.Null:
            raise SettingsError(
                f"[features] scores names {name!r}, which holds {candidates.schema[name]} values; write them as "
                "numbers, or name the column in context"
            )
    for name in settings.context:
        if not is_category(candidates[name]):
            raise SettingsError(
                f"[features] context names {name!r}, which holds {candidates.schema[name]} values; name it in scores, "
                "or write it as whole numbers or text"
            )
    _refuse_doubles(settings)


def _refuse_doubles(settings: FeatureSettings) -> None:
    taken: set[str] = set()
    for name in map(_plain_name, feature_names(settings)):
        if name in taken:
            raise SettingsError(f"[features] makes two features called {name!r}; rename a column")
        taken.add(name)


def _plain_name(name: str) -> str:
    """Write a name as LightGBM keeps it: letters, digits and underscores."""
    return re.sub(r"\W", "_", name)


def check_events(dataset: Dataset, settings: FeatureSettings) -> None:
    """Refuse event kinds that never occur: most likely they are misspelt.

    Raises
    ------
    SettingsError
        Naming the kind and those that occur.
    """
    kinds = dataset.events["event"].unique().sort().to_list()
    for kind in settings.kinds:
        if kind not in kinds:
            raise SettingsError(f"[features] counts {kind!r}, an event that never occurs; events holds {kinds}")


def _categories(candidates: pl.DataFrame, log: Log, rows: Rows, settings: FeatureSettings) -> list[pl.Series]:
    items, users = log.behaviour.items, log.behaviour.users
    columns = [_gather(items[name], log.item_rows, rows.codes["item"], f"item_{name}") for name in settings.affinity]
    columns += [_gather(users[name], log.user_rows, rows.codes["user"], f"user_{name}") for name in settings.users]
    return columns + [candidates[name].alias(name) for name in settings.context]


def _gather(values: pl.Series, rows: Ints, codes: Ints, name: str) -> pl.Series:
    """Read values of the items or users with these codes, null for unknown ones."""
    values = pl.concat([values, pl.Series(values.name, [None], dtype=values.dtype)])
    return values.gather(np.append(rows, len(values) - 1)[codes]).alias(name)
