"""Prices in words and as JSON."""

import json
import math

from recsys.evaluation.priced import Price, Prices, Weighed
from recsys.statistics.intervals import Interval

PRICES = Prices(
    {
        "caps": Price(Interval(-0.01, -0.02, 0.0), Interval(0.005, 0.001, 0.009), 0.125),
        "all": Price(Interval(-0.02, -0.03, -0.01), Interval(0.0, math.nan, math.nan), 0.5),
    },
    1_200,
    (Weighed(0.0, 0.6, 0.9), Weighed(0.3, 0.59, math.nan)),
    0.3,
)


def test_words_say_what_each_rule_costs_and_which_weight_is_chosen() -> None:
    assert PRICES.in_words() == [
        "What [rules] change beside the order of scores, each alone, on 1,200 lists:",
        "  caps  nDCG@10 -0.0100 (-0.0200..+0.0000), first ten unlike each other +0.0050 (+0.0010..+0.0090), 12.5% of their "
        "places hold another item, or none",
        "  all   nDCG@10 -0.0200 (-0.0300..-0.0100), first ten unlike each other +0.0000, 50.0% of their places hold another "
        "item, or none",
        "By the weight of diversity:",
        "  0.00  nDCG@10 0.6000, first ten unlike each other 0.9000",
        "  0.30  nDCG@10 0.5900, first ten unlike each other nan  <- chosen",
    ]
    assert len(Prices({"caps": PRICES.rules["caps"]}, 1).in_words()) == 2


def test_json_holds_no_nan() -> None:
    told = json.loads(json.dumps(PRICES.to_json(), allow_nan=False))
    assert told["rules"]["caps"] == {
        "nDCG@10": {"mean": -0.01, "low": -0.02, "high": 0.0},
        "unlike": {"mean": 0.005, "low": 0.001, "high": 0.009},
        "moved": 0.125,
    }
    assert told["curve"][1] == {"weight": 0.3, "quality": 0.59, "unlike": None}
    assert told["chosen"] == 0.3
    assert told["lists"] == 1_200


def test_what_is_not_defined_is_said_to_be() -> None:
    nothing = Price(Interval(-0.5, -0.6, -0.4), Interval(math.nan, math.nan, math.nan), 1.0)
    assert "first ten unlike each other not defined, 100.0%" in Prices({"left out": nothing}, 1).in_words()[1]
