from datetime import timedelta

import numpy as np
import pytest

from recsys.past.reads import Key, Reads
from recsys.past.streams import NEVER_FIRST, NEVER_LAST, Amount, Moment

HOUR = timedelta(hours=1)
ASKED = [Amount("showing", ("user",), 2 * HOUR), Amount("outcome", ("user",)), Moment("click", (), first=True)]


def test_bounds_lie_before_as_of_by_windows_and_delays():
    reads = Reads.of(ASKED, HOUR)
    hour = HOUR // timedelta(microseconds=1)
    assert reads.keys == (Key("showing", ("user",)), Key("click", ()))
    assert reads.names == ("user",)
    assert reads.bounds(np.array([5 * hour])).T.tolist() == [[5 * hour, 4 * hour, 3 * hour]]
    assert reads.empty.tolist() == [0, 0, NEVER_FIRST]
    assert Reads.of([Moment("click", ())], HOUR).empty.tolist() == [NEVER_LAST]


def test_a_horizon_is_one_more_bound_for_what_has_no_window():
    open_end, limited = (Reads.of(ASKED, HOUR, limited) for limited in (False, True))
    assert limited.bounds(np.array([9]), np.array([4])).shape == (4, 1)
    assert limited.bounds(np.array([9]), np.array([4]))[-1].tolist() == [4]
    assert set(open_end.ends.tolist()) == {-1, 0, 1, 2}
    assert set(limited.ends.tolist()) == {0, 1, 2, 3}


@pytest.mark.parametrize("limited", [False, True])
def test_of_rows_older_than_every_window_only_what_has_none_is_read(limited):
    asked = [*ASKED, Amount("view", ("item",), HOUR), Amount("outcome", ("user",), HOUR, 1), Amount("showing", ())]
    reads = Reads.of(asked, HOUR, limited)
    whole = reads.unlimited
    assert whole.keys == (Key("showing", ("user",)), Key("click", ()), Key("showing", ()))
    assert whole.reads[:, 3].tolist() == [1, 2, 5]  # answers stay where they are
    assert whole.spans.tolist() == [[0, 0], [2, 1], [4, 2], [6, 3]]
    for row in range(3):
        start, end = whole.reads[row, 1:3]
        assert whole.ends[start] == (len(whole.back) if limited else -1)
        assert whole.back[whole.ends[end]] == (HOUR // timedelta(microseconds=1) if row == 0 else 0)


def test_the_same_question_is_planned_once():
    assert Reads.of(ASKED, HOUR) is Reads.of(list(ASKED), HOUR)
    assert Reads.of(ASKED, HOUR) is not Reads.of(ASKED, 2 * HOUR)


def test_users_come_first_in_what_is_counted_whatever_order_is_asked():
    reads = Reads.of([Amount("click", ("item", "user")), Amount("click", ("user", "item"))], timedelta(0))
    assert reads.keys == (Key("click", ("user", "item")),)
