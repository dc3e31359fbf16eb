from datetime import timedelta

import numpy as np

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


def test_the_same_question_is_planned_once():
    assert Reads.of(ASKED, HOUR) is Reads.of(list(ASKED), HOUR)
    assert Reads.of(ASKED, HOUR) is not Reads.of(ASKED, 2 * HOUR)
