from datetime import UTC, datetime, timedelta

import pytest

from recsys.evaluation.nights import JudgedNight, Night
from recsys.evaluation.reports.backtest_report import nights_to_html, nights_to_text
from recsys.evaluation.reports.exhibited import Exhibits
from recsys.evaluation.reports.pages import NOTHING

BEGIN = datetime(2024, 5, 1, tzinfo=UTC)
HOSTILE = "<script>alert('x')</script>\x1b[31m"


def judged(number: int, overall, clicked: int = 5) -> JudgedNight:
    begins = BEGIN + timedelta(days=number)
    night = Night(f"2024-05-{number + 1:02}", begins, begins + timedelta(days=1), {"b": "2024-05-01"})
    return JudgedNight(night, 20 if overall else 0, clicked, 7 if overall else 0, overall)


@pytest.fixture
def nights(make_difference) -> list[JudgedNight]:
    found = {"nDCG@10": make_difference(0.05), "AUC": make_difference(-0.03)}
    nothing = {"nDCG@10": make_difference(float("nan")), "AUC": make_difference(float("nan"))}
    return [judged(0, found), judged(1, {}), judged(2, nothing, clicked=0)]


def test_a_line_for_each_night_says_how_it_went_or_why_it_says_nothing(nights, make_comparison) -> None:
    lines = nights_to_text(nights, make_comparison(), 100).splitlines()
    assert lines[0] == "nDCG@10 of each night; A is champion, B is challenger"
    first, second, third = (line.split() for line in lines if line.strip().startswith("2024"))
    assert first[1:] == ["20", "7", "0.4000", "0.4500", "+0.0500", "+0.0400..+0.0600"]
    assert second[1:] == ["0", "0", *([NOTHING] * 4), "no", "list", "was", "shown"]
    assert " ".join(third).endswith("no list was clicked")
    assert max(map(len, lines)) <= 100


def test_the_page_shows_nights_and_the_verdict_and_nothing_from_the_data_runs(
    nights, make_comparison, read_page
) -> None:
    comparison = make_comparison(names=("A", HOSTILE))
    html = nights_to_html(nights, comparison, Exhibits(warnings=["few"], notes=[HOSTILE]), {"retrain": "7d"})
    page = read_page(html)
    assert "<script" not in html
    assert "\x1b" not in html
    for told in ("Better", "2024-05-01", "+0.0500", "No list was shown.", "No list was clicked.", "Retrain 7d", "few"):
        assert told in page.text, told
    assert page.text.count("+0.0400 to +0.0600") >= 2
    assert {attributes["href"] for attributes in page.all("a")} == {"#main", "#answer", "#nights", "#facts"}
