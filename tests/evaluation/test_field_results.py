import json

import numpy as np

from recsys.evaluation.field_lists import Choices, OrderedItems, judge_lists
from recsys.evaluation.field_results import FieldResults


def results() -> FieldResults:
    choices = Choices(np.array([0, 1]), np.array([3, 4]), np.array([0, 1]))
    lists = OrderedItems(np.array([0, 1]), np.array([3, 5]), np.array([1.0, 1.0]))
    table = judge_lists({"both": lists, "popularity": lists}, choices, 0, "both")
    return FieldResults(
        lists=2,
        users=2,
        rankers={name: table[name] for name in ("both", "popularity")},
        differences={"both-popularity": table["both-popularity"]},
        sources={"all": table["both"]},
        field=1234.5,
        size=199.6,
        choices=2,
        not_candidates=7,
    )


def test_json_holds_plain_numbers_alone():
    written = json.loads(json.dumps(results().to_json(), allow_nan=False))
    assert written["rankers"]["both"]["hit@10"]["mean"] == 0.5
    assert written["differences"]["both-popularity"]["hit@10"] == {"mean": 0.0, "low": 0.0, "high": 0.0}
    assert written["sources"]["all"]["recall@50"]["mean"] == 0.5
    assert (written["lists"], written["not_candidates"], written["field"]) == (2, 7, 1234.5)


def test_words_say_how_many_lists_were_made_of_how_much():
    said = results().in_words()
    for part in ("for 2 moments of 2 users", "200 candidates each among 1,234 items", "2 choices. 7 more were not out"):
        assert part in said
