"""EB-NeRD, the news log of Ekstra Bladet: articles, in-view lists with clicks, and earlier clicks of the users."""

from datetime import timedelta
from pathlib import Path

import polars as pl

from recsys.data.importers.shared import (
    first_showings,
    read_parquet_columns,
    split_folders,
    typed_as,
    unique_request_ids,
)
from recsys.data.plain import in_utc
from recsys.data.tables import About, Dataset
from recsys.schema import KNOWN_AT
from recsys.shown import counted

_ITEM_NAMES = {"article_id": "item_id", "abstract": "description", "category_str": "category_name"}
_ITEM_DROPPED = ("url", "image_ids", "last_modified_time", "total_inviews", "total_pageviews", "total_read_time")
_LIST_NAMES = {
    "impression_id": "request_id",
    "user_id": "user_id",
    "impression_time": "timestamp",
    "article_ids_inview": "item_id",
    "article_ids_clicked": "clicked",
    "device_type": "device",
    "article_id": "page_item_id",
    "next_read_time": "next_read_time",
    "next_scroll_percentage": "next_scroll_percentage",
    "read_time": "page_read_time",
    "scroll_percentage": "page_scroll_percentage",
}
_LIST_REQUIRED = ("impression_id", "user_id", "impression_time", "article_ids_inview", "article_ids_clicked")
_RECORDED_AFTER = ("next_read_time", "next_scroll_percentage", "page_read_time", "page_scroll_percentage")
_HISTORY_NAMES = {
    "user_id": "user_id",
    "article_id_fixed": "item_id",
    "impression_time_fixed": "timestamp",
    "read_time_fixed": "value",
}
_USER_COLUMNS = ("gender", "age", "postcode", "is_subscriber", "is_sso_user")
_CLICK = ("user_id", "item_id", "timestamp")
_CLICKED_WITHIN = timedelta(minutes=30)
_LONGEST_READING = timedelta(days=1)
_SESSION_OVER = timedelta(minutes=30)
_LARGEST = {"read": _LONGEST_READING / timedelta(seconds=1), "scroll": 100.0}


def read_ebnerd(folder: Path) -> Dataset:
    """Read EB-NeRD, either flat or as published (`train/` and `validation/` beside `articles.parquet`).

    Every in-view article is a candidate, with label 1 where it was clicked. `page` is the title of the article that
    the list was shown on, null on the front page; it is known when the list is asked for, so it may be context, or
    what the request asks with ([text] query). Earlier clicks become `click` events
    whose `value` is the seconds read; a click that a list already holds is not repeated among the events. The article
    that a list was shown on is a `view`, known at once; its `read` (seconds) and `scroll` (percent) are known when its
    reading ended, those of the one article that was clicked, where no page of the log says it, half an hour later
    still, for a click has no moment of its own: it falls within that time after its list. That holds whatever
    `click_delay` says of clicks. A `session` of it tells how many lists of the session came after it, known half an
    hour after the last one. What a request says of its user is known with it: users are versions, one wherever it
    changes. Moments carry no zone in the files and are taken as UTC.

    Raises
    ------
    DataError
        When a file or a column is missing, or a list's id is used twice.
    """
    splits = split_folders(folder, "behaviors.parquet", ("train", "validation"))
    articles = in_utc(read_parquet_columns(folder / "articles.parquet", ("article_id",)))
    behaviors = [in_utc(read_parquet_columns(split / "behaviors.parquet", _LIST_REQUIRED)) for split in splits]
    histories = [read_parquet_columns(split / "history.parquet", tuple(_HISTORY_NAMES)) for split in splits]
    notes = [f"{len(splits)} folder(s) of lists; moments carry no zone in the files and are taken as UTC."]
    lists, moved = unique_request_ids(behaviors, "impression_id")
    notes += moved
    requests, said = _requests(lists)
    notes += said
    clicks, said = _events(histories, requests)
    notes += said
    items, said = _items(articles, requests)
    notes += said
    readings, said = _readings(requests)
    notes += said
    sessions, said = _sessions(lists, requests)
    notes += said
    events = pl.concat([clicks, readings, sessions], how="diagonal_relaxed").sort("timestamp", maintain_order=True)
    requests = _with_page(requests, items)
    users, said = _users(lists)
    notes += said
    present = tuple(name for name in _RECORDED_AFTER if name in requests.columns)
    dated = "published_time" in articles.columns
    about = About("ebnerd", tuple(notes), present, first_shown=not dated)
    return Dataset(items, events, requests, users, about)


