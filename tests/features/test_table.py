import numpy as np
import polars as pl
import pytest

from recsys.features.table import Category, FeatureTable, category_of
from recsys.past.vocabulary import Vocabulary


def test_a_table_is_numbers_and_then_categories():
    known = Vocabulary.of(pl.Series("town", ["b", "a"]))
    town = Category("town", np.array([1, -1, 0]), known)
    table = FeatureTable(("x", "y"), np.arange(6, dtype=np.float32).reshape(2, 3), (town,))
    assert table.columns == ("x", "y", "town")
    assert table.frame().to_dict(as_series=False) == {
        "x": [0.0, 1.0, 2.0],
        "y": [3.0, 4.0, 5.0],
        "town": ["b", None, "a"],
    }
    assert table.frame().schema == {"x": pl.Float32, "y": pl.Float32, "town": pl.String}


@pytest.mark.parametrize("values", [["tv", None, "desk", "tv"], [3, None, 1, 3], [None, None], []])
def test_a_column_of_the_candidates_keeps_its_values_whatever_else_is_known(values):
    category = category_of("device", pl.Series("other name", values))
    assert category.values().to_list() == values
    assert category.values().name == "device"


def test_a_long_column_is_read_like_a_short_one():
    values = pl.Series("device", ["tv", "desk", None] * 5_000)
    assert category_of("device", values).values().equals(values)
