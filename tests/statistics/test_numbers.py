import json
import math

from recsys.statistics.numbers import plain


def test_what_is_no_number_is_none_and_numbers_stay() -> None:
    assert [plain(each) for each in (0.0, -1.5, math.nan, None)] == [0.0, -1.5, None, None]
    assert json.dumps(plain(math.nan), allow_nan=False) == "null"
