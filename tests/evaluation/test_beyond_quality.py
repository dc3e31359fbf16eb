import json
from collections import Counter

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.errors import DataError, SettingsError
from recsys.evaluation.beyond import OutputQuality, output_quality

pairs = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=15)


def table(rows):
    return pl.DataFrame(rows, schema={"request_id": pl.Int64, "item_id": pl.Int64}, orient="row")


def candidates(rows):
    return table(rows).with_columns(user_id=pl.col("request_id") % 3)


@pytest.mark.slow
@given(pairs, pairs.map(set).map(list), st.integers(1, 3))
def test_counts_are_those_of_plain_loops(given_rows, asked_rows, k):
    asked = {request: {item for r, item in asked_rows if r == request} for request, _ in asked_rows}
    items = {request: {item for r, item in given_rows if r == request} & asked[request] for request in asked}
    answered = [request for request in asked if items[request]]
    in_asked = [row for row in given_rows if row[0] in asked]
    assert output_quality(table(given_rows), candidates(asked_rows), k) == OutputQuality(
        k=k,
        requests=len(asked),
        answered=len(answered),
        too_few=sum(len(items[request]) < min(k, len(asked[request])) for request in answered),
        repeated=sum(count - 1 for count in Counter(in_asked).values()),
        not_candidates=sum(item not in asked[request] for request, item in in_asked),
        not_asked=len({request for request, _ in given_rows} - set(asked)),
        users=len({request % 3 for request in asked}),
        users_covered=len({request % 3 for request in answered}),
    )


def test_a_perfect_answer_has_no_fault_and_prints_as_json():
    asked = candidates([(1, 1), (1, 2), (2, 1)])
    found = output_quality(asked, asked, 2)
    assert json.loads(json.dumps(found.to_json())) == {
        "k": 2,
        "requests": 2,
        "answered": 2,
        "too_few": 0,
        "repeated": 0,
        "not_candidates": 0,
        "not_asked": 0,
        "users": 2,
        "users_covered": 2,
    }


def test_a_request_with_fewer_candidates_than_k_needs_only_those():
    asked = candidates([(1, 1), (2, 1), (2, 2)])
    assert output_quality(table([(1, 1), (2, 1)]), asked, 5).too_few == 1


def test_a_request_answered_with_strangers_only_is_not_answered():
    found = output_quality(table([(1, 9)]), candidates([(1, 1)]), 1)
    assert (found.answered, found.not_candidates, found.users_covered) == (0, 1, 0)


def test_missing_columns_are_named():
    with pytest.raises(DataError, match=r"rankings lack the columns \['item_id'\]; add them"):
        output_quality(table([]).drop("item_id"), candidates([]), 1)
    with pytest.raises(DataError, match=r"candidates lack the columns \['user_id'\]; add them"):
        output_quality(table([]), table([]), 1)


def test_ids_of_different_types_are_refused():
    with pytest.raises(DataError, match="item_id is String in rankings and Int64 in candidates; cast one to the other"):
        output_quality(table([]).cast({"item_id": pl.String}), candidates([]), 1)


def test_k_asks_for_at_least_one_item():
    with pytest.raises(SettingsError, match="k is 0, which asks for nothing; write 1 or more"):
        output_quality(table([]), candidates([]), 0)
