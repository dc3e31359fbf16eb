"""Explain: why one list is in its order, a logged one or one that is made."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl

from recsys.arranging.rules import check_top
from recsys.data.tables import Dataset, one_version
from recsys.data.texts import NO_TEXT, item_texts, item_titles
from recsys.errors import DataError
from recsys.explaining.explain import Explained, explain
from recsys.explaining.reading import Attended, words_that_raised
from recsys.explaining.sentences import why
from recsys.explaining.told import ExplainedList, Named, Part, Place
from recsys.jobs.score import found_by
from recsys.model.ready import Ready
from recsys.past.streams import Ints
from recsys.schema import KNOWN_AT, TIME

_CALLED = {False: "logged requests", True: "lists that nights would have made in place of logged ones"}
"""What is looked through, by whether lists are nightly."""

WORDS = 3
"""So many words, at most, are named for each candidate."""


def explain_list(
    folder: str | Path,
    dataset: Dataset,
    request: str,
    candidates: pl.DataFrame | None = None,
    top: int = 3,
    pair: tuple[str, str] | None = None,
) -> ExplainedList:
    """Explain the first places of one list.

    Parameters
    ----------
    folder
        Model folder.
    dataset
        Tables without faults: items and the behaviour so far.
    request
        Id of the list, as text also where ids are integers.
    candidates
        What holds it: candidates of whole requests, or requests without `item_id`, see `recsys.data.candidates.ask`,
        for which the model's sources find them, or all items are, as in `score`. The logged requests when left out.
    top
        How many places.
    pair
        Two items of the list, the first of which shall be held against the second, whatever their places.

    Raises
    ------
    DataError
        When the tables have faults, there is no such request, or an item of the pair is not in its list.
    SettingsError
        When `top` is below 1, or the model lacks a column.
    ModelError
        When the folder is no whole model.
    """
    check_top(top)
    ready, prepared = Ready.today(Path(folder), dataset)
    if candidates is None:
        asked = ready.ask(_own(prepared.made.lists, request, _CALLED[ready.log.time.nightly]))
    else:
        asked = ready.ask(found_by(ready, _own(candidates, request, "candidates"), find=False))
    explained = explain(ready, asked, top + 1, pair or ())
    items, moment = prepared.dataset.items, _moment(asked.rows.timestamp)
    known = items.filter(pl.col(KNOWN_AT).fill_null(moment) <= moment) if KNOWN_AT in items.columns else items
    titles = item_titles(one_version(known, "item_id", "last"), ready.model.settings.text.fields)

    def title(item: object) -> str:
        return titles.get(item, NO_TEXT)

    shown = [*range(min(top, len(explained.ranked)))]
    pairs = [(place, place + 1) for place in shown if place + 1 < len(explained.ranked)]
    if pair is not None:
        pairs = [_places(explained, pair)]
        shown = sorted({*shown, *pairs[0]})
    read = _words(ready, explained, prepared.dataset, shown)
    places = tuple(_place(explained, place, title, words) for place, words in zip(shown, read, strict=True))
    sentences = tuple(why(explained, *each, title) for each in pairs)
    user, size = str(asked.candidates["user_id"][0]), len(asked.candidates)
    moments = _moment(asked.rows.timestamp), _moment(asked.rows.as_of)
    return ExplainedList(request, user, *moments, size, places, sentences, size - explained.listed)


def _own(lists: pl.DataFrame, request: str, called: str) -> pl.DataFrame:
    """Keep the rows of one request."""
    if "request_id" not in lists.columns:
        raise DataError(f"the {called} have no column request_id; their columns are {', '.join(lists.columns)}")
    own = lists.filter(pl.col("request_id").cast(pl.String) == request)
    if own.is_empty():
        known = ", ".join(str(each) for each in lists["request_id"].drop_nulls().unique().sort().head(3))
        raise DataError(
            f"request {request!r} is not among the {called}, which hold {known or 'none'} and others; give one of "
            "these ids"
        )
    return own


def _moment(microseconds: Ints) -> datetime:
    """Give the moment of the first row."""
    found: datetime = pl.Series(microseconds[:1]).cast(TIME)[0]
    return found


def _places(explained: Explained, pair: tuple[str, str]) -> tuple[int, int]:
    """Find two items among the ranked ones, the upper one first."""
    ids = explained.ranked["item_id"].cast(pl.String)
    found = []
    for item in pair:
        places = (ids == item).arg_true()
        if not len(places):
            raise DataError(
                f"item {item!r} is not in the ranked list, which holds {', '.join(ids.head(3))} and others; give one "
                "of its candidates that no rule leaves out"
            )
        found.append(int(places[0]))
    if found[0] == found[1]:
        raise DataError(f"item {pair[0]!r} cannot stand above itself; give two items")
    return min(found), max(found)


def _words(
    ready: Ready, explained: Explained, dataset: Dataset, places: list[int]
) -> list[tuple[str, tuple[Named, ...]]]:
    """Name the words of some candidates' texts that raise interest."""
    settings, reader = ready.model.settings.text, ready.reader
    assert reader.texts is not None
    rows = explained.rows[np.array(places, dtype=np.int64)]
    versions = explained.asked.lookup.items[rows]
    clicked, versioned = (
        Attended.of(reader, explained.asked, 0),
        [KNOWN_AT] if KNOWN_AT in dataset.items.columns else [],
    )
    found = list[tuple[str, tuple[Named, ...]]]()
    for version, text in zip(versions.tolist(), reader.texts_of(versions).tolist(), strict=True):
        if text < 0:
            found.append(("interest", ()))
            continue
        told = explained.asked.log.register.items.table[version : version + 1].select("item_id", *versioned)
        item = dataset.items.join(told, on=told.columns, nulls_equal=True)
        own = item_texts(item, settings.fields, settings.template)[0]
        raised, words = words_that_raised(own, clicked, reader.texts, WORDS)
        found.append((raised, tuple(Named(str(word.what), word.adds) for word in words)))
    return found


def _place(
    explained: Explained, place: int, title: Callable[[object], str], words: tuple[str, tuple[Named, ...]]
) -> Place:
    of, row = explained.contributions, explained.ranked.row(place, named=True)
    items = explained.asked.log.items.by_code
    parts = [
        Part(of.families[each], float(of.by_family[place, each]), float(of.weights[place, each]))
        for each in of.first[place]
    ]
    clicks = tuple(Named(title(items[int(click.what)]), click.adds) for click in explained.clicks[place])
    scores = int(row["rank"]), float(row["score"]), float(of.others[place])
    found = Place(str(row["item_id"]), title(row["item_id"]), *scores, tuple(parts), clicks, *words)
    boost, fixed = float(explained.ruled.boosts[place]), bool(explained.ruled.fixed[place])
    return replace(found, boost=boost, fixed=fixed, propensity=row.get("propensity"))
