import json
import math
from dataclasses import replace

import pytest

from recsys.errors import SettingsError
from recsys.experiment.metrics import mean, rate
from recsys.experiment.readout import Effect, ExperimentPlan, Readout
from recsys.experiment.traffic import sample_ratio
from recsys.statistics.intervals import Interval
from recsys.statistics.verdict import Verdict

EVEN = {"old": 0.5, "new": 0.5}
PLAIN = Effect(
    values={"old": 0.1, "new": 0.12},
    difference=Interval(0.02, 0.01, 0.03),
    p=0.0012,
    lift=Interval(0.2, 0.1, 0.31),
    cuped=None,
    reduction=None,
    without_past=None,
    sequential=None,
    p_adjusted=0.0012,
    detectable=0.0142,
    verdict=Verdict.BETTER,
)
ALL = replace(
    PLAIN,
    cuped=Interval(0.018, 0.011, 0.025),
    reduction=0.41,
    without_past=1200,
    sequential=Interval(0.018, -0.001, 0.037),
    verdict=Verdict.UNDERPOWERED,
)


def make_readout(effect=PLAIN, users=(5000, 5010), **plan):
    counts = dict(zip(EVEN, users, strict=True))
    return Readout(
        ExperimentPlan(EVEN, (rate("bought"),), **plan), sample_ratio(counts, EVEN), {"rate(bought)": effect}
    )


def test_the_anytime_valid_interval_decides_before_cuped_and_cuped_before_the_plain_one():
    assert ALL.decides is ALL.sequential
    assert replace(ALL, sequential=None).decides is ALL.cuped
    assert PLAIN.decides is PLAIN.difference


def test_the_rule_is_told_with_its_numbers():
    assert make_readout().rule == (
        "rate(bought) decides: new minus old is +0.02, 95 % interval for one look +0.01 to +0.03, which lies above 0: "
        "better."
    )
    worse = replace(PLAIN, difference=Interval(-0.02, -0.03, -0.01), verdict=Verdict.WORSE)
    assert make_readout(worse).rule.endswith("-0.03 to -0.01, which lies below 0: worse.")
    assert make_readout(ALL, expected=20_000).rule == (
        "rate(bought) decides: new minus old is +0.018, anytime-valid 95 % interval with CUPED -0.001 to +0.037, which "
        "holds 0, and the smallest difference found with 80 % power, 0.0142, is more than the 0.001 that matters "
        "(1.0% of old): underpowered."
    )
    equal = replace(PLAIN, difference=Interval(0.0, -0.01, 0.01), verdict=Verdict.NO_DIFFERENCE)
    assert make_readout(equal, matters=0.2).rule.endswith(
        "0.0142, is at most the 0.02 that matters (20.0% of old): no difference shown."
    )


def test_a_broken_split_is_told_in_place_of_a_verdict():
    found = make_readout(replace(PLAIN, verdict=None), users=(5000, 5500))
    assert found.verdict is None
    assert found.rule.startswith("No verdict: the split is broken, users against those expected: old 5,000 of 5,250,")
    assert found.rule.endswith(
        "below the threshold of 0.001; find where users were lost or added before reading any difference."
    )
    assert found.to_json()["verdict"] is None
    assert found.to_json()["sample_ratio"]["mismatch"] is True
    assert "better" not in found.to_text()


def test_json_holds_every_number():
    found = json.loads(json.dumps(make_readout(ALL, expected=20_000).to_json(), allow_nan=False))
    assert found["arms"] == ["old", "new"]
    assert found["users"] == {"old": 5000, "new": 5010}
    assert found["expected"] == 20_000
    assert found["verdict"] == "underpowered"
    assert found["rule"].endswith("underpowered.")
    assert found["metrics"]["rate(bought)"] == {
        "values": {"old": 0.1, "new": 0.12},
        "difference": {"mean": 0.02, "low": 0.01, "high": 0.03},
        "p": 0.0012,
        "lift": {"mean": 0.2, "low": 0.1, "high": 0.31},
        "cuped": {"mean": 0.018, "low": 0.011, "high": 0.025},
        "reduction": 0.41,
        "without_past": 1200,
        "sequential": {"mean": 0.018, "low": -0.001, "high": 0.037},
        "p_adjusted": 0.0012,
        "detectable": 0.0142,
        "verdict": "underpowered",
    }


def test_what_is_no_number_is_none_in_json_and_a_dash_in_text():
    nothing = Interval(math.nan, math.nan, math.nan)
    found = make_readout(replace(PLAIN, lift=nothing, p=math.nan))
    written = json.loads(json.dumps(found.to_json(), allow_nan=False))["metrics"]["rate(bought)"]
    assert written["p"] is None
    assert written["lift"] == {"mean": None, "low": None, "high": None}
    assert written["cuped"] is written["sequential"] is written["reduction"] is None
    assert "  lift          \N{EN DASH}\n" in found.to_text()


def test_text_tells_everything_and_ends_with_the_rule():
    found = make_readout(ALL, expected=20_000)
    assert found.to_text().splitlines() == [
        "Sample ratio: users against those expected: old 5,000 of 5,005, new 5,010 of 5,005 (chi-square p = 0.92).",
        "",
        "rate(bought): underpowered",
        "  value         old 0.1, new 0.12",
        "  difference    +0.02 (+0.01 to +0.03), p = 0.0012",
        "  lift          +20.00% (+10.00% to +31.00%)",
        "  CUPED         +0.018 (+0.011 to +0.025) (variance -41.0%, 1,200 users without a past)",
        "  anytime-valid +0.018 (-0.001 to +0.037)",
        "  detectable    0.0142 with 80 % power",
        "",
        found.rule,
    ]
    assert "CUPED" not in make_readout().to_text()
    assert "anytime" not in make_readout().to_text()


def test_plans_that_are_none_are_refused():
    metrics = (rate("bought"),)
    assert ExperimentPlan(EVEN, metrics).arms == ("old", "new")
    with pytest.raises(SettingsError, match="the plan names 3 arms; compare two at a time, the present one first"):
        ExperimentPlan({"A": 0.4, "B": 0.3, "C": 0.3}, metrics)
    with pytest.raises(SettingsError, match="shares add up to 0.8; they must add up to 1"):
        ExperimentPlan({"A": 0.4, "B": 0.4}, metrics)
    with pytest.raises(
        SettingsError, match=r"metrics are \[\]; name at least one, each once, the one that decides first"
    ):
        ExperimentPlan(EVEN, ())
    with pytest.raises(SettingsError, match=r"metrics are \['mean\(x\)', 'mean\(x\)'\]; name at least one, each once"):
        ExperimentPlan(EVEN, (mean("x"), mean("x", before="y")))
    with pytest.raises(SettingsError, match="matters is 0; write the smallest relative lift of interest, such as 0.01"):
        ExperimentPlan(EVEN, metrics, matters=0)
    with pytest.raises(SettingsError, match="expected is 1 users; write the planned size of both arms, at least 2"):
        ExperimentPlan(EVEN, metrics, expected=1)
