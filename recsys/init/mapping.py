"""The guesses as a mapping for `recsys import tables`, each with its reason."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from recsys.data.importers.columns import NAMES_ZONE, moments
from recsys.data.importers.foreign import TEXT_FILES
from recsys.data.importers.mapping import RequestsMapping
from recsys.data.rules import reads_like_text
from recsys.init import words
from recsys.init.columns import Roles, are_groups, number, text_columns, void_states
from recsys.init.samples import Sample
from recsys.init.tables import Found, IdFile, Tables, Talk, same_for_each
from recsys.init.toml import Entry, Section, Value
from recsys.schema import EVENTS, ITEMS, REQUESTS, USERS, Table
from recsys.shown import plain

_NUMBERS = ("number", "grade", "count", "probability", "position")
_ENOUGH = 50
"""Events of a kind that can become lists."""


@dataclass(frozen=True)
class _Theirs:
    """Our name, their column, and why."""

    ours: str
    name: str
    reason: str


def mapping_sections(tables: Tables, root: Path, talk: Talk) -> list[Section]:
    """Write the mapping.

    Parameters
    ----------
    tables
        Which file is which table.
    root
        The folder that the paths of files start from.
    talk
        Where decisions and doubts go.
    """
    tidy = "rows that lack an id, a moment or a kind are left out and counted, and so are repeated ids"
    top = [Entry("zone", "UTC", _zone(tables, talk)), Entry("tidy", True, tidy)]
    parts = [Section((), tuple(top)), *_ids(tables), *_items(tables, root, talk)]
    if tables.events is not None:
        parts += _events(tables.events, root, talk)
    if tables.requests is not None:
        parts += _requests(tables.requests, root, talk)
    elif tables.events is not None:
        parts.append(_sampled(tables.events, talk))
    if tables.users is not None:
        reason = "its ids are those of the users"
        since, formats = _versions(tables.users)
        columns = [_Theirs("user_id", tables.users.key, reason), *since]
        parts += _table(USERS, tables.users.sample, root, columns, formats)
    return parts


def _ids(tables: Tables) -> list[Section]:
    """Say what does not tell ids apart, where the files spell them differently."""
    entries = [
        Entry(name, list(found.differences), f"{found.sample.name} spells them otherwise than behaviour does")
        for name, found in (("user_id", tables.users), ("item_id", tables.items))
        if found is not None and found.differences
    ]
    return [Section(("ids",), tuple(entries), "differences in spite of which two ids are one")] if entries else []


def _zone(tables: Tables, talk: Talk) -> str:
    for found in (tables.events, tables.requests):
        if found is not None and _without_zone(found.sample.frame[str(found.roles.time)], found.roles.formats[0]):
            talk.doubts.append(
                f"{found.sample.name}: moments are written without a zone and taken as UTC; set zone in the mapping, "
                'such as "Europe/Berlin", if they are local.'
            )
            return "moments are written without a zone; UTC is a guess"
    return "moments name their zone, or count from 1970, so this changes nothing"


def _without_zone(column: pl.Series, time_format: str) -> bool:
    if isinstance(column.dtype, pl.Datetime):
        return column.dtype.time_zone is None
    if time_format != "iso":
        return "%" in time_format and not any(mark in time_format for mark in ("%z", "UTC", "GMT"))
    return column.dtype == pl.String and not bool(column.drop_nulls().str.contains(NAMES_ZONE).all())


def _items(tables: Tables, root: Path, talk: Talk) -> list[Section]:
    missing = Entry("from_ids", True, "items that only behaviour holds are added, so that no event is lost")
    catalogue = tables.items
    if catalogue is None:
        return [Section(("items",), (missing,), "no file describes the items")]
    sample, key = catalogue.sample, catalogue.key
    shared = tables.events is not None and sample is tables.events.sample
    texts = [
        name for name in text_columns(sample) if name != key and (not shared or same_for_each(sample.frame, key, name))
    ]
    columns = [_Theirs("item_id", key, "its values are the ids of items in behaviour")]
    if any(reads_like_text(sample.frame[name]) for name in texts if sample.frame[name].dtype == pl.String):
        columns.append(_Theirs("title", texts[0], "the text that names an item best"))
    else:
        talk.said.append(f"text: {sample.name} holds none, so the id is the title; text will not help.")
    if shared:
        columns += _attributes_of_items(sample, key, texts)
        others = Entry("others", False, "the other columns of this file say something about the event, not the item")
        return _table(ITEMS, sample, root, columns, extra=(missing, others))
    since, known_formats = _versions(catalogue)
    available, formats = _availability(catalogue, tables, talk)
    if available is not None:
        columns.append(_Theirs("available_at", available, "a moment that lies before the first events of the items"))
    return _table(ITEMS, sample, root, columns + since, known_formats or formats, (missing,))


def _versions(catalogue: IdFile) -> tuple[list[_Theirs], tuple[str, ...]]:
    """Give the column that says since when each of several rows of an id is known, and how it is written."""
    name = catalogue.known_at
    if name is None:
        return [], ()
    reason = "an id has several rows, each known since this moment"
    return [_Theirs("known_at", name, reason)], tuple(catalogue.sample.times[name])


def _attributes_of_items(sample: Sample, key: str, texts: list[str]) -> list[_Theirs]:
    named = words.most_like(sample.frame.columns, words.CATEGORY)
    kept = [name for name in dict.fromkeys([*texts[1:], *named]) if name not in (key, *texts[:1])]
    reason = "it says the same of an item each time"
    return [_Theirs(name, name, reason) for name in kept if same_for_each(sample.frame, key, name)]


def _availability(catalogue: IdFile, tables: Tables, talk: Talk) -> tuple[str | None, tuple[str, ...]]:
    """Find the column that says when items came out, if the events agree with it."""
    sample = catalogue.sample
    named = [name for name in words.most_like(sample.times, words.AVAILABLE) if name in sample.stamps]
    if (known_at := catalogue.known_at) is not None:  # the moments of one table are written in one way
        written = sample.times[known_at][:1]
        named = [name for name in named if name != known_at and sample.times[name][:1] == written]
    first = _first_events(tables)
    for name in named:
        formats = tuple(sample.times[name])
        out = pl.DataFrame({"id": sample.frame[catalogue.key].cast(pl.String), "out": _moments(sample, name, formats)})
        both = out.drop_nulls().join(first, on="id")
        if both.filter(pl.col("out") <= pl.col("first")).height >= 0.9 * len(both) > 0:
            talk.said.append(f"available_at: {plain(name)} of {sample.name}, before which hardly anything happens.")
            return name, formats
        talk.doubts.append(f"{sample.name}: {plain(name)} is not when items came out; many events are older.")
    return None, ()


def _first_events(tables: Tables) -> pl.DataFrame:
    found = tables.events or tables.requests
    assert found is not None
    if found.roles.item is None:
        return pl.DataFrame(schema={"id": pl.String, "first": pl.Datetime("us", "UTC")})
    when = _moments(found.sample, str(found.roles.time), found.roles.formats)
    events = pl.DataFrame({"id": found.sample.frame[found.roles.item].cast(pl.String), "first": when})
    return events.group_by("id").agg(pl.col("first").min())


def _moments(sample: Sample, name: str, formats: tuple[str, ...]) -> pl.Series:
    column = sample.frame[name]
    text = column.cast(pl.String) if column.dtype.is_integer() and formats[0].startswith("%") else column
    return moments(text, formats[0], "UTC", f"{sample.name}, column {plain(name)}")


def _behaviour(roles: Roles) -> list[_Theirs]:
    columns = [_Theirs("user_id", str(roles.user), "who; the same values come again and again")]
    columns.append(_Theirs("timestamp", str(roles.time), "when"))
    return columns


def _events(found: Found, root: Path, talk: Talk) -> list[Section]:
    sample, roles = found.sample, found.roles
    columns = [*_behaviour(roles), _Theirs("item_id", str(roles.item), "what")]
    extra: tuple[Entry, ...] = ()
    if roles.kind is not None:
        columns.append(
            _Theirs("event", roles.kind, f"few different values: {_listed(sample.values(roles.kind).sort())}")
        )
    else:
        kind, why = _kind_of_file(found, talk)
        extra = (Entry("event", kind, why),)
    if roles.value is not None:
        columns.append(_Theirs("value", roles.value, "a number that belongs to the event"))
    _tell_format(found, talk)
    return _table(EVENTS, sample, root, columns, roles.formats, extra)


def _kind_of_file(found: Found, talk: Talk) -> tuple[str, str]:
    kind = words.kind_of(found.sample.path.stem)
    if kind is not None:
        return kind, "no column says the kind; the name of the file does"
    if found.roles.value is not None and words.likeness(found.roles.value, words.RATING) > 0:
        return "rating", f"no column says the kind; {plain(found.roles.value)} is one"
    if words.most_like(found.sample.frame.columns, words.ORDER) or found.roles.value is not None:
        return "purchase", "no column says the kind; orders, prices or quantities are bought"
    talk.doubts.append(f"{found.sample.name}: nothing says what kind of event its rows are; they are called clicks.")
    return "click", "nothing says the kind"


def _requests(found: Found, root: Path, talk: Talk) -> list[Section]:
    sample, roles = found.sample, found.roles
    columns = _behaviour(roles)
    if roles.request is not None:
        columns.insert(0, _Theirs("request_id", roles.request, "it numbers the lists"))
    extra: list[Entry] = []
    if roles.lists is None:
        columns.append(_Theirs("item_id", str(roles.item), "what was shown"))
        columns.append(_Theirs("label", str(roles.label), "what came of it; some of each list are 0"))
        columns += [
            _Theirs("position", name, "places count from 1")
            for name in words.most_like(sample.frame.columns, words.POSITION)[:1]
            if words.likeness(name, words.POSITION) >= 2.9  # `bm25_rank` is that of a retriever
            and sample.frame[name].dtype.is_integer()
            and number(sample.frame[name].min()) >= 1
        ]
    else:
        extra.append(Entry("candidates", roles.lists.shown, "a row is a whole list: this is what was shown,"))
        if roles.lists.clicked is not None:
            extra.append(Entry("clicked", roles.lists.clicked, "and this, always among it, what was clicked"))
        if sample.frame.schema[roles.lists.shown] == pl.String:
            extra.append(Entry("separator", roles.lists.separator, "what stands between the ids"))
    talk.said.append("requests: lists were logged, so none are sampled.")
    _tell_format(found, talk)
    return _table(REQUESTS, sample, root, columns, roles.formats, tuple(extra))


def _sampled(found: Found, talk: Talk) -> Section:
    """Choose the events that become lists."""
    sample, roles, usual = found.sample, found.roles, RequestsMapping()
    if roles.kind is None:
        kind, _ = _kind_of_file(found, Talk())
        why = "the only kind of event"
    else:
        kind, why = _target(sample.frame[roles.kind])
    entries = [Entry("sampled_from", kind, why)]
    strong = "" if roles.value is None or words.likeness(roles.value, words.RATING) == 0 else roles.value
    if strong and words.kind_of(kind) == "rating":
        least = number(sample.frame[strong].median())
        if least > number(sample.frame[strong].min()):
            entries.append(
                Entry("least", least, "half of the ratings are at least this; lower ones are no recommendation")
            )
    entries.append(
        Entry(
            "negatives",
            usual.negatives,
            "drawn beside each choice, from the items that were out at the moment",
        )
    )
    entries.append(Entry("seed", usual.seed, "of the draw; the same seed gives the same lists"))
    context = _context(found)
    if context:
        entries.append(Entry("context", context, "known when somebody comes, before anything is chosen"))
    talk.said.append(f"requests: no lists were logged, so they are sampled around the events {plain(kind)!r}: {why}.")
    return Section(("requests",), tuple(entries), "no lists were logged: each choice becomes one, beside drawn items")


def _target(kinds: pl.Series) -> tuple[str, str]:
    """Choose the strongest kind of choice that is not too rare, or the most frequent one."""
    counts = dict(kinds.drop_nulls().value_counts(sort=True).iter_rows())
    for meaning in words.KINDS:
        fit = [kind for kind, count in counts.items() if words.kind_of(kind) == meaning and count >= _ENOUGH]
        if fit:
            return str(fit[0]), f"the strongest choice among the kinds of events, {counts[fit[0]]} times"
    most = next(iter(counts))
    return str(most), f"the most frequent kind of event, {counts[most]} times"


def _context(found: Found) -> list[str]:
    """Give columns that say where somebody came from: few values, the same in all rows of one moment."""
    frame, roles = found.sample.frame, found.roles
    taken = {roles.user, roles.item, roles.time, roles.kind, roles.value}
    names = [
        name for name in words.most_like(frame.columns, words.CONTEXT) if words.likeness(name, words.CONTEXT) >= 1.9
    ]
    at = [str(roles.user), str(roles.time)]
    moments_there = frame[at].n_unique()
    return [
        name
        for name in names
        if name not in taken and are_groups(frame[name]) and frame[[*at, name]].n_unique() <= 1.01 * moments_there
    ][:4]


def _tell_format(found: Found, talk: Talk) -> None:
    formats = found.roles.formats
    for one, other in (("%d/%m", "%m/%d"), ("%d-%m", "%m-%d")):
        if formats[0].startswith(one) and any(each.startswith(other) for each in formats):
            talk.doubts.append(
                f"{found.sample.name}: days and months of {plain(str(found.roles.time))} cannot be told apart; the day "
                "is taken to come first."
            )


def _listed(values: Iterable[object]) -> str:
    shown = [plain(str(value)) for value in values]
    return ", ".join(shown[:8]) + (", ..." if len(shown) > 8 else "")


def _table(
    table: Table,
    sample: Sample,
    root: Path,
    columns: list[_Theirs],
    formats: tuple[str, ...] = (),
    extra: tuple[Entry, ...] = (),
) -> list[Section]:
    """Write one table: how its file is written, and its columns."""
    written = sample.settings
    entries = [Entry("file", sample.path.relative_to(root).as_posix())]
    entries += _left_out(table, sample, {each.name for each in columns})
    if sample.path.suffix in TEXT_FILES:
        entries.append(Entry("delimiter", written.delimiter or ",", "what separates the most columns alike"))
        if written.decimal != ".":
            entries.append(Entry("decimal", written.decimal, "numbers are written as 12,5"))
        if written.encoding != "utf-8":
            entries.append(Entry("encoding", written.encoding, "it does not read as UTF-8"))
    if formats and formats[0] != "iso":
        entries.append(Entry("time_format", formats[0], "every moment can be read so"))
    named = [Entry(each.ours, each.name, each.reason) for each in columns]
    alone = any(entry.key == "others" for entry in extra)
    clashes = [] if alone else _clashes(table, sample, columns)
    named += [Entry(f"{name}_2", name, "its name means something else here") for name in clashes]
    return [
        Section((table.name,), (*entries, *extra), f"{table.name}: {sample.name}"),
        Section((table.name, "columns"), tuple(named), "our name = their name"),
    ]


def _left_out(table: Table, sample: Sample, used: set[str]) -> list[Entry]:
    """Leave out personal columns, and rows of what was cancelled or returned."""
    entries, names = [], [name for name in sample.frame.columns if name not in used]
    if personal := [name for name in names if _is_personal(table, sample, name)]:
        entries.append(Entry("without", personal, "personal data, which nothing needs"))
    if table not in (EVENTS, REQUESTS):
        return entries
    for name in words.most_like(names, words.STATUS):
        if void := void_states(sample, name):
            kept: list[Value] = [value for value in sample.values(name).sort() if value not in void]
            entries.append(Entry("where", {name: kept}, f"what is {_listed(void)} was no choice"))
            break
    return entries


def _is_personal(table: Table, sample: Sample, name: str) -> bool:
    named = table is not ITEMS and words.likeness(name, words.PERSONAL) >= 1.9
    named = named or (table is USERS and words.tokens(name) == ["name"])
    column = sample.frame[name]
    mails = column.dtype == pl.String and number(column.str.contains(r"^[^@\s]+@[^@\s]+\.[a-zA-Z]+$").mean()) > 0.5
    return named or mails


def _clashes(table: Table, sample: Sample, columns: list[_Theirs]) -> list[str]:
    """Give their columns that are called as one of ours and are something else."""
    theirs, ours = {each.name for each in columns}, {each.ours for each in columns}
    reserved = {column.name for column in table.columns} | ours | ({"title"} if table is ITEMS else set())
    numbers = {column.name for column in table.columns if column.kind in _NUMBERS} - ours
    return [
        name
        for name, dtype in sample.frame.schema.items()
        if name in reserved - theirs and not (name in numbers and dtype.is_numeric())
    ]
