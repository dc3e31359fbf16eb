"""Columns of every kind that a frame may hold, in polars and in pandas, in place of those that are meant."""

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
from hypothesis import strategies as st

ZONES = (None, "UTC", "Asia/Tokyo", "America/New_York", "Asia/Kathmandu")
NAMES = (
    "*",
    "^.*$",
    "",
    "a\nb",
    "label",
    "score",
    "rank",
    "position",
    "_list",
    "literal",
    "index",
    "ü" * 40,
    "\x1b[31m",
)
WORDS = st.sampled_from(
    ["", " ", "1", "-0", "1e400", "nan", "None", "sea boat", "\x00", "\u202e", "ß", "2025-03-03", "a" * 300]
)
TEXTS = WORDS | st.text(max_size=8)
SMALL = st.integers(-2, 300)
MOMENTS = st.datetimes(dt.datetime(1, 1, 1), dt.datetime(9999, 12, 31))
INTEGERS = {kind: (-(2**bits), 2**bits - 1) for kind, bits in
            {pl.Int8: 7, pl.Int16: 15, pl.Int32: 31, pl.Int64: 63, pl.Int128: 127}.items()}  # fmt: skip
INTEGERS |= {
    kind: (0, 2**bits - 1) for kind, bits in {pl.UInt8: 8, pl.UInt16: 16, pl.UInt32: 32, pl.UInt64: 64}.items()
}
FLOATS = st.floats() | st.sampled_from([0.0, -0.0, 2.0**53, 2.0**63, 1e300, 0.5]) | SMALL.map(float)
ANY = st.one_of(
    st.none(), st.booleans(), SMALL, st.integers(-(2**70), 2**70), FLOATS, TEXTS, st.binary(max_size=3), MOMENTS,
    st.dates(), st.times(), st.timedeltas(), st.decimals(), st.complex_numbers(), st.builds(object),
    st.lists(SMALL, max_size=2), st.dictionaries(TEXTS, SMALL, max_size=2), st.just(pd.NaT), st.just(pd.NA), st.just(np.nan),
    st.tuples(SMALL, TEXTS), st.builds(np.int8, st.integers(-5, 5)), st.just(np.datetime64("NaT")),
)  # fmt: skip


def _integers(kind: Any) -> st.SearchStrategy[int]:
    low, high = INTEGERS[kind]
    return st.integers(low, high) | st.sampled_from([low, high]) | st.integers(0, 100)


