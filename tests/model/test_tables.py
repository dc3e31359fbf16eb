"""A state folder whose tables are not what was written there is refused by name before anything reads them."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from recsys.errors import ModelError
from recsys.model.tables import read_behaviour, refuse_mixed_ids
from recsys.past.behaviour import Behaviour, Kept
from recsys.past.blocks import write_table

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)
KEPT = Kept(affinity=("category", "genre"), numbers=("price",), users=("age",), context=("device",))
MOMENTS = pl.Datetime("us", "UTC")
SAVED = Behaviour(
    items=pl.DataFrame(
        {"item_id": ["a", "b"], "available_at": [NOON, None], "category": [1, None], "genre": ["x", "y"]},
        schema_overrides={"available_at": MOMENTS, "genre": pl.Categorical},
    ).with_columns(price=pl.Series([1.5, None])),
    users=pl.DataFrame({"user_id": [7], "age": [None]}),
    showings=pl.DataFrame(
        {"user_id": [7, 7], "item_id": ["a", "b"], "timestamp": [NOON] * 2, "label": [1, None], "list_size": [2, 2]},
        schema_overrides={"timestamp": MOMENTS, "label": pl.Int8, "list_size": pl.Int32},
    ).with_columns(clicked_at=pl.lit(NOON, MOMENTS), device=pl.Series(["phone", None])),
    events=pl.DataFrame(
        {"user_id": [7], "item_id": ["a"], "event": ["view"], "known_at": [NOON], "value": [None]},
        schema_overrides={"known_at": MOMENTS, "value": pl.Float64},
    ).with_columns(event_id=pl.Series(["e1"])),
)


def save(behaviour: Behaviour, folder: Path) -> None:
    """Write the tables as a state holds them."""
    for name, table in vars(behaviour).items():
        path = folder / (f"{name}.arrow" if name in ("showings", "events") else f"{name}.parquet")
        path.unlink(missing_ok=True)
        write_table(path, table) if path.suffix == ".arrow" else table.write_parquet(path)


def written(folder: Path, table: str, change) -> Path:
    save(replace(SAVED, **{table: change(getattr(SAVED, table))}), folder)
    return folder


def test_what_was_saved_is_read(tmp_path) -> None:
    save(SAVED, tmp_path)
    read = read_behaviour(tmp_path, KEPT)
    for name, table in vars(SAVED).items():
        assert_frame_equal(getattr(read, name), table)
    refuse_mixed_ids(tmp_path, read, pl.Series(["a"]))
    assert (read.attributes, read.numbers) == (KEPT.affinity, KEPT.numbers)


@pytest.mark.parametrize(("table", "column"), [("showings", "clicked_at"), ("events", "event_id")])
def test_columns_that_few_logs_have_may_be_missing_or_have_gaps(tmp_path, table, column) -> None:
    written(tmp_path, table, lambda saved: saved.drop(column))
    assert column not in getattr(read_behaviour(tmp_path, KEPT), table).columns
    written(tmp_path, table, lambda saved: saved.with_columns(pl.lit(None, saved.schema[column]).alias(column)))
    assert getattr(read_behaviour(tmp_path, KEPT), table)[column].null_count() == len(getattr(SAVED, table))


@pytest.mark.parametrize("name", ["users", "events"])
def test_a_table_without_rows_needs_no_type_of_ids(tmp_path, name) -> None:
    ids = pl.col("^(user|item)_id$")
    written(tmp_path, name, lambda table: table.clear().with_columns(ids.cast(pl.Null)))
    read = read_behaviour(tmp_path, KEPT)
    refuse_mixed_ids(tmp_path, read, pl.Series([], dtype=pl.Null))


CHANGES = [
    ("items", lambda table: table.drop("item_id"), "column item_id is missing"),
    ("items", lambda table: table.drop("available_at"), "column available_at is missing"),
    ("items", lambda table: table.drop("category"), "column category is missing"),
    ("users", lambda table: table.drop("age"), "column age is missing"),
    ("showings", lambda table: table.drop("timestamp"), "column timestamp is missing"),
    ("showings", lambda table: table.drop("device"), "column device is missing"),
    ("events", lambda table: table.rename({"value": "values"}), "column value is missing"),
    ("users", lambda table: table.with_columns(plan=1), "column plan does not belong to it"),
    ("items", lambda table: table.select(*reversed(table.columns)), "its columns stand in the order price, genre"),
    ("items", lambda table: table.with_columns(category=0.5), "column category holds Float64 values, not whole"),
    ("items", lambda table: table.with_columns(category=pl.col("available_at")), "column category holds Datetime"),
    ("items", lambda table: table.with_columns(price=pl.lit(1)), "column price holds Int32 values, not numbers of 64"),
    ("items", lambda table: table.with_columns(available_at=pl.lit("noon")), "available_at holds String values, not m"),
    ("items", lambda table: table.with_columns(item_id=pl.Series(["a", None])), "column item_id holds 1 nulls"),
    ("users", lambda table: table.with_columns(user_id=pl.struct("user_id")), r"column user_id holds Struct\(.*values"),
    ("users", lambda table: table.with_columns(user_id=0.5), "user_id holds Float64 values, not integers or text"),
    ("showings", lambda table: table.with_columns(label=pl.lit("1")), "column label holds String values, not whole"),
    ("showings", lambda table: table.with_columns(timestamp=pl.lit(None, MOMENTS)), "timestamp holds 2 nulls"),
    ("showings", lambda table: table.with_columns(timestamp=pl.col("timestamp").dt.date()), "timestamp holds Date val"),
    ("showings", lambda table: table.with_columns(list_size=pl.col("list_size") - 2), "list of less than one candid"),
    ("showings", lambda table: table.with_columns(device=pl.lit(0.5)), "column device holds Float64 values"),
    ("events", lambda table: table.with_columns(value=pl.concat_list("value")), r"value holds List\(Float64\) values"),
    ("showings", lambda table: table.with_columns(clicked_at=pl.lit(1)), "clicked_at holds Int32 values, not moments"),
    ("events", lambda table: table.with_columns(event_id=pl.lit(0.5)), "event_id holds Float64 values, not integers"),
    ("events", lambda table: table.with_columns(event=pl.lit(1)), "column event holds Int32 values, not text"),
    (
        "users",
        lambda table: table.with_columns(user_id=pl.Series([2**64 - 1])),
        "user_id holds UInt64 values, not inte",
    ),
    (
        "events",
        lambda table: table.with_columns(user_id=pl.Series([2**64 - 1])),
        "user_id holds UInt64 values, not int",
    ),
    ("events", lambda table: table.with_columns(known_at=pl.Series([2**62]).cast(MOMENTS)), "outside the calendar"),
]


@pytest.mark.parametrize(("table", "change", "message"), CHANGES)
def test_a_table_of_other_columns_kinds_or_values_is_refused_by_name(tmp_path, table, change, message) -> None:
    written(tmp_path, table, change)
    with pytest.raises(ModelError, match=rf"{tmp_path.name} is no .*{message}.*; copy the whole folder again"):
        read_behaviour(tmp_path, KEPT)


def test_a_state_of_other_features_is_refused_by_name(tmp_path) -> None:
    save(SAVED, tmp_path)
    with pytest.raises(ModelError, match=r"items.parquet: column brand is missing; copy the whole folder again"):
        read_behaviour(tmp_path, Kept(affinity=("brand",)))
    with pytest.raises(ModelError, match=r"items.parquet: column genre does not belong to it"):
        read_behaviour(tmp_path, Kept(affinity=("category",)))


@pytest.mark.parametrize(
    ("table", "name", "message"),
    [
        ("events", "user_id", "events.arrow: column user_id holds String values where users holds Int64"),
        ("showings", "user_id", "showings.arrow: column user_id holds String values where users holds Int64"),
        ("items", "item_id", "showings.arrow: column item_id holds String values where items holds Int64"),
    ],
)
def test_ids_of_two_kinds_are_refused_by_name(tmp_path, table, name, message) -> None:
    other = pl.lit("7") if name == "user_id" else pl.int_range(pl.len())
    written(tmp_path, table, lambda frame: frame.with_columns(other.alias(name)))
    with pytest.raises(ModelError, match=message):
        refuse_mixed_ids(tmp_path, read_behaviour(tmp_path, KEPT), pl.Series(["a"]))


def test_vectors_of_other_ids_are_refused_by_name(tmp_path) -> None:
    with pytest.raises(ModelError, match=r"item_vectors.arrow: column item_id holds Int64 values where items holds"):
        refuse_mixed_ids(tmp_path, SAVED, pl.Series([1]))


@pytest.mark.parametrize("name", ["items", "users"])
def test_versions_have_moments_and_tables_of_before_have_none(tmp_path, name) -> None:
    moments = pl.Series("known_at", [NOON] * len(getattr(SAVED, name)), dtype=MOMENTS)
    written(tmp_path, name, lambda saved: saved.clone().insert_column(1, moments))
    assert getattr(read_behaviour(tmp_path, KEPT), name)["known_at"].to_list() == moments.to_list()
    read = read_behaviour(tmp_path, KEPT)
    assert (read.attributes, read.numbers, read.user_attributes) == (KEPT.affinity, KEPT.numbers, KEPT.users)
    nothing = moments.set(pl.Series([True] * len(moments)), None)
    written(tmp_path, name, lambda saved: saved.clone().insert_column(1, nothing))
    assert getattr(read_behaviour(tmp_path, KEPT), name)["known_at"].null_count() == len(moments)
    for wrong, words in (
        (
            lambda saved: saved.clone().insert_column(1, moments.cast(pl.String)),
            "known_at holds String values, not mom",
        ),
        (lambda saved: saved.with_columns(moments), "its columns stand in the order"),
    ):
        written(tmp_path, name, wrong)
        with pytest.raises(ModelError, match=rf"{name}\.parquet: .*{words}"):
            read_behaviour(tmp_path, KEPT)
