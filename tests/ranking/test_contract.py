import json
import math
import sys

import numpy as np
import polars as pl
import pytest

from recsys.errors import DataError, ModelError
from recsys.features.rows import FeatureRows
from recsys.features.table import FeatureTable
from recsys.ranking.contract import Contract, FeatureColumn


def make_table():
    return pl.DataFrame(
        {"age": [1.5, math.nan, None], "rank": [1.0, 2.0, 3.0], "brand": ["b", None, "a"], "size": [30, 10, 30]},
        schema_overrides={"age": pl.Float32, "rank": pl.Float32},
    )


def contract_of(frame):
    return Contract.of(FeatureRows.of(FeatureTable.of(frame)))


def matrix_of(contract, frame):
    return contract.matrix(FeatureTable.of(frame))


def test_floats_are_numbers_and_the_others_categories():
    contract = contract_of(make_table())
    assert contract.columns == (
        FeatureColumn("age"),
        FeatureColumn("rank"),
        FeatureColumn("brand", ("a", "b")),
        FeatureColumn("size", (10, 30)),
    )
    assert contract.names == ("age", "rank", "brand", "size")
    assert contract.category_places == [2, 3]


def test_the_matrix_holds_numbers_and_codes():
    matrix = matrix_of(contract_of(make_table()), make_table())
    assert matrix.dtype == np.float32
    np.testing.assert_array_equal(matrix, [[1.5, 1, 1, 1], [math.nan, 2, math.nan, 0], [math.nan, 3, 0, 1]])


def test_a_category_that_was_not_seen_is_not_known():
    table = make_table().with_columns(brand=pl.Series(["z", "a", "ab"]), size=pl.Series([11, 30, None]))
    matrix = matrix_of(contract_of(make_table()), table)
    np.testing.assert_array_equal(matrix[:, 2:], [[math.nan, math.nan], [0, 1], [math.nan, math.nan]])


@pytest.mark.parametrize("kind", [pl.Categorical, pl.Enum(["b", "a", "c"])])
def test_categories_of_polars_have_the_codes_of_their_words(kind):
    table = make_table().with_columns(pl.col("brand").cast(kind))
    assert contract_of(table) == contract_of(make_table())
    np.testing.assert_array_equal(
        matrix_of(contract_of(make_table()), table), matrix_of(contract_of(table), make_table())
    )


def test_categories_made_elsewhere_have_the_same_codes():
    with_more = pl.Series(["c", "b", "a"]).cast(pl.Categorical)
    table = make_table().with_columns(brand=with_more)
    assert matrix_of(contract_of(make_table()), table)[1:, 2].tolist() == [1, 0]


def test_a_category_without_any_value_is_never_known():
    table = pl.DataFrame({"brand": [None, None]})
    contract = contract_of(table)
    assert contract.columns == (FeatureColumn("brand", ()),)
    for values in ([None, None], ["a", None], [3, 4]):
        assert np.isnan(matrix_of(contract, pl.DataFrame({"brand": values}))).all()


def test_columns_may_be_left_out():
    assert contract_of(make_table()).without(("brand", "rank")).names == ("age", "size")


@pytest.mark.parametrize("columns", [["age", "brand", "size", "rank"], ["brand"], ["age"], []])
def test_what_is_written_is_read(columns):
    contract = contract_of(make_table().select(columns))
    assert Contract.from_json(json.loads(json.dumps(contract.to_json()))) == contract


def test_an_empty_category_is_still_one_after_reading():
    contract = Contract((FeatureColumn("brand", ()), FeatureColumn("age")))
    assert Contract.from_json(json.loads(json.dumps(contract.to_json()))) == contract


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"name": "age"}, "the features are no list"),
        ([{"name": 1}], "a feature is called 1"),
        ([{"name": "brand", "categories": "ab"}], "has the categories 'ab'"),
        ([{"name": "brand", "categories": {"a": 1}}], "has the categories"),
        ([{"name": "brand", "categories": ["a", 1]}], "categories of brand are not different texts or whole numbers"),
        ([{"name": "brand", "categories": [0.5]}], "categories of brand are not different texts or whole numbers"),
        ([{"name": "brand", "categories": [True]}], "categories of brand are not different texts or whole numbers"),
        ([{"name": "brand", "categories": ["b", "a"]}], "that rise"),
        ([{"name": "brand", "categories": ["a", "a"]}], "that rise"),
        ([{"name": "brand", "categories": [2**63]}], "whole numbers beyond 64 bits"),
        ([{"name": "brand", "categories": [-(10**400)]}], "whole numbers beyond 64 bits"),
        ([{"name": "brand", "categories": ["\ud800"]}], "surrogates not allowed"),
    ],
)
def test_features_that_nobody_wrote_are_refused(columns, message):
    with pytest.raises((TypeError, ValueError), match=message):
        Contract.from_json(columns)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.drop("size"), r"missing \['size'\], extra nothing; compute it with the settings that"),
        (lambda table: table.with_columns(hour=1.0), r"missing nothing, extra \['hour'\]; compute it"),
        (lambda table: table.rename({"age": "years"}), r"missing \['age'\], extra \['years'\]"),
        (
            lambda table: table.select("age", "rank", "size", "brand"),
            "has 'size' in place 3 where the ranker was grown on 'brand'; bring the columns into the order of features",
        ),
        (lambda table: table.with_columns(rank=1), "'rank' holds categories where the ranker was grown on numbers"),
        (
            lambda table: table.with_columns(pl.col("size").cast(pl.Float64)),
            "'size' holds numbers where the ranker was grown on categories; compute it as in training",
        ),
    ],
)
def test_another_table_is_refused_by_name(change, message):
    with pytest.raises(ModelError, match=message):
        matrix_of(contract_of(make_table()), change(make_table()))


def test_categories_of_another_kind_are_refused():
    table = make_table().with_columns(pl.col("size").cast(pl.String))
    with pytest.raises(DataError, match="column size holds String values here and Int64 values elsewhere"):
        matrix_of(contract_of(make_table()), table)


def test_no_row_is_a_matrix_without_rows():
    assert matrix_of(contract_of(make_table()), make_table().clear()).shape == (0, 4)


def count_calls(work):
    """Count the functions that are called: how much is done, on any machine."""
    calls = 0

    def count(*_):
        nonlocal calls
        calls += 1

    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
    return calls


@pytest.mark.parametrize("values", [[0.5, 1.5], ["a", "b"], [3, 4]])
def test_the_work_of_a_table_grows_with_its_columns_and_not_with_their_square(values):
    narrow, wide = (pl.DataFrame({f"column_{place}": values for place in range(count)}) for count in (40, 320))
    works = [(contract_of(table).matrix, FeatureTable.of(table)) for table in (narrow, wide)]
    for matrix, table in works:
        matrix(table)  # what is kept of a contract is made once
    few, many = (count_calls(lambda matrix=matrix, table=table: matrix(table)) for matrix, table in works)
    assert many < 10 * few
