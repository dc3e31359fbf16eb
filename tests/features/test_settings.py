from datetime import timedelta

import pytest
from pydantic import ValidationError

from recsys.features.definitions import Age, Count, HoursSince, Rate, Share, Trend
from recsys.features.settings import FeatureSettings, declare

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def test_features_are_listed_once_and_in_one_order():
    settings = FeatureSettings(affinity=("category", "brand"), events=("like", "share"))
    names = [feature.name for feature in declare(settings)]
    assert len(set(names)) == len(names)
    assert names == [feature.name for feature in declare(settings.model_copy())]
    assert names[:4] == ["item_age_hours", "click_rate_item_1h", "showing_count_item_1h", "click_count_item_1h"]


def test_settings_decide_which_features_there_are():
    plain = set(declare(FeatureSettings(windows=("1h", "1d"), prior=5)))
    assert {
        Age(),
        Rate(("item",), HOUR, 5),
        Rate(("item",), None, 5),
        Trend(("item",), HOUR, DAY),
        Count("click", ("user",), DAY),
        Count("showing", ("user", "item")),
        HoursSince("click", ("user", "item")),
    } < plain
    assert Count("click", ("user",), HOUR) not in plain
    more = set(declare(FeatureSettings(windows=("1h", "1d"), prior=5, affinity=("brand",), events=("like",))))
    assert more - plain == {
        *(Count("like", ("item",), window) for window in (HOUR, DAY, None)),
        Rate(("brand",), DAY, 5),
        Rate(("brand",), None, 5),
        Share(("user", "brand"), ("user",)),
        Rate(("user", "brand"), None, 5),
        Count("click", ("user", "brand")),
        HoursSince("click", ("user", "brand")),
    }


def test_no_window_leaves_the_features_without_limit():
    features = declare(FeatureSettings(windows=()))
    assert not any(isinstance(feature, Trend) for feature in features)
    assert all(feature.window is None for feature in features if isinstance(feature, Count | Rate))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"windows": ["0s"]}, r"windows \['0d'\] must be above 0s and ascend without a repeat"),
        ({"windows": ["6h", "1h"]}, r"windows \['6h', '1h'\] must be above 0s"),
        ({"windows": ["1h", "60m"]}, r"windows \['1h', '1h'\] must be above 0s"),
        ({"windows": ["1 hour"]}, "'1 hour' is not a duration"),
        ({"events": ["click"]}, "events names 'click', which has a meaning of its own here; leave it out"),
        ({"events": ["like", "showing"]}, "events names 'showing', which has a meaning"),
        ({"events": ["like", "like"]}, "events names 'like' more than once"),
        ({"affinity": ["user"]}, "affinity names 'user', which has a meaning"),
        ({"affinity": ["item_id"]}, "affinity names 'item_id', which has a meaning"),
        ({"affinity": ["brand", "brand"]}, "affinity names 'brand' more than once"),
        ({"context": ["timestamp"]}, "context names 'timestamp', which has a meaning"),
        ({"context": ["device", "device"]}, "context names 'device' more than once"),
        ({"prior": 0}, "greater than 0"),
        ({"prior": float("inf")}, "finite number"),
        ({"prior": float("nan")}, "finite number"),
        ({"window": ["1h"]}, "Extra inputs are not permitted"),
    ],
)
def test_what_cannot_be_computed_is_refused(values, message):
    with pytest.raises(ValidationError, match=message):
        FeatureSettings(**values)
