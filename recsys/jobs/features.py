"""Features: the feature table of logged requests, as Parquet files with a catalogue, or one request in the terminal."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from textwrap import wrap

import numpy as np
import polars as pl

from recsys.data.tables import Dataset
from recsys.data.windows import WINDOWS, Windows, place_windows
from recsys.engines.engine import open_engine
from recsys.engines.settings import ONE_PROCESS, EngineSettings
from recsys.errors import DataError, SettingsError
from recsys.features.catalogue import to_html
from recsys.features.checks import check_context, check_events
from recsys.features.columns import FROM_TEXTS
from recsys.features.plan import build_features, counted_keys, feature_names, refuse_doubles
from recsys.files import new_folder, refuse_existing
from recsys.manifest import write_manifest
from recsys.model.folder import State, identity
from recsys.model.prepared import fingerprint, prepare
from recsys.model.ready import Ready
from recsys.model.tables import read_behaviour
from recsys.past.log import Log
from recsys.past.lookup import Asked, cut_requests, request_starts
from recsys.past.stored import read_log, write_log
from recsys.progress import progress
from recsys.settings import Settings
from recsys.vectors.reader import Reader

ROWS_PER_PART = 100_000
"""Rows whose features are computed at once and go into one file; any other number gives the same rows."""

_LOG = "log"
"""Folder of what is known, while processes read it that share no memory with this one."""

_IDS = ("request_id", "user_id", "item_id")
_HEAD = (*_IDS, "timestamp", "window", "label")

_WITHOUT_TEXT = "The text columns are not in this table: they need an encoder; give --model MODEL instead of --config."
_WITH_TEXT = (
    "The text columns come from the finished encoder, which has learnt from the windows text, ranker and valid; there "
    "they look better than they are. While it was trained, every list was read before the encoder learnt from it."
)

_FIRST_OF_DAY = ": the lists of a user and day are one made list here, under the id of the first of them"

_KNOWS = {
    "live": "a request knows everything up to the request's own moment",
    "1d": "a request knows everything up to midnight",
    "nightly": "a list knows everything up to its making, which is its moment",
}


@dataclass(frozen=True)
class Tabulated:
    """What was written.

    Attributes
    ----------
    requests, rows, features, parts
        Logged requests of the windows, their candidates, columns beside ids, moment, window and label, and files.
    outside
        Requests before or after the windows; they are not in the table.
    """

    requests: int
    rows: int
    features: int
    parts: int
    outside: int


@dataclass(frozen=True)
class _Source:
    """What the features of logged requests are computed from.

    Attributes
    ----------
    settings, windows
        Of a file, or of a model.
    requests
        Logged requests, or the lists made in their place; labels graded.
    log, reader
        Behaviour, and what reads texts.
    model
        Folder, when there is one.
    """

    settings: Settings
    windows: Windows
    requests: pl.DataFrame
    log: Log
    reader: Reader | None = None
    model: Path | None = None

    @property
    def names(self) -> list[str]:
        """The features, in the order of the table."""
        left_out = FROM_TEXTS if self.reader is None else ()
        return [name for name in feature_names(self.settings.features) if name not in left_out]

    @property
    def note(self) -> str:
        """What a reader must know of the text columns."""
        return _WITHOUT_TEXT if self.reader is None else _WITH_TEXT

    def rows(self, start: datetime, end: datetime) -> pl.DataFrame:
        """Give the logged rows of a stretch of time, in the order of the table, with the columns that features need."""
        features, query = self.settings.features, self.settings.text.query
        asked = [query] if query and self.reader is not None else []
        needed = dict.fromkeys([*_IDS, "timestamp", "label", *features.context, *features.scores, *asked])
        inside = (pl.col("timestamp") >= start) & (pl.col("timestamp") < end)
        return _in_order(self.requests.filter(inside).select(*needed))

    def table(self, requests: pl.DataFrame) -> pl.DataFrame:
        """Compute the features of whole requests, beside who, what, when and what came of it."""
        asked = Asked.of(requests, self.log)
        built = build_features(asked, self.settings.features, self.reader)
        window = pl.lit(None, dtype=pl.String)
        for name in WINDOWS:
            start, end = self.windows.bounds(name)
            inside = (pl.col("timestamp") >= start) & (pl.col("timestamp") < end)
            window = pl.when(inside).then(pl.lit(name)).otherwise(window)
        head = asked.candidates.with_columns(window=window).select(_HEAD)
        return _in_order(pl.concat([head, built.select(self.names)], how="horizontal"))


@dataclass(frozen=True)
class _Tabulating:
    """How parts of the table are computed apart from this process: what an engine opens, and does on part after part.

    Attributes
    ----------
    settings, windows, model
        As of `_Source`.
    folder
        Where the log lies; with a model, its state.
    """

    settings: Settings
    windows: Windows
    folder: Path
    model: Path | None

    def __call__(self) -> Callable[[pl.DataFrame], pl.DataFrame]:
        """Load what is known, and give what computes the features of whole requests."""
        none = pl.DataFrame()
        if self.model is not None:
            ready = Ready.load(self.model, self.folder)
            return _Source(self.settings, self.windows, none, ready.log, ready.reader, self.model).table
        behaviour, settings = read_behaviour(self.folder, self.settings.kept), self.settings
        log = Log(behaviour, settings.clock, settings.text.history, settings.features.horizon)
        log.register, log.layers, log.earliest = read_log(self.folder, behaviour, log.time, log.history)
        return _Source(settings, self.windows, none, log).table


def _apart(source: _Source, folder: Path) -> _Tabulating:
    """Write what is known into a folder that does not exist yet, for processes that share no memory with this one."""
    if source.model is not None:
        assert source.reader is not None
        State.of(source.log, source.reader).save(folder, source.model, source.settings)
    else:
        folder.mkdir()
        write_log(folder, source.log, counted_keys(source.settings.features, source.settings.rules.asks))
    model = None if source.model is None else source.model.absolute()
    return _Tabulating(source.settings, source.windows, folder.absolute(), model)


def write_features(
    dataset: Dataset, basis: Settings | str | Path, out: str | Path, engine: EngineSettings = ONE_PROCESS
) -> Tabulated:
    """Compute the features of all logged requests of the four windows and write them, whole or not at all.

    Writes `features/part-*.parquet` (ids, `timestamp`, `window`, `label`, then the features; rows in the order of time,
    requests whole), `catalogue.html`, which says what every column means, and a manifest with counts and hashes. One
    part after the other is computed, so that memory does not grow with the number of rows of the table.

    Parameters
    ----------
    dataset
        Tables without faults.
    basis
        Settings; or a model folder, whose settings, windows and encoder are used: then there are text columns.
    out
        Folder to write; must not hold anything.
    engine
        Where parts are computed; the table is the same everywhere.

    Raises
    ------
    DataError
        When the tables have faults, a window is empty or `out` exists.
    SettingsError
        When settings name columns or events that are not there, or a feature has the name of a column beside it.
    ModelError
        When the folder is no whole model.
    StorageError
        When what does the work failed.
    """
    out = Path(out)
    refuse_existing(out)
    source = _open(dataset, basis)
    start, end = source.windows.cuts[0], source.windows.cuts[4]
    rows = source.rows(start, end)
    if rows.is_empty():
        raise DataError(
            f"no request lies in the windows, {start.isoformat()} to {end.isoformat()}; give the data of these days, "
            "or move [windows]"
        )
    kinds = {name: dataset.requests.schema[name] for name in _IDS}
    with new_folder(out) as staging, open_engine(engine) as running:
        (staging / "features").mkdir()
        opening = _apart(source, staging / _LOG) if running.apart else lambda: source.table
        starts = request_starts(rows)
        bounds = [*cut_requests(starts, ROWS_PER_PART)]
        cut = ((place, rows[starts[first] : starts[last]]) for place, (first, last) in enumerate(bounds))
        with progress(len(rows), "features", "row") as advance:
            for place, table in running.each(opening, cut):
                table = table.with_columns(pl.col(name).cast(kind) for name, kind in kinds.items()).rechunk()
                table.write_parquet(staging / "features" / f"part-{place:05}.parquet")
                advance(len(table))
        shutil.rmtree(staging / _LOG, ignore_errors=True)
        requests = rows["request_id"].n_unique()
        outside = source.requests["request_id"].n_unique() - requests
        done = Tabulated(requests, len(rows), len(source.names), len(bounds), outside)
        (staging / "catalogue.html").write_text(_catalogue(source, done), encoding="utf-8")
        write_manifest(staging, {"counts": vars(done), **_facts(source), "data": fingerprint(dataset)})
    return done


def show_features(dataset: Dataset, basis: Settings | str | Path, request: str, width: int = 120) -> str:
    """Write the features of one logged request for a terminal: a line per feature, a column per candidate.

    Parameters
    ----------
    dataset, basis
        As of `write_features`; the request may lie outside the windows.
    request
        Its id, as text also where ids are integers.
    width
        Characters in a line; candidates that do not fit stand below the others.

    Raises
    ------
    DataError
        When the tables have faults or there is no such request.
    SettingsError
        When settings name columns or events that are not there, or a feature has the name of a column beside it.
    ModelError
        When the folder is no whole model.
    """
    source = _open(dataset, basis)
    ids = source.requests["request_id"]
    chosen = replace(source, requests=source.requests.filter(ids.cast(pl.String) == request))
    if chosen.requests.is_empty():
        known = ", ".join(str(each) for each in ids.unique().sort().head(3))
        raise DataError(
            f"request {request!r} is not in the table of requests, which holds {known} and others; "
            f"give one of these ids{_FIRST_OF_DAY if source.log.time.nightly else ''}"
        )
    moment = chosen.requests["timestamp"][0]
    table = source.table(chosen.requests)
    time = source.log.time
    lines = [
        f"request {_word(request)} of user {_word(table['user_id'][0])}, {len(table)} candidates",
        f"moment {moment.isoformat()}, as_of {time.known_at(moment).isoformat()} (freshness {time.freshness})",
        f"window {table['window'][0] or 'none: it lies outside of them'}",
        *wrap(source.note, width),
    ]
    shown = table.drop("request_id", "user_id", "timestamp", "window")
    return "\n".join([*lines, *_transposed(shown, width)]) + "\n"


def _open(dataset: Dataset, basis: Settings | str | Path) -> _Source:
    """Check tables and settings, and make ready what features are computed from."""
    if isinstance(basis, Settings):
        prepared = prepare(dataset, basis)
        check_context(prepared.dataset.requests, basis.features, dataset.about.recorded_after)
        refuse_doubles(basis.features)
        check_events(dataset, basis.features)
        windows = place_windows(prepared.made.lists, basis.windows, time=prepared.log.time)
        source = _Source(basis, windows, prepared.made.lists, prepared.log)
    else:
        folder = Path(basis)
        ready, prepared = Ready.today(folder, dataset)
        requests = ready.ask(prepared.made.lists).candidates
        settings, windows = ready.model.settings, ready.model.windows
        source = _Source(settings, windows, requests, prepared.log, ready.reader, folder)
    for name in source.names:
        if name in _HEAD:
            raise SettingsError(f"[features] makes a feature called {name!r}, as a column beside it; rename the column")
    return source


def _in_order(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.sort("timestamp", "request_id", "item_id")


def _facts(source: _Source) -> dict[str, object]:
    """Say for the manifest what the table was made of."""
    settings = source.settings.model_dump(mode="json", include={"time", "labels", "features"})
    model = None if source.model is None else identity(source.model)
    return {"settings": settings, "windows": source.windows.to_json(), "model": model, "features": source.names}


def _catalogue(source: _Source, done: Tabulated) -> str:
    time = source.log.time
    knows = _KNOWS[time.freshness]
    facts = {
        "Rows": f"{done.rows:,} candidates of {done.requests:,} requests; {done.outside:,} requests lie outside",
        **{
            f"Window {name}": " to ".join(moment.isoformat() for moment in source.windows.bounds(name))
            for name in WINDOWS
        },
        "Freshness": f"{time.freshness}: {knows}, {time.zone}",
        "Labels known after": str(time.feedback_delay),
        **({} if time.click_delay is None else {"Clicks known after": str(time.click_delay)}),
    }
    return to_html(source.settings.features, facts, [source.note])


def _transposed(table: pl.DataFrame, width: int) -> Iterator[str]:
    """Turn columns into lines, as many candidates beside each other as fit."""
    names = [_word(name, 80) for name in table.columns]
    first = max(map(len, names))
    longest = [80 if name == "item_id" else 20 for name in table.columns]
    columns = [[_word(*pair) for pair in zip(row, longest, strict=True)] for row in table.iter_rows()]
    sizes = [max(map(len, column)) + 2 for column in columns]
    start = 0
    while start < len(columns):
        end = start + 1
        while end < len(columns) and first + sum(sizes[start : end + 1]) <= width:
            end += 1
        yield ""
        if end - start < len(columns):
            yield f"candidates {start + 1} to {end} of {len(columns)}"
        for place, name in enumerate(names):
            yield _line(name.ljust(first), [column[place] for column in columns[start:end]], sizes[start:end])
        start = end


def _line(name: str, words: Sequence[str], sizes: Sequence[int]) -> str:
    return name + "".join(word.rjust(size) for word, size in zip(words, sizes, strict=True))


def _word(value: object, longest: int = 20) -> str:
    """Write a value for a terminal: four digits, whole numbers whole, `-` where it is missing, no control character."""
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return "-"
    if isinstance(value, float):
        value += 0.0  # -0 becomes 0
        return f"{value:.0f}" if value.is_integer() and abs(value) < 1e9 else f"{value:.4g}"
    word = "".join(letter if letter.isprintable() else "?" for letter in str(value))
    return word if len(word) <= longest else f"{word[: longest - 1]}…"
