"""A model that is trained on items and users in versions, judged, scored and served."""

from dataclasses import replace
from datetime import timedelta

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from recsys import Ranker
from recsys.data.checks import check_tables
from recsys.data.tables import Dataset
from recsys.features.plan import build_features
from recsys.jobs.score import score
from recsys.jobs.train import train
from recsys.model.folder import State
from recsys.model.ready import Ready
from recsys.past.lookup import Asked
from recsys.schema import TIME
from tests.fixtures.behaviour import Tools

pytestmark = pytest.mark.slow


def in_versions(dataset: Dataset) -> Dataset:
    """Mend every second title, and move every third item and user to another group, in the midst of the log."""
    middle = dataset.requests["timestamp"].median()
    tables = []
    for table, key, few, changes in (
        (dataset.items, "item_id", 2, {"title": pl.lit("mended ") + pl.col("title")}),
        (dataset.items, "item_id", 3, {"category": pl.lit("opera")}),
        (dataset.users, "user_id", 3, {"age_group": pl.lit("of age")}),
    ):
        later = table.filter(pl.col(key) % few == 0).with_columns(**changes)
        tables.append(later.with_columns(known_at=pl.lit(middle + timedelta(hours=few), TIME)))
    always = [table.with_columns(known_at=pl.lit(None, TIME)) for table in (dataset.items, dataset.users)]
    return replace(dataset, items=pl.concat([always[0], *tables[:2]]), users=pl.concat([always[1], tables[2]]))


def test_a_model_learns_from_versions_and_serves_them(small_world, small_settings, tmp_path) -> None:
    dataset = in_versions(small_world.dataset)
    assert not check_tables(dataset).errors
    features = small_settings.features.model_copy(update={"users": ("age_group",)})
    train(dataset, small_settings.model_copy(update={"features": features}), tmp_path / "model")
    assert "There is no known_at" not in (tmp_path / "model/report.html").read_text()
    state = State.load(tmp_path / "model/state", tmp_path / "model")
    assert state.behaviour.items.columns[:2] == ["item_id", "known_at"]
    changed = dataset.items.filter(pl.col("known_at").is_not_null(), pl.col("title").str.starts_with("mended"))
    again = dataset.items.filter(pl.col("item_id") % 6 == 0)["item_id"].n_unique()  # mended, and then as it was
    assert len(state.vectors) == dataset.items["item_id"].n_unique() + len(changed) + again

    table = dataset.requests.drop("label", "position", "propensity")
    first, last = table["request_id"][0], table["request_id"][-1]
    candidates = table.filter(pl.col("request_id").is_in([first, last]))
    score(tmp_path / "model", dataset, candidates, tmp_path / "answer")
    written = pl.read_parquet(tmp_path / "answer/rankings")
    ranker = Ranker.load(tmp_path / "model", tmp_path / "answer/state")
    assert_frame_equal(ranker.rank(candidates), written.sort("request_id", "rank"), check_exact=True)

    ready = Ready.load(tmp_path / "model", tmp_path / "answer/state")
    always = [each.filter(pl.col("known_at").is_null()).drop("known_at") for each in (dataset.items, dataset.users)]
    before, _ = Ready.today(tmp_path / "model", replace(dataset, items=always[0], users=always[1]))
    for request, same in ((first, True), (last, False)):
        asked = candidates.filter(pl.col("request_id") == request)
        found, known = (
            build_features(Asked.of(asked, each.log), each.model.settings.features, each.reader)
            for each in (ready, before)
        )
        assert (Tools.bits(found) == Tools.bits(known)) == same
