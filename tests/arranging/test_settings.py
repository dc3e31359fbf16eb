from datetime import timedelta

import pytest
from pydantic import ValidationError

from recsys.arranging.settings import Cap, RuleSettings
from recsys.errors import SettingsError
from recsys.past.streams import CLICK, SHOWING, Amount
from recsys.settings import Settings
from recsys.validation import validate

DAY = timedelta(days=1)


def test_no_rules_are_none() -> None:
    assert not RuleSettings()
    assert RuleSettings(available=True)
    assert RuleSettings().asks == ()


def test_what_rules_read_is_told() -> None:
    rules = RuleSettings.model_validate(
        {
            "chosen": {"click": "30d", "purchase": "always"},
            "seen": "2d",
            "unavailable": {"stock": [0, "none"]},
            "caps": [{"attribute": "category", "most": 2}, {"attribute": "stock", "most": 3, "first": 5}],
        }
    )
    per = ("user", "item")
    assert rules.asks == (Amount(CLICK, per, 30 * DAY), Amount("purchase", per), Amount(SHOWING, per, 2 * DAY))
    assert rules.longest == 30 * DAY
    assert rules.attributes == ("stock", "category")
    assert rules.caps[0] == Cap(attribute="category", most=2, first=10)
    assert RuleSettings.model_validate(rules.model_dump(mode="json")) == rules


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"fixed": {1: 7, 3: 7}}, "fixed puts 7 at 1 and 3; an item has one place"),
        ({"fixed": {0: 7}}, "greater than or equal to 1"),
        ({"caps": [{"attribute": "category", "most": 0}]}, "greater than or equal to 1"),
        ({"caps": [{"attribute": "item_id", "most": 1}]}, "'item_id' is no attribute of items or users; name a column"),
        ({"seen": "soon"}, "'soon' is not a duration"),
        ({"boosts": [{"attribute": "kind", "values": ["a"], "by": float("nan")}]}, "finite number"),
        ({"boosts": [{"attribute": "kind", "values": [], "by": 1.0}]}, "at least 1 item"),
        (
            {"boosts": [{"attribute": "kind", "values": ["a"], "by": 1.0}], "unavailable": {"kind": ["a", "b"]}},
            "boosts name 'a' of 'kind', which unavailable leaves out; one of them is not meant",
        ),
        (
            {"fixed": {1: 7}, "segments": [{"users": {"plan": ["free"]}, "fixed": {1: 8}}]},
            "segments fix 8 at place 1, where fixed has 7; a place has one item",
        ),
        (
            {"fixed": {1: 7}, "segments": [{"users": {"plan": ["free"]}, "fixed": {2: 7}}]},
            "segments fix 7 at place 2, and fixed elsewhere; it has one place",
        ),
        ({"fixed": {1: 7, 2: "7"}}, "fixed puts 7 at 1 and 2; an item has one place"),
        ({"segments": [{"users": {}, "seen": "1d"}]}, "at least 1 item"),
        ({"segments": [{"users": {"plan": []}, "seen": "1d"}]}, "at least 1 item"),
        ({"segments": [{"users": {"user_id": [1]}, "seen": "1d"}]}, "'user_id' is no attribute of items or users"),
        ({"diversity": {"by": "calibrated"}}, 'by = "calibrated" counts values; name a column of items in over'),
        (
            {"diversity": {"first": 50, "among": 20}},
            "among = 20 is less than first = 50; choose among at least as many",
        ),
        ({"diversity": {"weight": 1.5}}, "less than or equal to 1"),
        ({"exploration": {"by": "none"}}, 'by = "none" leaves nothing to chance; name a new_place'),
        ({"exploration": {"by": "plackett_luce", "temperature": 0}}, "greater than 0"),
        (
            {"exploration": {"by": "plackett_luce"}, "diversity": {}},
            'exploration by "plackett_luce" draws by scores alone, which undoes diversity',
        ),
    ],
)
def test_rules_that_make_no_sense_are_named(given: dict, told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        RuleSettings.model_validate(given)


def test_rules_stand_in_the_settings_file() -> None:
    assert not Settings().rules
    with pytest.raises(SettingsError, match="rules.sen is not known; did you mean seen"):
        validate(Settings, {"rules": {"sen": "1d"}}, "the file")


def test_rules_of_segments_are_read_and_reach_as_far_as_those_of_all() -> None:
    segment = {"users": {"plan": ["free"]}, "chosen": {"purchase": "9d"}, "caps": [{"attribute": "brand", "most": 1}]}
    rules = RuleSettings.model_validate(
        {
            "seen": "2d",
            "boosts": [{"attribute": "stock", "values": ["many"], "by": 0.5}],
            "segments": [segment],
            "diversity": {"over": "category"},
        }
    )
    per = ("user", "item")
    assert rules.asks == (Amount(SHOWING, per, 2 * DAY), Amount("purchase", per, 9 * DAY))
    assert rules.own_asks == (Amount(SHOWING, per, 2 * DAY),)
    assert rules.longest == 9 * DAY
    assert rules.attributes == ("stock", "brand", "category")
    assert rules.user_attributes == ("plan",)
    assert RuleSettings.model_validate(rules.model_dump(mode="json")) == rules
    assert Settings(rules=rules).kept.user_rules == ("plan",)
    assert [users for _, users in rules.of_lists] == [{}, {"plan": ("free",)}]
