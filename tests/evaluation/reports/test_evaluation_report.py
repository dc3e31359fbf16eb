import math
import re
from dataclasses import replace

import pytest

from recsys.data.made import NotOut
from recsys.data.tables import SAMPLED
from recsys.evaluation.evaluation import Evaluation, Results
from recsys.evaluation.field_results import FieldResults
from recsys.evaluation.reliability import Bin, ListReliability, Reliability
from recsys.evaluation.reports.evaluation_report import Example, Listed, to_html, to_text
from recsys.statistics.intervals import Interval

NAMES = ("AUC", "MRR", "first-hit MRR", "nDCG@5", "nDCG@10", "AUC pooled")


def row(mean, half):
    intervals = {name: Interval(mean, mean - half, mean + half) for name in NAMES}
    return {**intervals, "AUC pooled": Interval(mean, math.nan, math.nan)}


def make_evaluation(difference=0.02):
    rankers = {"random": row(0.5, 0.01), "behaviour": row(0.61234, 0.01), "both": row(0.64321, 0.01)}
    differences = {"both-random": row(0.14321, 0.01), "both-behaviour": row(difference, 0.01)}
    return Evaluation(
        window="test",
        overall=Results(12_345, 400, rankers, differences),
        segments={"cold items": Results(1, 1, rankers, differences), "new users": Results(0, 0, {}, {})},
        left_out={"AUC": 120, "MRR": 7, "nDCG@10": 7, "AUC pooled": 0},
    )


def make_page(evaluation=None, title="A report", facts=None, notes=(), examples=()):
    return to_html(evaluation or make_evaluation(), title, facts or {}, notes, examples)


def test_text_shows_every_ranker_by_two_measures_and_what_the_product_gains_over_it():
    text = to_text(make_evaluation())
    assert "test window: 12,345 requests" in text
    lines = [line.split() for line in text.splitlines()]
    assert lines.count(["ranker", "nDCG@10", *["both", "minus", "it"], "AUC", *["both", "minus", "it"]]) == 2
    assert lines.count(["random", *["0.5000", "+0.1432", "+0.1332..+0.1532"] * 2]) == 2
    assert lines.count(["behaviour", *["0.6123", "+0.0200", "+0.0100..+0.0300"] * 2]) == 2
    assert lines.count(["both", "0.6432", "0.6432"]) == 2
    assert "cold items: 1 request of 1 user\n" in text
    assert "new users: 0 requests of 0 users\n" in text


def test_text_tells_a_difference_between_two_others_in_a_line():
    evaluation = make_evaluation()
    told = {**evaluation.overall.differences, "text-untuned text": row(0.0042, 0.003)}
    text = to_text(replace(evaluation, overall=replace(evaluation.overall, differences=told)))
    assert "text minus untuned text: nDCG@10 +0.0042 (+0.0012..+0.0072), AUC +0.0042 (+0.0012..+0.0072)\n" in text


def test_measures_of_no_other_ranker_are_shown_with_their_intervals():
    alone = {"popular": row(0.2, 0.01)}
    made = FieldResults(7, 5, {"both": row(0.4, 0.01)}, {}, alone, field=9.0, size=5.0, choices=8, not_candidates=3)
    lines = [line.split() for line in to_text(replace(make_evaluation(), made=made)).splitlines()]
    assert ["source", "nDCG@10", "AUC"] in lines
    assert ["popular", *["0.2000", "0.1900..0.2100"] * 2] in lines


def test_text_says_what_measures_leave_out():
    text = to_text(make_evaluation())
    assert "AUC: 120 of 12,345 requests left out" in text
    assert "MRR, nDCG@10: 7 of 12,345 requests left out" in text
    whole = Evaluation("test", make_evaluation().overall, {}, {"AUC": 0})
    assert "No measure leaves out a request." in to_text(whole)


def test_what_nightly_lists_leave_out_is_told_and_of_others_nothing(read_page):
    logged, nightly = make_evaluation(), replace(make_evaluation(), not_out=NotOut(1_412, 71, 139))
    said = "1,412 candidates were not out when their lists were made, and are left out; 71 of 139 clicks (51.1 %) fell"
    assert said in " ".join(to_text(nightly).split())
    assert said in read_page(make_page(nightly)).text
    assert "were not out" not in to_text(logged) + make_page(logged)
    assert nightly.to_json()["not_out"] == {"candidates": 1_412, "clicks": 71, "of_clicks": 139, "share": 71 / 139}
    assert "not_out" not in logged.to_json()


