"""lists out of events: each choice beside items drawn at random from those that were out at its moment."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.data.tables import one_version
from recsys.errors import DataError, SettingsError
from recsys.schema import ITEMS, KNOWN_AT, TIME

if TYPE_CHECKING:
    from recsys.data.importers.mapping import RequestsMapping

Ints = npt.NDArray[np.int64]

_AT_ONCE = 50_000
"""Lists that are drawn at once; bounds memory, and is part of what the seed means."""


@dataclass(frozen=True)
class SampledLists:
    """Tables in which choices have become lists.

    Attributes
    ----------
    items
        The catalogue, with `available_at`.
    events
        What is left of the events.
    requests
        The lists: the chosen items with label 1, the drawn ones with label 0.
    notes
        Sentences about what was done.
    first_shown
        Whether `available_at` is the first event of some items.
    """

    items: pl.DataFrame
    events: pl.DataFrame
    requests: pl.DataFrame
    notes: tuple[str, ...]
    first_shown: bool


def sample_lists(items: pl.DataFrame, events: pl.DataFrame | None, settings: "RequestsMapping") -> SampledLists:
    """Turn the events of one kind into lists; neither the result nor the draw depends on the order of rows.

    All choices of a user at one moment make one list. Its other items are drawn uniformly, without repeat, from those
    out at that moment that the user has no event of that kind with right then; where no more than `negatives` are left,
    the list holds them all. An item is out from its `available_at` on, or, where the catalogue does not say, after its
    first event became known. What was not out yet is no candidate, chosen or not: in its list only the choice would be
    as new, which would give it away.

    Chosen events leave `events`. Those that cannot stand in a list (the first of their item, an item that is not out
    or that the catalogue lacks, nothing to draw from) stay there, as clicks, since that is what labels count as. So do
    those that became known later than they happened, with their `known_at`: a label would be known too early.

    Parameters
    ----------
    items
        The catalogue.
    events
        All events, ids in the types of the catalogue.
    settings
        `sampled_from`, `least`, `negatives`, `seed` and `context`.

    Raises
    ------
    DataError
        When there are no events, a named column is missing, an id or moment is, or no list can be made.
    SettingsError
        When the kind never occurs.
    """
    events = _checked(items, events, settings)
    first = events.group_by("item_id").agg(_known_at(events).min().alias("_first"))
    given = pl.col("available_at") if "available_at" in items.columns else pl.lit(None, TIME)
    known = pl.col(KNOWN_AT) if KNOWN_AT in items.columns else pl.lit(None, TIME)
    dates = one_version(items, "item_id", "first").select("item_id", _given=given, _known=known)
    dates = dates.join(first, on="item_id", how="left", maintain_order="left")
    catalogue = _in_order_of_availability(dates)
    choices = _choices(events, catalogue, settings)
    lists = choices.filter("_fit").select("user_id", "timestamp").unique().sort("timestamp", "user_id")
    lists = lists.with_columns(_list=pl.int_range(pl.len()))
    listed = choices.join(lists, on=["user_id", "timestamp"])
    moments = lists["timestamp"].dt.epoch("us").to_numpy()
    drawn = _draw(moments, catalogue["_out"].to_numpy(), listed.drop_nulls("_code"), settings)
    chosen = listed.filter("_fit").select("_list", "_code").unique().join(drawn, on="_list", how="semi")
    if chosen.is_empty():
        raise DataError(
            f"no {settings.sampled_from!r} happened while another item was out, so no list can be made; "
            "import a longer log, or one of more items, and one whose known_at is not after the timestamp"
        )
    rows = _rows(chosen, drawn, lists, catalogue)
    left, stayed, late = _what_is_left(events, rows, settings)
    notes = _notes(settings, dates, rows["request_id"].n_unique(), stayed, late)
    rows = rows.join(_context(events, settings), on=["user_id", "timestamp"], how="left", maintain_order="left")
    available = dates.select("item_id", available_at=pl.coalesce("_given", "_first"))
    available = items.select("item_id").join(available, on="item_id", how="left", maintain_order="left")
    items = items.with_columns(available["available_at"])
    first_shown = dates.select((pl.col("_given").is_null() & pl.col("_first").is_not_null()).any()).item()
    return SampledLists(items, left, rows, notes, first_shown)


def _rows(chosen: pl.DataFrame, drawn: pl.DataFrame, lists: pl.DataFrame, catalogue: pl.DataFrame) -> pl.DataFrame:
    """Give the candidates of all lists; a choice is known when it happens."""
    rows = pl.concat([chosen.with_columns(label=1), drawn.with_columns(label=0)]).cast({"label": pl.Int32})
    rows = rows.join(lists, on="_list").join(catalogue.select("_code", "item_id"), on="_code").sort("_list", "item_id")
    rows = rows.with_columns(
        request_id=pl.col("_list").rle_id().cast(pl.Int64) + 1,
        clicked_at=pl.when(pl.col("label") > 0).then("timestamp"),
    )
    return rows.select("request_id", "user_id", "timestamp", "item_id", "label", "clicked_at")


def _checked(items: pl.DataFrame, events: pl.DataFrame | None, settings: "RequestsMapping") -> pl.DataFrame:
    kind, place = settings.sampled_from, "[requests] sampled_from"
    if events is None:
        raise DataError(f"{place} = {kind!r} makes lists of events, and there are none; name them with [events] file")
    if events.is_empty():
        raise DataError(f"{place} = {kind!r} makes lists of events, and their file holds no row; see that it is whole")
    if kind not in (kinds := events["event"].unique().sort().to_list()):
        raise SettingsError(f"{place} names {kind!r}, an event that never occurs; events holds {kinds}")
    needed = [*settings.context, *(["value"] if settings.least is not None else [])]
    if absent := [name for name in needed if name not in events.columns]:
        raise DataError(
            f"[requests] context and least need the column {absent[0]} of events, which has {', '.join(events.columns)}"
        )
    for name in ("user_id", "item_id", "timestamp"):
        if empty := events[name].null_count():
            raise DataError(f"{empty} events lack {name}; set tidy = true in the mapping to leave them out")
    if items.select(ITEMS.key_of(items.columns)).is_duplicated().any():
        raise DataError("items holds an item_id twice; set tidy = true in the mapping to keep the first of each")
    return events


def _known_at(events: pl.DataFrame) -> pl.Expr:
    return pl.max_horizontal("known_at", "timestamp") if "known_at" in events.columns else pl.col("timestamp")


def _is_wanted(settings: "RequestsMapping") -> pl.Expr:
    """Tell which events are of the kind, and not below `least`."""
    wanted = (pl.col("event") == settings.sampled_from).fill_null(value=False)
    return wanted if settings.least is None else wanted & (pl.col("value") >= settings.least).fill_null(value=False)


def _in_order_of_availability(dates: pl.DataFrame) -> pl.DataFrame:
    """Put items in the order in which they come out, so that those out at a moment are the first so many numbers."""
    given = pl.col("_given").dt.epoch("us")
    out = pl.coalesce(given, pl.col("_first").dt.epoch("us") + 1)  # a first event is known after its moment
    known = pl.max_horizontal(out, pl.col("_known").dt.epoch("us") + 1)
    ordered = (
        dates.select("item_id", _out=pl.when(out.is_not_null()).then(known)).drop_nulls("_out").sort("_out", "item_id")
    )
    return ordered.with_columns(_code=pl.int_range(pl.len()))


def _choices(events: pl.DataFrame, catalogue: pl.DataFrame, settings: "RequestsMapping") -> pl.DataFrame:
    """Give every event of the kind its item's number, and whether it may be a candidate."""
    of_kind = events.filter(pl.col("event") == settings.sampled_from)
    at_once = _known_at(events) == pl.col("timestamp")
    choices = of_kind.select("user_id", "timestamp", "item_id", _wanted=_is_wanted(settings) & at_once)
    choices = choices.join(catalogue, on="item_id", how="left")
    out = (pl.col("_out") <= pl.col("timestamp").dt.epoch("us")).fill_null(value=False)
    fit = pl.col("_wanted") & out
    return choices.select("user_id", "timestamp", "_code", _fit=fit)


