"""Settings that suit imported tables, each with its reason."""

import re
from collections.abc import Iterable
from datetime import timedelta

import polars as pl
from pydantic import ValidationError

from recsys.data.clock import TimeSettings, format_duration
from recsys.data.labels import LabelSettings
from recsys.data.rules import reads_like_text
from recsys.data.tables import Dataset
from recsys.data.telling import telling_columns
from recsys.data.windows import Window, Windows, WindowSettings, place_windows
from recsys.errors import DataError
from recsys.features.columns import plain_name
from recsys.features.plan import feature_names
from recsys.features.settings import FeatureSettings
from recsys.init import words
from recsys.init.columns import MOST_EMPTY, are_groups, number
from recsys.init.lists import candidate_section, field_entries
from recsys.init.samples import time_formats
from recsys.init.toml import Entry, Section, Value
from recsys.past.streams import CLICK
from recsys.schema import AFTER_THE_LIST, CANDIDATES
from recsys.settings import Settings
from recsys.shown import plain

_FRACTIONS = ((0.4, 0.3, 0.1, 0.2), (0.3, 0.3, 0.2, 0.2), (0.25, 0.25, 0.25, 0.25))
_BLOCKS = 6
"""About how many times the encoder learns after the text window."""
_MOST_AFFINITY, _MOST_EVENTS, _MOST_CONTEXT, _MOST_FIELDS = 4, 5, 5, 3
_MOST_NUMBERS, _MOST_USERS, _MOST_SCORES = 4, 3, 8

_REPEATED = 0.5
"""Largest share of a kind's events that may follow a click of the same user on the same item."""


def suggest_settings(dataset: Dataset, several_kinds: bool) -> list[Section]:
    """Write settings that train on imported tables as they stand.

    Parameters
    ----------
    dataset
        The tables.
    several_kinds
        Whether the files held events of several kinds, before some became lists.

    Raises
    ------
    DataError
        When the lists are too few to be divided into windows.
    """
    grades = _grades(dataset)
    time, attribution = TimeSettings(), LabelSettings().attribution
    shares, windows = _windows(dataset, attribution if grades else time.feedback_delay, bool(grades))
    fields, query = _fields(dataset.items), _query(dataset.requests)
    sections = [
        Section((), (Entry("seed", Settings().seed, "starts every random draw"),)),
        Section(
            ("time",),
            (
                _freshness(dataset, several_kinds),
                Entry("feedback_delay", format_duration(time.feedback_delay), "a label is known soon after its list"),
            ),
        ),
        Section(("windows",), (shares,)),
    ]
    labels: tuple[Entry, ...] = ()
    if grades:
        reason = "the lists carry no label: these events grade the candidate shown before, within `attribution`"
        labels = (Entry("grades", grades, reason), Entry("attribution", format_duration(attribution)))
    if clicks := _clicks(dataset, list(grades)):
        labels += (
            Entry("clicks", clicks, "these events say what users like as clicks on lists do, so they count as such"),
        )
    if labels:
        sections.append(Section(("labels",), labels))
    sections.append(Section(("text",), (fields, *query, *_pace(dataset, windows))))
    sections.append(Section(("features",), (*_features(dataset, list(grades), query), *field_entries(dataset))))
    sections += candidate_section(dataset, _says_nothing(dataset.items))
    sections.append(Section(("ranker",), _trees(dataset, windows)))
    return sections


def _grades(dataset: Dataset) -> dict[str, Value]:
    if dataset.requests["label"].max() or dataset.events.is_empty():
        return {}
    kinds = dataset.events["event"].value_counts(sort=True)["event"].to_list()
    order = list(words.KINDS)
    known = [kind for kind in kinds if words.kind_of(kind) in order[:3]]
    chosen = sorted(known, key=lambda kind: order.index(str(words.kind_of(kind)))) or kinds[:1]
    return dict(zip(chosen[:2], (3, 1) if len(chosen) > 1 else (1,), strict=False))


