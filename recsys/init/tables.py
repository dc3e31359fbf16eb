"""Which file is which table: by what its columns are, and by whose ids they hold."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import polars as pl

from recsys.data.faults import cut
from recsys.data.meeting import Difference, Meeting, meet
from recsys.errors import DataError
from recsys.init import words
from recsys.init.columns import Roles, find_roles, text_columns
from recsys.init.samples import Sample
from recsys.shown import plain

_COVERED = 0.3
"""Least share of the ids in behaviour that a table of items or users holds."""


@dataclass
class Talk:
    """What is told of the guesses.

    Attributes
    ----------
    said
        Decisions with their reasons.
    doubts
        What a person should look at.
    """

    said: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Found:
    """A file that is a table, and the columns that matter in it."""

    sample: Sample
    roles: Roles


@dataclass(frozen=True)
class IdFile:
    """A file of items or users, the column of their ids, and in what they are spelt otherwise than in behaviour.

    Where an id has several rows, `known_at` is the column of moments since when each is known.
    """

    sample: Sample
    key: str
    differences: tuple[Difference, ...] = ()
    known_at: str | None = None


@dataclass(frozen=True)
class Tables:
    """The files that are used; `events` and `requests` are not both missing.

    Attributes
    ----------
    events, requests
        Behaviour.
    items, users
        The files; that of `items` may be that of `events`.
    """

    events: Found | None
    requests: Found | None
    items: IdFile | None
    users: IdFile | None

    @property
    def several_kinds(self) -> bool:
        """Whether the events are of several kinds."""
        kind = None if self.events is None else self.events.roles.kind
        return kind is not None and self.events is not None and self.events.sample.frame[kind].n_unique() > 1

    def ids(self, role: str) -> pl.Series:
        """Give the distinct ids that behaviour holds as `"item"` or `"user"`, as text."""
        parts = [_ids(found, role) for found in (self.events, self.requests) if found is not None]
        return pl.concat(parts).unique()


def choose_tables(samples: Sequence[Sample], talk: Talk) -> Tables:
    """Say which file is which table.

    Raises
    ------
    DataError
        When no file says who did what and when.
    """
    found = [Found(sample, find_roles(sample)) for sample in samples]
    tables = _behaviour(found, talk)
    if tables is None:  # by their names; now by what they hold
        found = [Found(each.sample, _filled(each.sample, each.roles, samples, talk)) for each in found]
        tables = _behaviour(found, talk)
    if tables is None:
        raise DataError(_nothing(found))
    requests, events = tables.requests, tables.events
    _tell(tables, talk)
    free = [each.sample for each in found if each not in (requests, events)]
    items = _catalogue("items", tables, free, talk)
    users = _catalogue(
        "users", tables, [sample for sample in free if items is None or sample is not items.sample], talk
    )
    if items is None and events is not None and (told := _told_of_items(events)):
        items = IdFile(events.sample, str(events.roles.item))
        talk.said.append(
            f"items: {events.sample.name} too, since it says what they are ({', '.join(map(plain, told))})."
        )
    if items is None:
        talk.said.append("items: made of the ids that were seen, since no file describes them; text will not help.")
    used = [each.sample for each in (requests, events, items, users) if each is not None]
    for sample in samples:
        if sample not in used and not any(doubt.startswith(f"{sample.name} ") for doubt in talk.doubts):
            talk.doubts.append(f"{sample.name} is not used: {_why_not(sample, used, tables)}.")
    return replace(tables, items=items, users=users)


def _behaviour(found: Sequence[Found], talk: Talk) -> Tables | None:
    requests = _largest("requests", [each for each in found if _holds_lists(each)], talk)
    rest = [each for each in found if each is not requests and each.roles.lists is None]
    events = _largest("events", [each for each in rest if _holds_events(each, len(found))], talk)
    return None if requests is None and events is None else Tables(events, requests, None, None)


def _filled(sample: Sample, roles: Roles, samples: Sequence[Sample], talk: Talk) -> Roles:
    """Find users and items by whose ids a column holds, where no name says so; only in files that hold moments."""
    if roles.time is None or (roles.user is not None and (roles.item is not None or roles.lists is not None)):
        return roles
    if roles.user is None and roles.item in sample.keys:
        return roles  # a catalogue with a date
    free = [name for name in sample.ids if name not in (roles.user, roles.item, roles.time, roles.value, roles.label)]
    item = roles.item or next((name for name in free if _points_elsewhere(sample, name, samples)), None)
    if item is None and roles.lists is None:
        return roles
    others = [name for name in free if name != item and name not in sample.keys]
    by_size = sorted(others, key=lambda name: -sample.frame[name].n_unique())
    user = roles.user or next(iter(by_size), None)
    for role, name, known in (("items", item, roles.item), ("users", user, roles.user)):
        if name is not None and known is None:
            talk.doubts.append(
                f"{sample.name}: {plain(name)!r} is taken as the {role}, though its name does not say so."
            )
    return replace(roles, user=user, item=item)


def _points_elsewhere(sample: Sample, name: str, samples: Sequence[Sample]) -> bool:
    values = sample.values(name)
    return name not in sample.keys and any(
        _coverage(values, other.values(key)) >= 0.8 and bool(text_columns(other))
        for other in samples
        if other is not sample
        for key in other.keys
    )


def _coverage(ids: pl.Series, known: pl.Series) -> float:
    return float(ids.is_in(known.implode()).sum()) / max(len(ids), 1)


def _holds_lists(found: Found) -> bool:
    roles = found.roles
    if roles.user is None or roles.time is None:
        return False
    return roles.lists is not None or None not in (roles.label, roles.request, roles.item)


def _holds_events(found: Found, files: int) -> bool:
    roles = found.roles
    if None in (roles.user, roles.item, roles.time):
        return False
    if roles.label is not None and found.sample.frame[roles.label].drop_nulls().n_unique() == 2:
        raise DataError(
            f"{found.sample.path} holds candidates with a label, {plain(roles.label)!r}, but no column numbers their "
            "lists; add one, such as request_id, or leave the rows with label 0 out to read the file as events"
        )
    return roles.item not in found.sample.keys or files == 1


def _largest(table: str, found: Sequence[Found], talk: Talk) -> Found | None:
    if not found:
        return None
    best = max(found, key=lambda each: (len(each.sample.frame), each.sample.name))
    for other in found:
        if other is not best:
            talk.doubts.append(
                f"{other.sample.name} could be {table} too; {best.sample.name} is larger and is taken. To use "
                "both, put them into one file, with a column that says the kind of event."
            )
    return best


def _nothing(found: Sequence[Found]) -> str:
    for each in found:
        if each.roles.user and each.roles.item and not each.roles.time:
            return (
                f"{each.sample.path} says who did what ({plain(each.roles.user)}, {plain(each.roles.item)}) but holds "
                "no moments; add a column of times, since nothing can be learnt without an order of time"
            )
    seen = "; ".join(f"{each.sample.name}: {', '.join(map(plain, each.sample.frame.columns[:20]))}" for each in found)
    return (
        "no file says who did what and when: a user, an item and a moment in each row. "
        f"There are {seen}; name such columns user_id, item_id and timestamp, or write a mapping for `recsys import`"
    )


def _tell(tables: Tables, talk: Talk) -> None:
    for table, found in (("requests", tables.requests), ("events", tables.events)):
        if found is not None:
            roles = found.roles
            item = roles.item if table == "events" or roles.lists is None else roles.lists.shown
            parts = ", ".join(plain(str(name)) for name in (roles.user, item, roles.time))
            talk.said.append(f"{table}: {found.sample.name}, since each row says who, what and when ({parts}).")


def _ids(found: Found, role: str) -> pl.Series:
    roles = found.roles
    if role == "item" and roles.lists is not None:
        column = found.sample.frame[roles.lists.shown]
        lists = column if isinstance(column.dtype, pl.List) else column.str.split(roles.lists.separator)
        return lists.explode().drop_nulls().cast(pl.String).str.strip_chars().unique()
    return found.sample.values(str(getattr(roles, role)))


def _catalogue(table: str, tables: Tables, samples: Iterable[Sample], talk: Talk) -> IdFile | None:
    """Find the file whose key holds the ids of behaviour; of several, the one that is named alike and says most."""
    role, meaning = ("item", words.ITEM) if table == "items" else ("user", words.USER)
    ids = tables.ids(role)
    theirs = {getattr(found.roles, role) for found in (tables.events, tables.requests) if found is not None}
    scored: list[tuple[float, Meeting, IdFile]] = []
    for sample in samples:
        if table == "users" and sum(not dtype.is_nested() for dtype in sample.frame.schema.values()) < 2:
            continue  # nothing is said of a user but lists
        for key in (*sample.keys, *sample.versions):
            found = meet(ids, sample.values(key))
            covered = (found.met + found.would) / max(found.ids, 1)
            named = key in theirs or words.likeness(key, meaning) > 0
            named = named or (table == "items" and words.tokens(key) == ["id"])
            named = named or (words.likeness(sample.path.stem, meaning) > 0 and words.sounds_like_id(key))
            texts = len(text_columns(sample)) if table == "items" else 0
            foreign = table == "items" and words.likeness(key, words.USER) > 0
            if covered >= _COVERED and (named or texts) and not foreign:
                known_at = sample.versions.get(key)
                scored.append(
                    (covered + named + min(texts, 2), found, IdFile(sample, key, found.differences, known_at))
                )
    if not scored:
        return None
    _, found, best = max(scored, key=lambda each: each[0])
    covered = (found.met + found.would) / max(found.ids, 1)
    talk.said.append(
        f"{table}: {best.sample.name}, whose {plain(best.key)} holds {covered:.0%} of the {table} seen in behaviour."
    )
    if best.known_at is not None:
        talk.said.append(
            f"{table}: {best.sample.name} holds versions of an id, each known since its {plain(best.known_at)}."
        )
    if found.would:
        pairs = ", ".join(f"{plain(own)} as {plain(other)}" for own, other in found.pairs)
        talk.doubts.append(
            f"{best.sample.name} spells {found.would} ids otherwise than behaviour does ({pairs}); they are taken as "
            f"one in spite of {' and '.join(best.differences)}, see [ids] in the mapping."
        )
    for sample in {id(each.sample): each.sample for _, _, each in scored}.values():
        if sample is not best.sample:
            talk.doubts.append(f"{sample.name} could be {table} too; {best.sample.name} says more and is taken.")
    return best


def _told_of_items(found: Found) -> list[str]:
    """Give the texts and categories that are nearly always the same for an item."""
    frame, item = found.sample.frame, str(found.roles.item)
    taken = {item, found.roles.user, found.roles.time, found.roles.kind}
    names = dict.fromkeys([*text_columns(found.sample), *words.most_like(frame.columns, words.CATEGORY)])
    return [name for name in names if name not in taken and same_for_each(frame, item, name)]


def same_for_each(frame: pl.DataFrame, key: str, name: str) -> bool:
    """Tell whether a column nearly always says the same of the same key."""
    if frame[name].dtype.is_nested():
        return False
    pairs = pl.DataFrame({"key": frame[key], "value": frame[name]}).drop_nulls()
    return pairs.n_unique() <= 1.2 * pairs["key"].n_unique()


def _why_not(sample: Sample, used: Sequence[Sample], tables: Tables) -> str:
    if any(
        isinstance(dtype, pl.List) and isinstance(dtype.inner, pl.Datetime) for dtype in sample.frame.schema.values()
    ):
        return "its rows hold lists of moments; write one row per event"
    if sample.times and len(sample.ids) > 1:
        return "its rows look like events or lists, and another file is taken for them"
    for key in sample.keys[:1]:
        ids = tables.ids("item")
        held = _coverage(ids, sample.values(key))
        here, there = (plain(", ".join(cut(each.sort().head(2).to_list()))) for each in (sample.values(key), ids))
        return (
            f"its {plain(key)}, such as {here}, holds {held:.0%} of the items of behaviour, such as {there}; write the "
            "ids alike, or name the right column in the mapping, to use it"
        )
    return f"it looks like no table, or holds other ids than {', '.join(each.name for each in used)}"


def common_folder(samples: Sequence[Sample]) -> Path:
    """Give the folder below which all files lie."""
    folder = samples[0].path.parent
    while not all(sample.path.is_relative_to(folder) for sample in samples):
        folder = folder.parent
    return folder
