"""MovieLens: films, and the stars that people gave them."""

import csv
from dataclasses import replace
from pathlib import Path

import polars as pl

from recsys.data.importers.foreign import read_tables
from recsys.data.importers.mapped import read_mapped
from recsys.data.importers.mapping import EventsMapping, ItemsMapping, Mapping, RequestsMapping
from recsys.data.tables import Dataset
from recsys.errors import DataError

_FILES = {
    "movies.csv": ("movieId", "title", "genres"),
    "ratings.csv": ("userId", "movieId", "rating", "timestamp"),
}
"""Columns of each file that are read."""
_OVERVIEWS = "movies_overviews.json"
_LIKED = 4.0
"""Stars from which on a rating says that a film was chosen well; half of all ratings are at least this."""

_MAPPING = Mapping(
    items=ItemsMapping(file="movies.csv", columns={"item_id": "movieId"}, from_ids=True),
    events=EventsMapping(
        file="ratings.csv",
        columns={"user_id": "userId", "item_id": "movieId", "value": "rating"},
        time_format="seconds",
        event="rating",
    ),
    requests=RequestsMapping(sampled_from="rating", least=_LIKED),
)
_NOTES = (
    f"A choice is a rating of at least {_LIKED:g} stars; lower ones are events of the kind 'rating'.",
    "genre is the first of a film's genres; year is what its title ends on.",
    "Tags are left out: who tags a film is about to rate it or just did, so that a tag would give the choice away.",
)


def read_movielens(folder: Path) -> Dataset:
    """Read the data set in its form of comma-separated files: `movies.csv` and `ratings.csv` (latest, 20M and later).

    Nothing says what people saw before they rated, so each choice becomes a list with drawn films, see
    `recsys.data.importers.sampled`. Where `movies_overviews.json` lies beside them (a list of objects with the `id` of
    the film and its `overview`), items have a `description`.

    Raises
    ------
    DataError
        When a file or a column is missing, or a value cannot be read.
    """
    if absent := [name for name in _FILES if not (folder / name).is_file()]:
        raise DataError(
            f"{folder} holds no {' and no '.join(absent)}; name the folder of ml-latest, ml-latest-small, ml-20m or a "
            "later one as published; older ones have other files, which `recsys import tables` reads by a mapping"
        )
    for name, columns in _FILES.items():
        _refuse_other_columns(folder / name, columns)
    data = read_mapped(folder, _MAPPING)
    genres = pl.col("genres").replace("(no genres listed)", None)
    items = data.items.with_columns(
        genres=genres.str.replace_all("|", ", ", literal=True),
        genre=genres.str.split("|").list.first(),
        year=pl.col("title").str.extract(r"\((\d{4})\)\s*$").cast(pl.Int32),
    )
    notes: tuple[str, ...] = _NOTES
    if (path := folder / _OVERVIEWS).is_file():
        items = items.join(_overviews(path), on="item_id", how="left", maintain_order="left")
        told = items["description"].count()
        notes = (*notes, f"description is the overview of {_OVERVIEWS}, which has one of {told} of {len(items)} films.")
    about = replace(data.about, source="movielens", notes=(*data.about.notes, *notes))
    return replace(data, items=items, about=about)


def _refuse_other_columns(path: Path, columns: tuple[str, ...]) -> None:
    with path.open("rb") as file:
        found = next(csv.reader([file.readline(10_000).decode("utf-8-sig", "replace").strip()]), [])
    if absent := [name for name in columns if name not in found]:
        raise DataError(f"{path} has no column {', '.join(absent)} (it begins {','.join(found)[:80]}); fetch it again")


def _overviews(path: Path) -> pl.DataFrame:
    """Read `item_id` and `description`, one of each film."""
    told = read_tables(path, None, "utf-8")
    try:
        told = told.select(item_id=pl.col("id").cast(pl.Int64), description=pl.col("overview").cast(pl.String))
    except pl.exceptions.PolarsError as error:
        raise DataError(
            f"{path} is no list of films with a number as id and a text as overview ({error}); fetch it again"
        ) from error
    return told.drop_nulls().unique("item_id", keep="first", maintain_order=True)
