import math
from dataclasses import replace

import pytest

from recsys.data.tables import SAMPLED
from recsys.evaluation.evaluation import Evaluation, Results
from recsys.evaluation.field_results import FieldResults
from recsys.evaluation.reports.brief import SECOND, brief
from recsys.evaluation.reports.evaluation_report import to_html, to_text
from recsys.statistics.intervals import Interval


def make_evaluation(mean=0.02, half=0.005, users=400, others=("random", "popularity", "behaviour")):
    means = {"random": 0.3, "popularity": 0.4, "behaviour": 0.45, "house rules": 0.35}
    rankers = {name: {"nDCG@10": Interval(means[name], 0.0, 1.0)} for name in others}
    differences = {f"both-{name}": {"nDCG@10": Interval(mean, mean - half, mean + half)} for name in others}
    rankers["both"] = {"nDCG@10": Interval(0.4 + mean, 0.0, 1.0)}
    return Evaluation("test", Results(1234, users, rankers, differences), {}, {"nDCG@10": 0})


SIZE = "nDCG@10 goes from 0.4000 to {}, {}, with 95 % confidence {} to {}, on 1,234 requests of 400 users; "


@pytest.mark.parametrize(
    ("mean", "half", "begin", "numbers", "end"),
    [
        (0.02, 0.005, "The model orders better than", ("0.4200", "+0.0200 or +5.0 %", "+0.0150", "+0.0250"), "compare it with what you use today, and let it replace that only if it wins there too."),
        (-0.02, 0.005, "The model orders worse than", ("0.3800", "-0.0200 or -5.0 %", "-0.0250", "-0.0150"), "do not use it."),
        (0.0, 0.03, "It is not known whether the model orders better than", ("0.4000", "+0.0000 or +0.0 %", "-0.0300", "+0.0300"), "evaluate on more users first."),
        (0.0, 0.005, "The model orders no better than", ("0.4000", "+0.0000 or +0.0 %", "-0.0050", "+0.0050"), "the simple rule does as well."),
    ],
)  # fmt: skip
def test_one_sentence_says_whether_by_how_much_how_sure_and_what_to_do(mean, half, begin, numbers, end):
    said = brief(make_evaluation(mean, half)).sentence
    assert said == f"{begin} the strongest simple rule (popularity): {SIZE.format(*numbers)}{end}"


def test_requests_that_the_figure_is_not_defined_for_are_no_part_of_it():
    said = brief(replace(make_evaluation(), left_out={"nDCG@10": 234})).sentence
    assert "on 1,000 of 1,234 requests of 400 users;" in said


def test_a_handful_of_users_says_nothing_sure():
    said = brief(make_evaluation(users=5))
    assert said.sentence.endswith(
        "on 1,234 requests of 5 users, and fewer than 6 users say nothing sure; evaluate on more users before you "
        "decide."
    )
    assert said.warnings[-1].startswith("5 users are few: the difference is known to ± 0.0050 only")
    assert "known to no interval at all" in brief(make_evaluation(half=math.nan, users=1)).warnings[-1]


@pytest.mark.parametrize(("mean", "told"), [(-0.02, True), (0.0, True), (0.001, False)])
def test_a_model_that_does_not_win_comes_with_what_may_help(mean, told):
    warnings = brief(make_evaluation(mean)).warnings
    assert any(each.startswith("What may help: ids that meet in all tables") for each in warnings) == told


def test_what_makes_the_figures_mean_less_is_said():
    assert brief(make_evaluation()).warnings == (
        "popularity is a weak opponent, a rule that needs no training: beating it is the least a model must do. "
        "`recsys compare` holds it against what you use today.",
    )
    sampled, _, few = brief(replace(make_evaluation(half=0.03), sampled=True)).warnings
    assert sampled == SAMPLED
    assert few == "400 users are few: the difference is known to ± 0.0300 only, and 0.01 usually matters."


def test_many_ties_are_told_and_few_are_not():
    many, few = (replace(make_evaluation(), tied={"both": share, "random": 1.0}) for share in (0.125, 0.01))
    assert brief(few).warnings == brief(make_evaluation()).warnings
    assert brief(many).warnings[-1] == (
        "12.5 % of the candidates have the score of another one in their list: nothing that the model knows tells them "
        "apart, and [ranker] ties says what orders them."
    )


def test_without_a_baseline_the_strongest_other_ranker_is_the_opponent():
    said = brief(make_evaluation(others=("house rules", "behaviour")))
    assert said.sentence.startswith("The model orders better than behaviour: nDCG@10 goes from 0.4500 to")
    assert said.warnings == ()


