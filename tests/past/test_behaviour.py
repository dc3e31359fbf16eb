import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from recsys.data.tables import Dataset
from recsys.errors import SettingsError
from recsys.model.prepared import behaviour_of
from recsys.past.behaviour import Kept
from recsys.schema import TIME

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)
LATER = NOON + timedelta(hours=1)


def dataset():
    return Dataset(
        items=pl.DataFrame(
            {"title": ["a", "b"], "item_id": [1, 2], "brand": [7, None], "category": ["x", "y"], "price": [1, None]}
        ),
        events=pl.DataFrame(
            {
                "user_id": [1, 1, 1],
                "item_id": [1, 1, 2],
                "event": ["click", "like", "view"],
                "timestamp": [NOON, LATER, NOON],
                "known_at": [LATER, NOON, None],
                "value": [None, 3, -1],
            },
            schema_overrides={"timestamp": TIME, "known_at": TIME},
        ),
        requests=pl.DataFrame(
            {
                "request_id": [1, 1, 2],
                "user_id": [1, 1, 1],
                "timestamp": [NOON, NOON, LATER],
                "item_id": [1, 2, 2],
                "label": [0, 1, 0],
                "position": [1, 2, 1],
                "device": ["phone", "phone", None],
                "depth": [0.5, 0.5, 2.0],
            },
            schema_overrides={"timestamp": TIME},
        ),
        users=pl.DataFrame({"user_id": [1, 2], "age_group": ["old", None], "town": ["a", "b"]}),
    )


def test_an_event_is_known_when_it_happened_or_later():
    assert behaviour_of(dataset(), Kept()).events["known_at"].to_list() == [LATER, LATER, NOON]
    data = dataset()
    plain = Dataset(data.items, data.events.drop("known_at"), data.requests)
    assert behaviour_of(plain, Kept()).events["known_at"].to_list() == [NOON, LATER, NOON]


KEPT = Kept(("category", "brand"), ("price",), ("age_group",), ("device",))


def test_only_what_features_read_is_kept():
    behaviour = behaviour_of(dataset(), KEPT)
    assert behaviour.items.columns == ["item_id", "available_at", "category", "brand", "price"]
    assert behaviour.attributes == ("category", "brand")
    assert behaviour.numbers == ("price",)
    assert behaviour.users.columns == ["user_id", "age_group"]
    assert behaviour.user_attributes == ("age_group",)
    assert behaviour.showings.columns == ["user_id", "item_id", "timestamp", "label", "list_size", "device"]
    assert behaviour.context == ("device",)
    assert behaviour.showings["list_size"].to_list() == [2, 2, 1]
    assert behaviour.events.columns == ["user_id", "item_id", "event", "known_at", "value"]
    assert behaviour.events["value"].to_list() == [None, 3.0, -1.0]
    assert behaviour.items["price"].to_list() == [1.0, None]
    assert behaviour.items["available_at"].to_list() == [None, None]
    assert behaviour.items.schema["available_at"] == TIME


def test_events_without_a_value_and_no_table_of_users_are_no_fault():
    data = dataset()
    plain = behaviour_of(Dataset(data.items, data.events.drop("value"), data.requests), Kept())
    assert plain.events["value"].to_list() == [None] * 3
    assert plain.users.is_empty()
    assert plain.user_attributes == ()


def test_later_rows_are_appended_and_the_tables_of_items_and_users_stay():
    whole = behaviour_of(dataset(), KEPT)
    base = replace(whole, showings=whole.showings[:1], events=whole.events[:2])
    tail = replace(whole, items=whole.items.clear(), showings=whole.showings[1:], events=whole.events[2:])
    joined = base.joined(tail)
    for name in ("items", "users", "showings", "events"):
        assert_frame_equal(getattr(joined, name), getattr(whole, name))


def test_available_at_is_kept_where_it_is_given():
    data = dataset()
    items = data.items.with_columns(available_at=pl.lit(NOON).cast(TIME))
    assert (
        behaviour_of(Dataset(items, data.events, data.requests), Kept()).items["available_at"].to_list() == [NOON] * 2
    )


@pytest.mark.parametrize(
    ("kept", "message"),
    [
        (
            Kept(("brand", "maker")),
            "affinity names 'maker', which is not a column of items; add it, with nulls where it is not known; its columns are title, item_id",
        ),
        (
            Kept(numbers=("size",)),
            "numbers names 'size', which is not a column of items; add it, with nulls where it is not known; its columns are title",
        ),
        (
            Kept(users=("age",)),
            "users names 'age', which is not a column of users; add it, with nulls where it is not known; its columns are user_id, age_group",
        ),
        (Kept(("price",)), "affinity names 'price', which holds Float64 values; name it in numbers, or write it as"),
        (Kept(("genres",)), "affinity names 'genres', which holds List(String) values; write one value a row"),
        (
            Kept(numbers=("genres",)),
            "numbers names 'genres', a column of items that holds List(String) values; write one number a row",
        ),
        (Kept(("available_at",)), "affinity names 'available_at', which holds Datetime"),
        (
            Kept(numbers=("category",)),
            "numbers names 'category', a column of items that holds String values; name it in",
        ),
    ],
)
def test_an_attribute_of_which_no_feature_can_be_made_is_refused(kept, message):
    data = dataset()
    items = data.items.with_columns(pl.col("price").cast(pl.Float64), genres=pl.concat_list("category"))
    with pytest.raises(SettingsError, match=re.escape(message)):
        behaviour_of(replace(data, items=items), kept)


WRITTEN = {
    "JSON": ['["sea", "code"]', "[]"],
    "Python": ["['sea', 'code']", None],
    "numbers": [" [1, 2]\n", "[3]"],
}


@pytest.mark.parametrize("setting", ["affinity", "users", "context"])
@pytest.mark.parametrize("way", WRITTEN)
def test_lists_that_are_written_as_text_are_no_categories(setting: str, way: str):
    words = re.escape(
        f"[features] {setting} names 'tags', which holds lists written as text, such as {WRITTEN[way][0]!r}"
    )
    with pytest.raises(SettingsError, match=words + "; write one value a row, such as the first, as whole numbers or"):
        behaviour_of(with_tags(WRITTEN[way]), Kept(**{setting: ("tags",)}))
    kept = behaviour_of(with_tags(["[new] sea", None]), Kept(**{setting: ("tags",)}))
    assert kept.items.width + kept.users.width + kept.showings.width == 2 + 1 + 5 + 1


@pytest.mark.parametrize("setting", ["affinity", "users", "context"])
@pytest.mark.parametrize(("value", "kind"), [(2**63, pl.UInt64), (2**80, pl.Int128), (-(2**80), pl.Int128)])
def test_whole_numbers_beyond_63_bits_are_no_categories(setting: str, value: int, kind: pl.DataType):
    words = rf"{setting} names 'tags', which holds whole numbers beyond 63 bits, such as {value}; write them as text"
    with pytest.raises(SettingsError, match=words):
        behaviour_of(with_tags([1, value], kind), Kept(**{setting: ("tags",)}))
    behaviour_of(with_tags([1, 2**63 - 1], kind), Kept(**{setting: ("tags",)}))


def with_tags(values: list[object], kind: pl.DataType | None = None) -> Dataset:
    data = dataset()
    items, events, requests, users = (
        table.with_columns(pl.Series("tags", [*values, None][: len(table)], kind))
        for table in (data.items, data.events, data.requests, data.users)
    )
    return Dataset(items, events, requests, users)