def _draw(moments: Ints, outs: Ints, busy: pl.DataFrame, settings: "RequestsMapping") -> pl.DataFrame:
    """Draw the other items of every list.

    Parameters
    ----------
    moments
        When each list is, microseconds, shape [L].
    outs
        When each item comes out, microseconds, ascending, shape [I].
    busy
        `_list` and `_code` of items that may not be drawn.
    settings
        `negatives` and `seed`.

    Returns
    -------
    `_list` and `_code` of what was drawn.
    """
    out = np.searchsorted(outs, moments, side="right")
    taken = np.unique(busy["_list"].to_numpy() * len(outs) + busy["_code"].to_numpy())
    holders, codes = np.divmod(taken, len(outs))
    free = out - np.bincount(holders[codes < out[holders]], minlength=len(moments))
    few = np.flatnonzero(free <= settings.negatives)
    lists, drawn = [np.repeat(few, out[few])], [_counted(out[few])]
    kept = ~_is_in(lists[0] * len(outs) + drawn[0], taken)
    lists[0], drawn[0] = lists[0][kept], drawn[0][kept]
    generator = np.random.default_rng(settings.seed)
    many = np.flatnonzero(free > settings.negatives)
    for part in np.split(many, np.arange(_AT_ONCE, len(many), _AT_ONCE)):
        lists.append(np.repeat(part, settings.negatives))
        drawn.append(_distinct(generator, out[part], part * len(outs), taken, settings.negatives).ravel())
    return pl.DataFrame({"_list": np.concatenate(lists), "_code": np.concatenate(drawn)})


