"""The feature table: one row per candidate, computed by the same function for training, batch and serving."""

import re
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.data.tables import Dataset
from recsys.errors import SettingsError
from recsys.features.history import read_history
from recsys.features.lists import rank_in_list, share_in_list, softmax_in_list
from recsys.features.log import Log, Rows
from recsys.features.lookup import Lookup
from recsys.features.settings import FeatureSettings, declare
from recsys.schema import AFTER_THE_LIST
from recsys.text.lists import Lists
from recsys.text.queries import QueryReader
from recsys.text.signals import TextSignals, text_signals
from recsys.text.user_tower import UserTower
from recsys.text.vectors import ItemVectors

Ints = npt.NDArray[np.int64]

_SIGNALS = ("interest", "appeal", "text_score", "nearest_click", "query_match")

TEXT_COLUMNS = tuple(f"{name}{suffix}" for name in _SIGNALS for suffix in ("", "_rank", "_share"))
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
    queries
        What reads the requests' own texts; None when they have none.
    """

    vectors: ItemVectors
    places: Ints
    tower: UserTower
    history_length: int
    queries: QueryReader | None = None

    @classmethod
    def of(
        cls, log: Log, vectors: ItemVectors, tower: UserTower, history_length: int, queries: QueryReader | None = None
    ) -> "Reader":
        """Join the items of a log with their vectors."""
        return cls(vectors, find_items(log, vectors.item_ids), tower, history_length, queries)

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


def read_lists(log: Log, rows: Rows, starts: Ints, places: Ints, history_length: int) -> Lists:
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
    return Lists(
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
        the context columns and the column of the reader's `queries`.
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
    groups = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    rows = log.rows(candidates)
    columns: dict[str, npt.NDArray[np.float64]] = {}
    lookup = Lookup(log, rows)
    for feature in declare(settings):
        values = feature.values(lookup)
        columns[feature.name] = values
        if feature.per != ("user",):
            columns[f"{feature.name}_rank"] = rank_in_list(values, groups)
            columns[f"{feature.name}_share"] = share_in_list(np.maximum(values, 0.0), groups)
    columns["list_size"] = np.diff(starts)[groups].astype(np.float64)
    columns["hour"] = candidates["timestamp"].dt.convert_time_zone(log.time.zone).dt.hour().cast(pl.Float64).to_numpy()
    signals = None if reader is None else reader.signals(candidates, log, rows, starts)
    for name in _SIGNALS:
        values = np.full(len(candidates), np.nan) if signals is None else getattr(signals, name).astype(np.float64)
        columns[name] = values
        columns[f"{name}_rank"] = rank_in_list(values, groups)
        columns[f"{name}_share"] = softmax_in_list(values, groups)
    table = pl.DataFrame({name: values.astype(np.float32) for name, values in columns.items()})
    return table.with_columns(_categories(candidates, log, rows, settings))


def check_context(candidates: pl.DataFrame, settings: FeatureSettings, recorded_after: tuple[str, ...]) -> None:
    """Refuse context columns that are missing, named as a feature, or recorded with or after the list.

    Raises
    ------
    SettingsError
        Naming the column and what to do.
    """
    computed = ["list_size", "hour", *TEXT_COLUMNS, *(f"item_{attribute}" for attribute in settings.affinity)]
    for feature in declare(settings):
        computed += [feature.name, f"{feature.name}_rank", f"{feature.name}_share"]
    taken: set[str] = set()
    for name in map(_plain_name, computed):
        if name in taken:
            raise SettingsError(
                f"[features] affinity {list(settings.affinity)} makes two features called {name!r}; rename a column"
            )
        taken.add(name)
    for name in settings.context:
        if name in AFTER_THE_LIST or name in recorded_after:
            declared = ", as its importer declares" if name in recorded_after else ""
            raise SettingsError(
                f"[features] context names {name!r}, which is recorded with or after the list{declared}, so it would "
                "tell the outcome; remove it"
            )
        if _plain_name(name) in taken:
            raise SettingsError(
                f"[features] context names {name!r}, which is a feature of that name already; rename the column"
            )
        taken.add(_plain_name(name))
        if name not in candidates.columns:
            raise SettingsError(
                f"[features] context names {name!r}, which is not a column of the candidates; add it, with nulls where "
                f"it is not known; their columns are {', '.join(candidates.columns)}"
            )


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
    for kind in settings.events:
        if kind not in kinds:
            raise SettingsError(f"[features] events names {kind!r}, an event that never occurs; events holds {kinds}")


def _categories(candidates: pl.DataFrame, log: Log, rows: Rows, settings: FeatureSettings) -> list[pl.Series]:
    items = log.behaviour.items
    found = np.append(log.item_rows, len(items))[rows.codes["item"]]  # the last element is for unknown items
    columns = []
    for name in settings.affinity:
        values = pl.concat([items[name], pl.Series(name, [None], dtype=items[name].dtype)])
        columns.append(values.gather(found).alias(f"item_{name}"))
    columns += [candidates[name].alias(name) for name in settings.context]
    return columns