def test_reliability_is_shown_by_size_of_list_where_there_is_one(read_page):
    few = Reliability((Bin(0.2, 0.25, 1500),), 0.05, 0.0123, 0.1, 0.4321)
    bins = (Bin(0.1, 0.12, 1000), Bin(0.3, 0.25, 1000))
    found = ListReliability(bins, 0.035, 0.0111, 0.1, 0.5432, {"5 to 6": few}, unknown=12)
    told = replace(make_evaluation(), reliability=found)
    lines = [" ".join(line.split()) for line in to_text(told).splitlines()]
    off = "Click probabilities of both are off by 0.0350 on average over ten bins (right ones by up to 0.0111, 95 times of"
    assert any(line.startswith(off) for line in lines)
    assert "Click probabilities: 12 candidates left out, lists of sizes not learnt from." in lines
    page = make_page(told)
    for figure in ("0.0350", "0.0111", "0.5432", "0.0500", "0.0123", "0.4321", "lists of 5 to 6", "Calibration error"):
        assert figure in page
    assert "12 candidates without a click probability left out." in read_page(page).text
    for silent in (to_text(make_evaluation()), make_page()):
        assert "robabilities" not in silent


def test_sampled_lists_are_called_so_and_logged_ones_are_not(read_page):
    logged, sampled = make_evaluation(), replace(make_evaluation(), sampled=True)
    assert SAMPLED in " ".join(to_text(sampled).split())
    assert SAMPLED in read_page(make_page(sampled)).text
    assert "sampled" not in to_text(logged) + make_page(logged)


@pytest.mark.parametrize("width", [80, 100, 120])
def test_text_fits_its_width_and_cuts_no_number(width):
    text = to_text(make_evaluation(), width)
    assert max(len(line) for line in text.splitlines()) <= width
    assert "…" not in text
    assert text.count("+0.1332..+0.1532") == 4


def test_intervals_are_whole_however_long_the_names_are():
    evaluation = make_evaluation()
    table = {f"{name}-{'x' * 30}": row for name, row in evaluation.overall.differences.items()}
    long = replace(evaluation, overall=replace(evaluation.overall, differences=table))
    assert "…" not in to_text(long, 120)


def test_text_has_no_mark_up_of_its_own():
    evaluation = make_evaluation()
    odd = Evaluation("test", Results(1, 1, {"[bold]x[/bold]": row(0.5, 0.1)}, {}), {}, {})
    assert "[bold]x[/bold]" in to_text(odd)
    assert "\x1b" not in to_text(evaluation)


def test_page_holds_every_number_once_per_table(read_page):
    page = read_page(make_page())
    assert "12,345 requests" in page.text
    for number in ("0.6432", "0.6332 to 0.6532", "+0.1432", "+0.0100 to +0.0300"):
        assert number in page.text
    assert len(page.all("table")) == 4
    charts, rankers, differences = 2 * 5, 3, 2
    assert len(page.all("svg")) == charts * (rankers + 1 + differences + 1)  # a strip per row and a scale per chart
    assert "No request of this window belongs here." in page.text


def test_page_needs_nothing_from_outside_and_runs_nothing(read_page):
    page = make_page(facts={"Model": "m"}, notes=["n"], examples=[Example("r1", (), (Listed("t", 1, 2, 1),))])
    elements = read_page(page).elements
    assert not {"script", "link", "img", "iframe", "object", "embed"} & {tag for tag, _ in elements}
    assert not [name for _, attributes in elements for name in attributes if name.startswith("on") or name == "src"]
    assert all(attributes["href"].startswith("#") for tag, attributes in elements if tag == "a")
    assert not re.search(r"https?:|url\(|@import", page)
    policy = next(attributes for attributes in read_page(page).all("meta") if "http-equiv" in attributes)
    assert policy["content"] == "default-src 'none'; style-src 'unsafe-inline'"


def test_links_lead_to_headings_of_the_page(read_page):
    page = read_page(make_page(facts={"Model": "m"}, examples=[Example("r1", (), ())]))
    headings = [attributes["id"] for attributes in page.all("h2")]
    assert [attributes["href"] for attributes in page.all("a")] == ["#main", *(f"#{name}" for name in headings)]
    assert len(set(headings)) == len(headings) == 7


def test_tables_have_captions_and_can_be_scrolled_by_keyboard(read_page):
    page = read_page(make_page())
    assert len(page.all("caption")) == len(page.all("table"))
    regions = [attributes for attributes in page.all("div") if attributes.get("class") == "scroll"]
    assert len(regions) == len(page.all("table"))
    assert all(region["tabindex"] == "0" and region["aria-label"] for region in regions)
    assert {attributes["scope"] for attributes in page.all("th")} == {"col", "row"}
    assert all(attributes["role"] == "img" and attributes["aria-label"] for attributes in page.all("svg"))


