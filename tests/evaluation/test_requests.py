import numpy as np
import polars as pl
import pytest

from recsys.errors import DataError
from recsys.evaluation.requests import Requests
from recsys.statistics.totals import check_lengths

TABLE = pl.DataFrame(
    {"request_id": ["b", "a", "b", "c", "a"], "user_id": [7, 9, 7, 7, 9], "label": [1, 0, 2, 0, 1], "row": range(5)}
)


def test_rows_of_a_request_come_together_in_the_order_of_ids():
    lists = Requests.of(TABLE)
    assert lists.order.tolist() == [1, 4, 0, 2, 3]
    assert lists.starts.tolist() == [0, 2, 4, 5]
    assert lists.labels.tolist() == [0, 1, 1, 2, 0]
    assert lists.users.tolist() == [1, 0, 0]
    assert lists.rows(TABLE["row"].to_numpy()).tolist() == [1, 4, 0, 2, 3]


def test_flags_are_turned_from_rows_to_requests():
    lists = Requests.of(TABLE)
    assert lists.flags("phone", np.array([True, False, True, True, False])).tolist() == [False, True, True]


def test_a_segment_that_cuts_a_request_is_refused():
    with pytest.raises(DataError, match="segment 'phone' holds 2 requests in part; flag all rows of a request alike"):
        Requests.of(TABLE).flags("phone", np.array([True, True, False, True, False]))


@pytest.mark.parametrize("column", ["request_id", "user_id", "label"])
def test_missing_values_are_refused(column):
    with pytest.raises(DataError, match=rf"requests lack values in \['{column}'\]; run `recsys check` on the folder"):
        Requests.of(TABLE.with_columns(pl.when(pl.col("row") < 4).then(pl.col(column)).alias(column)))


def test_columns_of_another_length_are_refused():
    check_lengths(2, {"text": np.zeros(2)})
    with pytest.raises(DataError, match="'text' has 3 values for 2 requests; give one per row"):
        check_lengths(2, {"text": np.zeros(3)}, "requests")
