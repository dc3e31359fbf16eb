import math

import numpy as np
import polars as pl
import pytest

from recsys.errors import DataError, ModelError
from recsys.evaluation.evaluation import BASELINES
from recsys.jobs.score import score
from recsys.jobs.systems import open_system
from recsys.manifest import write_manifest
from recsys.model.folder import Model
from recsys.past.lookup import Asked


@pytest.fixture(scope="module")
def asked(line):
    """The test lists of the model, and its log."""
    requests = Model.load(line.model).windows.of(line.dataset.plain().requests, "test")
    return Asked.of(requests, line.judgement.log)


def test_a_model_answers_with_the_scores_that_it_was_evaluated_on(line, asked) -> None:
    system = open_system(line.model, line.dataset, "new", 0)
    answer = system.answer(asked)
    assert system.kind == "model"
    assert system.learnt_until == Model.load(line.model).windows.cuts[3]
    assert np.array_equal(answer.scores, line.judgement.scores["both"])
    assert answer.probability is not None
    assert 0 < answer.probability.min() <= answer.probability.max() <= 1


def test_baselines_answer_as_in_an_evaluation(line, asked) -> None:
    for name in BASELINES[1:]:
        popular = open_system(name, line.dataset, "p", 0).answer(asked)
        assert np.array_equal(popular.scores, line.judgement.scores[name])
    draws = [open_system("random", line.dataset, "r", seed).answer(asked).scores for seed in (1, 1, 2)]
    assert np.array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[0], draws[2])


def test_the_folder_that_score_wrote_answers_as_its_model(line, asked, tmp_path) -> None:
    requests = asked.candidates
    candidates = requests.drop("label", "position", "propensity")
    score(line.model, line.dataset, candidates, tmp_path / "scored")
    answer = open_system(tmp_path / "scored", line.dataset, "s", 0).answer(asked)
    model = open_system(line.model, line.dataset, "m", 0).answer(asked)
    assert np.array_equal(answer.probability, model.probability)
    by_model = requests.select("request_id", new=pl.Series(model.scores), old=pl.Series(answer.scores))
    for _, of in by_model.group_by("request_id"):
        order = of.sort("new", "old", descending=True)  # of equal scores either may stand above
        assert order["old"].to_list() == [-rank for rank in range(1, len(of) + 1)]
    assert answer.notes == ()
    system = open_system(tmp_path / "scored", line.dataset, "s", 0)
    assert system.learnt_until == open_system(line.model, line.dataset, "m", 0).learnt_until
    assert system.kind == "rankings"
    (tmp_path / "scored/manifest.json").unlink()
    write_manifest(tmp_path / "scored", {})
    with pytest.raises(DataError, match="does not say until when its model had learnt; run `recsys score` again"):
        open_system(tmp_path / "scored", line.dataset, "s", 0)
    (tmp_path / "scored/rankings/part-00000.parquet").write_bytes(b"broken")
    with pytest.raises(ModelError, match="was changed after it was written"):
        open_system(tmp_path / "scored", line.dataset, "s", 0)


def test_what_a_ranking_file_leaves_out_is_counted_and_said(line, asked, tmp_path) -> None:
    requests = asked.candidates
    first, second = requests["request_id"].unique(maintain_order=True)[:2]
    some = requests.filter(pl.col("request_id") == first).head(2).select("request_id", "item_id", score=pl.lit(1.0))
    stranger = some.head(1).with_columns(request_id=pl.lit(10**9, some.schema["request_id"]))
    pl.concat([some, stranger]).write_parquet(tmp_path / "some.parquet")
    answer = open_system(tmp_path / "some.parquet", line.dataset, "old", 0).answer(asked)
    assert np.isfinite(answer.scores).sum() == 2
    assert (answer.scores[(requests["request_id"] == second).to_numpy()] == -math.inf).all()
    others = requests["request_id"].n_unique() - 1
    assert answer.notes == (
        f"old does not answer {others} of the requests; each counts as 0, in AUC as one half.",
        f"old does not list {len(requests) - 2:,} candidates, those of unanswered requests included; they earn nothing "
        "and stand last in AUC.",
        "old ranks 1 more requests, which are not compared here.",
    )


def test_what_is_no_side_is_refused(line, tmp_path) -> None:
    with pytest.raises(
        DataError,
        match=r"popular does not exist and is no baseline \('random', 'popularity', 'recency', 'chosen before', ",
    ):
        open_system("popular", line.dataset, "x", 0)
    with pytest.raises(DataError, match="holds no Parquet file; name the folder that holds the rankings"):
        open_system(tmp_path, line.dataset, "x", 0)
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(ModelError, match="manifest.json is damaged"):
        open_system(tmp_path, line.dataset, "x", 0)
    with pytest.raises(DataError, match="A lacks item_id and rank or score; write request_id, item_id and rank or"):
        open_system(pl.DataFrame({"request_id": [1]}), line.dataset, "A", 0)