def _distinct(generator: np.random.Generator, out: Ints, offsets: Ints, taken: Ints, count: int) -> Ints:
    """Draw `count` different numbers below `out` for each list, none of them taken; shape [lists, count]."""
    drawn = generator.integers(0, out[:, None], (len(out), count))
    open_rows = np.arange(len(out))
    while len(open_rows):
        rows = drawn[open_rows]
        order = np.argsort(rows, axis=1, kind="stable")
        ordered = np.take_along_axis(rows, order, axis=1)
        again = np.zeros(rows.shape, dtype=bool)
        np.put_along_axis(again, order[:, 1:], ordered[:, 1:] == ordered[:, :-1], axis=1)
        again |= _is_in(rows + offsets[open_rows, None], taken)
        place, column = np.nonzero(again)
        drawn[open_rows[place], column] = generator.integers(0, out[open_rows[place]])
        open_rows = open_rows[again.any(axis=1)]
    return drawn


def _is_in(keys: Ints, ascending: Ints) -> npt.NDArray[np.bool_]:
    if not len(ascending):
        return np.zeros(keys.shape, dtype=bool)
    place = np.minimum(np.searchsorted(ascending, keys), len(ascending) - 1)
    found: npt.NDArray[np.bool_] = ascending[place] == keys
    return found


def _counted(lengths: Ints) -> Ints:
    """Count 0, 1, ... up to each length in turn."""
    total = int(lengths.sum())
    return np.arange(total) - np.repeat(np.cumsum(lengths) - lengths, lengths)


def _context(events: pl.DataFrame, settings: "RequestsMapping") -> pl.DataFrame:
    """Give one value per user and moment; of several the smallest, so that the order of rows does not matter."""
    of_kind = events.filter(pl.col("event") == settings.sampled_from)
    return of_kind.group_by("user_id", "timestamp").agg(pl.col(settings.context).min())


def _what_is_left(
    events: pl.DataFrame, rows: pl.DataFrame, settings: "RequestsMapping"
) -> tuple[pl.DataFrame, int, int]:
    """Take the chosen events out, and count those of the kind that stay as clicks: known at once, and known late."""
    key = ["user_id", "item_id", "timestamp"]
    chosen = rows.filter(pl.col("label") > 0).select(*key, _chosen=True)
    listed = events.select(key).join(chosen, on=key, how="left", maintain_order="left")["_chosen"].is_not_null()
    wanted = events.select(_is_wanted(settings)).to_series()
    late = events.select(_known_at(events) > pl.col("timestamp")).to_series()
    kind = events.select(event=pl.when(_is_wanted(settings)).then(pl.lit("click")).otherwise("event")).to_series()
    stays = ~(wanted & listed & ~late)
    return events.with_columns(kind).filter(stays), int((wanted & stays & ~late).sum()), int((wanted & late).sum())


def _notes(
    settings: "RequestsMapping", dates: pl.DataFrame, lists: int, stayed: int, known_late: int
) -> tuple[str, ...]:
    kind = settings.sampled_from
    notes = [
        f"{lists} lists were made of the events {kind!r}, with up to {settings.negatives} drawn items each "
        f"(seed {settings.seed})."
    ]
    if late := dates.filter(pl.col("_given").is_null() & pl.col("_first").is_not_null()).height:
        notes.append(f"available_at is the first event of {late} of {len(dates)} items; they are drawn after it only.")
    if stayed:
        notes.append(
            f"{stayed} events {kind!r} stand in no list, most likely as the first of their item or before it was "
            "out; they stay events, as clicks."
        )
    if known_late:
        notes.append(
            f"{known_late} events {kind!r} became known after they happened, which a label cannot say; they stay "
            "events, as clicks of the moment they became known."
        )
    return tuple(notes)