def _clicks(dataset: Dataset, graded: list[str]) -> list[Value]:
    """Choose kinds that are choices, where lists were logged: history, for those who have not clicked on a list yet.

    Those that mostly follow a click on a list repeat it.
    """
    if dataset.about.sampled:
        return []
    choices = list(words.KINDS)[:4]
    clicks = dataset.requests.filter(pl.col("label") > 0).select("user_id", "item_id", clicked="timestamp")
    found = list[Value]()
    for kind in (kind for kind in _kinds(dataset, graded) if kind != CLICK and words.kind_of(str(kind)) in choices):
        events = dataset.events.filter(pl.col("event") == kind).sort("timestamp")
        before = events.join_asof(
            clicks.sort("clicked"),
            left_on="timestamp",
            right_on="clicked",
            by=["user_id", "item_id"],
            tolerance="1d",
            coalesce=False,
            check_sortedness=False,
        )
        if before["clicked"].count() <= _REPEATED * len(events):
            found.append(kind)
    return found


def _freshness(dataset: Dataset, several_kinds: bool) -> Entry:
    if _by_day(dataset):
        return Entry("freshness", "1d", "moments are days, so what happened earlier on one day is not told apart")
    if dataset.about.sampled and several_kinds:
        reason = (
            "a view just before a choice would give it away, since drawn items have none; at midnight none is known"
        )
        return Entry("freshness", "1d", reason)
    reason = 'the ranker knows what happened until the list is shown; "nightly" with made_at for lists made once a day'
    return Entry("freshness", "live", reason)


def _windows(dataset: Dataset, delay: timedelta, graded: bool) -> tuple[Entry, Windows]:
    """Take the first shares under which LightGBM has something to learn from and to stop on."""
    for shares in _FRACTIONS:
        try:
            windows = place_windows(dataset.requests, WindowSettings(fractions=shares))
        except DataError:
            continue
        names: tuple[Window, ...] = ("ranker", "valid")
        if all(_can_teach(windows.of(dataset.requests, name, delay), graded) for name in names):
            reason = "shares of the lists in order of time, so that a longer log tomorrow moves them along"
            return Entry("fractions", list(shares), reason), windows
    lists, moments = (dataset.requests[name].n_unique() for name in ("request_id", "timestamp"))
    raise DataError(
        f"{lists} lists at {moments} moments are too few to be divided into windows of time with a choice in each; "
        "give a longer log"
    )


def _can_teach(requests: pl.DataFrame, graded: bool) -> bool:
    return not requests.is_empty() and (graded or bool(requests["label"].max()))


def _fields(items: pl.DataFrame) -> Entry:
    texts = [name for name, dtype in items.schema.items() if dtype == pl.List(pl.String)]
    for name, dtype in items.schema.items():
        if (
            dtype == pl.String
            and name not in ("item_id", "title")
            and items[name].null_count() <= MOST_EMPTY * len(items)
        ):
            address = number(items[name].str.contains(r"^(https?://|www\.)").mean())
            several = number((items[name].str.count_matches(r"[\s|]+") + 1).mean())
            if address < 0.5 and several >= 1.8 and not time_formats(items[name]):
                texts.append(name)
    lengths = {name: _length(items[name]) for name in texts}
    chosen = sorted(texts, key=lambda name: -lengths[name])
    title = ["title"] if "title" in items.columns else []
    fields = [*title, *chosen][:_MOST_FIELDS]
    if _says_nothing(items):
        return Entry("fields", ["title"], "there is no text, so the title is the id")
    return Entry("fields", fields, "the title, and the columns with the longest texts")


def _length(column: pl.Series) -> float:
    text = column.list.join(", ") if isinstance(column.dtype, pl.List) else column
    return number(text.str.len_chars().mean())


def _says_nothing(items: pl.DataFrame) -> bool:
    return "title" in items.columns and bool((items["title"] == items["item_id"].cast(pl.String)).all())


def _query(requests: pl.DataFrame) -> list[Entry]:
    texts = [name for name, dtype in requests.schema.items() if dtype == pl.String and name != "request_id"]
    for name in words.most_like([text for text in texts if text not in CANDIDATES.required], words.QUERY)[:1]:
        if words.likeness(name, words.QUERY) >= 1.9 and reads_like_text(requests[name]):
            return [Entry("query", name, "what people asked for")]
    return []


