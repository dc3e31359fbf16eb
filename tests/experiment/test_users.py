import math

import polars as pl
import pytest

from recsys.errors import DataError
from recsys.experiment.metrics import mean, ratio
from recsys.experiment.readout import ExperimentPlan
from recsys.experiment.users import check_users, per_user

EVEN = {"A": 0.5, "B": 0.5}
PLAN = ExperimentPlan(EVEN, (ratio("clicks", "views", "old clicks", "old views"), mean("clicks")))


def make_users(**columns):
    table = pl.DataFrame(
        {
            "user_id": [4, 2, 3, 1],
            "arm": ["A", "B", "A", "B"],
            "clicks": [1, 0, 2, 1],
            "views": [3, 1, 2, 2],
            "old clicks": [1, None, 0, 2],
            "old views": [4, None, 1, 2],
        }
    )
    return table.with_columns(**columns)


def test_events_are_added_up_to_users_and_nobody_is_lost():
    arms = pl.DataFrame({"user_id": ["u3", "u1", "u2"], "arm": ["A", "B", "A"]})
    events = pl.DataFrame(
        {"user_id": ["u1", "u3", "u1", "u9"], "clicks": [1, 0, 2, 7], "seconds": [0.5, None, 1.0, 9.0]}
    )
    found = per_user(arms, events, ["clicks", "seconds"])
    assert found.columns == ["user_id", "arm", "clicks", "seconds"]
    assert found.rows() == [("u3", "A", 0, 0.0), ("u1", "B", 3, 1.5), ("u2", "A", 0, 0.0)]


def test_events_of_other_users_are_refused():
    arms = pl.DataFrame({"user_id": [1], "arm": ["A"]})
    with pytest.raises(DataError, match="user_id is Int64 in arms and String in events; cast one to the other"):
        per_user(arms, pl.DataFrame({"user_id": ["1"], "clicks": [1]}), ["clicks"])
    with pytest.raises(DataError, match=r"the table of users has no \['clicks'\]; it has \['user_id'\]"):
        per_user(arms, pl.DataFrame({"user_id": [1]}), ["clicks"])


def test_users_come_in_the_order_of_their_ids_with_floats():
    found = check_users(make_users(extra=pl.lit("x")), PLAN)
    assert found.columns == ["user_id", "arm", "clicks", "views", "old clicks", "old views"]
    assert found["user_id"].to_list() == [1, 2, 3, 4]
    assert found["clicks"].to_list() == [1.0, 0.0, 2.0, 1.0]
    assert found["old views"].to_list() == [2.0, None, 1.0, 4.0]
    flags = check_users(make_users(clicks=pl.Series([True, False, True, True])), PLAN)
    assert flags["clicks"].to_list() == [1.0, 0.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            {"user_id": pl.Series([1, 2, 1, 2]), "arm": pl.Series(list("AABB"))},
            r"2 users are in more than one arm, such as \[1, 2\]; find out how they were split, and leave them out",
        ),
        ({"user_id": pl.Series([1, 2, 1, 4])}, r"1 users have more than one row, such as \[1\]; add up to one row per"),
        ({"arm": pl.lit("A")}, "arm 'B' holds 0 of 4 users; an arm needs at least 2 to be compared"),
        ({"arm": pl.Series(list("AAAB"))}, "arm 'B' holds 1 of 4 users; an arm needs at least 2 to be compared"),
        ({"arm": pl.Series(list("ABCD"))}, r"arm holds \['C', 'D'\], the plan names \['A', 'B'\]; rename or leave out"),
        ({"arm": pl.Series(["A", "B", None, "A"])}, r"users lack values in \['arm'\]; leave out rows without a user"),
        ({"user_id": pl.Series([1, 2, 3, None])}, r"users lack values in \['user_id'\]"),
        (
            {"clicks": pl.Series([1.0, math.nan, math.inf, 2.0])},
            r"2 of 4 users have a 'clicks' that is NaN or infinite, such as users \[2, 3\]; write a number, or null",
        ),
        (
            {"old views": pl.Series([1.0, math.nan, 1.0, 1.0])},
            "1 of 4 users have a 'old views' that is NaN or infinite",
        ),
        (
            {"clicks": pl.Series([1, None, 0, 2])},
            "1 of 4 users have no value in 'clicks'; write 0 where nothing happened",
        ),
        (
            {"views": pl.Series([3, -1, 2, 2])},
            "1 users have a negative 'views', the denominator of clicks/views, such as -1 of user 2; count what the ratio",
        ),
        (
            {"old views": pl.Series([3, -1, 2, 2])},
            "1 users have a negative 'old views', the denominator of clicks/views",
        ),
        ({"clicks": pl.Series(["1", "0", "2", "1"])}, "column 'clicks' of the users is String; give numbers"),
    ],
)
def test_tables_that_cannot_be_read_are_refused(columns, message):
    with pytest.raises(DataError, match=message):
        check_users(make_users(**columns), PLAN)


def test_an_unknown_metric_column_is_refused_and_an_empty_table_too():
    message = r"the table of users has no \['bought'\]; it has \['user_id', 'arm', 'clicks', .*\], so rename or add the columns"
    with pytest.raises(DataError, match=message):
        check_users(make_users(), ExperimentPlan(EVEN, (mean("bought"),)))
    with pytest.raises(DataError, match=r"the table of users has no \['past'\]"):
        check_users(make_users(), ExperimentPlan(EVEN, (mean("clicks", before="past"),)))
    with pytest.raises(DataError, match="arm 'A' holds 0 of 0 users"):
        check_users(make_users()[:0], PLAN)


def test_a_sum_that_the_arms_hold_already_is_refused():
    arms = pl.DataFrame({"user_id": [1, 2], "arm": ["A", "B"], "clicks": [9, 9]})
    with pytest.raises(DataError, match=r"arms has \['clicks'\] already; drop or rename them"):
        per_user(arms, pl.DataFrame({"user_id": [2], "clicks": [3]}), ["clicks"])


def test_numbered_arms_are_read_as_their_text():
    table = pl.DataFrame({"user_id": range(4), "arm": [0, 0, 1, 1], "seconds": [1.0, 2.0, 3.0, 4.0]})
    plan = ExperimentPlan({"0": 0.5, "1": 0.5}, (mean("seconds"),))
    assert check_users(table, plan)["arm"].to_list() == ["0", "0", "1", "1"]
