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
        ({"caps": [{"attribute": "item_id", "most": 1}]}, "'item_id' is no attribute of items; name a column"),
        ({"seen": "soon"}, "'soon' is not a duration"),
    ],
)
def test_rules_that_make_no_sense_are_named(given: dict, told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        RuleSettings.model_validate(given)


def test_rules_stand_in_the_settings_file() -> None:
    assert not Settings().rules
    with pytest.raises(SettingsError, match="rules.sen is not known; did you mean seen"):
        validate(Settings, {"rules": {"sen": "1d"}}, "the file")
