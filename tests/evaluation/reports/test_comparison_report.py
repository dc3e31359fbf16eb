import math
import re
from dataclasses import replace
from itertools import pairwise

import pytest

from recsys.evaluation.reports.comparison_report import to_html, to_text
from recsys.evaluation.reports.exhibited import Exhibits, PairedLists, Placed
from recsys.statistics.verdict import Verdict

HOSTILE = "<script>alert('x')</script>\" onload=\"y & z"


def text_of_rows(page, first):
    """Text of the table rows of a page that begin with `first`."""
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", page, flags=re.DOTALL)
    texts = [" ".join(re.sub(r"<[^>]*>", " ", row).split()) for row in rows]
    return [text for text in texts if text.startswith(first)]


def test_text_opens_with_the_verdict_and_the_rule(make_comparison):
    comparison = make_comparison()
    lines = to_text(comparison).splitlines()
    assert lines[0] == "BETTER. Yes: challenger orders better than champion."
    words = " ".join(" ".join(lines).split())
    assert f"Rule: {comparison.rule} Next: Let challenger replace champion" in words


def test_text_shows_every_measure_and_segment_with_its_numbers(make_comparison):
    text = to_text(make_comparison())
    found = {line.split("  ")[0].strip(): line.split()[-8:] for line in text.splitlines() if "better" in line}
    assert found["nDCG@10"][-7:] == ["0.4000", "0.4200", "+0.0200", "+0.0100..+0.0300", "0.012", "0.0140", "better"]
    assert found["AUC"][-7:-3] == ["0.4000", "0.4100", "+0.0100", "+0.0000..+0.0200"]
    assert found["device = phone"][-7:-3] == ["0.4000", "0.4300", "+0.0300", "+0.0200..+0.0400"]
    assert re.search(r"device = tv .* underpowered\n", text)
    assert "nDCG@10: 66 of 1,300 requests left out" in text


@pytest.mark.parametrize("width", [80, 100, 120])
def test_text_fits_its_width_and_cuts_neither_a_number_nor_a_verdict(
    make_comparison, make_difference, make_exhibits, width
):
    segments = {f"section = {'long ' * 20}": make_difference(-0.3, 0.2, Verdict.NO_DIFFERENCE)}
    others = {"first-hit MRR": make_difference(verdict=Verdict.UNDERPOWERED)}
    comparison = make_comparison(others=others, segments=segments, names=("a" * 200, "b" * 200))
    text = to_text(comparison, make_exhibits("word " * 60), width)
    assert max(len(line) for line in text.splitlines()) <= width
    assert text.count("-0.5000..-0.1000") == 1
    assert "underpowered" in text
    assert "no difference" in text


def test_text_has_no_mark_up_of_its_own(make_comparison):
    text = to_text(make_comparison(names=("[bold]a[/bold]", "b")))
    assert "[bold]a[/bold]" in text
    assert "\x1b" not in text


def test_text_tells_of_movement_and_of_what_needs_no_label(make_comparison, make_exhibits):
    text = to_text(make_comparison(), make_exhibits("a note"))
    assert (
        "B changes the first place of 37.5 % of 1,300 requests; top 10 in common 80.0 %; mean Kendall tau-b 0.61."
        in text
    )
    assert re.search(r"novelty\s+8.0000\s+8.5000\s+\+0.5000\n", text)
    assert re.search(r"repeats\s+3\s+1,200\s+\+1,197\n", text)
    assert text.endswith("a note\n")


@pytest.mark.parametrize("verdict", list(Verdict))
def test_the_page_opens_with_the_answer_and_what_to_do_next(read_page, make_comparison, make_difference, verdict):
    comparison = make_comparison(make_difference(verdict=verdict))
    page = read_page(to_html(comparison))
    answer = page.text[: page.text.index("B minus A with 95 % intervals")]
    assert "May challenger replace champion?" in answer
    assert verdict.capitalize() in answer
    assert "on 1,234 requests of 400 users (test window)" in answer
    assert "What to do next" in answer
    assert comparison.rule in answer


def test_what_makes_the_verdict_mean_less_stands_in_the_answer(read_page, make_comparison, make_exhibits):
    exhibits = replace(make_exhibits(), warnings=["The lists are sampled.", "popularity is a weak opponent."])
    few = "400 users are few: intervals are wide, the smallest difference they show with 80 % power is 0.0140, and 0.01"
    page = read_page(to_html(make_comparison(), exhibits)).text.replace("\N{NO-BREAK SPACE}", " ")
    lines = " ".join(to_text(make_comparison(), exhibits).split())
    for words in (*exhibits.warnings, few):
        assert page.index(words) < page.index("What to do next")
        assert lines.index(f"Mind: {words}") < lines.index("Next: ")


def test_verdicts_are_signs_and_words_and_not_colour_alone(read_page, make_comparison, make_difference):
    segments = {f"a = {verdict}": make_difference(verdict=verdict) for verdict in Verdict}
    text = read_page(to_html(make_comparison(segments=segments))).text
    for words in ("▲ better", "▼ worse", "= no difference shown", "? underpowered"):
        assert words in text