def _pace(dataset: Dataset, windows: Windows) -> list[Entry]:
    learning = windows.cuts[3] - windows.cuts[1]
    days = max(1, -(-learning // timedelta(days=_BLOCKS)))
    reason = f"the windows ranker and valid take {learning.days} days; the encoder learns about {_BLOCKS} times in them"
    block = Entry("block", f"{days}d", reason if days > 1 else "each day is scored before it is learnt from")
    if not _says_nothing(dataset.items):
        return [block]
    reason = "ids say nothing, so neither encoder nor lexicon learns from them"
    return [block, Entry("epochs", 0, reason), Entry("lexicon", 0)]


def _features(dataset: Dataset, graded: list[str], query: list[Entry]) -> tuple[Entry, ...]:
    span = _span(dataset)
    if span <= timedelta(days=21) and not _by_day(dataset):
        windows, reason = ["1h", "6h", "1d"], "the log is of a few weeks at most"
    elif span <= timedelta(days=21):
        windows, reason = ["1d", "3d", "7d"], "the log is of a few weeks at most, and its moments are days"
    elif span <= timedelta(days=365):
        windows, reason = ["1d", "7d", "28d"], "the log is of weeks or months"
    else:
        windows, reason = ["7d", "28d", "182d"], "the log is of years"
    affinity = _affinity(dataset.items)
    context = _context(dataset, {*affinity, *(entry.value for entry in query)})
    kinds = _kinds(dataset, graded)
    valued = dataset.events.filter(pl.col("value").is_not_null()) if "value" in dataset.events.columns else None
    with_value = [] if valued is None else valued["event"].unique().to_list()
    return (
        Entry("windows", list(windows), f"how far back counts look: {reason}"),
        Entry("affinity", affinity, "columns of items with few different values, which users may like or not"),
        Entry("context", context, "columns of requests that are known before the list is shown"),
        Entry("events", kinds, "the other kinds of events that are not rare"),
        Entry("numbers", _numbers(dataset.items, affinity), "columns of items that are numbers"),
        Entry("users", _user_groups(dataset, {*affinity, *context}), "columns of users with few different values"),
        Entry("scores", _scores(dataset, context), "columns of requests that retrievers seem to have written"),
        Entry("values", [kind for kind in (CLICK, *kinds) if kind in with_value], "kinds of events that have a number"),
    )


def _by_day(dataset: Dataset) -> bool:
    """Tell whether moments are dates without a time."""
    moments = pl.concat([dataset.requests["timestamp"], dataset.events["timestamp"]])
    return bool((moments == moments.dt.truncate("1d")).all())


def _span(dataset: Dataset) -> timedelta:
    moments = dataset.requests["timestamp"]
    first, last = moments.min(), moments.max()
    span: timedelta = pl.select(pl.lit(last) - pl.lit(first)).item()
    return span


def _affinity(items: pl.DataFrame) -> list[Value]:
    """Choose categories: named as such first, then those with few values."""
    most = max(2.0, min(1_000.0, len(items) / 5))
    few = [
        name
        for name in items.columns
        if are_groups(items[name].drop_nulls(), most) and items[name].null_count() <= len(items) / 2 and name != "title"
    ]
    named = [name for name in words.most_like(few, words.CATEGORY) if words.likeness(name, words.CATEGORY) >= 1]
    texts = [name for name in few if name not in named and items[name].dtype == pl.String]
    ordered = [*named, *sorted(texts, key=lambda name: items[name].n_unique())]
    return _first("affinity", ordered, _MOST_AFFINITY)


def _numbers(items: pl.DataFrame, taken: list[Value]) -> list[Value]:
    """Choose numbers that say more than which item it is: floats, or whole numbers that repeat."""
    found = []
    for name, dtype in items.schema.items():
        values = items[name].drop_nulls()
        repeats = dtype.is_float() or values.n_unique() < 0.9 * len(values)
        if dtype.is_numeric() and repeats and values.n_unique() > 1 and name not in taken:
            found.append(name)
    return _first("numbers", found, _MOST_NUMBERS)


def _user_groups(dataset: Dataset, taken: set[Value]) -> list[Value]:
    users = dataset.users
    if users is None:
        return []
    few = [
        name
        for name in users.columns
        if are_groups(users[name].drop_nulls()) and name not in taken and users[name].null_count() <= len(users) / 2
    ]
    return _first("users", few, _MOST_USERS)


def _fits(setting: str, name: str) -> bool:
    """Ask the settings, and the names of the features that they make, whether a name has another meaning already."""
    try:
        made = feature_names(FeatureSettings.model_validate({setting: [plain_name(name)]}))
    except ValidationError:
        return False
    names = [*(column.name for column in CANDIDATES.columns), *map(plain_name, made)]
    return len(names) == len(set(names))


def _first(setting: str, names: Iterable[str], most: int) -> list[Value]:
    """Take the first names that fit a setting, those left out that LightGBM would not tell from an earlier one."""
    kept: dict[str, Value] = {}
    for name in names:
        if len(kept) == most:
            break
        if plain_name(name) not in kept and _fits(setting, name):
            kept[plain_name(name)] = name
    return list(kept.values())


def _context(dataset: Dataset, taken: set[Value]) -> list[Value]:
    requests = dataset.requests
    refused = {*CANDIDATES.required, *AFTER_THE_LIST, *dataset.about.recorded_after, *taken}
    names = [
        name
        for name in words.most_like(requests.columns, words.CONTEXT)
        if name not in refused and words.likeness(name, words.CONTEXT) >= 1.9
    ]
    lists = requests["request_id"].n_unique()
    fit = [
        name for name in names if are_groups(requests[name]) and requests.select("request_id", name).n_unique() == lists
    ]
    return _first("context", fit, _MOST_CONTEXT)


def _scores(dataset: Dataset, taken: list[Value]) -> list[Value]:
    """Choose numbers that differ within lists, sound like the score or rank of a retriever and tell no outcome."""
    requests = dataset.requests
    refused = {*CANDIDATES.required, *AFTER_THE_LIST, *dataset.about.recorded_after, *map(str, taken)}
    names = [
        name
        for name in words.most_like(requests.columns, words.SCORE)
        if name not in refused and requests[name].dtype.is_numeric()
    ]
    differ = [name for name in names if requests.select(pl.col(name).n_unique().over("request_id").max()).item() > 1]
    telling = telling_columns(requests, dataset.about.recorded_after, dataset.about.sampled)
    leaks = {fault.column for fault in telling if fault.leak}
    return _first("scores", (name for name in differ if name not in leaks), _MOST_SCORES)


def _kinds(dataset: Dataset, graded: list[str]) -> list[Value]:
    counts = (
        dataset.events["event"].value_counts(sort=True).filter(pl.col("count") >= max(20, 0.005 * len(dataset.events)))
    )
    return [
        kind
        for kind in counts["event"].to_list()
        if _fits("events", kind) and kind not in graded and re.fullmatch(r"[\w -]+", kind)
    ][:_MOST_EVENTS]


def _trees(dataset: Dataset, windows: Windows) -> tuple[Entry, ...]:
    rows = len(windows.of(dataset.requests, "ranker"))
    made = dataset.about.sampled
    fewest = max(5, min(1000, rows // 80) if made else min(100, rows // 200))
    leaf = Entry("rows_per_leaf", fewest, f"fewest candidates in a leaf; there are {rows} to learn from")
    if not made:
        return (leaf,)
    reason = "a choice of all there is says little: small trees learn less by heart"
    penalty = float(max(5, min(100, rows // 800)))
    return leaf, Entry("leaves", 7, reason), Entry("l2", penalty, "and none of them says much")


def in_words(sections: list[Section]) -> list[str]:
    """Say the suggestions and their reasons for the terminal, those that ask for nothing aside."""
    return [
        f"{'.'.join((*section.path, entry.key))} = {_shown(entry.value)}: {entry.reason}"
        for section in sections
        if section.path
        for entry in section.entries
        if entry.reason and entry.value != []
    ]


def _shown(value: Value) -> str:
    return plain(value if isinstance(value, str) else str(value))
