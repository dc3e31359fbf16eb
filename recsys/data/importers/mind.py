"""MIND, the news log of Microsoft: tab-separated lists with clicks and users' earlier clicks, and news texts."""

from pathlib import Path

import polars as pl

from recsys.data.importers.shared import first_showings, read_text, split_folders, unique_request_ids
from recsys.data.tables import About, Dataset
from recsys.errors import DataError
from recsys.schema import TIME

_LISTS = ("request_id", "user_id", "timestamp", "history", "shown")
_NEWS = ("item_id", "category", "subcategory", "title", "description", "url", "title_entities", "abstract_entities")
_TIME_FORMAT = "%m/%d/%Y %I:%M:%S %p"


def read_mind(folder: Path) -> Dataset:
    """Read MIND, either flat (`behaviors.tsv`, `news.tsv`) or with `train/` and `dev/`.

    Every shown article is a candidate with its label. The history column names earlier clicks without their moments:
    they become `click` events one second apart, in order, that end one second before the user's first list, which is
    the latest they can be and so never shows a list what was not known. Moments are taken as UTC.

    Raises
    ------
    DataError
        When a file is missing or not as published, or the lists carry no labels.
    """
    splits = split_folders(folder, "behaviors.tsv", ("train", "dev"))
    lists, moved = unique_request_ids([_lists(split / "behaviors.tsv") for split in splits], "request_id")
    lists = lists.sort("timestamp", "request_id")
    requests, repeats = _requests(lists)
    notes = [
        *moved,
        "Moments carry no zone in the files and are taken as UTC.",
        "Histories carry no moments: their clicks are events one second apart that end one second before the first "
        "list whose history names them.",
        "available_at is the first showing in the lists; it is null for items that were never shown.",
    ]
    if repeats:
        notes.append(f"{repeats} candidates stood twice in their list and are kept once.")
    news = pl.concat([_news(split / "news.tsv") for split in splits]).unique(
        "item_id", keep="first", maintain_order=True
    )
    items = news.join(first_showings(requests), on="item_id", how="left", maintain_order="left")
    return Dataset(items, _events(lists, requests), requests, about=About("mind", tuple(notes), first_shown=True))


def _read_lines(path: Path, names: tuple[str, ...]) -> pl.DataFrame:
    # Quotation marks are part of the titles, never of the format.
    how = {"separator": "\t", "has_header": False, "quote_char": None, "infer_schema": False}
    frame = read_text(path, "tab-separated text", **how)
    if frame.width != len(names):
        raise DataError(f"{path} has {frame.width} columns instead of {len(names)}; fetch the file again")
    return frame.rename(dict(zip(frame.columns, names, strict=True)))


def _lists(path: Path) -> pl.DataFrame:
    lists = _read_lines(path, _LISTS)
    parsed = lists.with_columns(
        pl.col("request_id").cast(pl.Int64, strict=False),
        pl.col("timestamp").str.to_datetime(_TIME_FORMAT, time_unit="us", strict=False).dt.replace_time_zone("UTC"),
        pl.col("shown").str.strip_chars(),
    )
    for name in ("request_id", "timestamp"):
        line = _first(parsed[name].is_null())
        if line is not None:
            raise DataError(
                f"{path}, line {line + 1}: {name} {lists[name][line]!r} cannot be read; "
                "lines must look as the publisher ships them, such as 1, U13740, 11/15/2019 10:22:32 AM"
            )
    line = _first(~parsed["shown"].str.contains(r"^\S+-\d+(\s+\S+-\d+)*$").fill_null(value=False))
    if line is not None:
        raise DataError(
            f"{path}, line {line + 1}: the list carries no labels (N1-0 N2-1 ...), as in the publisher's test part; "
            "leave that part out, nothing can be learnt or measured from it"
        )
    return parsed


def _first(wrong: pl.Series) -> int | None:
    places = wrong.arg_true()
    return int(places[0]) if len(places) else None


def _news(path: Path) -> pl.DataFrame:
    return _read_lines(path, _NEWS).select(_NEWS[:5])


def _requests(lists: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """Return one row per candidate, and how many stood twice in their list."""
    token = pl.col("shown").str.extract_groups(r"^(.*)-(\d+)$").struct
    everything = (
        lists.select("request_id", "user_id", "timestamp", pl.col("shown").str.split(" "))
        .explode("shown")
        .filter(pl.col("shown") != "")
        .select(
            "request_id",
            "user_id",
            "timestamp",
            token[0].alias("item_id"),
            token[1].cast(pl.Int32).alias("label"),
        )
    )
    once = everything.with_columns(pl.col("label").max().over("request_id", "item_id")).unique(
        ["request_id", "item_id"], keep="first", maintain_order=True
    )
    return once, everything.height - once.height


def _events(lists: pl.DataFrame, requests: pl.DataFrame) -> pl.DataFrame:
    """Give moments to the clicks that histories name, each user and item once, less those that a list explains."""
    # A user's history mostly stays the same from list to list: only the first list of each version matters.
    versions = (
        lists.filter(pl.col("history").str.strip_chars() != "")
        .group_by("user_id", "history")
        .agg(pl.col("timestamp").min().alias("named_at"))
    )
    named = (
        versions.with_columns(pl.col("history").str.split(" ").alias("item_id"))
        .with_columns(pl.int_ranges(pl.col("item_id").list.len()).alias("place"))
        .drop("history")
        .explode("item_id", "place")
        .filter(pl.col("item_id") != "")
        .sort("named_at", "place", "item_id", descending=[False, True, False])
        .unique(["user_id", "item_id"], keep="first", maintain_order=True)
    )
    clicks = (
        requests.filter(pl.col("label") > 0)
        .group_by("user_id", "item_id")
        .agg(pl.col("timestamp").min().alias("clicked_at"))
    )
    unexplained = named.join(clicks, on=["user_id", "item_id"], how="left").filter(
        pl.col("clicked_at").is_null() | (pl.col("clicked_at") >= pl.col("named_at"))
    )
    later_ones = (pl.int_range(pl.len()) + 1).over("user_id", "named_at")
    return (
        unexplained.sort("user_id", "named_at", "place", "item_id", descending=[False, False, True, False])
        .select(
            "user_id",
            "item_id",
            (pl.col("named_at") - pl.duration(seconds=later_ones)).cast(TIME).alias("timestamp"),
            pl.lit("click").alias("event"),
        )
        .sort("timestamp", "user_id")
    )
