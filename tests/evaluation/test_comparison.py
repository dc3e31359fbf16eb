import json
import math
from dataclasses import astuple, replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score, roc_auc_score

from pipelines.simulations import prove
from recsys.errors import DataError, SettingsError
from recsys.evaluation.comparison import Comparison, Difference, compare_rankers, compare_values
from recsys.evaluation.evaluation import REPORTED, evaluate_rankers
from recsys.evaluation.measures import AUC, MRR, ndcg
from recsys.evaluation.plan import Plan
from recsys.evaluation.reports.answer import answer, users_needed
from recsys.statistics.intervals import Interval
from recsys.statistics.verdict import Verdict

NAMES = ["AUC", "MRR", "first-hit MRR", "nDCG@5", "nDCG@10", "AUC pooled"]
QUICK = Plan(measures=REPORTED, resamples=200, permutations=400)
SMALL = replace(QUICK, measures=(AUC, ndcg(10)))


def make_requests(requests=90, users=25, seed=0):
    random = np.random.default_rng(seed)
    sizes = random.integers(2, 9, requests)
    of = np.repeat(np.arange(requests), sizes)
    return pl.DataFrame(
        {
            "request_id": [f"r{request}" for request in of],
            "user_id": random.integers(users, size=requests)[of],
            "label": random.integers(0, 3, len(of)) * (random.random(len(of)) < 0.4),
            "phone": (random.random(requests) < 0.5)[of],
        }
    )


def make_scores(requests, strength_a=0.5, strength_b=0.5, seed=1):
    random = np.random.default_rng(seed)
    labels = requests["label"].to_numpy()
    return [(random.normal(size=len(labels)) + strength * labels).round(1) for strength in (strength_a, strength_b)]


def compare(requests, a, b, plan=SMALL):
    phone = requests["phone"].to_numpy()
    return compare_rankers(requests, a, b, ("old", "new"), {"phone": phone, "desktop": ~phone}, plan=plan)


def numbers(found):
    """All that a comparison says, without names."""
    return [list(astuple(of)) for part in (found.overall, *found.segments.values()) for of in part.values()]


def per_user(differences, users):
    return {user: [d for d, of in zip(differences, users, strict=True) if of == user] for user in set(users)}


def test_means_are_scikit_learns_and_everything_is_b_minus_a():
    requests = make_requests()
    a, b = make_scores(requests, 0.2, 1.5)
    found = compare(requests, a, b, replace(QUICK, measures=(ndcg(10),)))
    frame = requests.with_columns(a=pl.Series(a), b=pl.Series(b), gain=2 ** pl.col("label") - 1)
    differences, users = [], []
    for _, rows in frame.group_by("request_id"):
        if rows["label"].sum():
            one, two = (ndcg_score([rows["gain"].to_numpy()], [rows[side].to_numpy()], k=10) for side in "ab")
            differences.append(two - one)
            users.append(rows["user_id"][0])
    of = found.overall["nDCG@10"]
    assert of.interval.mean == pytest.approx(np.mean(differences), abs=1e-12)
    assert of.b - of.a == pytest.approx(np.mean(differences), abs=1e-12)
    assert (of.requests, of.users) == (len(differences), len(set(users)))
    assert found.left_out["nDCG@10"] == 90 - len(differences)
    pooled = found.overall["AUC pooled"]
    assert pooled.a == pytest.approx(roc_auc_score(requests["label"] > 0, a))
    assert pooled.b == pytest.approx(roc_auc_score(requests["label"] > 0, b))
    assert pooled.interval.mean == pytest.approx(pooled.b - pooled.a)
    assert pooled.interval.low < pooled.interval.mean < pooled.interval.high
    assert of.verdict == pooled.verdict == Verdict.BETTER


def test_intervals_are_those_of_evaluate():
    requests = make_requests()
    a, b = make_scores(requests)
    phone = requests["phone"].to_numpy()
    found = compare(requests, a, b, QUICK)
    oracle = evaluate_rankers(requests, {"both": b, "old": a}, {"phone": phone}, "test", resamples=200)
    for results, part in ((oracle.overall, found.overall), (oracle.segments["phone"], found.segments["phone"])):
        assert list(part) == NAMES
        for name in NAMES[:-1]:
            assert astuple(part[name].interval) == pytest.approx(astuple(results.differences["both-old"][name]))
            assert part[name].a == pytest.approx(results.rankers["old"][name].mean)
        assert part["AUC pooled"].interval.mean == pytest.approx(results.differences["both-old"]["AUC pooled"].mean)
    assert found.left_out == oracle.left_out


