import math

import pytest
from jinja2 import TemplateNotFound, UndefinedError

from recsys.evaluation.reports.pages import (
    chance,
    count,
    glued,
    left_out,
    number,
    percent,
    points,
    printed,
    render,
    sentence,
    signed,
    terminal,
)

DASH = "\N{EN DASH}"


@pytest.mark.parametrize(
    ("write", "value", "text"),
    [
        (number, 0.12344, "0.1234"),
        (number, 1200, "1,200"),
        (number, math.nan, DASH),
        (points, -0.0251, "-2.5"),
        (points, 0.0, "+0.0"),
        (points, math.nan, DASH),
        (signed, 0.5, "+0.5000"),
        (signed, -0.5, "-0.5000"),
        (signed, -0.00001, "+0.0000"),
        (signed, -1200, "-1,200"),
        (signed, math.nan, DASH),
        (percent, 0.375, "37.5 %"),
        (percent, math.nan, DASH),
        (chance, 0.0004, "< 0.001"),
        (chance, 0.0123, "0.012"),
        (chance, 1.0, "1.000"),
        (chance, math.nan, DASH),
    ],
)
def test_numbers_are_written_for_people(write, value, text):
    assert write(value) == text


def test_words_follow_their_number():
    assert [count(of, "user") for of in (0, 1, 1200)] == ["0 users", "1 user", "1,200 users"]


def test_a_sentence_begins_with_a_capital_and_keeps_its_names():
    assert sentence("users of MIND") == "Users of MIND"
    assert sentence("") == ""


def test_a_percent_sign_stays_with_its_number():
    assert glued("a 95 % interval") == "a 95\N{NO-BREAK SPACE}% interval"


def test_measures_that_leave_out_alike_share_a_sentence():
    assert left_out({"MRR": 7, "AUC": 1, "nDCG@5": 7, "hit@1": 0}, 1000) == [
        "MRR, nDCG@5: 7 of 1,000 requests left out, not defined for their labels.",
        "AUC: 1 of 1,000 requests left out, not defined for their labels.",
    ]
    assert left_out({"MRR": 0}, 10) == ["No measure leaves out a request."]


def test_a_terminal_keeps_what_is_printed_and_takes_no_mark_up():
    console = terminal(10)
    console.print("[bold]x[/bold]  ")
    console.print("one two three")
    assert printed(console) == "[bold]x[/b\nold]\none two\nthree\n"


def test_a_template_with_a_missing_value_is_an_error():
    with pytest.raises(UndefinedError):
        render("report.html.j2", {})
    with pytest.raises(TemplateNotFound):
        render("none.html.j2", {})


def test_names_from_the_data_cannot_command_a_terminal():
    console = terminal(200)
    console.print("x\x1b]0;title \x1b[31mred\x9b \u202egnp\x00", "two\nlines")
    assert printed(console) == r"x\x1b]0;title \x1b[31mred\x9b \u202egnp\x00 two" + "\nlines\n"
