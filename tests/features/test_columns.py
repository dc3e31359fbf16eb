from dataclasses import fields

import pytest

from recsys.features.columns import (
    COMPARISONS,
    NEIGHBOURS,
    REQUEST,
    SIGNALS,
    TEXT_COLUMNS,
    context_column,
    item_column,
    score_column,
    user_column,
)
from recsys.features.within_list import WithinList
from recsys.vectors.signals import TextSignals


@pytest.mark.parametrize(("described", "computed"), [(SIGNALS, TextSignals), (COMPARISONS, WithinList)])
def test_every_number_that_is_computed_is_described(described, computed) -> None:
    assert list(described) == [field.name for field in fields(computed)]


def test_the_text_columns_are_those_described() -> None:
    assert {name for name in TEXT_COLUMNS if not name.endswith(tuple(COMPARISONS))} == {*SIGNALS, *NEIGHBOURS}


def test_every_column_has_keys_and_says_three_things() -> None:
    made = [make("price") for make in (score_column, item_column, user_column, context_column)]
    for per, told in [*SIGNALS.values(), *NEIGHBOURS.values(), *REQUEST.values(), *made]:
        assert per
        assert all(told)
    assert [told.formula for _, told in made] == [
        "requests.price",
        "items.price",
        "users.price",
        "requests.price",
    ]
    assert all("`price`" in told.meaning for _, told in made)