def test_the_page_needs_nothing_from_outside_and_runs_nothing(read_page, make_comparison, make_exhibits):
    source = to_html(make_comparison(), make_exhibits())
    page = read_page(source)
    assert not {"script", "link", "img", "iframe", "object", "embed", "base", "form"} & {
        tag for tag, _ in page.elements
    }
    assert not [
        name for _, attributes in page.elements for name in attributes if name.startswith("on") or name == "src"
    ]
    assert all(attributes["href"].startswith("#") for attributes in page.all("a"))
    assert not re.search(r"https?:|url\(|@import", source)
    policy = next(attributes for attributes in page.all("meta") if "http-equiv" in attributes)
    assert policy["content"] == "default-src 'none'; style-src 'unsafe-inline'"


@pytest.mark.parametrize("place", ["exhibit", "a", "b", "window", "measure", "segment", "group"])
def test_text_from_outside_is_shown_and_never_obeyed(read_page, make_comparison, make_difference, make_exhibits, place):
    names = (HOSTILE if place == "a" else "a", HOSTILE if place == "b" else "b")
    others = {HOSTILE: make_difference()} if place == "measure" else {}
    segments = {"group": {f"{HOSTILE} = x": make_difference()}, "segment": {f"x = {HOSTILE}": make_difference()}}.get(
        place, {}
    )
    comparison = make_comparison(None, others, segments, names, HOSTILE if place == "window" else "test")
    page = read_page(to_html(comparison, make_exhibits(HOSTILE if place == "exhibit" else "plain")))
    assert "script" not in {tag for tag, _ in page.elements}
    assert not [name for _, attributes in page.elements for name in attributes if name == "onload"]
    assert HOSTILE in page.text


def test_every_text_of_an_exhibit_is_shown(read_page, make_comparison, make_exhibits):
    text = read_page(to_html(make_comparison(), make_exhibits(HOSTILE))).text
    example, label_free, fact, note = 4, 2, 2, 1  # a request, a sentence about it, an item in two orders; pairs; one
    exposure, stress = 2, 2  # a line and a row; a side and a day
    assert text.count(HOSTILE) == example + label_free + fact + note + exposure + stress


def test_every_picture_has_a_text_alternative(read_page, make_comparison, make_exhibits):
    pictures = read_page(to_html(make_comparison(), make_exhibits())).all("svg")
    assert len(pictures) > 10
    assert all(picture["role"] == "img" and picture["aria-label"] for picture in pictures)
    labels = [picture["aria-label"] for picture in pictures]
    assert "nDCG@10: dot at +0.0200, 95 % interval from +0.0100 to +0.0300" in labels
    assert "1 up: 30.8 % of candidates" in labels


def test_headings_are_in_order_links_lead_to_them_and_ids_are_unique(read_page, make_comparison, make_exhibits):
    page = read_page(to_html(make_comparison(), make_exhibits()))
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    headings = [attributes["id"] for attributes in page.all("h2")]
    assert [attributes["href"] for attributes in page.all("a")] == ["#main", *(f"#{name}" for name in headings)]
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(set(ids)) == len(ids)
    assert [attributes["aria-labelledby"] for attributes in page.all("section")] == headings
    assert [len(page.all(tag)) for tag in ("header", "main", "footer", "nav")] == [1, 1, 1, 1]


def test_tables_have_captions_and_scopes_and_can_be_scrolled_by_keyboard(read_page, make_comparison, make_exhibits):
    page = read_page(to_html(make_comparison(), make_exhibits()))
    assert len(page.all("caption")) == len(page.all("table"))
    regions = [attributes for attributes in page.all("div") if attributes.get("class") == "scroll"]
    assert len(regions) == len(page.all("table"))
    assert all(region["tabindex"] == "0" and region["role"] == "region" and region["aria-label"] for region in regions)
    assert {attributes["scope"] for attributes in page.all("th")} == {"col", "row"}


def test_a_comparison_alone_makes_a_page_without_empty_sections(read_page, make_comparison):
    page = read_page(to_html(make_comparison(segments={})))
    assert [attributes["id"] for attributes in page.all("h2")] == ["answer", "measures", "facts", "reading"]
    assert "segment" not in to_text(make_comparison(segments={}))


def test_the_measure_that_decides_comes_first(make_comparison):
    comparison = make_comparison()
    comparison = replace(comparison, overall=dict(reversed(comparison.overall.items())))
    source, text = to_html(comparison), to_text(comparison)
    assert source.index(">nDCG@10</th>") < source.index(">AUC</th>")
    assert text.index("\n nDCG@10 ") < text.index("\n AUC ")


def test_segments_of_a_kind_stand_together_on_one_scale(read_page, make_comparison, make_difference):
    segments = {name: make_difference() for name in ("device = phone", "hour = 1", "device = tv", "cold", "a = b = c")}
    source = to_html(make_comparison(segments=segments))
    part = source[source.index('id="segments"') : source.index("Every measure in every segment")]
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", part)
    assert captions == ["Device", "Hour", "Requests", "A"]
    assert re.findall(r'class="name">(.*?)<', part) == ["phone", "tv", "1", "cold", "b = c"]
    scales = re.findall(r'aria-label="(Scale[^"]*)"', part)
    assert len(scales) == 4
    assert len(set(scales)) == 1


