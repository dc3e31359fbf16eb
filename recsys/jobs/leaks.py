"""The leak check: features that change with the future, or tell the outcome too well, stop a training at its start."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys.data.clock import TimeSettings
from recsys.data.faults import CheckedRows, Fault, Rule, broken, refuse_errors, report, whole
from recsys.data.tables import Dataset, one_version
from recsys.data.telling import judged_lists, telling, vouch
from recsys.data.windows import Windows
from recsys.errors import SettingsError
from recsys.features.moments import HoursSince
from recsys.features.plan import TEXT_COLUMNS, build_features, with_comparisons
from recsys.features.settings import FeatureSettings, declare
from recsys.model.prepared import Prepared, behaviour_of
from recsys.past.lookup import Asked
from recsys.schema import AFTER_THE_LIST, KNOWN_AT, TIME
from recsys.settings import Settings

logger = logging.getLogger(__name__)

TOO_WELL = 0.97
"""AUC within lists above which a computed feature is too good to be true; honest ones may beat any logged column."""

POINTS_AT, POINTS_AT_MORE = 0.75, 0.15
"""AUC of a context column with an attribute that makes it a leak, where it beats the attribute alone by the second."""

REQUESTS = 8
"""Requests whose future is shuffled."""

Compute = Callable[[pl.DataFrame, Dataset], pl.DataFrame]
"""Candidates, in the order of `Asked`, and a log into their feature table."""


def refuse_leaks(prepared: Prepared, windows: Windows) -> None:
    """Stop when what the ranker would learn from holds the outcome.

    Parameters
    ----------
    prepared
        The tables; a leak among the faults of their check is an error here where the settings use the column and nobody
        vouched for it.
    windows
        Their windows.

    Raises
    ------
    DataError
        With every leak, each named.
    SettingsError
        When `[features] vouched` names no column of requests and no feature.
    """
    dataset, settings, log = prepared.dataset, prepared.settings, prepared.log
    made = replace(dataset, requests=prepared.made.lists)
    features, vouched = settings.features, settings.features.vouched
    lists = judged_lists(windows.of(made.requests, "ranker", log.time.feedback_delay, log.time.shown), settings.seed)
    asked = Asked.of(lists, log)
    lists = asked.candidates
    blind = replace(asked, candidates=lists.drop(AFTER_THE_LIST, strict=False))
    table = build_features(blind, features, None).drop(TEXT_COLUMNS)
    for name in vouched:
        if name not in (*dataset.requests.columns, *table.columns, *features.kinds):
            raise SettingsError(
                f"[features] vouched names {name!r}, which is neither a column of requests nor a computed feature nor "
                "an event kind; remove it, or mind the spelling"
            )
    used = {"item_id", *features.context, *features.scores, settings.text.query} - {*vouched}
    leaks = [
        replace(fault, severity="error") for fault in prepared.checked.faults if fault.leak and fault.column in used
    ]
    # Columns of requests were judged by the table check, and what is counted per such a column stands or falls with it.
    columns = {*features.context, *features.scores, *vouched}
    columns |= {feature.name for feature in declare(features) if columns & {*feature.per}}
    judged = [name for each in columns for name in with_comparisons(each)]
    told = [*telling_features(lists, table.drop(judged, strict=False)), *telling_kinds(asked, features)]
    told = [fault for fault in told if fault.column not in vouched]
    if dataset.about.sampled:  # what was chosen is more popular, and chosen again, than what was drawn
        told = [replace(fault, severity="warning") for fault in told]
        if told:
            logger.warning("%d features tell chosen from drawn items nearly always; see that none is a leak", len(told))
    leaks += told
    leaks += telling_contexts(lists, dataset.items, features)
    compute = partial(_compute, settings=settings)
    leaks += future_features(dataset, draw_requests(made, windows, settings.seed), log.time, compute, settings.seed)
    refuse_errors(report(leaks, {}))


def telling_features(lists: pl.DataFrame, table: pl.DataFrame) -> Iterator[Fault]:
    """Name the features that tell the outcome too well.

    Parameters
    ----------
    lists
        Requests of `judged_lists` in the order of `Asked`.
    table
        Their features.
    """
    labelled = pl.concat([lists.select("request_id", "label"), table], how="horizontal")
    for name, judgement in telling(labelled, table.columns).items():
        if judgement.least > TOO_WELL:
            what = f"the feature is too good to be true: it tells which candidates of a list were clicked, {judgement}"
            fix = f"see where its behaviour comes from and when it is known, or {vouch(name)}"
            yield whole(Rule("error", what, fix), "features", name)


def telling_kinds(asked: Asked, settings: FeatureSettings) -> Iterator[Fault]:
    """Name the event kinds that tell the outcome too well: clicks that were logged under another kind as well.

    Parameters
    ----------
    asked
        Requests of `judged_lists`.
    settings
        Which kinds are counted.
    """
    probes = {kind: HoursSince(kind, ("user", "item")).values(asked.lookup) for kind in settings.kinds}
    table = asked.candidates.select("request_id", "label").with_columns(pl.Series(*probe) for probe in probes.items())
    for kind, judgement in telling(table, list(probes)).items():
        if judgement.least > TOO_WELL:
            what = f"events of this kind just before a list tell which candidates are clicked, {judgement}"
            fix = f"keep them out if they are those clicks, or {vouch(kind)}"
            yield whole(Rule("error", what, fix), "events", kind)


def telling_contexts(lists: pl.DataFrame, items: pl.DataFrame, settings: FeatureSettings) -> Iterator[Fault]:
    """Name the context columns that tell the outcome together with the item or one of its attributes.

    A column that is the same in all rows of a list tells nothing by itself, but where it was taken from what was
    clicked (its category, the page that it led to), it points at it.

    Parameters
    ----------
    lists
        Requests of `judged_lists`.
    items
        The catalogue.
    settings
        Which columns are context, and which attributes are read.
    """
    attributes = {name: f"item {name}" for name in settings.affinity}
    table = lists.join(
        one_version(items, "item_id", "last").select(
            "item_id", *(pl.col(name).alias(called) for name, called in attributes.items())
        ),
        on="item_id",
        how="left",
        maintain_order="left",
    )
    others = ["item_id", *attributes.values()]
    alone = telling(table, others)
    for name in settings.context:
        if name in settings.vouched or not alone:
            continue
        both = [pl.concat_str(pl.col(name, each).cast(pl.String), separator="\n").alias(each) for each in others]
        for each, together in telling(table.with_columns(both), others).items():
            if together.least > POINTS_AT and together.auc - alone[each].auc > POINTS_AT_MORE:
                what = f"points at what was clicked: together with {each} it tells which candidates were, {together}"
                yield whole(Rule("error", what, f"keep it out of the features, or {vouch(name)}"), "requests", name)


def draw_requests(dataset: Dataset, windows: Windows, seed: int) -> list[pl.DataFrame]:
    """Draw up to `REQUESTS` requests of users who click, if there are any, spread over ranker, valid and test.

    Parameters
    ----------
    dataset, windows
        The tables and their windows.
    seed
        Of the draw; the order of rows does not matter.
    """
    start, end = windows.cuts[1], windows.cuts[4]
    rows = dataset.requests.filter((pl.col("timestamp") >= start) & (pl.col("timestamp") < end))
    requests = rows.unique("request_id").sort("timestamp", "request_id")
    clicks = dataset.requests.filter(pl.col("label") > 0)["user_id"]
    clicking = pl.concat([clicks, dataset.events["user_id"].cast(clicks.dtype)]).unique()
    active = requests.filter(pl.col("user_id").is_in(clicking.implode()))
    ids = (requests if active.is_empty() else active)["request_id"]
    random = np.random.default_rng(seed)
    parts = np.array_split(np.arange(len(ids)), min(REQUESTS, len(ids)) or 1)
    drawn = [ids[int(random.choice(part))] for part in parts if len(part)]
    return [rows.filter(pl.col("request_id") == each).sort("item_id") for each in drawn]


def future_features(
    dataset: Dataset, requests: list[pl.DataFrame], clock: TimeSettings, compute: Compute, seed: int
) -> Iterator[Fault]:
    """Name the features that change, be it in the last bit, when what is known at `as_of` or later is shuffled.

    Parameters
    ----------
    dataset
        The log.
    requests
        The rows of each request that is asked about.
    clock
        When rows become known.
    compute
        What makes features.
    seed
        Of the shuffles.
    """
    random = np.random.default_rng(seed)
    changed = []
    for asked in requests:
        candidates = asked.drop(AFTER_THE_LIST, strict=False)
        one, other = (compute(candidates, log) for log in two_futures(dataset, asked, clock, random))
        changed.append({name: _bits(one[name]) != _bits(other[name]) for name in one.columns})
    frame = pl.DataFrame(changed)
    rule = Rule(
        "error",
        "the feature changes when what becomes known only at `as_of` or later is shuffled",
        "let it read only what is known before `as_of`",
    )
    ids = pl.Series([asked["request_id"][0] for asked in requests])
    for name in frame.columns:
        yield from broken(rule, CheckedRows("features", name, frame), pl.col(name), pl.lit(ids))


def _compute(candidates: pl.DataFrame, dataset: Dataset, settings: Settings) -> pl.DataFrame:
    log = settings.log(behaviour_of(dataset, settings.features.kept))
    return build_features(Asked.of(candidates, log), settings.features, None)


def _bits(column: pl.Series) -> object:
    return column.to_numpy().tobytes() if column.dtype.is_float() else column.to_list()


ROWS = 20_000
"""Showings, and events, that are kept around a request: a feature that reads the future shows it in these."""

_KINDS = 20
"""Kinds of events that are added, at most."""

_DELETED, _AT_ONCE, _LATER, _KEPT = range(4)


def two_futures(
    dataset: Dataset, asked: pl.DataFrame, clock: TimeSettings, random: np.random.Generator
) -> tuple[Dataset, Dataset]:
    """Cut a log to the rows around a request and change all that is known at its `as_of` or later.

    In the second log such rows are deleted, moved to `as_of` or later, given to the asking user and to each other's
    items, and labels that are not known yet are turned around: clicks from the click delay or `clicked_at` on, all
    others from the feedback delay on. Versions of items and users are deleted, moved and given each other's contents,
    and those that are asked about get others at `as_of`. Both logs get lists of the same candidates whose labels, or
    clicks, become known at `as_of`, and the second one events on every candidate that do, though they happened before.

    Parameters
    ----------
    dataset
        The log; `items` is cut to what the rows name.
    asked
        The rows of one of its requests.
    clock
        When rows become known.
    random
        Source of the changes.
    """
    as_of = clock.known_at(asked["timestamp"][0])
    edges = sorted({as_of - clock.feedback_delay, as_of - clock.clicks_known_after})
    moments = [*edges, as_of, asked["timestamp"][0]]
    others = dataset.requests.filter(pl.col("request_id") != asked["request_id"][0])
    # A made list has fewer columns than what was logged, and as a showing lies where all is later: at its making.
    shown = pl.concat([asked, *_edge_lists(asked, edges), _nearest(others, "timestamp", moments)], how="diagonal")
    if "clicked_at" not in shown.columns:
        shown = shown.with_columns(clicked_at=pl.lit(None, TIME))
    known_at = pl.max_horizontal("timestamp", *{"known_at"} & set(dataset.events.columns))
    done = dataset.events.with_columns(known_at.alias("known_at"), pl.col("event").cast(pl.String))
    done = _nearest(done, "known_at", moments)
    named = pl.concat([shown["item_id"], done["item_id"].cast(shown.schema["item_id"])]).unique()
    items = dataset.items.filter(pl.col("item_id").is_in(named.implode()))
    other_shown, other_done = (
        _other_showings(shown, asked, as_of, clock, random),
        _other_events(done, asked, as_of, random),
    )
    others = _other_versions(items, "item_id", asked, as_of, random)
    users = None if dataset.users is None else _other_versions(dataset.users, "user_id", asked, as_of, random)
    return Dataset(items, done, shown, dataset.users), Dataset(others, other_done, other_shown, users)


def _edge_lists(asked: pl.DataFrame, moments: list[datetime]) -> Iterator[pl.DataFrame]:
    """Give lists of the same candidates at some moments, without a click."""
    own = {"clicked_at": pl.lit(None, TIME)} if "clicked_at" in asked.columns else {}
    for number, moment in enumerate(moments, 1):
        yield asked.with_columns(
            pl.lit(f"-{number}").cast(asked.schema["request_id"]).alias("request_id"),
            pl.lit(moment, TIME).alias("timestamp"),
            pl.lit(0).cast(asked.schema["label"]).alias("label"),
            **own,
        )


def _nearest(frame: pl.DataFrame, moment: str, moments: list[datetime]) -> pl.DataFrame:
    """Keep the `ROWS` rows whose moments are nearest to one of `moments`."""
    if len(frame) <= ROWS:
        return frame
    away = pl.min_horizontal((pl.col(moment) - each).dt.total_microseconds().abs() for each in moments)
    return frame[np.sort(np.argpartition(frame.select(away).to_series().to_numpy(), ROWS)[:ROWS])]


def _other_showings(
    shown: pl.DataFrame, asked: pl.DataFrame, as_of: datetime, clock: TimeSettings, random: np.random.Generator
) -> pl.DataFrame:
    """Turn around the labels that are not known before `as_of`, and scatter the lists that are shown from then on."""
    clicked, shown_at = (pl.col("label") > 0) | pl.col("clicked_at").is_not_null(), pl.col("timestamp")
    click_known = pl.coalesce("clicked_at", shown_at + clock.clicks_known_after)
    unknown = pl.when(clicked).then(click_known >= as_of).otherwise(shown_at + clock.feedback_delay >= as_of)
    soon = ~clicked & (shown_at + clock.clicks_known_after < as_of)  # as a click it would be known already
    turned = (1 - clicked.cast(pl.Int8)).cast(shown.schema["label"])
    shown = shown.with_columns(
        label=pl.when(unknown).then(turned).otherwise("label"),
        clicked_at=pl.when(unknown).then(pl.when(soon).then(pl.lit(as_of, TIME))).otherwise("clicked_at"),
    )
    lists = shown["request_id"].rank("dense").to_numpy().astype(np.int64) - 1
    return _scatter(shown, "timestamp", lists, asked, as_of, random)


def _other_events(
    done: pl.DataFrame, asked: pl.DataFrame, as_of: datetime, random: np.random.Generator
) -> pl.DataFrame:
    """Scatter the events that become known from `as_of` on, and add some that become known at that very moment."""
    kinds = pl.Series("event", ["click", *done["event"].unique().sort().head(_KINDS)]).unique(maintain_order=True)
    known = [pl.lit(as_of - timedelta(hours=1), TIME).alias("timestamp"), pl.lit(as_of, TIME).alias("known_at")]
    added = asked.select("user_id", "item_id", *known).join(kinds.to_frame(), how="cross")
    scattered = _scatter(done, "known_at", np.arange(len(done)), asked, as_of, random)
    scattered = scattered.with_columns(timestamp=pl.min_horizontal("timestamp", "known_at"))
    return pl.concat([scattered, added], how="diagonal_relaxed")


def _other_versions(
    table: pl.DataFrame, key: str, asked: pl.DataFrame, as_of: datetime, random: np.random.Generator
) -> pl.DataFrame:
    """Scatter the versions that become known from `as_of` on, and add some that become known at that very moment."""
    if KNOWN_AT not in table.columns:
        return table
    later = (table[KNOWN_AT] >= as_of).fill_null(value=False).to_numpy()
    fate, hours = random.integers(_KEPT + 1, size=len(table)), random.integers(0, 48, size=len(table))
    when = pl.lit(as_of, TIME) + pl.duration(hours=pl.Series(np.where(fate == _LATER, hours, 0)))
    moved = pl.when(pl.Series(later & (fate < _KEPT))).then(when).otherwise(KNOWN_AT)
    contents = table.drop(key, KNOWN_AT)
    places = np.arange(len(table))
    places[later] = random.permutation(places[later])
    scattered = pl.concat([table.select(key, moved.alias(KNOWN_AT)), contents[places]], how="horizontal")
    ids = asked[key].unique(maintain_order=True).cast(table.schema[key])
    added = contents[random.integers(len(table), size=len(ids))] if len(table) else contents.clear(len(ids))
    added = pl.concat([ids.to_frame().with_columns(pl.lit(as_of, TIME).alias(KNOWN_AT)), added], how="horizontal")
    kept = scattered.filter(pl.Series(~later | (fate != _DELETED)))
    return pl.concat([kept, added]).unique([key, KNOWN_AT], keep="last", maintain_order=True).select(table.columns)


def _scatter(
    frame: pl.DataFrame,
    moment: str,
    groups: NDArray[np.int64],
    asked: pl.DataFrame,
    as_of: datetime,
    random: np.random.Generator,
) -> pl.DataFrame:
    """Delete groups of rows whose moments are `as_of` or later, move them, and give them to other users and items."""
    later = (frame[moment] >= as_of).to_numpy()
    size = int(groups.max(initial=-1)) + 1
    fate = random.integers(_KEPT + 1, size=size)[groups]
    asking = later & (random.random(size) < 0.5)[groups]
    hours = pl.Series(random.integers(1, 48, size=size)[groups] * 3_600_000_000).cast(pl.Duration("us"))
    places = np.arange(len(frame))
    places[later] = random.permutation(places[later])
    when = (
        pl.when(pl.Series(later & (fate == _AT_ONCE)))
        .then(pl.lit(as_of, TIME))
        .when(pl.Series(later & (fate == _LATER)))
        .then(pl.col(moment) + hours)
        .otherwise(moment)
    )
    user = pl.when(pl.Series(asking)).then(pl.lit(asked["user_id"][0])).otherwise("user_id")
    scattered = frame.with_columns(
        when.alias(moment), user.cast(frame.schema["user_id"]).alias("user_id"), frame["item_id"].gather(places)
    )
    return scattered.filter(pl.Series(~later | (fate != _DELETED)))
