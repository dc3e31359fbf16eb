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