def test_what_is_no_number_is_a_dash_and_is_not_drawn(read_page, make_comparison, make_difference):
    nothing = make_difference(math.nan, math.nan, Verdict.UNDERPOWERED, users=0, detectable=math.nan)
    nothing = replace(nothing, requests=0, a=math.nan, p=math.nan, p_adjusted=math.nan, effect_size=math.nan)
    comparison = make_comparison(segments={"device = none": nothing, "device = one": make_difference(half=math.nan)})
    source = to_html(comparison)
    assert "nan" not in source
    assert "nan" not in to_text(comparison)
    labels = [picture["aria-label"] for picture in read_page(source).all("svg")]
    assert "none: no number to draw" in labels
    assert "one: dot at +0.0200" in labels
    assert read_page(to_html(make_comparison(nothing))).text.count("Compare them on more users.") == 1


def test_very_long_names_are_cut_in_headings_and_given_whole_among_the_facts(
    read_page, make_comparison, make_difference
):
    text = read_page(
        to_html(make_comparison(segments={"x = " + "y" * 90: make_difference()}, names=("a", "b" * 90)))
    ).text
    assert f"May {'b' * 59}… replace a?" in text
    assert f"B {'b' * 90} Window" in text
    assert "y" * 61 not in text


def test_examples_are_listed_in_both_orders_with_how_far_each_item_moved(make_comparison, make_exhibits):
    source = to_html(make_comparison(), make_exhibits("first"))
    of_a, of_b = (part.split("</table>")[0] for part in source.split('<table class="example">')[1:])
    rows = [
        [" ".join(re.sub(r"<[^>]*>", " ", row).split()) for row in re.findall(r"<tr.*?</tr>", part, re.DOTALL)][1:]
        for part in (of_a, of_b)
    ]
    assert rows[0] == ["1 first ▼ 2 down", "2 second ✓ clicked ▲ 1 up", "3 gone dropped"]
    assert rows[1] == ["1 second ✓ clicked ▲ 1 up", "2 new new", "3 first ▼ 2 down"]


def test_long_examples_show_the_top_and_every_clicked_item(make_comparison):
    listed = tuple(Placed(f"item {place}", place, 41 - place, int(place == 30) * 2) for place in range(1, 41))
    source = to_html(make_comparison(), Exhibits(examples=(PairedLists("r", "", listed),)))
    of_a, of_b = (part.split("</table>")[0] for part in source.split('<table class="example">')[1:])
    assert [int(place) for place in re.findall(r">item (\d+)", of_a)] == [*range(1, 11), 30]
    assert [int(place) for place in re.findall(r">item (\d+)", of_b)] == [*range(40, 30, -1), 30]
    assert of_a.count("gap") == 1
    assert of_b.count("gap") == 0
    assert "✓ clicked, label 2" in of_a


def test_a_system_that_lists_nothing_of_an_example_is_shown(read_page, make_comparison):
    examples = (PairedLists("r", "", (Placed("item", 1, None, 0),)),)
    assert "It lists nothing here." in read_page(to_html(make_comparison(), Exhibits(examples=examples))).text


def test_reliability_is_shown_for_those_that_give_click_probabilities(read_page, make_comparison, make_exhibits):
    both = to_html(make_comparison(), make_exhibits())
    assert text_of_rows(both, "Calibration error") == ["Calibration error 0.0123 0.0456"]
    assert both.count("<polyline") == 2
    assert text_of_rows(both, "all lists") == [
        "all lists 1,000 0.0123 0.0135 0.3000",
        "all lists 500 0.0456 0.0333 inf",
    ]
    assert text_of_rows(both, "lists of 5 to 6") == ["lists of 5 to 6 500 0.0234 0.0345 0.3100"]
    assert both.count("1,234 candidates without a click probability left out.") == 1
    only_b = replace(make_exhibits(), reliability_a=None)
    source = to_html(make_comparison(), only_b)
    assert text_of_rows(source, "Calibration error") == ["Calibration error 0.0456"]
    assert text_of_rows(source, "Measure B")
    assert 'class="curve b"' in source
    assert 'class="curve a"' not in source


def test_moves_stand_from_the_most_up_to_the_most_down(make_comparison, make_exhibits):
    source = to_html(make_comparison(), make_exhibits())
    bars = re.findall(r'aria-label="([^"]*) of candidates"', source)
    assert bars == ["2 up: 0.0 %", "1 up: 30.8 %", "Same place: 38.5 %", "1 down: 23.1 %", "2 down: 7.7 %"]
    assert "B lists 7 candidates that A does not, and leaves out 3 that A lists." in source


def test_the_same_comparison_gives_the_same_page(make_comparison, make_exhibits):
    assert to_html(make_comparison(), make_exhibits()) == to_html(make_comparison(), make_exhibits())
