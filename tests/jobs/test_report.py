from dataclasses import replace

import polars as pl

from recsys.jobs.report import EXAMPLES, make_page
from recsys.model.folder import Model
from recsys.settings import ReportSettings


def test_the_page_shows_windows_settings_notes_and_lists(line) -> None:
    page = (line.model / "report.html").read_text()
    for cut in Model.load(line.model).windows.cuts:
        assert f"{cut:%Y-%m-%d %H:%M}" in page
    assert "Features with the largest gain" in page
    assert line.judgement.evaluation.window in page
    titles = [title for title in line.dataset.items["title"] if title in page]
    assert len(titles) >= EXAMPLES


def test_histories_are_shown_where_they_are_asked_for_alone(line) -> None:
    model = Model.load(line.model)
    assert "Chosen before" not in (line.model / "report.html").read_text()
    asked = model.settings.model_copy(update={"report": ReportSettings(histories=True)})
    page = make_page(line.judgement, replace(model, settings=asked), line.dataset)
    assert page.count("Chosen before, newest first:") == EXAMPLES


def test_hostile_titles_are_shown_as_text(line) -> None:
    hostile = "<script>alert('x')</script>"
    dataset = replace(line.dataset, items=line.dataset.items.with_columns(title=pl.lit(hostile)))
    page = make_page(line.judgement, Model.load(line.model), dataset)
    assert "<script" not in page
    assert "&lt;script&gt;alert" in page


def test_items_without_a_title_are_named_as_such(line) -> None:
    dataset = replace(line.dataset, items=line.dataset.items.with_columns(title=pl.lit(None, dtype=pl.String)))
    assert "(no text)" in make_page(line.judgement, Model.load(line.model), dataset)


def test_the_page_says_what_became_of_the_encoder(line) -> None:
    model = Model.load(line.model)
    for kept, said in [
        ("tuned", ", fine-tuned on clicks"),
        ("heads", ", as it was published, with a part on top that learnt from clicks"),
        ("published", ", as it was published"),
        ("", ""),
    ]:
        page = make_page(replace(line.judgement, kept=kept), model, line.dataset)
        assert f"{model.settings.text.encoder}{said}</dd>" in page
    assert line.judgement.kept == "heads"
