import math
from dataclasses import replace

import pytest

from recsys.evaluation.reports.answer import answer, users_needed
from recsys.statistics.intervals import Interval
from recsys.statistics.verdict import Verdict


@pytest.mark.parametrize(
    ("verdict", "headline"),
    [
        (Verdict.BETTER, "Yes: challenger orders better than champion."),
        (Verdict.WORSE, "No: challenger orders worse than champion."),
        (Verdict.NO_DIFFERENCE, "Nothing speaks for it: no difference between challenger and champion is shown."),
        (Verdict.UNDERPOWERED, "Not known yet: there are too few users to tell."),
    ],
)
def test_the_headline_says_whether_b_may_replace_a(make_comparison, make_difference, verdict, headline):
    found = answer(make_comparison(make_difference(verdict=verdict)))
    assert (found.verdict, found.headline) == (verdict, headline)


def test_the_finding_says_by_how_much_how_sure_and_on_how_many(make_comparison):
    assert answer(make_comparison()).finding == (
        "nDCG@10 goes from 0.4000 to 0.4200, +0.0200 or +5.0 % (95 % interval +0.0100 to +0.0300, p = 0.004), "
        "on 1,234 requests of 400 users (test window)."
    )


def test_a_finding_without_an_interval_says_why(make_comparison, make_difference):
    one_user = make_difference(half=math.nan, users=1, verdict=Verdict.UNDERPOWERED, detectable=math.nan)
    found = answer(make_comparison(one_user))
    assert found.finding.endswith("on 1,234 requests of 1 user (test window). Fewer than two users give no interval.")
    assert found.next_step == "Compare them on more users."


def test_a_mean_of_zero_has_no_relative_difference(make_comparison, make_difference):
    assert "%" not in answer(make_comparison(replace(make_difference(), a=0.0))).finding.split("(")[0]


def test_more_users_are_counted_by_the_square_of_what_they_miss(make_comparison, make_difference):
    missed = make_difference(0.001, verdict=Verdict.UNDERPOWERED, users=400, detectable=0.02)
    assert users_needed(missed, matters=0.01) == 1600
    assert answer(make_comparison(missed)).next_step == (
        "Compare them on about 1,200 more users (1,600 in all): so many show a difference of 0.01 with 80 % power, "
        "the present 400 users only one of 0.0200."
    )


@pytest.mark.parametrize(("detectable", "matters"), [(math.nan, 0.01), (0.02, 0.0)])
def test_nobody_knows_how_many_users_show_nothing(make_difference, detectable, matters):
    assert users_needed(make_difference(detectable=detectable), matters) is None


@pytest.mark.parametrize(
    ("mean", "verdict", "step"),
    [
        (0.02, Verdict.BETTER, "Let challenger replace champion, by an online experiment first where one is possible."),
        (0.004, Verdict.BETTER, "The gain is real but smaller than the 0.01 that matters: weigh it against what challenger costs."),
        (-0.02, Verdict.WORSE, "Keep champion."),
        (0.0, Verdict.NO_DIFFERENCE, "A true difference of 0.01 would have shown with at least 80 % power. Keep champion, or choose by cost and by the measures that need no label."),
    ],
)  # fmt: skip
def test_every_verdict_has_a_next_step(make_comparison, make_difference, mean, verdict, step):
    assert answer(make_comparison(make_difference(mean, verdict=verdict))).next_step == step


def test_what_says_otherwise_is_named_the_largest_first(make_comparison, make_difference):
    worse = {f"hour = {hour}": make_difference(-0.01 * hour, verdict=Verdict.WORSE) for hour in range(1, 6)}
    found = answer(make_comparison(others={"AUC": make_difference(0.01)}, segments=worse))
    assert found.exceptions == (
        "Worse for hour = 5 (-0.0500), hour = 4 (-0.0400), hour = 3 (-0.0300) and 2 more.",
    )  # fmt: skip
    unclear = make_difference(verdict=Verdict.UNDERPOWERED)
    found = answer(
        make_comparison(unclear, {"AUC": make_difference(0.01)}, {"a": make_difference(-0.02, verdict=Verdict.WORSE)})
    )
    assert found.exceptions == ("Worse for a (-0.0200).", "Better for AUC (+0.0100).")


def test_long_names_are_cut(make_comparison):
    found = answer(make_comparison(names=("a", "b" * 100)))
    assert found.headline == f"Yes: {'b' * 59}… orders better than a."


def test_an_interval_of_width_zero_is_an_interval(make_comparison, make_difference):
    same = replace(make_difference(0.0, verdict=Verdict.NO_DIFFERENCE), interval=Interval(0.0, 0.0, 0.0), p=1.0)
    assert "(95 % interval +0.0000 to +0.0000, p = 1.000)" in answer(make_comparison(same)).finding


@pytest.mark.parametrize(("mean", "side"), [(0.02, "above"), (-0.02, "below")])
def test_an_interval_that_leaves_out_0_and_is_not_enough_says_why(make_comparison, make_difference, mean, side):
    five = make_difference(mean, verdict=Verdict.UNDERPOWERED, users=5)
    assert answer(make_comparison(five)).finding.endswith(
        f"on 1,234 requests of 5 users (test window): the interval lies {side} 0, but 5 users may agree by chance, a "
        "verdict takes 6: 1 more user."
    )
    many = replace(make_difference(mean, verdict=Verdict.UNDERPOWERED), p_adjusted=0.08)
    for found in (
        answer(make_comparison(others={"AUC": many}, segments={})),
        answer(make_comparison(others={}, segments={"AUC": many})),
    ):
        assert found.exceptions == (
            f"Underpowered for AUC: the interval lies {side} 0, but p, corrected for all that is looked at, is 0.080 "
            "and not at most 0.05, and the size to show a difference of 0.01 is not reached (400 users show 0.0140): "
            "about 384 more users.",
        )


def test_of_many_that_are_not_enough_a_few_are_named(make_comparison, make_difference):
    unsure = {f"hour = {hour}": make_difference(verdict=Verdict.UNDERPOWERED) for hour in range(5)}
    found = answer(make_comparison(segments=unsure)).exceptions
    assert len(found) == 4
    assert found[-1] == "2 more are underpowered for the same reasons."


def test_an_interval_that_holds_0_has_nothing_to_explain(make_comparison, make_difference):
    holds = make_difference(0.005, verdict=Verdict.UNDERPOWERED)
    found = answer(make_comparison(holds, {"AUC": holds}, {}))
    assert found.finding.endswith("(test window).")
    assert found.exceptions == ()


def test_few_users_are_called_few(make_comparison, make_difference):
    assert answer(make_comparison(make_difference(detectable=0.01))).warnings == ()
    assert answer(make_comparison(make_difference(detectable=0.02))).warnings == (
        "400 users are few: intervals are wide, the smallest difference they show with 80 % power is 0.0200, and 0.01 "
        "matters.",
    )
    one = make_difference(half=math.nan, users=1, verdict=Verdict.UNDERPOWERED, detectable=math.nan)
    assert answer(make_comparison(one)).warnings == ("1 user is few: intervals are wide, and 0.01 matters.",)


def test_where_it_is_worse_is_named_before_it_may_replace(make_comparison, make_difference) -> None:
    found = make_comparison(make_difference(0.02, verdict=Verdict.BETTER))
    worse = make_difference(-0.03, verdict=Verdict.WORSE)
    told = answer(replace(found, segments={"past clicks = 1 to 4": {found.primary: worse}})).next_step
    assert told.startswith("See first to past clicks = 1 to 4, where it is worse. Let challenger replace champion")