def test_the_permutation_test_swaps_whole_users():
    random = np.random.default_rng(3)
    users = random.integers(7, size=40)
    a, b = random.random(40), random.random(40) + 0.1
    plan = Plan(primary="taste", permutations=40_000, resamples=10)
    p = compare_values({"taste": (a, b)}, users, ("old", "new"), {}, plan=plan).overall["taste"].p
    totals = [math.fsum(of) for of in per_user(b - a, users.tolist()).values()]
    swaps = np.array(np.meshgrid(*[[-1, 1]] * len(totals))).reshape(len(totals), -1).T @ totals
    assert p == pytest.approx(np.mean(np.abs(swaps) >= abs(sum(totals)) - 1e-12), abs=0.01)


def test_the_other_measures_are_corrected_together_and_so_are_the_segments_of_each_measure():
    requests = make_requests()
    found = compare(requests, *make_scores(requests, 0.4, 0.7))
    families = [[found.overall["AUC"], found.overall["AUC pooled"]]]
    families += [[part[name] for part in found.segments.values()] for name in ("AUC", "nDCG@10", "AUC pooled")]
    for family in families:
        p = sorted(of.p for of in family)
        for of in family:
            larger = [(len(p) - rank) * value for rank, value in enumerate(p) if value <= of.p]
            assert of.p_adjusted == pytest.approx(min(1, max(larger)))
    assert found.overall["nDCG@10"].p_adjusted == found.overall["nDCG@10"].p
    assert len({of.p for family in families for of in family}) > 3
    assert len(found.segments) > 1


def difference(mean=0.0, low=-0.1, high=0.1, p=0.5, detectable=0.1):
    return Difference(40, 20, 0.5, 0.5 + mean, Interval(mean, low, high), p, p, 0.1, detectable, Verdict.UNDERPOWERED)


@pytest.mark.parametrize(
    ("strengths", "matters", "verdict"),
    [
        ((0.1, 2.5), 0.01, "better"),
        ((2.5, 0.1), 0.01, "worse"),
        ((0.5, 0.5), 0.001, "underpowered"),
        ((0.5, 0.5), 0.4, "no difference shown"),
    ],
)
def test_the_primary_measure_decides_by_its_interval_and_then_by_what_could_be_found(strengths, matters, verdict):
    requests = make_requests()
    found = compare(requests, *make_scores(requests, *strengths), replace(SMALL, matters=matters))
    of = found.overall["nDCG@10"]
    assert found.verdict == of.verdict == verdict
    assert {
        "better": of.interval.low > 0,
        "worse": of.interval.high < 0,
        "underpowered": not of.interval.clear and of.detectable > matters,
        "no difference shown": not of.interval.clear and of.detectable <= matters,
    }[verdict]


def test_what_can_just_be_found_is_enough_power():
    requests = make_requests()
    scores = make_scores(requests)
    least = compare(requests, *scores).overall["nDCG@10"].detectable
    assert compare(requests, *scores, replace(SMALL, matters=least)).verdict == Verdict.NO_DIFFERENCE
    assert compare(requests, *scores, replace(SMALL, matters=0.999 * least)).verdict == Verdict.UNDERPOWERED


def test_others_decide_by_their_corrected_p_value():
    random = np.random.default_rng(6)
    noise = [random.normal(0, 1, 60) for _ in range(30)]
    values = {"primary": (np.zeros(60), random.normal(0.3, 1, 60))}
    values |= {f"m{place}": (np.zeros(60), 0.3 + of) for place, of in enumerate(noise)}
    values["strong"] = (np.zeros(60), random.normal(-2, 1, 60))
    found = compare_values(values, np.arange(60), ("A", "B"), {}, plan=Plan(primary="primary", matters=0.1))
    clear = [of for name, of in found.overall.items() if name[0] == "m" and of.interval.clear]
    assert len(clear) > 10
    for of in clear:
        assert (of.verdict == Verdict.BETTER) == (of.p_adjusted <= 0.05)
    assert any(of.verdict == Verdict.UNDERPOWERED for of in clear)  # clear alone, not among so many
    assert found.overall["strong"].verdict == Verdict.WORSE


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000))
def test_swapping_a_and_b_turns_every_sign_and_keeps_p(seed):
    requests = make_requests(40, 12, seed)
    a, b = make_scores(requests, 0.2, 0.9, seed)
    there, back = compare(requests, a, b), compare(requests, b, a)
    turned = {"better": "worse", "worse": "better"}
    for one, two in zip(numbers(there), numbers(back), strict=True):
        _, _, mean_a, mean_b, (mean, low, high), p, adjusted, effect, detectable, verdict = one
        assert two[2:4] == [mean_b, mean_a]
        assert two[4] == pytest.approx((-mean, -high, -low), abs=1e-12, nan_ok=True)
        assert two[5:7] == pytest.approx([p, adjusted], nan_ok=True)
        assert two[7:9] == pytest.approx([-effect, detectable], nan_ok=True)
        assert two[9] == turned.get(verdict, verdict)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000))
