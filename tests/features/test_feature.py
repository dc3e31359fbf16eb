from datetime import timedelta

import pytest
from pydantic import TypeAdapter, ValidationError

from recsys.features.feature import Feature, Window, spoken, suffix, within
from recsys.features.settings import FeatureSettings, declare

HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("per", "window", "end", "words"),
    [
        ((), None, "_overall", "whole log"),
        ((), HOUR, "_overall_1h", "whole log"),
        (("item",), None, "_item", "item"),
        (("user", "category"), 48 * HOUR, "_user_category_2d", "user and category"),
    ],
)
def test_keys_and_windows_are_written_and_spoken(per, window, end, words):
    assert suffix(per, window) == end
    assert spoken(per) == words


def test_windows_are_spoken():
    assert within(None) == "so far"
    assert within(90 * timedelta(minutes=1)) == "in the last 90m"


def test_a_window_is_a_duration_above_nothing():
    window = TypeAdapter(Window)
    assert window.validate_python("6h") == window.validate_python(6 * HOUR) == 6 * HOUR
    assert window.dump_json(6 * HOUR) == b'"6h"'
    for nothing in ("0s", timedelta(0)):
        with pytest.raises(ValidationError, match=r"greater than .*timedelta\(0\)"):
            window.validate_python(nothing)


def test_every_feature_of_the_families_has_a_name_keys_and_words():
    settings = FeatureSettings(
        affinity=("category", "brand"),
        numbers=("price",),
        users=("age_group",),
        events=("like",),
        values=("click", "view"),
        context=("device",),
    )
    features: tuple[Feature, ...] = declare(settings)
    keys = {"user", "item", "category", "brand", "age_group", "device", "last_item", "last_category", "last_brand"}
    for feature in features:
        assert feature.name.isidentifier()
        assert set(feature.per) <= keys
        assert all(feature.told), feature
        assert not any("\n" in words for words in feature.told)
    assert set().union(*(feature.per for feature in features)) == keys
