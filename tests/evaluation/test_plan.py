import math

import pytest

from recsys.errors import SettingsError
from recsys.evaluation.measures import AUC, MRR
from recsys.evaluation.plan import DEFAULT_PLAN, Plan


def test_a_hundredth_of_ndcg_at_10_matters_unless_said_otherwise():
    assert DEFAULT_PLAN.primary == "nDCG@10"
    assert DEFAULT_PLAN.matters == 0.01
    assert DEFAULT_PLAN.primary in map(str, DEFAULT_PLAN.measures)


@pytest.mark.parametrize("matters", [0, -0.01, math.inf, math.nan])
def test_what_matters_is_a_number_above_0(matters):
    with pytest.raises(SettingsError, match=f"matters is {matters:g}; write the smallest difference that would matter"):
        Plan(matters=matters)


def test_a_measure_is_named_once():
    with pytest.raises(SettingsError, match="measures hold AUC more than once; name each measure once"):
        Plan(measures=(AUC, MRR, AUC))


def test_a_plan_by_names_holds_the_measure_that_decides_and_each_only_once():
    plan = Plan.of("MAP", ["AUC", "MAP"], matters=0.02, seed=3)
    assert [str(measure) for measure in plan.measures] == ["MAP", "AUC"]
    assert (plan.primary, plan.matters, plan.seed) == ("MAP", 0.02, 3)
    assert Plan.of() == Plan()
    assert [str(measure) for measure in Plan.of("AUC pooled", ["hit@1"]).measures] == ["hit@1"]
    with pytest.raises(SettingsError, match="nDGC@10"):
        Plan.of("nDGC@10")


def test_a_seed_below_0_is_refused():
    with pytest.raises(SettingsError, match="seed is -1; write a whole number of at least 0"):
        Plan.of(seed=-1)