def _requests(lists: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    """Turn one row per list into one row per candidate, in order of time."""
    names = {theirs: ours for theirs, ours in _LIST_NAMES.items() if theirs in lists.columns}
    lists = lists.select(pl.col(theirs).alias(ours) for theirs, ours in names.items()).sort("timestamp", "request_id")
    notes = []
    shown = pl.col("item_id").list.drop_nulls()
    once = shown.list.unique(maintain_order=True)
    repeats = lists.select((shown.list.len() - once.list.len()).sum()).item() or 0
    if repeats:
        notes.append(f"{repeats} candidates stood twice in their list and are kept once.")
    lists = lists.with_columns((once if repeats else shown).alias("item_id"))
    empty = lists.select((pl.col("item_id").list.len().fill_null(0) == 0).sum()).item()
    if empty:
        notes.append(f"{empty} lists without an article are left out.")
        lists = lists.filter(pl.col("item_id").list.len() > 0)
    clicks = (
        lists.select("request_id", pl.col("clicked").list.unique())
        .explode("clicked")
        .drop_nulls("clicked")
        .select("request_id", pl.col("clicked").alias("item_id"), pl.lit(1, pl.Int32).alias("label"))
    )
    requests = (
        lists.drop("clicked")
        .explode("item_id")
        .join(clicks, on=["request_id", "item_id"], how="left", maintain_order="left")
        .with_columns(pl.col("label").fill_null(0))
    )
    outside = clicks.height - int(requests["label"].sum())
    if outside:
        notes.append(f"{outside} clicks on articles that their list does not hold are left out.")
    return requests, notes


def _events(histories: list[pl.DataFrame], requests: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    """Turn one row per user into one row per earlier click, leaving out what the lists hold already."""
    events = pl.concat([_clicks_of(history) for history in histories], how="vertical_relaxed")
    events = typed_as(events, requests, ("user_id", "item_id"), "history.parquet")
    everything = events.height
    # Once they are in order, repeats are neighbours: less memory and time than a table of all clicks.
    events = events.sort("timestamp", "user_id", "item_id", maintain_order=True)
    events = events.filter(pl.any_horizontal(pl.col(name).ne_missing(pl.col(name).shift()) for name in _CLICK))
    repeats = everything - events.height
    clicks = requests.filter(pl.col("label") > 0).select(_CLICK)
    known = events.height
    events = without_labelled_clicks(events, clicks).with_columns(event=pl.lit("click"))
    notes = ["Events are the users' earlier clicks; value is the seconds read."]
    if repeats:
        notes.append(f"{repeats} earlier clicks stood twice (same user, item and moment) and are kept once.")
    if events.height < known:
        notes.append(f"{known - events.height} earlier clicks repeat a click of a list and are left out.")
    return events.select("user_id", "item_id", "timestamp", "event", "value"), notes


def _clicks_of(history: pl.DataFrame) -> pl.DataFrame:
    columns = [pl.col(theirs).alias(ours) for theirs, ours in _HISTORY_NAMES.items()]
    return in_utc(history.select(columns).explode("item_id", "timestamp", "value").drop_nulls("item_id"))


def without_labelled_clicks(
    events: pl.DataFrame, clicks: pl.DataFrame, within: timedelta = _CLICKED_WITHIN
) -> pl.DataFrame:
    """Leave out the events that repeat a labelled click, each click accounting for at most one event.

    Parameters
    ----------
    events
        Rows with `user_id`, `item_id`, `timestamp`; no two alike.
    clicks
        The same columns of the labelled clicks; the moment is that of their list.
    within
        An event repeats a click of the same user and item when it lies 0 to `within` after the list's moment.

    Returns
    -------
    polars.DataFrame
        The remaining events, in their order. Pairs are those of the greedy answer: clicks in order of time, each
        with its earliest event that is still free.
    """
    clicks = clicks.sort("timestamp").with_row_index("_click")
    pairs = (
        events.with_row_index("_event")
        .select("_event", *_CLICK)
        .join(clicks.rename({"timestamp": "_shown"}), on=["user_id", "item_id"])
        .filter(pl.col("timestamp").is_between(pl.col("_shown"), pl.col("_shown") + within))
        .select("_event", "_click", "timestamp")
        .sort("_click", "timestamp", "_event")
    )
    dropped: list[pl.Series] = []
    while not pairs.is_empty():
        # A pair stands when each is the other's first choice; no earlier click can then lay claim to the event.
        certain = pairs.filter(
            pl.col("_event").is_first_distinct() & (pl.col("_event") == pl.col("_event").first().over("_click"))
        )
        dropped.append(certain["_event"])
        pairs = pairs.join(certain, on="_event", how="anti", maintain_order="left")
        pairs = pairs.join(certain, on="_click", how="anti", maintain_order="left")
    if not dropped:
        return events
    repeated = pl.concat(dropped).to_frame()
    return events.with_row_index("_event").join(repeated, on="_event", how="anti", maintain_order="left").drop("_event")


def _readings(requests: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    """Turn readings into events: of the article that a list was shown on, and of the one that was clicked.

    Of a click that led to a page of the log, the page says how it was read.
    """
    pages = requests.unique("request_id", keep="first", maintain_order=True)
    if "page_item_id" in pages.columns:
        pages = pages.drop("item_id").drop_nulls("page_item_id").rename({"page_item_id": "item_id"})
        pages = typed_as(pages, requests, ("item_id",), "behaviors.parquet")
    else:
        pages = pages.clear()
    clicked = requests.filter(pl.col("label") > 0).filter(pl.len().over("request_id") == 1)
    led = clicked.select("request_id", *_CLICK).join(
        pages.select("user_id", "item_id", _seen=pl.col("timestamp")), on=["user_id", "item_id"]
    )
    led = led.filter(pl.col("_seen").is_between(pl.col("timestamp"), pl.col("timestamp") + _CLICKED_WITHIN))
    clicked = clicked.join(led, on="request_id", how="anti", maintain_order="left")
    views = pages.select(*_CLICK, event=pl.lit("view"), value=pl.lit(None, pl.Float32), known_at=pl.col("timestamp"))
    tables, lost = [views], 0
    for rows, prefix, late in ((pages, "page", timedelta()), (clicked, "next", _CLICKED_WITHIN)):
        seconds, percent = f"{prefix}_read_time", f"{prefix}_scroll_percentage"
        if seconds not in rows.columns:
            continue
        possible = pl.col(seconds).is_between(0, _LONGEST_READING / timedelta(seconds=1))
        lost += rows.select((pl.col(seconds).is_not_null() & ~possible).sum()).item()
        rows = rows.filter(possible)
        ended = pl.col("timestamp") + late + pl.duration(microseconds=(pl.col(seconds) * 1e6).cast(pl.Int64))
        for event, value in (("read", seconds), ("scroll", percent)):
            if value in rows.columns:
                known = rows.filter(pl.col(value).is_between(0, _LARGEST[event]))
                value_of = pl.col(value).cast(pl.Float32).alias("value")
                tables.append(known.select(*_CLICK, event=pl.lit(event), value=value_of, known_at=ended))
    found = pl.concat(tables, how="vertical_relaxed").sort("known_at", maintain_order=True)
    notes = []
    if lost:
        notes.append(f"{counted(lost, 'reading')} of no possible length, such as below 0 seconds, are left out.")
    if len(views):
        notes.append(
            f"The articles that lists were shown on are {counted(len(views), 'view')}; for how many seconds, and how "
            "many percent down, they and what was clicked were read are the values of read and scroll, known when the "
            "reading ended."
        )
    return found.unique([*_CLICK, "event"], maintain_order=True), notes


def _sessions(lists: pl.DataFrame, requests: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    """Turn what came after an article in its session into an event: how many lists, known once the session is over."""
    if not {"session_id", "article_id"} <= set(lists.columns):
        return pl.DataFrame(), []
    session, shown = ("user_id", "session_id"), pl.col("impression_time")
    rows = lists.drop_nulls((*session, "impression_time")).select(
        "user_id",
        pl.col("article_id").alias("item_id"),
        shown.alias("timestamp"),
        pl.lit("session").alias("event"),
        (pl.len().over(session) - shown.rank("max").over(session)).cast(pl.Float32).alias("value"),
        (shown.max().over(session) + _SESSION_OVER).alias(KNOWN_AT),
    )
    found = rows.drop_nulls("item_id").unique(_CLICK, keep="first", maintain_order=True)
    if found.is_empty():
        return found, []
    note = (
        f"{counted(len(found), 'session event')} tell how many lists came after an article within its session, known "
        "half an hour after the last of them."
    )
    return typed_as(found, requests, ("user_id", "item_id"), "behaviors.parquet"), [note]


def _items(articles: pl.DataFrame, requests: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    names = {theirs: ours for theirs, ours in _ITEM_NAMES.items() if theirs in articles.columns}
    items = articles.drop(_ITEM_DROPPED, strict=False).rename(names)
    items = typed_as(items, requests, ("item_id",), "articles.parquet")
    lists_of_codes = [name for name, dtype in items.schema.items() if isinstance(dtype, pl.List)]
    items = items.with_columns(pl.col(name).cast(pl.List(pl.String)).list.join(" ") for name in lists_of_codes)
    if "category" in items.columns:
        items = items.with_columns(pl.col("category").cast(pl.String))
    if "subcategory" in items.columns:
        codes = pl.col("subcategory").str.strip_chars("[] ")
        items = items.with_columns(pl.when(codes != "").then(codes).alias("subcategory"))
    if "published_time" in items.columns:
        return items.rename({"published_time": "available_at"}), ["available_at is the article's published_time."]
    items = items.join(first_showings(requests), on="item_id", how="left", maintain_order="left")
    return items, ["available_at is the first showing in the lists; it is null for items that were never shown."]


def _with_page(requests: pl.DataFrame, items: pl.DataFrame) -> pl.DataFrame:
    """Add the title of the article that each list was shown on, null on the front page and for unknown articles."""
    if "page_item_id" not in requests.columns or "title" not in items.columns:
        return requests
    key = pl.col("item_id").cast(requests.schema["page_item_id"])
    pages = items.select(page_item_id=key, page="title").unique("page_item_id", keep="first")
    return requests.join(pages, on="page_item_id", how="left", maintain_order="left")


def _users(lists: pl.DataFrame) -> tuple[pl.DataFrame | None, list[str]]:
    """Return the versions of the users of the lists: one row wherever what is known of a user changes.

    A row is known just before the first request that says so, which asks with it.
    """
    attributes = [name for name in _USER_COLUMNS if name in lists.columns]
    if not attributes:
        return None, []
    known_at = (pl.col("impression_time") - pl.duration(microseconds=1)).alias(KNOWN_AT)
    rows = lists.sort("impression_time", "impression_id").select("user_id", known_at, *attributes)
    rows = rows.with_columns(pl.col(attributes).forward_fill().over("user_id"))
    rows = rows.unique(["user_id", KNOWN_AT], keep="last", maintain_order=True)
    before = pl.struct(attributes).shift().over("user_id")
    new = pl.col("user_id").is_first_distinct() | pl.struct(attributes).ne_missing(before)
    users = rows.filter(new).sort("user_id", KNOWN_AT)
    changes = len(users) - users["user_id"].n_unique()
    often = f"changes {counted(changes, 'time')}" if changes else "never changes"
    return users, [f"What is known of users comes with their requests, and {often}."]