def test_the_order_of_rows_changes_nothing(seed):
    requests = make_requests(40, 12, seed)
    a, b = make_scores(requests)
    order = np.random.default_rng(seed).permutation(requests.height)
    assert compare(requests[order], a[order], b[order]).to_json() == compare(requests, a, b).to_json()


def test_the_same_scores_differ_by_nothing():
    requests = make_requests()
    a, _ = make_scores(requests)
    found = compare(requests, a, 3 * a - 7, QUICK)
    for *_, interval, p, adjusted, effect, detectable, verdict in numbers(found):
        assert interval == (0.0, 0.0, 0.0)
        assert (p, adjusted, detectable, verdict) == (1.0, 1.0, 0.0, "no difference shown")
        assert math.isnan(effect)


def test_copies_of_requests_narrow_nothing():
    requests = make_requests()
    a, b = make_scores(requests)
    copies = pl.concat([requests.with_columns(pl.col("request_id") + f"-{copy}") for copy in range(4)])
    once, often = compare(requests, a, b), compare(copies, np.tile(a, 4), np.tile(b, 4))
    for one, four in zip(numbers(once), numbers(often), strict=True):
        assert four[0] == 4 * one[0]
        assert four[4] == pytest.approx(one[4], abs=1e-9)
        assert four[1:4] + four[5:9] == pytest.approx(one[1:4] + one[5:9], abs=1e-9)


def test_a_segment_is_judged_as_if_it_were_all_there_is():
    requests = make_requests()
    a, b = make_scores(requests)
    phone = requests["phone"].to_numpy()
    alone = compare_rankers(requests.filter(phone), a[phone], b[phone], ("old", "new"), {}, plan=SMALL)
    part = compare(requests, a, b).segments["phone"]
    for name, of in alone.overall.items():
        assert astuple(part[name].interval) == pytest.approx(astuple(of.interval), abs=1e-12)
        assert (part[name].requests, part[name].users, part[name].p) == (of.requests, of.users, of.p)
        assert (part[name].a, part[name].b) == pytest.approx((of.a, of.b))


def test_segments_of_no_request_and_of_one_user_say_so():
    requests = make_requests()
    a, b = make_scores(requests)
    user = requests["user_id"].to_numpy()
    flags = {"nobody": user < 0, "one": user == user[0]}
    found = compare_rankers(requests, a, b, ("old", "new"), flags, plan=SMALL)
    for name, users in (("nobody", 0), ("one", 1)):
        for of in found.segments[name].values():
            assert of.users == users
            assert math.isnan(of.a) == (users == 0)
            assert all(map(math.isnan, (of.interval.low, of.interval.high, of.p, of.p_adjusted, of.detectable)))
            assert of.verdict == Verdict.UNDERPOWERED
    assert found.overall == compare_rankers(requests, a, b, ("old", "new"), {}, plan=SMALL).overall  # no test, no cost


def test_requests_that_a_ranker_did_not_answer_count():
    requests = make_requests()
    a, _ = make_scores(requests, 3.0)
    b = np.where(requests["request_id"].to_numpy() < "r3", -np.inf, a)
    found = compare(requests, a, b)
    assert found.overall["AUC"].requests == compare(requests, a, a).overall["AUC"].requests
    assert found.overall["AUC"].interval.mean < 0


def test_values_and_scores_give_the_same_answer():
    requests = make_requests()
    a, b = make_scores(requests)
    by_scores = compare(requests, a, b, replace(QUICK, measures=(MRR,), primary="MRR"))
    rows = requests.with_columns(a=pl.Series(a), b=pl.Series(b)).partition_by("request_id", as_dict=True)
    rows = [rows[key] for key in sorted(rows)]
    values = [[compare_alone(of, side) for of in rows] for side in "ab"]
    users, phone = (np.array([of[column][0] for of in rows]) for column in ("user_id", "phone"))
    found = compare_values(
        {"MRR": (np.array(values[0]), np.array(values[1]))},
        users,
        ("old", "new"),
        {"phone": phone, "desktop": ~phone},
        plan=replace(QUICK, primary="MRR"),
    )
    assert astuple(found.overall["MRR"])[:4] == pytest.approx(astuple(by_scores.overall["MRR"])[:4])
    assert found.overall["MRR"].p == by_scores.overall["MRR"].p
    assert found.segments["desktop"]["MRR"].p == by_scores.segments["desktop"]["MRR"].p
    assert found.left_out["MRR"] == by_scores.left_out["MRR"]


