import pytest
from pydantic import ValidationError

from recsys.ranking.settings import RankerSettings


def test_the_defaults_are_allowed_values():
    assert RankerSettings.model_validate(RankerSettings().model_dump()) == RankerSettings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rounds", 0),
        ("patience", 0),
        ("learning_rate", 0),
        ("learning_rate", 1.1),
        ("leaves", 1),
        ("leaves", 131_073),
        ("rows_per_leaf", 0),
        ("feature_fraction", 0),
        ("feature_fraction", 1.5),
        ("row_fraction", 0),
        ("l2", -1),
        *((name, value) for name in ("l2", "learning_rate") for value in (float("inf"), float("nan"))),
        ("truncation", 0),
        ("num_leaves", 31),
    ],
)
def test_values_out_of_range_and_other_names_are_refused(name, value):
    with pytest.raises(ValidationError, match=name):
        RankerSettings(**{name: value})
