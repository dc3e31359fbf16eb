"""What several importers do alike."""

from pathlib import Path
from typing import Any

import polars as pl

from recsys.errors import DataError
from recsys.reading import read_bytes, read_parquet, refuse_large_csv

_WHERE = "name the folder that holds the files as the publisher ships them"


def read_parquet_columns(path: Path, required: tuple[str, ...]) -> pl.DataFrame:
    """Read a foreign Parquet file that must hold the `required` columns.

    Raises
    ------
    DataError
        When the file is missing, is not Parquet or lacks a column.
    """
    frame = read_parquet(path, _WHERE, "fetch the file again")
    missing = [name for name in required if name not in frame.columns]
    if missing:
        raise DataError(
            f"{path} has no column {', '.join(missing)} (it has {', '.join(frame.columns)}); "
            "choose files of lists whose clicks are known, as the publisher ships them"
        )
    return frame


def read_text(path: Path, what: str, **how: Any) -> pl.DataFrame:
    """Read a foreign text file, `how` as `polars.read_csv` has it.

    Raises
    ------
    DataError
        When the file is missing or cannot be read as `what`.
    """
    if not path.is_file():
        raise DataError(f"{path} is missing; {_WHERE}")
    try:
        refuse_large_csv(path, text := read_bytes(path), how.get("separator", ","))
        return pl.read_csv(text, **how)
    except (pl.exceptions.PolarsError, OSError, ValueError) as error:
        first = str(error).split("\n")[0]
        raise DataError(f"{path} cannot be read as {what} ({first}); fetch the file again") from error


def split_folders(folder: Path, name: str, parts: tuple[str, ...]) -> list[Path]:
    """List the folders that hold the file `name`: the folder itself, or else its parts.

    Raises
    ------
    DataError
        When none does.
    """
    if (folder / name).is_file():
        return [folder]
    found = [folder / part for part in parts if (folder / part / name).is_file()]
    if not found:
        raise DataError(f"{folder} holds no {name}, neither itself nor in {'/ or '.join(parts)}/; {_WHERE}")
    return found


def typed_as(frame: pl.DataFrame, model: pl.DataFrame, names: tuple[str, ...], place: str) -> pl.DataFrame:
    """Give the id columns `names` of `frame` the types that they have in `model`.

    Raises
    ------
    DataError
        When an id cannot be written in that type.
    """
    for name in names:
        dtype = model.schema[name]
        try:
            frame = frame.with_columns(pl.col(name).cast(dtype))
        except pl.exceptions.PolarsError as error:
            raise DataError(
                f"{place}: {name} is {frame.schema[name]} and does not fit the {dtype} of the lists ({error}); "
                "write the ids in one type"
            ) from error
    return frame


def first_showings(requests: pl.DataFrame) -> pl.DataFrame:
    """Return `item_id` and `available_at`: the moment of the first list that holds the item."""
    return requests.group_by("item_id").agg(pl.col("timestamp").min().alias("available_at"))


def unique_request_ids(splits: list[pl.DataFrame], column: str) -> tuple[pl.DataFrame, list[str]]:
    """Put the lists of several splits together, one row each, so that no integer id in `column` repeats.

    A split whose ids occur in an earlier one is moved beyond the largest id before it.

    Returns
    -------
    tuple
        All lists, and a sentence for each split that was moved.

    Raises
    ------
    DataError
        When an id repeats inside a split.
    """
    notes: list[str] = []
    lists = splits[0]
    for place, split in enumerate(splits):
        repeated = split.filter(pl.col(column).is_duplicated())[column].unique().sort()
        if len(repeated):
            raise DataError(
                f"{column} {repeated[0]} stands for several lists ({len(repeated)} ids do); give every list its own id"
            )
        if place == 0:
            continue
        if split[column].is_in(lists[column].implode()).any():
            offset = int(lists.select(pl.col(column).max()).item()) + 1
            split = split.with_columns((pl.col(column).cast(pl.Int64) + offset).alias(column))
            notes.append(f"{column} repeats between the parts; {offset} is added to the ids of part {place + 1}.")
        lists = pl.concat([lists, split], how="diagonal_relaxed")
    return lists, notes
