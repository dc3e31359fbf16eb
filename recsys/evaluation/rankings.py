"""Rankings of any system, read from a file: a TREC run or a Parquet table; no model of ours is needed."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from recsys.errors import DataError
from recsys.reading import read_parquet
from recsys.statistics.numbers import Floats

KEY = ["request_id", "item_id"]

_RUN = ["request_id", "q0", "item_id", "rank", "score", "tag"]  # a line of a TREC run


@dataclass(frozen=True)
class Aligned:
    """Rankings in the order of a table of requests.

    Attributes
    ----------
    scores
        [C] a number per row, higher is better; -inf where the system did not list the candidate.
    click_probabilities
        [C] as in the file, NaN where it is empty or not listed; None when the file has none.
    unanswered_requests
        Requests of the table that the file does not rank.
    unlisted_candidates
        Rows of the table that the file does not rank, those of unanswered requests included.
    outside_requests
        Requests of the file that the table does not hold; they were ignored.
    """

    scores: Floats
    click_probabilities: Floats | None
    unanswered_requests: int
    unlisted_candidates: int
    outside_requests: int


@dataclass(frozen=True)
class Rankings:
    """What a system answered.

    Attributes
    ----------
    name
        The file it came from.
    table
        `request_id`, `item_id`, `score` (higher is better, finite) and perhaps `click_probability`, one row per ranked
        item.
    """

    name: str
    table: pl.DataFrame

    @classmethod
    def of(cls, table: pl.DataFrame, name: str) -> "Rankings":
        """Check a table of rankings.

        Parameters
        ----------
        table
            `request_id`, `item_id` and `rank` or `score`, perhaps `click_probability`, see `read_rankings`.
        name
            What errors call it.

        Raises
        ------
        DataError
            As `read_rankings`.
        """
        table = _needed(table, name)
        if table.is_empty():
            raise DataError(f"{name} ranks nothing; write one row per ranked item")
        _check_types(table, name)
        needed = pl.all().exclude("click_probability")
        missing = [column.name for column in table.select(needed) if column.null_count()]
        holed = table.filter(pl.any_horizontal(needed.is_null()))
        _refuse(holed, name, f"lack a value in {missing}", "give every row all of them")
        if "rank" in table.columns:
            table = _scored_by_rank(table, name)
        table = table.with_columns(pl.col("score").cast(pl.Float64))
        _refuse(table.filter(~pl.col("score").is_finite()), name, "have no finite score", "give every item a number")
        repeated = table.filter(pl.struct(KEY).is_duplicated())
        _refuse(repeated, name, "repeat an item of their request", "rank each item once")
        if "click_probability" in table.columns:
            table = table.with_columns(pl.col("click_probability").cast(pl.Float64))
            wrong = table.filter(~pl.col("click_probability").is_between(0, 1))
            _refuse(wrong, name, "have a click_probability outside 0 to 1", "give calibrated probabilities")
        return cls(name, table)

    def of_field(self, requests: pl.DataFrame) -> bool:
        """Say whether most of what it ranks is no candidate of its request, so that it ranks the whole field.

        A few such items are a fault of a ranking of the candidates, which `align` refuses: among candidates that hold
        what was chosen they would make it look better than any list of the field. Other requests are not looked at.
        """
        asked, table = _alike(requests.select(KEY), self.table)
        inside = table.join(asked, on="request_id", how="semi")
        return 2 * len(inside.join(asked, on=KEY, how="anti")) > len(inside)

    def lists(self, requests: pl.Series, items: pl.Series) -> pl.DataFrame:
        """Give the answers to some requests: `request_id`, `item_id` and `score`, ids as in the arguments.

        Parameters
        ----------
        requests, items
            Distinct ids of the requests, and of all items there are.

        Raises
        ------
        DataError
            When it ranks an item that is not there.
        """
        found = _written_as(self.table.select(*KEY, "score"), requests.alias("request_id"))
        listed = _written_as(found, items.alias("item_id"))
        if len(listed) < len(found):
            strange = found.filter(~pl.col("item_id").cast(pl.String).is_in(items.cast(pl.String).implode()))
            raise DataError(
                f"{self.name}: {len(strange)} rows rank an item that the items table does not hold, such as "
                f"{strange['item_id'][0]!r} in request {strange['request_id'][0]!r}; rank items of this data"
            )
        return listed

    def scores(self, requests: pl.DataFrame) -> Floats:
        """Return a score per row of a table of requests, -inf where the system did not list it; see `align`."""
        return self.align(requests).scores

    def align(self, requests: pl.DataFrame) -> Aligned:
        """Bring the answers into the order of a table of requests and count what is not answered.

        Ids of two different types are matched by their text: those of a TREC run are text.

        Parameters
        ----------
        requests
            `request_id`, `item_id`, rows in any order; C rows.

        Raises
        ------
        DataError
            When the file ranks none of the requests, or an item that is not a candidate of its request.
        """
        asked, table = _alike(requests.select(KEY), self.table)
        inside = table.join(asked, on="request_id", how="semi")
        if inside.is_empty():
            raise DataError(
                f"{self.name} ranks none of the requests; its request ids are like {_examples(table)}, those asked are "
                f"like {_examples(asked)}. Rank the requests of this window"
            )
        extra = inside.join(asked, on=KEY, how="anti")
        _refuse(extra, self.name, "rank an item that is not a candidate of its request", "rank only the logged lists")
        found = asked.join(inside, on=KEY, how="left", maintain_order="left")
        answered = inside["request_id"].n_unique()
        probabilities = found["click_probability"].to_numpy() if "click_probability" in found.columns else None
        return Aligned(
            scores=found["score"].fill_null(-np.inf).to_numpy(),
            click_probabilities=probabilities,
            unanswered_requests=asked["request_id"].n_unique() - answered,
            unlisted_candidates=found["score"].null_count(),
            outside_requests=table["request_id"].n_unique() - answered,
        )


def read_rankings(path: str | Path) -> Rankings:
    """Read what a system answered.

    Parameters
    ----------
    path
        A name that ends in `.parquet`, or a folder of such files as `recsys score` writes: `request_id`, `item_id` and
        `rank` (1 = first; gaps do not matter) or `score` (higher is better); `rank`, which is what was shown, wins
        where both are there. `click_probability` may be there, from 0 to 1, empty where it is not known.

        Any other name is a TREC run: lines of `request Q0 item rank score tag`, separated by white space. The score
        orders and the rank is not read, as in trec_eval.

    Raises
    ------
    DataError
        When the file is missing or empty or cannot be read, a column or value is missing, a score is not finite, a rank
        is below 1, or an item or a rank stands twice in one request.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(f"{path} is missing; name a TREC run, a Parquet file or a folder of Parquet files")
    read = _read_parquet if path.is_dir() or path.suffix == ".parquet" else _read_run
    return Rankings.of(read(path), str(path))


