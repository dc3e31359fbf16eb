"""The leak check: features that change with the future, or tell the outcome too well, stop a training at its start."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import numpy as np
import polars as pl

from recsys.data.clock import TimeSettings
from recsys.data.faults import CheckedRows, Fault, Rule, broken, refuse_errors, report, whole
from recsys.data.tables import ALWAYS_KNOWN, Dataset, always_known, one_version
from recsys.data.telling import TOO_WELL as SUSPICIOUS
from recsys.data.telling import judged_lists, telling, vouch
from recsys.data.windows import Windows
from recsys.errors import SettingsError
from recsys.features.columns import FROM_TEXTS, with_comparisons
from recsys.features.declared import values_of
from recsys.features.moments import HoursSince, Number
from recsys.features.plan import build_features
from recsys.features.settings import FeatureSettings, declare
from recsys.jobs.futures import two_futures
from recsys.model.prepared import Prepared, behaviour_of
from recsys.past.log import Log
from recsys.past.lookup import Asked
from recsys.schema import AFTER_THE_LIST, KNOWN_AT
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
    table = build_features(blind, features, None).drop(FROM_TEXTS, strict=False)
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
    judged = [name for each in columns for name in with_comparisons(each, deviations=True)]
    told = [*telling_features(lists, table.drop(judged, strict=False)), *telling_kinds(asked, features)]
    if always_known({"items": dataset.items}):
        told += telling_attributes(lists, table, features)
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


def telling_attributes(lists: pl.DataFrame, table: pl.DataFrame, settings: FeatureSettings) -> Iterator[Fault]:
    """Name the attributes and numbers of items that tell the outcome as well as only what was written back would.

    Parameters
    ----------
    lists
        Requests of `judged_lists` in the order of `Asked`.
    table
        Their features.
    settings
        Which attributes and numbers are read.
    """
    names = [*(f"item_{name}" for name in settings.affinity), *(Number(name).name for name in settings.numbers)]
    names = [name for name in names if name in table.columns]
    labelled = pl.concat([lists.select("request_id", "label"), table.select(names)], how="horizontal")
    for name, judgement in telling(labelled, names).items():
        if SUSPICIOUS < judgement.least <= TOO_WELL:
            what = f"tells which candidates of a list were clicked, {judgement}, and items hold no {KNOWN_AT}"
            what += f": {ALWAYS_KNOWN}"
            yield whole(Rule("error", what, f"tell versions of the items, or {vouch(name)}"), "features", name)


def telling_kinds(asked: Asked, settings: FeatureSettings) -> Iterator[Fault]:
    """Name the event kinds that tell the outcome too well: clicks that were logged under another kind as well.

    Parameters
    ----------
    asked
        Requests of `judged_lists`.
    settings
        Which kinds are counted.
    """
    probes = {kind: values_of(HoursSince(kind, ("user", "item")), asked.lookup) for kind in settings.kinds}
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
    kept = behaviour_of(dataset, settings.features.kept)
    log = Log(kept, settings.clock, settings.text.history, settings.features.horizon)
    return build_features(Asked.of(candidates, log), settings.features, None)


def _bits(column: pl.Series) -> object:
    return column.to_numpy().tobytes() if column.dtype.is_float() else column.to_list()
