"""What stands beside a comparison, as plain JSON."""

import json

import pytest

from recsys.evaluation.reports.exhibited import Exhibits, LabelFree
from recsys.statistics.intervals import Interval


def test_every_exhibit_can_be_written_and_what_is_no_number_is_none(make_exhibits) -> None:
    written = json.loads(json.dumps(make_exhibits().to_json(), allow_nan=False))
    assert written["exposure"]["plain"]["change"] == {"mean": -0.15, "low": -0.2, "high": -0.1}
    assert written["exposure"]["plain"]["a"] == 0.25
    assert written["stress"]["plain"]["plain"]["low"] == -0.2
    assert written["without_labels"]["novelty"] == {"a": 8.0, "b": 8.5, "difference": 0.5, "low": 0.25, "high": 0.75}
    assert written["reliability"].keys() == {"a", "b"}
    assert "second" not in written


def test_of_nothing_nothing_is_written() -> None:
    written = Exhibits().to_json()
    assert written["movement"] is None
    assert written["exposure"] == written["stress"] == written["reliability"] == {}


def test_a_difference_is_that_of_the_interval_where_there_is_one() -> None:
    assert LabelFree("a", 1, 4, "").difference == 3
    assert LabelFree("a", 1.0, 4.0, "", Interval(2.5, 2.0, 3.0)).difference == pytest.approx(2.5)
