"""Upworthy Research Archive: randomised headline tests, one row per version with its views and clicks."""

from pathlib import Path

import polars as pl

from recsys.data.importers.shared import read_parquet_columns, read_text
from recsys.data.tables import About, Dataset
from recsys.errors import DataError
from recsys.schema import TIME

_COLUMNS = {
    "clickability_test_id": "request_id",
    "headline": "title",
    "impressions": "views",
    "clicks": "clicks",
}
_NOTES = (
    "A request is a test, its candidates are the test's headlines: versions that differ in the image alone are pooled.",
    "The readers are unknown: user_id is the test, so no user has a history, and there are no events.",
    "timestamp is when the test was created, as its id says; available_at is the first test that holds the headline.",
    "label is 1 for the headlines with the highest share of clicks in their test.",
)


def read_upworthy(folder: Path) -> Dataset:
    """Read the archive's packages from `arms.parquet` or a published CSV file.

    Texts stand as in the files, entities such as `&amp;` included.

    Raises
    ------
    DataError
        When the file or a column is missing, or a test's id is no MongoDB ObjectId, whose first 8 digits are the
        moment.
    """
    versions = _with_moments(_read(folder))
    headlines = (
        versions.drop_nulls("title")
        .group_by("request_id", "timestamp", "title", maintain_order=True)
        .agg(pl.col("views", "clicks").sum())
        .sort("timestamp", "request_id", maintain_order=True)
    )
    items = (
        headlines.group_by("title", maintain_order=True)
        .agg(pl.col("timestamp").first().alias("available_at"))
        .select(pl.int_range(1, pl.len() + 1).alias("item_id"), "title", "available_at")
    )
    requests, single = _requests(headlines, items)
    notes = [*_NOTES, f"{single} tests with one headline are left out."] if single else [*_NOTES]
    no_events = pl.DataFrame(schema={"user_id": pl.String, "item_id": pl.Int64, "timestamp": TIME, "event": pl.String})
    return Dataset(items, no_events, requests, about=About("upworthy", tuple(notes), first_shown=True))


def _read(folder: Path) -> pl.DataFrame:
    files = sorted([*folder.glob("arms.parquet"), *folder.glob("*.csv")])
    if len(files) != 1:
        found = " and ".join(path.name for path in files) or "no arms.parquet and no CSV file"
        raise DataError(f"{folder} holds {found}; name a folder that holds one file of the archive's packages")
    path = files[0]
    if path.suffix == ".parquet":
        frame = read_parquet_columns(path, tuple(_COLUMNS))
    else:
        what, types = f"a CSV file with the columns {', '.join(_COLUMNS)}", {"clickability_test_id": pl.String}
        frame = read_text(path, what, columns=list(_COLUMNS), schema_overrides=types)
    return frame.select(pl.col(theirs).alias(ours) for theirs, ours in _COLUMNS.items())


def _with_moments(versions: pl.DataFrame) -> pl.DataFrame:
    """Add `timestamp`, the moment that a test's id begins with, in seconds since 1970 and hexadecimal."""
    ids = versions["request_id"]
    wrong = ~ids.str.contains("^[0-9a-f]{24}$").fill_null(value=False)
    if wrong.any():
        row = int(wrong.arg_true()[0])
        raise DataError(
            f"clickability_test_id, row {row + 1}: {ids[row]!r} is not 24 hexadecimal digits, so the moment of the "
            "test is unknown; fetch the file again"
        )
    seconds = pl.col("request_id").str.head(8).str.to_integer(base=16)
    return versions.with_columns(pl.from_epoch(seconds, "s").cast(TIME).alias("timestamp"))


def _requests(headlines: pl.DataFrame, items: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """Return one row per headline of the tests that compare several, and how many tests do not."""
    several = pl.len().over("request_id") > 1
    share = pl.col("clicks") / pl.col("views")
    best = (pl.col("clicks") > 0) & (share == share.max().over("request_id"))
    requests = (
        headlines.filter(several)
        .join(items.select("item_id", "title"), on="title", maintain_order="left")
        .select(
            "request_id",
            pl.col("request_id").alias("user_id"),
            "timestamp",
            "item_id",
            best.cast(pl.Int32).alias("label"),
            "views",
            "clicks",
        )
    )
    return requests, headlines["request_id"].n_unique() - requests["request_id"].n_unique()
