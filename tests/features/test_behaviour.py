from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from recsys.data.tables import TIME, Dataset
from recsys.errors import SettingsError
from recsys.features.behaviour import Behaviour, Kept

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)
LATER = NOON + timedelta(hours=1)


def dataset():
    return Dataset(
        items=pl.DataFrame({"title": ["a", "b"], "item_id": [1, 2], "brand": [7, None], "category": ["x", "y"]}),
        events=pl.DataFrame(
            {
                "user_id": [1, 1, 1],
                "item_id": [1, 1, 2],
                "event": ["click", "like", "view"],
                "timestamp": [NOON, LATER, NOON],
                "known_at": [LATER, NOON, None],
            },
            schema_overrides={"timestamp": TIME, "known_at": TIME},
        ),
        requests=pl.DataFrame(
            {
                "request_id": [1, 1],
                "user_id": [1, 1],
                "timestamp": [NOON, NOON],
                "item_id": [1, 2],
                "label": [0, 1],
                "position": [1, 2],
            },
            schema_overrides={"timestamp": TIME},
        ),
    )


def test_an_event_is_known_when_it_happened_or_later():
    assert Behaviour.of(dataset(), Kept()).events["known_at"].to_list() == [LATER, LATER, NOON]
    data = dataset()
    plain = Dataset(data.items, data.events.drop("known_at"), data.requests)
    assert Behaviour.of(plain, Kept()).events["known_at"].to_list() == [NOON, LATER, NOON]


def test_only_what_features_read_is_kept():
    behaviour = Behaviour.of(dataset(), Kept(("category", "brand")))
    assert behaviour.items.columns == ["item_id", "available_at", "category", "brand"]
    assert behaviour.attributes == ("category", "brand")
    assert behaviour.showings.columns == ["user_id", "item_id", "timestamp", "label"]
    assert behaviour.events.columns == ["user_id", "item_id", "event", "known_at"]
    assert behaviour.items["available_at"].to_list() == [None, None]
    assert behaviour.items.schema["available_at"] == TIME


def test_available_at_is_kept_where_it_is_given():
    data = dataset()
    items = data.items.with_columns(available_at=pl.lit(NOON).cast(TIME))
    assert (
        Behaviour.of(Dataset(items, data.events, data.requests), Kept()).items["available_at"].to_list() == [NOON] * 2
    )


def test_an_attribute_that_items_lack_is_refused():
    message = r"affinity names 'maker', which is not a column of items; its columns are title, item_id, brand, category"
    with pytest.raises(SettingsError, match=message):
        Behaviour.of(dataset(), Kept(("brand", "maker")))


@pytest.mark.parametrize("kind", [pl.String, pl.Categorical, pl.Enum(["y", "x"])])
def test_what_is_saved_is_loaded(tmp_path: Path, kind):
    data = dataset()
    items = data.items.with_columns(pl.col("category").cast(kind))
    behaviour = Behaviour.of(Dataset(items, data.events, data.requests), Kept(("category", "brand")))
    behaviour.save(tmp_path)
    loaded = Behaviour.load(tmp_path)
    assert loaded.attributes == behaviour.attributes
    for name in ("items", "showings", "events"):
        assert_frame_equal(getattr(loaded, name), getattr(behaviour, name))