def compare_alone(rows, side):
    """Expected reciprocal rank of all positives of one request, over the orders of its ties."""
    scores, labels = rows[side].to_numpy(), rows["label"].to_numpy()
    found = []
    for score in scores[labels > 0]:
        above, tied = int((scores > score).sum()), int((scores == score).sum())
        found.append(np.mean([1 / (above + place) for place in range(1, tied + 1)]))
    return float(np.mean(found)) if found else math.nan


def test_the_seed_decides():
    requests = make_requests()
    a, b = make_scores(requests)
    one, again, other = (compare(requests, a, b, replace(SMALL, seed=seed)) for seed in (1, 1, 2))
    assert one == again
    assert one.overall["AUC"].interval.low != other.overall["AUC"].interval.low
    assert [of.p for of in one.segments["phone"].values()] != [of.p for of in other.segments["phone"].values()]


def comparison(of):
    return Comparison("old", "new", "test", "nDCG@10", 0.01, {"nDCG@10": of}, {}, {"nDCG@10": 3})


@pytest.mark.parametrize(
    ("of", "rule"),
    [
        (
            replace(difference(0.02, 0.01, 0.03), verdict=Verdict.BETTER),
            "nDCG@10 decides: new minus old is +0.0200, 95 % interval +0.0100 to +0.0300, which lies above 0: better.",
        ),
        (
            replace(difference(-0.02, -0.03, -0.01), verdict=Verdict.WORSE),
            "nDCG@10 decides: new minus old is -0.0200, 95 % interval -0.0300 to -0.0100, which lies below 0: worse.",
        ),
        (
            replace(difference(0.001, -0.002, 0.004, detectable=0.0044), verdict=Verdict.NO_DIFFERENCE),
            "nDCG@10 decides: new minus old is +0.0010, 95 % interval -0.0020 to +0.0040, which holds 0, and the "
            "smallest difference found with 80 % power, 0.0044, is at most the 0.01 that matters: no difference shown.",
        ),
        (
            difference(0.01, -0.02, 0.04, detectable=0.044),
            "nDCG@10 decides: new minus old is +0.0100, 95 % interval -0.0200 to +0.0400, which holds 0, and the "
            "smallest difference found with 80 % power, 0.0440, is more than the 0.01 that matters: underpowered.",
        ),
        (
            difference(0.01, math.nan, math.nan, math.nan, math.nan),
            "nDCG@10 decides: new minus old is +0.0100 on fewer than two users, which gives no interval: underpowered.",
        ),
        (
            difference(math.nan, math.nan, math.nan, math.nan, math.nan),
            "nDCG@10 decides, but is not defined for any request: underpowered.",
        ),
    ],
)
def test_the_rule_is_one_sentence_with_its_numbers(of, rule):
    assert comparison(of).rule == rule


def test_json_reads_well_and_has_null_for_no_number():
    of = replace(difference(0.01, math.nan, math.nan, math.nan, math.nan), effect_size=math.nan)
    found = json.loads(json.dumps(replace(comparison(of), segments={"phone": {"nDCG@10": of}}).to_json()))
    told = {
        "requests": 40,
        "users": 20,
        "a": 0.5,
        "b": 0.51,
        "difference": {"mean": 0.01, "low": None, "high": None},
        "relative": 0.02,
        "p": None,
        "p_adjusted": None,
        "effect_size": None,
        "detectable": None,
        "verdict": "underpowered",
    }
    assert found == {
        "window": "test",
        "a": "old",
        "b": "new",
        "primary": "nDCG@10",
        "matters": 0.01,
        "verdict": "underpowered",
        "rule": comparison(of).rule,
        "overall": {"nDCG@10": told},
        "segments": {"phone": {"nDCG@10": told}},
        "left_out": {"nDCG@10": 3},
    }
    assert list(found)[:7] == ["window", "a", "b", "primary", "matters", "verdict", "rule"]