def _written_as(table: pl.DataFrame, known: pl.Series) -> pl.DataFrame:
    """Write ids as those of the same name that are known, by their text; rows with other ids are left out."""
    ids = known.to_frame().with_columns(_text=pl.col(known.name).cast(pl.String))
    texts = table.with_columns(_text=pl.col(known.name).cast(pl.String)).drop(known.name)
    return texts.join(ids, on="_text", maintain_order="left").select(table.columns)


def _alike(asked: pl.DataFrame, table: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Write ids of two different types as text."""
    for column in KEY:
        if asked.schema[column] != table.schema[column]:
            asked, table = (frame.with_columns(pl.col(column).cast(pl.String)) for frame in (asked, table))
    return asked, table


def _check_types(table: pl.DataFrame, name: str) -> None:
    ids, text = pl.selectors.integer() | pl.selectors.string(include_categorical=True), "integers or text"
    allowed = {
        "request_id": (ids, text),
        "item_id": (ids, text),
        "rank": (pl.selectors.integer(), "whole numbers"),
        "score": (pl.selectors.numeric(), "numbers"),
        "click_probability": (pl.selectors.numeric(), "numbers"),
    }
    for column, dtype in table.schema.items():
        fitting, words = allowed[column]
        if not table.select(pl.selectors.by_name(column) & fitting).width:
            raise DataError(f"{column} is {dtype} in {name}; write {words}")


def _read_parquet(path: Path) -> pl.DataFrame:
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    tables = {"items.parquet", "events.parquet", "requests.parquet"} & {file.name for file in files}
    if tables:
        raise DataError(f"{path} is a data folder, it holds {', '.join(sorted(tables))}; name rankings of its requests")
    return read_parquet(path, "name the folder that holds the rankings", "write it again")


def _needed(table: pl.DataFrame, name: str) -> pl.DataFrame:
    """Keep the columns that matter, `rank` alone where both are there."""
    missing = [column for column in KEY if column not in table.columns]
    order = next((column for column in ("rank", "score") if column in table.columns), None)
    if missing or order is None:
        lacking = " and ".join([*missing, *(["rank or score"] if order is None else [])])
        raise DataError(f"{name} lacks {lacking}; write request_id, item_id and rank or score")
    return table.select(*KEY, order, *(["click_probability"] if "click_probability" in table.columns else []))


def _scored_by_rank(table: pl.DataFrame, name: str) -> pl.DataFrame:
    _refuse(table.filter(pl.col("rank") < 1), name, "have a rank below 1", "1 is the first place")
    twice = table.filter(pl.struct("request_id", "rank").is_duplicated() & ~pl.struct(KEY).is_duplicated())
    _refuse(twice, name, "share a rank with another item of their request", "give every item a place of its own")
    return table.with_columns(score=-pl.col("rank").cast(pl.Float64)).drop("rank")


def _read_run(path: Path) -> pl.DataFrame:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as text ({error}); Parquet files need a name in .parquet") from error
    lines = pl.Series("line", [text]).str.split("\n").explode().to_frame().with_row_index("number", offset=1)
    del text
    fields = pl.col("line").str.strip_chars().str.replace_all(r"\s+", " ").str.split(" ")
    lines = lines.with_columns(fields).filter(pl.col("line") != [""])
    table = lines.select(
        "number", pl.col("line").list.to_struct(fields=_RUN).struct.unnest(), size=pl.col("line").list.len()
    )
    table = table.with_columns(number=pl.col("number"), parsed=pl.col("score").cast(pl.Float64, strict=False))
    wrong = table.filter((pl.col("size") != len(_RUN)) | pl.col("parsed").is_null())
    if len(wrong):
        raise DataError(
            f"{path} is no TREC run: {len(wrong)} lines, the first of them line {wrong['number'][0]}, are not "
            "`request Q0 item rank score tag` with a number as the score; mend them, or write a table as Parquet"
        )
    return table.select(*KEY, score="parsed")


def _refuse(wrong: pl.DataFrame, name: str, what: str, fix: str) -> None:
    if len(wrong):
        raise DataError(f"{name}: {len(wrong)} rows {what}, in requests such as {_examples(wrong)}; {fix}")


def _examples(table: pl.DataFrame) -> str:
    ids = table["request_id"].unique(maintain_order=True).head(3)
    return ", ".join(repr(one) for one in ids)
