"""Versions of items and users: which of them is known before a moment."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.errors import DataError
from recsys.past.behaviour import Behaviour
from recsys.past.register import ALWAYS, Entries, Register, dated
from recsys.schema import TIME

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
MICRO = 1_000_000
NAMES = ("colour",)
VERSIONS = st.lists(
    st.tuples(st.integers(1, 5), st.none() | st.integers(-2, 6), st.sampled_from(["red", "blue", None])),
    max_size=12,
    unique_by=lambda row: row[:2],
)
SCHEMA = {"item_id": pl.Int64, "known_at": TIME, "available_at": TIME, "colour": pl.String}


def table_of(rows) -> pl.DataFrame:
    """Versions out of (item, hours after noon, colour)."""
    flat = [(item, None if hours is None else NOON + hours * HOUR, None, colour) for item, hours, colour in rows]
    return pl.DataFrame(flat, schema=SCHEMA, orient="row")


def micro(hours: float) -> int:
    return int((NOON + hours * HOUR).timestamp()) * MICRO


def register_of(items: pl.DataFrame) -> Register:
    users = pl.DataFrame(schema={"user_id": pl.Int64})
    ids = {"user_id": pl.Int64, "item_id": pl.Int64}
    shown = pl.DataFrame(schema=ids | {"timestamp": TIME, "label": pl.Int64, "list_size": pl.Int32})
    done = pl.DataFrame(
        [(1, 9, "click", NOON, None)],
        schema=ids | {"event": pl.String, "known_at": TIME, "value": pl.Float64},
        orient="row",
    )
    return Register.of(Behaviour(items, users, shown, done))


def colours(register: Register, hours: float) -> dict[int, str | None]:
    """What is known of every item before a moment."""
    codes = np.arange(len(register.vocabularies["item"]))
    rows = register.items.at(codes, np.full(len(codes), micro(hours)))
    ids = dict(zip(register.vocabularies["item"].encode(pl.Series("item_id", range(1, 10))), range(1, 10), strict=True))
    return {ids[code]: register.items.table["colour"][int(row)] for code, row in enumerate(rows) if row >= 0}


def plain_colours(rows, hours: float) -> dict[int, str | None]:
    """The same by a loop; known is what became known strictly before."""
    in_order = sorted(rows, key=lambda row: -9 if row[1] is None else row[1])
    return {item: colour for item, since, colour in in_order if since is None or since < hours}


@given(rows=VERSIONS, hours=st.integers(-3, 7), later=st.booleans())
def test_a_version_holds_from_just_after_it_becomes_known(rows, hours, later) -> None:
    at = hours + 0.25 * later
    assert colours(register_of(table_of(rows)), at) == plain_colours(rows, at)


@given(rows=VERSIONS, cut=st.integers(0, 12), hours=st.integers(-3, 7), seed=st.integers(0, 9))
def test_versions_told_in_whatever_order_are_those_of_one_table(rows, cut, hours, seed) -> None:
    order = np.random.default_rng(seed).permutation(len(rows))
    told = [rows[place] for place in order]
    register = register_of(table_of(told[:cut]))
    for start in range(cut, len(told), 2):
        part = register.items.fitted(table_of(told[start : start + 2]))
        before = register
        register, changed = register.told(part, register.users.table.clear())
        assert np.array_equal(
            register.items.rows_of(before.items.table, before.items.keys[0]), range(len(before.items.table))
        )
        items, since = changed.get("colour", (np.empty(0, int), np.empty(0, int)))
        assert all(moment == ALWAYS or moment >= micro(-2) for moment in since)
        assert set(items.tolist()) <= set(register.vocabularies["item"].encode(part["item_id"]).tolist())
    assert colours(register, hours) == plain_colours(rows, hours)
    whole = register_of(table_of(rows))
    ids = pl.Series("item_id", [1, 2, 3, 4, 5])
    for one, other in ((register.available_at, whole.available_at),):
        codes, others = (each.vocabularies["item"].encode(ids) for each in (register, whole))
        np.testing.assert_array_equal(np.append(one, np.nan)[codes], np.append(other, np.nan)[others])


def test_what_was_always_known_needs_no_moment() -> None:
    register = register_of(table_of([(2, None, "red"), (1, None, "blue")]).drop("known_at"))
    items = register.items
    codes = register.vocabularies["item"].encode(pl.Series("item_id", [1, 2, 9, 7]))
    for moment in (ALWAYS, 0, micro(0)):
        assert items.at(codes, np.full(4, moment)).tolist() == [1, 0, -1, -1]
    assert items.firsts.tolist() == [1, 0, -1]
    assert items.first_since.tolist() == [ALWAYS] * 3
    assert not items.versioned.any()
    assert items.at(codes.reshape(2, 2), np.zeros((2, 2), int)).tolist() == [[1, 0], [-1, -1]]


def test_only_ids_with_a_moment_have_versions() -> None:
    register = register_of(table_of([(1, None, "red"), (1, 2, "blue"), (2, None, "red"), (3, 4, None)]))
    assert register.items.versioned.tolist() == [True, False, True, False]
    assert register.items.first_since.tolist() == [ALWAYS, ALWAYS, micro(4), ALWAYS]
    assert register.items.keys[0].tolist() == [0, 0, 1, 2]
    assert register.items.keys[1].tolist() == [ALWAYS, micro(2), ALWAYS, micro(4)]


def test_what_changes_is_said_with_the_moment_from_which_it_does() -> None:
    register = register_of(table_of([(1, None, "red"), (1, 4, "blue"), (2, 1, "red")]))
    told = register.items.fitted(
        table_of([(1, 2, "red"), (1, 3, "blue"), (2, None, "blue"), (2, 5, "red"), (9, 6, "red")])
    )
    _, changed = register.told(told, register.users.table.clear())
    codes, since = changed["colour"]
    assert list(zip(codes.tolist(), since.tolist(), strict=True)) == [(0, micro(3)), (1, ALWAYS), (2, micro(6))]


def test_a_moment_that_is_told_makes_versions_of_a_table_without() -> None:
    register = register_of(table_of([(1, None, "red"), (2, None, "blue")]).drop("known_at"))
    told = register.items.fitted(table_of([(1, 2, "blue")]))
    assert told.columns == ["item_id", "known_at", "available_at", "colour"]
    register, _ = register.told(told, register.users.table.clear())
    assert register.items.table["known_at"].to_list() == [None, None, NOON + 2 * HOUR]
    assert (colours(register, 2), colours(register, 3)) == ({1: "red", 2: "blue"}, {1: "blue", 2: "blue"})
    again = register.items.fitted(table_of([(2, None, "red")]).drop("known_at"))
    assert again["known_at"].to_list() == [None]
    assert dated(again) is again


@pytest.mark.parametrize("known_at", [None, 2])
def test_a_version_that_is_told_again_is_alike_or_takes_its_place(known_at) -> None:
    register = register_of(table_of([(1, None, "red"), (1, 2, "red")]))
    codes = np.zeros(1, int)
    alike, other = (register.items.fitted(table_of([(1, known_at, colour)])) for colour in ("red", "blue"))
    assert register.items.differ(alike, codes).tolist() == [False]
    assert register.items.differ(other, codes).tolist() == [True]
    assert register.items.differ(register.items.fitted(table_of([(1, 3, "red")])), codes).tolist() == [True]
    after, _ = register.told(other, register.users.table.clear())
    assert len(after.items.table) == 2
    assert colours(after, 1 if known_at is None else 3)[1] == "blue"


def test_an_attribute_of_another_kind_is_refused() -> None:
    entries = register_of(table_of([(1, None, "red")])).items
    assert isinstance(entries, Entries)
    with pytest.raises(DataError, match="^items hold colour as Int64, and as String before; cast the column"):
        entries.fitted(table_of([(1, 2, "red")]).with_columns(colour=pl.lit(3, pl.Int64)))
