import re
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from recsys.data.tables import Dataset
from recsys.errors import DataError, SettingsError
from recsys.features.plan import feature_names, may_be_left_out, plan
from recsys.jobs.evaluate import evaluate
from recsys.jobs.train import train
from recsys.model.folder import Model
from recsys.serving.ranker import Ranker
from recsys.settings import Settings
from tests.jobs.test_train import changed

CHOICES = {
    "objective": "binary",
    "half_life": "1d",
    "weight": "worth",
    "monotone": {"item_age_hours": "falling"},
}


def weighed(dataset: Dataset, worth: pl.Expr) -> Dataset:
    return replace(dataset, requests=dataset.requests.with_columns(worth=worth))


def test_a_model_of_every_choice_ranks_alike_wherever_it_is_read(line, tmp_path) -> None:
    assert "item_age_hours" in feature_names(line.settings.features)
    dataset = weighed(line.dataset, 1.0 + pl.col("label"))
    judged = train(dataset, changed(line.settings, ranker=CHOICES), tmp_path / "model")
    assert judged.evaluation.overall.rankers["both"]["AUC"].mean > 0.5
    again = evaluate(tmp_path / "model", dataset, window="test")
    assert again.overall.rankers["both"] == judged.evaluation.overall.rankers["both"]
    rows = judged.window.requests
    one = rows.filter(pl.col("request_id") == rows["request_id"][0]).drop("label", "worth")
    served = Ranker.load(tmp_path / "model").score(one)
    np.testing.assert_allclose(served, judged.scores["both"][: len(one)], rtol=1e-12)
    text = (tmp_path / "model" / "ranker.txt").read_text()
    assert text.count("\nTree=") > 2
    assert "\nobjective=binary sigmoid:1\n" in text
    assert re.search(r"\nmonotone_constraints=.*-1", text)


def test_equal_weights_change_nothing_and_others_what_is_learnt(line, tmp_path) -> None:
    _, begin, end, *_ = Model.load(line.model).windows.cuts
    old = pl.col("timestamp") < begin + (end - begin) / 2
    settings = changed(line.settings, ranker={"weight": "worth"})
    even, uneven = (
        train(weighed(line.dataset, worth), settings, tmp_path / name).evaluation.overall.rankers["both"]
        for name, worth in (("even", pl.lit(3)), ("uneven", pl.when(old).then(0.0).otherwise(1.0)))
    )
    assert even == line.judgement.evaluation.overall.rankers["both"]
    assert uneven != even


@pytest.mark.parametrize(
    ("ranker", "error", "words"),
    [
        ({"monotone": {"item_age_huors": "rising"}}, SettingsError, "did you mean item_age_hours"),
        ({"weight": "worht"}, SettingsError, "weight names 'worht', which is no column of the requests"),
        ({"monotone": {"item_category": "rising"}}, SettingsError, "'item_category', which holds categories without"),
        ({"weight": "nothing"}, DataError, "the ranker window holds no list with a click"),
        ({"weight": "worth"}, DataError, "weights in requests.worth are no numbers from 0 on, the first -1.0 in"),
    ],
)
def test_what_cannot_be_learnt_is_refused_before_the_encoder_learns(
    line, tmp_path, monkeypatch, ranker, error, words
) -> None:
    monkeypatch.setattr("recsys.learning.course.TextCourse", lambda *_: pytest.fail("work was done"))
    dataset = weighed(line.dataset, pl.lit(-1.0))
    dataset = replace(dataset, requests=dataset.requests.with_columns(nothing=0))
    with pytest.raises(error, match=words):
        train(dataset, changed(line.settings, ranker=ranker), tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("left_out", [{"without": ["item_age_hours"]}, {"families": ["popularity"]}])
def test_a_direction_of_what_is_left_out_says_where_it_was_left_out(line, tmp_path, left_out) -> None:
    settings = changed(line.settings, features=left_out, ranker={"monotone": {"item_age_hours": "falling"}})
    with pytest.raises(SettingsError, match=r"'item_age_hours', which \[features\] leaves out, by without or families"):
        train(line.dataset, settings, tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_a_grade_beyond_30_is_refused_before_the_encoder_learns(line, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("recsys.learning.course.TextCourse", lambda *_: pytest.fail("work was done"))
    requests = line.dataset.requests.with_columns(label=pl.col("label") * 40)
    with pytest.raises(DataError, match="40"):
        train(replace(line.dataset, requests=requests), line.settings, tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_lists_that_are_made_have_no_weight() -> None:
    with pytest.raises(
        ValueError, match=r"\[ranker\] weight names 'worth', which only a request knows, and nightly lists"
    ):
        Settings.model_validate({"time": {"freshness": "nightly", "made_at": "04:00"}, "ranker": {"weight": "worth"}})


def test_a_ranker_without_any_feature_of_behaviour_is_refused(line, tmp_path) -> None:
    kept = changed(line.settings, features={"declarations": [], "scores": []})
    names = [each.name for each in plan(kept.features) if may_be_left_out(each)]
    with pytest.raises(
        SettingsError, match="leaves no feature of behaviour; name a family, or fewer features in without"
    ):
        train(line.dataset, changed(kept, features={"without": names}), tmp_path / "model")