@pytest.mark.parametrize(("a", "relative"), [(0.5, 0.2), (-0.5, 0.2), (0.0, math.nan)])
def test_the_relative_difference_is_a_share_of_a(a, relative):
    assert replace(difference(0.1), a=a).relative == pytest.approx(relative, nan_ok=True)


def test_bad_input_is_refused():
    requests = make_requests()
    a, b = make_scores(requests)
    with pytest.raises(DataError, match=r"the test window holds no request to compare; move \[windows\] cuts"):
        compare_rankers(requests.clear(), a[:0], b[:0], ("old", "new"), {})
    with pytest.raises(DataError, match="the valid window holds no request to compare"):
        compare_values({"taste": (a[:0], b[:0])}, a[:0], ("old", "new"), {}, "valid")
    with pytest.raises(DataError, match=f"'new' has 3 values for {requests.height} candidates; give one per row"):
        compare_rankers(requests, a, b[:3], ("old", "new"), {})
    with pytest.raises(DataError, match=f"'phone' has 2 values for {requests.height} candidates; give one per row"):
        compare_rankers(requests, a, b, ("old", "new"), {"phone": np.array([True, True])})
    with pytest.raises(DataError, match="'phone' has 2 values for 3 requests; give one per row"):
        compare_values({"MRR": (a[:3], b[:3])}, a[:3], ("old", "new"), {"phone": np.array([True, True])})
    with pytest.raises(DataError, match="segment 'phone' holds 1 requests in part; flag all rows of a request alike"):
        compare_rankers(requests, a, b, ("old", "new"), {"phone": np.arange(len(a)) == 0})
    with pytest.raises(SettingsError, match="A and B are both named 'old'; give them two names"):
        compare_rankers(requests, a, b, ("old", "old"), {})
    with pytest.raises(SettingsError, match="primary is 'MAP', which is not among the measures AUC, nDCG@10, AUC pool"):
        compare(requests, a, b, replace(SMALL, primary="MAP"))


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("side", [0, 1])
def test_scores_that_are_no_number_are_refused(value, side):
    requests = make_requests()
    scores = make_scores(requests)
    scores[side][4] = value
    name = ("old", "new")[side]
    with pytest.raises(DataError, match=f"1 of {len(scores[0])} scores of '{name}' are NaN or inf, the first {value}"):
        compare(requests, *scores)


def test_without_a_positive_nothing_is_shown():
    requests = make_requests().with_columns(label=pl.lit(0))
    found = compare(requests, *make_scores(requests))
    assert found.verdict == Verdict.UNDERPOWERED
    assert found.left_out == {"AUC": 90, "nDCG@10": 90, "AUC pooled": 90}
    assert json.loads(json.dumps(found.to_json()))["overall"]["AUC"]["a"] is None


@pytest.mark.slow
def test_many_comparisons_keep_what_they_promise():
    lines, figures = prove(runs=100, users=5_000)
    assert [line.name for line in lines][-1] == "power"
    for line in lines:
        share = line.highest / 100
        slack = 400 * math.sqrt(share * (1 - share) / 100)
        assert line.lowest - slack <= line.percent <= line.highest + slack, line
    assert figures["true difference"] == pytest.approx(figures["detectable"], rel=0.2)


@pytest.mark.parametrize(
    ("users", "verdict"), [(2, Verdict.UNDERPOWERED), (5, Verdict.UNDERPOWERED), (6, Verdict.BETTER)]
)
def test_a_few_users_who_agree_are_no_verdict(users, verdict):
    ones, names, plan = np.ones(users), ("old", "new"), Plan(primary="gain", permutations=2000)
    found = compare_values({"gain": (0 * ones, ones), "same": (ones, ones)}, np.arange(users), names, {}, plan=plan)
    assert found.verdict == verdict
    assert (f"from {users} users, and fewer than 6 give no verdict" in found.rule) == (users < 6)
    said = answer(found)
    assert (said.next_step == "Compare them on more users: fewer than 6 give no verdict.") == (users < 6)
    assert found.overall["same"].verdict == (Verdict.UNDERPOWERED if users < 6 else Verdict.NO_DIFFERENCE)


def test_one_user_of_nearly_all_requests_can_be_written_about():
    random = np.random.default_rng(0)
    values, users = {"x": (random.random(1001), random.random(1001))}, np.array([0] * 1000 + [1])
    found = compare_values(values, users, ("old", "new"), {}, plan=Plan(primary="x", matters=1e-9))
    assert users_needed(found.overall["x"], 1e-9) is None
    assert answer(found).next_step.startswith("Compare them on more users")