def test_without_a_product_nothing_is_said_but_what_the_lists_are():
    bare = replace(make_evaluation(), overall=Results(1, 1, {"old": {"nDCG@10": Interval(0.5, 0.4, 0.6)}}, {}))
    assert (brief(bare).sentence, brief(bare).warnings) == ("", ())
    assert brief(replace(bare, sampled=True)).warnings == (SAMPLED,)


def test_the_page_and_the_terminal_begin_with_it(read_page):
    evaluation = replace(make_evaluation(half=0.03), sampled=True)
    said = brief(evaluation)
    page = read_page(to_html(evaluation, "t", {}, ())).text.replace("\N{NO-BREAK SPACE}", " ")
    lines = " ".join(to_text(evaluation).split())
    assert lines.startswith(f"{said.sentence} Mind: {said.warnings[0]}")
    assert page.index("In one sentence") < page.index(said.sentence)
    for words in (said.sentence, *said.warnings):
        assert page.index(words) < page.index("How well each ranker orders")
        assert lines.index(words) < lines.index("test window: 1,234 requests")


def test_ages_from_first_showings_come_with_the_figure_to_rely_on():
    evaluation = make_evaluation(others=("popularity", "behaviour"))
    results = evaluation.overall
    beside = replace(results, rankers={**results.rankers, "both without ages": results.rankers["behaviour"]})
    said = [each for each in brief(replace(evaluation, overall=beside)).warnings if "ages of items" in each]
    assert said[0].endswith('"both without ages" is the same model without ages of items, and the safer figure.')
    assert not any("ages of items" in each for each in brief(evaluation).warnings)


def test_lists_made_of_the_whole_field_decide_where_there_are_any():
    better, worse = make_evaluation(0.02), make_evaluation(-0.02)
    made = FieldResults(
        77,
        55,
        better.overall.rankers,
        better.overall.differences,
        {},
        field=900.0,
        size=99.0,
        choices=80,
        not_candidates=3,
    )
    said = brief(replace(worse, sampled=True, made=made))
    assert said.sentence.startswith("The model orders better than the strongest simple rule (popularity)")
    assert not any(each.startswith("By ") for each in said.warnings)
    assert "on 77 lists made of the whole field for 55 users;" in said.sentence
    assert said.warnings[0] == SECOND
    assert SAMPLED not in said.warnings


def test_a_single_source_is_a_simple_rule_and_where_a_model_is_worse_is_said():
    others = ("popularity", "covisited", "behaviour")
    means = {"popularity": 0.2, "covisited": 0.3, "behaviour": 0.5, "both": 0.4}
    rankers = {name: {"nDCG@10": Interval(mean, 0.0, 1.0)} for name, mean in means.items()}
    better, less, same = Interval(0.1, 0.05, 0.15), Interval(-0.2, -0.3, -0.1), Interval(-0.1, -0.3, 0.1)
    differences = {
        f"both-{name}": {"nDCG@10": better, "recall@50": less if name == "covisited" else same} for name in others
    }
    made = FieldResults(
        77, 55, rankers, differences, {"covisited": {}}, field=900.0, size=99.0, choices=80, not_candidates=3
    )
    said = brief(replace(make_evaluation(), sampled=True, made=made))
    assert said.sentence.startswith("The model orders better than the strongest simple rule (covisited)")
    assert said.warnings[1].startswith("covisited is a weak opponent, a rule that needs no training")
    assert said.warnings[2:3] == ("By recall@50 (-0.2000) the model is worse than covisited.",)


def test_whatever_the_model_is_worse_than_is_said_on_all_requests_and_in_segments() -> None:
    better, worse = Interval(0.02, 0.01, 0.03), Interval(-0.15, -0.23, -0.07)
    evaluation = make_evaluation()
    rows = {"both-co-visitation": {"AUC": better, "nDCG@10": worse}, "text-untuned text": {"AUC": worse}}
    overall = replace(evaluation.overall, differences={**evaluation.overall.differences, **rows})
    cold = Results(45, 35, {}, {"both-text": {"AUC": worse, "nDCG@10": worse}, "both-random": {"AUC": better}})
    warnings = brief(replace(evaluation, overall=overall, segments={"cold items": cold})).warnings
    assert "By nDCG@10 (-0.1500) the model is worse than co-visitation." in warnings
    assert "By AUC (-0.1500), nDCG@10 (-0.1500) the model is worse than text on cold items (45 requests)." in warnings
    assert not any("untuned" in each or "random on" in each for each in warnings)


def test_users_without_a_figure_are_not_counted() -> None:
    evaluation = make_evaluation()
    evaluation = replace(evaluation, overall=replace(evaluation.overall, judged={"nDCG@10": 196}))
    assert "on 1,234 requests of 196 users;" in brief(evaluation).sentence
