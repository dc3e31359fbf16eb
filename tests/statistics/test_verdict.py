import math

import pytest

from recsys.statistics.verdict import Verdict, decide


@pytest.mark.parametrize(
    ("clear", "difference", "detectable", "verdict"),
    [
        (True, 0.2, 9.0, Verdict.BETTER),
        (True, -0.2, 0.0, Verdict.WORSE),
        (False, 0.2, 0.1, Verdict.NO_DIFFERENCE),
        (False, 0.2, 0.11, Verdict.UNDERPOWERED),
        (False, 0.0, math.nan, Verdict.UNDERPOWERED),
    ],
)
def test_what_is_clear_has_a_sign_and_what_is_not_is_judged_by_what_would_have_shown(
    clear, difference, detectable, verdict
) -> None:
    assert decide(clear, difference, detectable, matters=0.1) is verdict
