"""An explained list in words, JSON and a page."""

import json
from dataclasses import replace
from datetime import UTC, datetime

from recsys.explaining.told import ExplainedList, Named, Part, Place

AT = datetime(2024, 5, 1, 8, 30, tzinfo=UTC)
FIRST = Place(
    "7", "Rye bread", 1, 1.25, 0.25, (Part("text", 1.5, 2.0), Part("popularity", -0.5, 0.6)),
    (Named("Sourdough", 0.4),), "interest", (Named("bread", 0.3), Named("rye", 0.1)),
)  # fmt: skip
SECOND = Place("8", "<b>Shoes</b>", 2, 0.25, 0.5, (Part("popularity", -0.25, 0.5),), (), "appeal", ())
LIST = ExplainedList("r1", "u1", AT, AT, 4, (FIRST, SECOND), ('"Rye bread" stands above "<b>Shoes</b>".',))


def test_words_name_what_speaks_for_each_place() -> None:
    assert LIST.to_text().split("\n") == [
        "Request r1 of user u1, 4 candidates, asked for at 2024-05-01 08:30:00 UTC, of what was known before "
        "2024-05-01 08:30:00 UTC",
        "What speaks for each is said beside the others of this list, not of all items.",
        "",
        "1. Rye bread (item 7): score 1.250, others 0.250",
        "   +1.500 what its text says (text) ■■■■■■■■■",
        "   -0.500 how popular it is (popularity) ■■■",
        "   past clicks that speak for it: Sourdough (+0.400)",
        "   words that raise interest: bread (+0.300), rye (+0.100)",
        "",
        "2. <b>Shoes</b> (item 8): score 0.250, others 0.500",
        "   -0.250 how popular it is (popularity) ■■",
        "",
        '"Rye bread" stands above "<b>Shoes</b>".',
    ]


def test_the_families_that_weigh_least_are_told_together() -> None:
    parts = tuple(Part("text", 0.5**place, 0.5**place) for place in range(9))
    said = replace(LIST, places=(replace(FIRST, parts=parts),), why=()).to_text()
    assert f"   {sum(part.adds for part in parts[6:]):+.3f} all else" in said
    assert said.count("(text)") == 6


def test_json_is_plain() -> None:
    told = json.loads(json.dumps(LIST.to_json()))
    assert told["request"] == "r1"
    assert told["as_of"] == "2024-05-01T08:30:00+00:00"
    assert told["places"][0]["parts"][0] == {"family": "text", "adds": 1.5, "weight": 2.0}
    assert told["places"][0]["named_first"] == "text"
    assert told["places"][0]["words"][1] == {"what": "rye", "adds": 0.1}
    assert told["places"][1]["clicks"] == []


def test_the_page_shows_text_as_text(read_page) -> None:
    page = read_page(LIST.to_html())
    assert "Why this list?" in page.text
    assert "Rye bread" in page.text
    assert "<b>Shoes</b>" in page.text
    assert "<b>Shoes" not in LIST.to_html()
    assert len(page.all("table")) == 2
    assert "Sourdough (+0.400)" in page.text


def test_rules_and_chance_are_told_beside_the_score() -> None:
    ruled = replace(FIRST, boost=0.3, fixed=True, propensity=0.0125)
    said = replace(LIST, places=(ruled, replace(SECOND, propensity=1.0)), left_out=1).to_text()
    assert "4 candidates, 1 of which rules leave out, asked for" in said
    assert (
        "score 1.250, others 0.250, boosted by +0.300, fixed to its place, there with a probability of 0.0125\n" in said
    )
    assert "2. <b>Shoes</b> (item 8): score 0.250, others 0.500\n" in said


def test_an_empty_list_is_told_too(read_page) -> None:
    nothing = replace(LIST, places=(), why=(), left_out=4)
    assert nothing.to_text().split("\n")[1:] == ["Nothing is listed: [rules] leave out all candidates."]
    assert nothing.to_json()["places"] == []
    assert "Why this list?" in read_page(nothing.to_html()).text