HOSTILE = "<script>alert('x')</script>\" onload=\"y & z"


@pytest.mark.parametrize("place", ["title", "fact", "note", "ranker", "segment", "window", "item", "recent", "request"])
def test_text_from_outside_is_shown_and_never_obeyed(read_page, place):
    given = {name: HOSTILE if name == place else "plain" for name in ("title", "fact", "note", "item", "recent")}
    evaluation = make_evaluation()
    rankers = {**evaluation.overall.rankers, **({HOSTILE: row(0.4, 0.1)} if place == "ranker" else {})}
    segments = {HOSTILE: Results(0, 0, {}, {})} if place == "segment" else {}
    evaluation = Evaluation(
        HOSTILE if place == "window" else "test", Results(3, 2, rankers, evaluation.overall.differences), segments, {}
    )
    example = Example(HOSTILE if place == "request" else "r", (given["recent"],), (Listed(given["item"], 1, 2, 0),))
    page = read_page(make_page(evaluation, given["title"], {given["fact"]: given["fact"]}, [given["note"]], [example]))
    assert "script" not in {tag for tag, _ in page.elements}
    assert not [name for _, attributes in page.elements for name in attributes if name == "onload"]
    assert HOSTILE in page.text


def test_example_lists_stand_in_the_order_of_the_product(read_page):
    listed = (Listed("third", 3, 1, 0), Listed("first", 1, 2, 1), Listed("second", 2, 3, 0))
    page = read_page(
        make_page(examples=[Example("r7", ("read before",), listed), Example("r8", (), ()), Example("r9", None, ())])
    ).text
    assert "first 1 2 1 second 2 3 0 third 3 1 0" in page
    assert "read before" in page
    assert page.count("A user with no history.") == 1


@pytest.mark.parametrize(("difference", "word"), [(0.02, "Better"), (-0.02, "Worse"), (0.001, "No clear difference")])
def test_the_page_opens_with_a_verdict_in_words(read_page, difference, word):
    text = read_page(make_page(make_evaluation(difference))).text
    assert f"nDCG@10, both against behaviour {difference:+.4f} {word}" in text


def test_what_is_no_number_is_a_dash():
    nothing = {name: Interval(math.nan, math.nan, math.nan) for name in NAMES}
    evaluation = Evaluation("test", Results(2, 2, {"text": nothing, "both": nothing}, {"both-text": nothing}), {}, {})
    assert "nan" not in to_text(evaluation)
    page = make_page(evaluation)
    assert "nan" not in page
    assert "No clear difference" in page
    assert "\N{EN DASH}" in to_text(evaluation)


def test_headings_keep_the_letters_of_names(read_page):
    evaluation = make_evaluation()
    page = read_page(make_page(Evaluation("test", evaluation.overall, {"users of MIND": Results(0, 0, {}, {})}, {})))
    assert "Users of MIND" in page.text
    assert "Test window, 12,345 requests" in page.text


def test_the_same_evaluation_gives_the_same_page():
    assert make_page() == make_page()


def test_made_lists_stand_before_those_of_the_window_with_what_each_source_finds(read_page):
    logged = make_evaluation()
    made = FieldResults(
        77,
        55,
        {"popularity": row(0.31, 0.01), "both": row(0.42, 0.01)},
        {"both-popularity": row(0.11, 0.01)},
        {"popular": row(0.2345, 0.01), "all": row(0.3456, 0.01)},
        field=900.0,
        size=99.0,
        choices=80,
        not_candidates=3,
    )
    with_made = replace(logged, made=made)
    text = to_text(with_made, 160)
    assert text.index("for 77 moments of 55 users") < text.index("test window: 12,345 requests")
    assert "0.2345" in text
    assert "made" not in to_text(logged)
    page = read_page(make_page(with_made)).text
    assert page.index("Lists made of the whole field") < page.index("All requests")
    assert "What each source finds" in page
    assert "0.3456" in page
    assert "12,345 requests" in page
    assert "What each source finds" not in read_page(make_page(logged)).text


def test_each_difference_names_its_two_sides() -> None:
    interval = Interval(0.01, -0.01, 0.03)
    differences = {
        name: {"nDCG@10": interval} for name in ("both-untuned text", "both-co-visitation", "text-untuned text")
    }
    rankers = {name: {"nDCG@10": Interval(0.5, 0.4, 0.6)} for name in ("text", "untuned text", "co-visitation", "both")}
    page = to_html(Evaluation("test", Results(10, 9, rankers, differences), {}, {}), "t", {}, [])
    for pair in ("both against untuned text", "both against co-visitation", "text against untuned text"):
        assert page.count(f"nDCG@10, {pair}<") == 1
