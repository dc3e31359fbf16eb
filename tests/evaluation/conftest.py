import math

import pytest

from recsys.evaluation.comparison import Comparison, Difference
from recsys.evaluation.gains import Shift
from recsys.evaluation.movement import Movement, Moves
from recsys.evaluation.reliability import Bin, ListReliability, Reliability
from recsys.evaluation.reports.exhibited import Exhibits, LabelFree, PairedLists, Placed
from recsys.statistics.intervals import Interval
from recsys.statistics.verdict import Verdict


def difference(mean=0.02, half=0.01, verdict=Verdict.BETTER, users=400, detectable=0.014):
    """A difference with an interval of so wide to both sides of its mean; NaN ends for no interval."""
    return Difference(
        requests=1234,
        users=users,
        a=0.4,
        b=0.4 + mean,
        interval=Interval(mean, mean - half, mean + half),
        p=0.004,
        p_adjusted=0.012,
        effect_size=0.1,
        detectable=detectable,
        verdict=verdict,
    )


@pytest.fixture
def make_difference():
    return difference


@pytest.fixture
def make_comparison():
    """Build a comparison: the primary difference, other measures, and segments by their primary difference."""

    def build(primary=None, others=None, segments=None, names=("champion", "challenger"), window="test"):
        overall = {"nDCG@10": primary or difference(), **({"AUC": difference(0.01)} if others is None else others)}
        found = {"device = phone": difference(0.03), "device = tv": difference(-0.01, verdict=Verdict.UNDERPOWERED)}
        found = found if segments is None else segments
        by_measure = {name: {"nDCG@10": of, "AUC": difference(0.01)} for name, of in found.items()}
        left_out = {"nDCG@10": 66, "AUC": 80}
        return Comparison(*names, window, "nDCG@10", 0.01, overall, by_measure, left_out)

    return build


@pytest.fixture
def make_exhibits():
    """Build one of every exhibit, with `text` wherever a text from outside stands."""

    def build(text="plain"):
        moves = (Moves(-2, -2, 10), Moves(-1, -1, 30), Moves(0, 0, 50), Moves(1, 1, 40), Moves(2, 2, 0))
        quantiles = {0.05: -1.5, 0.5: 0.25, 0.95: math.nan}
        bins = (Bin(0.1, 0.12, 500), Bin(0.4, 0.35, 500))
        small = Reliability(bins[:1], 0.0234, 0.0345, 0.08, 0.31)
        listed = (
            Placed(text, 1, 3, 0),
            Placed("second", 2, 1, 1),
            Placed("new", None, 2, 0),
            Placed("gone", 3, None, 0),
        )
        return Exhibits(
            movement=Movement(1300, 0.375, 10, 0.8, 0.61, 1290, moves, 7, 3, quantiles, quantiles),
            reliability_a=ListReliability(bins, 0.0123, 0.0135, 0.08, 0.3, {"5 to 6": small}),
            reliability_b=ListReliability(bins[:1], 0.0456, 0.0333, 0.07, math.inf, unknown=1234),
            label_free=(
                LabelFree(text, 0.5, 0.75, text),
                LabelFree("novelty", 8.0, 8.5, "surprise", Interval(0.5, 0.25, 0.75)),
                LabelFree("repeats", 3, 1200, "repeated items"),
            ),
            examples=(PairedLists(text, text, listed),),
            facts={text: text},
            notes=(text,),
            exposure={text: Shift(0.3, 0.2, 0.25, 0.1, Interval(-0.15, -0.2, -0.1), True)},
            stress={text: {text: Interval(-0.1, -0.2, -0.05)}},
        )

    return build
