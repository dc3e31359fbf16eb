import logging
import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from recsys.cli import FINE, NO, _Shown, main
from recsys.data.tables import Dataset
from recsys.evaluation.comparison import compare_values
from recsys.evaluation.plan import Plan
from recsys.evaluation.reports.comparison_report import to_html
from recsys.evaluation.reports.exhibited import Exhibits, PairedLists, Placed
from recsys.features.catalogue import to_html as catalogue
from recsys.features.settings import FeatureSettings
from recsys.shown import LONGEST_NAME, counted, finish, plain, short, shown

DIRECTION = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202egnp\u2066\r"
WRITTEN = r"\x1b]0;owned\x07\x1b[2J\x9b31m\u202egnp\u2066\r"


def obeyed(text: str) -> set[str]:
    return {
        letter
        for letter in text
        if letter not in "\t\n" and (unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") or letter in DIRECTION)
    }


@given(st.text(st.characters(categories=("Cc", "Cf", "Cs", "Zl", "Zp", "L", "So"))))
def test_nothing_that_is_shown_is_obeyed_and_all_else_stays(text: str) -> None:
    assert not obeyed(shown(text))
    assert shown(shown(text)) == shown(text)
    assert "".join(letter for letter in text if not obeyed(letter)) == "".join(
        shown(letter) for letter in text if not obeyed(letter)
    )


def test_it_is_written_as_python_would_write_it() -> None:
    assert shown(HOSTILE) == WRITTEN
    assert shown("Þórr 👩‍🚀\tone\ntwo") == "Þórr 👩‍🚀\tone\ntwo"
    assert plain("one\ntwo\t" + HOSTILE) == r"one\ntwo\t" + WRITTEN


def test_a_template_shows_text_and_keeps_what_it_made_itself() -> None:
    assert [finish(of) for of in (HOSTILE, Markup("<b>\x07</b>"), 3, None)] == [WRITTEN, Markup("<b>\x07</b>"), 3, None]


def test_pages_obey_nothing() -> None:
    users, values = np.array(list("uvwxyz")), {"novelty": (np.arange(6.0), np.arange(6.0) + 1)}
    segments = {f"x = {HOSTILE}": users < "x"}
    found = compare_values(values, users, (HOSTILE, "new"), segments, plan=Plan(primary="novelty"))
    listed, facts = (Placed(HOSTILE, 1, 2, 1), Placed("b", 2, 1, 0)), {HOSTILE: HOSTILE}
    compared = to_html(found, Exhibits(examples=(PairedLists(HOSTILE, HOSTILE, listed),), facts=facts))
    for page in (compared, catalogue(FeatureSettings(), facts, [HOSTILE])):
        assert not obeyed(page)
        assert WRITTEN in page


@pytest.mark.parametrize("words", ["check {}", "train DATA --config {} --out o", "{}", "score {} {} --out o --at {}"])
def test_errors_and_verbs_obey_nothing(tmp_path, monkeypatch, capsys, words: str) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([word.format(HOSTILE) for word in words.split()]) != FINE
    said = capsys.readouterr()
    assert WRITTEN in said.err or WRITTEN.replace("\\", "\\\\") in said.err
    assert not obeyed(said.out + said.err)


def test_columns_and_ids_of_the_data_are_shown(line, tmp_path, capsys) -> None:
    dataset: Dataset = line.dataset
    requests = dataset.requests.with_columns(label=-1).rename({"device": HOSTILE})
    for name, table in (("items", dataset.items), ("events", dataset.events), ("requests", requests)):
        table.write_parquet(tmp_path / f"{name}.parquet")
    assert main(["check", str(tmp_path)]) == NO
    said = capsys.readouterr()
    assert not obeyed(said.out + said.err)


def test_logged_messages_obey_nothing() -> None:
    record = logging.LogRecord("recsys", logging.INFO, "", 0, "%s is not counted", (HOSTILE,), None)
    assert _Shown("%(message)s").format(record) == f"{WRITTEN} is not counted"


def test_one_is_no_plural() -> None:
    assert [counted(number, "note") for number in (0, 1, 2, 1_000)] == ["0 notes", "1 note", "2 notes", "1,000 notes"]


def test_long_names_are_cut_where_one_can_see_it():
    assert short("a" * LONGEST_NAME) == "a" * LONGEST_NAME
    assert short("a" * 61) == "a" * 59 + "…"
