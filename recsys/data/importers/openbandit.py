"""Open Bandit Dataset: single items shown by a random policy and by Thompson sampling, with propensities and clicks."""

from pathlib import Path

import polars as pl

from recsys.data.importers.shared import first_showings, read_text
from recsys.data.tables import About, Dataset
from recsys.errors import DataError
from recsys.schema import TIME

_CONTEXT = "item_context.csv"
_REQUIRED = ("timestamp", "item_id", "position", "click", "propensity_score")
_MOMENT = "%Y-%m-%d %H:%M:%S%.f%:z"
_AFFINITY = "user-item_affinity_"
_NOTES = (
    "A request is a logged row: one item at one of three places of the page; position is that place. What stood at the "
    "other places is not known, so a request has one candidate.",
    "The log names no users: user_id is the request, so no user has a history, and there are no events. The hashed "
    "user features are context columns of the request; equal features do not make the same user.",
    "affinity is the logged item's user-item affinity; those of the items not shown are left out.",
    "propensity is the logging policy's probability of this item at this position; the probabilities of the items not "
    "shown are not in the log.",
    "The items have no text: title is made up from the number of the item. available_at is its first showing.",
)


def read_openbandit(folder: Path) -> Dataset:
    """Read one policy's log of one campaign: `item_context.csv` beside `<campaign>.csv` or `<campaign>.csv.gz`.

    The log is `<policy>/<campaign>` of the published data (Saito, Aihara, Matsutani and Narita 2021). Moments carry
    their zone and are brought to UTC.

    Raises
    ------
    DataError
        When a file or a column is missing, a value cannot be read, a propensity is not in (0, 1], a click is neither 0
        nor 1, or a logged item is not among the items.
    """
    path = _log(folder)
    context = folder / _CONTEXT
    if not context.is_file():
        raise DataError(f"{folder} holds no {_CONTEXT}; name the folder <policy>/<campaign> as published")
    items = _items(_read(context, ("item_id",)), context)
    rows = _rows(_read(path, _REQUIRED), items["item_id"], path)
    items = items.join(first_showings(rows), on="item_id", how="left", maintain_order="left")
    no_events = pl.DataFrame(schema={"user_id": pl.Int64, "item_id": pl.Int64, "timestamp": TIME, "event": pl.String})
    return Dataset(items, no_events, rows, about=About("openbandit", _NOTES, first_shown=True))


def _log(folder: Path) -> Path:
    found = sorted(path for path in [*folder.glob("*.csv"), *folder.glob("*.csv.gz")] if path.name != _CONTEXT)
    if len(found) != 1:
        names = " and ".join(path.name for path in found) or "no log such as men.csv"
        raise DataError(f"{folder} holds {names}; name the folder <policy>/<campaign> of one log, as published")
    return found[0]


def _read(path: Path, required: tuple[str, ...]) -> pl.DataFrame:
    """Read a CSV file, packed or not, all columns as text; the first, without a name, counts the rows."""
    frame = read_text(path, "a CSV file", infer_schema=False)
    missing = [name for name in required if name not in frame.columns]
    if missing:
        raise DataError(
            f"{path} has no column {', '.join(missing)} (it has {', '.join(frame.columns[:8])}, ...); fetch the file "
            "as published"
        )
    return frame


def _rows(log: pl.DataFrame, items: pl.Series, path: Path) -> pl.DataFrame:
    """Return one request per row of the log, numbered from 1 in the order of the file."""
    item = _numbers(log, "item_id", pl.Int64, path)
    _refuse(log["item_id"], ~item.is_in(items.implode()), path, f"is not in {_CONTEXT}")
    propensity = _numbers(log, "propensity_score", pl.Float64, path)
    click, position = (_numbers(log, name, pl.Int32, path) for name in ("click", "position"))
    _refuse(log["propensity_score"], ~((propensity > 0) & (propensity <= 1)), path, "is no probability above 0")
    _refuse(log["click"], ~click.is_in([0, 1]), path, "is neither 0 nor 1")
    _refuse(log["position"], position < 1, path, "is no position; the first is 1")
    moment = log["timestamp"].str.to_datetime(_MOMENT, time_unit="us", time_zone="UTC", strict=False).cast(TIME)
    _refuse(log["timestamp"], moment.is_null(), path, "is no moment with a zone, such as 2019-11-24 00:03:13+00:00")
    number = pl.int_range(1, log.height + 1, dtype=pl.Int64, eager=True)
    return pl.DataFrame(
        {
            "request_id": number,
            "user_id": number,
            "timestamp": moment,
            "item_id": item,
            "position": position,
            "propensity": propensity,
            "label": click,
            **_affinity(log, item, path),
            **{name: log[name] for name in log.columns if name.startswith("user_feature_")},
        }
    )


def _affinity(log: pl.DataFrame, item: pl.Series, path: Path) -> dict[str, pl.Series]:
    """Return the affinity of each row's own item, from one column per item; nothing where there are none."""
    columns = {name: name.removeprefix(_AFFINITY) for name in log.columns if name.startswith(_AFFINITY)}
    if not columns:
        return {}
    own = pl.coalesce(
        pl.when(pl.lit(item.cast(pl.String)) == number).then(pl.col(name)) for name, number in columns.items()
    )
    return {"affinity": _numbers(log.select(own.alias("affinity")), "affinity", pl.Float64, path)}


def _items(context: pl.DataFrame, path: Path) -> pl.DataFrame:
    """Return the items with their features; a feature whose every value is a number is one."""
    features = [name for name in context.columns if name.startswith("item_feature_")]
    numbers = {name: context[name].cast(pl.Float64, strict=False) for name in features}
    return context.select(
        _numbers(context, "item_id", pl.Int64, path),
        ("Item " + pl.col("item_id")).alias("title"),
        *(context[name] if number.has_nulls() else number for name, number in numbers.items()),
    )


def _numbers(frame: pl.DataFrame, name: str, dtype: type[pl.DataType], path: Path) -> pl.Series:
    numbers = frame[name].str.strip_chars().cast(dtype, strict=False)
    _refuse(frame[name], numbers.is_null(), path, f"is no {'whole ' if dtype().is_integer() else ''}number")
    return numbers


def _refuse(values: pl.Series, bad: pl.Series, path: Path, what: str) -> None:
    """Refuse a file with bad values, telling how many rows and three of them."""
    count = int(bad.sum())
    if count:
        row = int(bad.arg_true()[0])
        examples = ", ".join(repr(value) for value in values.filter(bad).head(3).to_list())
        raise DataError(
            f"{path}: {values.name} {what} in {count} of {len(values)} rows, such as "
            f"{examples} (row {row + 1}); fetch the file again, or leave those rows out"
        )