def _moments(unit: str, zone: str | None) -> tuple[pl.DataType, st.SearchStrategy[Any]]:
    per_second = {"ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    counts = st.integers(1_740_000_000, 1_741_500_000).map(lambda second: second * per_second)
    return pl.Datetime(unit, zone), counts | st.integers(-(2**63) + 1, 2**63 - 1) | SMALL


def _kinds() -> list[tuple[pl.DataType | type[pl.DataType], st.SearchStrategy[Any]]]:
    kinds: list[Any] = [(kind, _integers(kind)) for kind in INTEGERS]
    kinds += [_moments(unit, zone) for unit in ("ms", "us", "ns") for zone in ZONES]
    kinds += [(pl.Float32(), FLOATS), (pl.Float64(), FLOATS), (pl.Boolean(), st.booleans()), (pl.String(), TEXTS)]
    kinds += [(pl.Binary(), st.binary(max_size=5)), (pl.Date(), st.dates()), (pl.Time(), st.times())]
    kinds += [(pl.Duration(unit), st.integers(-(10**12), 10**12)) for unit in ("ms", "us", "ns")]
    kinds += [(pl.Categorical(), TEXTS), (pl.Enum(["a", "b", "1"]), st.sampled_from(["a", "b", "1"]))]
    kinds += [(pl.Decimal(38, scale), st.integers(-(10**9), 10**9).map(Decimal)) for scale in (0, 2, 20)]
    kinds += [(pl.List(pl.Int64()), st.lists(SMALL, max_size=3)), (pl.List(pl.String()), st.lists(TEXTS, max_size=3))]
    kinds += [(pl.List(pl.Float64()), st.lists(st.none() | FLOATS, max_size=3)), (pl.Null(), st.none())]
    kinds += [(pl.Array(pl.Float32(), 2), st.lists(FLOATS, min_size=2, max_size=2)), (pl.Object(), ANY)]
    kinds += [(pl.Array(pl.Float64(), 0), st.just([])), (pl.Struct({}), st.just({}))]
    kinds += [(pl.Struct({"a": pl.Int64(), "b": pl.String()}), st.fixed_dictionaries({"a": SMALL, "b": TEXTS}))]
    kinds += [(pl.List(pl.Struct({"a": pl.Int64()})), st.lists(st.fixed_dictionaries({"a": SMALL}), max_size=2))]
    kinds += [(pl.List(pl.List(pl.Float64())), st.lists(st.lists(FLOATS, max_size=2), max_size=2))]
    return kinds


KINDS = _kinds()


def _series(name: str, kind: Any, values: list[Any]) -> pl.Series:
    if isinstance(kind, pl.Datetime | pl.Duration):
        return pl.Series(name, values, pl.Int64).cast(kind)
    if kind == pl.Object:
        return pl.Series(name, values, pl.Object)
    return pl.Series(name, values, kind, strict=False)


@st.composite
def fillings(draw: st.DrawFn, values: st.SearchStrategy[Any], rows: int) -> list[Any]:
    """Draw values for so many rows: few different ones, each of them in several rows, and gaps."""
    few = draw(st.lists(st.none() | values, min_size=1, max_size=3))
    return (few * rows)[:rows] if draw(st.booleans()) else [few[row * len(few) // max(rows, 1)] for row in range(rows)]


@st.composite
def columns(draw: st.DrawFn, name: str, rows: int) -> pl.Series:
    """Draw a column of any kind."""
    kind, values = draw(st.sampled_from(KINDS))
    return _series(name, kind, draw(fillings(values, rows)))


@st.composite
def altered(draw: st.DrawFn, was: pl.Series) -> pl.Series:
    """Draw a column as it was but for its kind, or for a few of its values."""
    way = draw(st.sampled_from(["any", "any", "cast", "gaps", "same", "one value"]))
    if way == "any" or was.dtype == pl.Object:
        return draw(columns(was.name, len(was)))
    if way == "cast":
        return _cast(was, draw(st.sampled_from(KINDS))[0])
    if way == "one value" and len(was):
        part, kind = draw(st.integers(0, len(was) - 1)), was.dtype
        fitting = [values for one, values in KINDS if one == kind and not was.dtype.is_nested()]
        if fitting:
            other = _series(was.name, kind, [draw(st.none() | fitting[0])])
            return pl.concat([was[:part], other, was[part + 1 :]])
    if way == "gaps":
        gaps = draw(st.lists(st.booleans(), min_size=1, max_size=4))
        keep = pl.Series((gaps * len(was))[: len(was)], dtype=pl.Boolean)
        return pl.select(pl.when(keep).then(pl.lit(was)).alias(was.name)).to_series()
    return was


def _cast(was: pl.Series, kind: Any) -> pl.Series:
    try:
        return was.cast(kind, strict=False)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, ValueError, TypeError):
        return was


@st.composite
def frames(draw: st.DrawFn, whole: pl.DataFrame) -> pl.DataFrame:
    """Draw a frame that differs from one in order: in its rows, and in what one column or several hold."""
    frame = whole.slice(draw(st.integers(0, max(len(whole) - 1, 0))), draw(st.integers(0, 12)))
    if draw(st.integers(0, 9)) == 0:
        frame = pl.concat([frame, frame])
    for name in draw(st.lists(st.sampled_from(whole.columns), max_size=3, unique=True)):
        way = draw(st.sampled_from(["alter", "alter", "alter", "alter", "drop", "rename"]))
        if way == "alter":
            column = draw(altered(frame[name]))
            at = frame.columns.index(name)
            frame = pl.DataFrame([*frame.get_columns()[:at], column, *frame.get_columns()[at + 1 :]])
        else:
            other = draw(st.sampled_from(NAMES))
            frame = frame.drop(name) if way == "drop" or other in frame.columns else frame.rename({name: other})
    for name in draw(st.lists(st.sampled_from(NAMES), max_size=2, unique=True)):
        if name not in frame.columns:
            frame = pl.DataFrame([*frame.get_columns(), draw(columns(name, len(frame)))])
    return frame


def in_pandas(frame: pl.DataFrame) -> pd.DataFrame:
    """Write a frame as pandas holds it, columns that it has no type for as objects."""
    return pd.concat([_pandas_column(column) for column in frame.get_columns()] or [pd.DataFrame()], axis=1)


def _pandas_column(column: pl.Series) -> "pd.Series[Any]":
    try:
        return column.to_pandas()
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, ValueError, TypeError, OverflowError, ImportError):
        return pd.Series(column.to_list(), dtype=object, name=column.name)


def _of_objects(values: list[Any]) -> "pd.Series[Any]":
    column = pd.Series([None] * len(values), dtype=object)
    for row, value in enumerate(values):
        column.iat[row] = value
    return column


PANDAS: list[tuple[Callable[[list[Any]], "pd.Series[Any]"], st.SearchStrategy[Any]]] = [
    (_of_objects, ANY),
    (_of_objects, SMALL | TEXTS),
    (_of_objects, MOMENTS | st.dates()),
    (_of_objects, st.datetimes(timezones=st.timezones() | st.none())),
    (_of_objects, st.integers(-(2**70), 2**70)),
    (_of_objects, st.decimals(allow_nan=True)),
    (_of_objects, st.lists(SMALL | TEXTS, max_size=2)),
    (lambda values: pd.Series(values, dtype="Int64"), st.integers(-(2**63), 2**63 - 1)),
    (lambda values: pd.Series(values, dtype="UInt64"), st.integers(0, 2**64 - 1)),
    (lambda values: pd.Series(values, dtype="Float32"), SMALL.map(float)),
    (lambda values: pd.Series(values, dtype="boolean"), st.booleans()),
    (lambda values: pd.Series(values, dtype="string"), TEXTS),
    (lambda values: pd.Series(values, dtype="category"), TEXTS),
    (lambda values: pd.Series(values, dtype="category"), SMALL),
    (lambda values: pd.Series(values, dtype="category"), st.booleans()),
    (lambda values: pd.Series(pd.Categorical(values)), MOMENTS),
    (lambda values: pd.Series(values, dtype="complex128"), st.complex_numbers()),
    (lambda values: pd.Series(values, dtype="float16"), SMALL.map(float)),
    (lambda values: pd.Series(pd.arrays.SparseArray(values)), SMALL.map(float)),
    (lambda values: pd.Series(values, dtype="timedelta64[s]"), st.integers(0, 10**6)),
    (lambda values: pd.Series(values, dtype="datetime64[s]"), st.integers(-(10**12), 10**12)),
    (lambda values: pd.Series(values, dtype="datetime64[ns, Europe/Paris]"), st.integers(0, 2 * 10**18)),
    (lambda values: pd.Series(pd.PeriodIndex(values, freq="D")), st.dates(dt.date(1990, 1, 1), dt.date(2100, 1, 1))),
    (lambda values: pd.Series(pd.arrays.IntervalArray.from_tuples(values)), st.just((0, 1))),
]
"""Columns that only pandas knows: how each is made, and of what."""


@st.composite
def pandas_frames(draw: st.DrawFn, whole: pl.DataFrame) -> pd.DataFrame:
    """Draw a pandas frame: a polars one, and beyond it what only pandas allows."""
    frame = in_pandas(draw(frames(whole)))
    for name in draw(st.lists(st.sampled_from(whole.columns), max_size=2, unique=True)):
        make, values = draw(st.sampled_from(PANDAS))
        made = make(draw(fillings(values, len(frame))))
        frame[name] = made.set_axis(frame.index)
    further = draw(st.sampled_from(["", "", "", "twice", "integer", "none", "levels", "index", "no rows"]))
    if further == "twice" and frame.shape[1]:
        frame = pd.concat([frame, frame.iloc[:, : draw(st.integers(1, frame.shape[1]))]], axis=1)
    elif further in ("integer", "none"):
        frame = pd.concat([frame, pd.Series(1, frame.index, name=7 if further == "integer" else None)], axis=1)
    elif further == "levels":
        frame.columns = pd.MultiIndex.from_tuples([(name, "") for name in frame.columns])
    elif further == "index":
        frame.index = pd.Index([0] * len(frame), name="item_id")
    return frame
