import json

import polars as pl
import pytest

from recsys.errors import DataError
from recsys.jobs.demo import demo_settings, run_demo
from recsys.model.folder import Model
from recsys.serving.ranker import Ranker
from recsys.world import WorldSettings

pytestmark = pytest.mark.slow


def test_the_demonstration_tells_its_stages_and_leaves_tables_model_rankings_and_report(
    small_settings, tmp_path, caplog
) -> None:
    world = WorldSettings(seed=4, items=200, users=60, days=5, history_days=3, requests=500)
    with caplog.at_level("INFO"):
        said = run_demo(tmp_path / "demo", world, small_settings)
    told = [line for line in caplog.messages if "an order needs hundreds" not in line]
    stages, outcomes = told[::2], told[1::2]
    assert stages[0] == "1/6 simulating 60 users who see 500 lists of 200 items"
    assert [line[:4] for line in stages] == [f"{stage}/6 " for stage in range(1, 7)]
    assert f"; all that follows goes to {tmp_path / 'demo'} (" in outcomes[0]
    assert all(line.startswith("    ") for line in outcomes)
    assert "best possible" in said
    assert "both minus it" in said
    figures = json.loads((tmp_path / "demo/metrics.json").read_text())
    best = figures["rankers"].pop("best possible")["nDCG@10"]["mean"]
    assert all(best > row["nDCG@10"]["mean"] for row in figures["rankers"].values())
    assert "best possible" in (tmp_path / "demo/report.html").read_text()
    rankings = pl.read_parquet(tmp_path / "demo/scored/rankings/*.parquet")
    requests = pl.read_parquet(tmp_path / "demo/data/requests.parquet")
    own = requests.filter(pl.col("request_id").is_in(rankings["request_id"].unique().implode()))
    assert Ranker.load(tmp_path / "demo/model").rank(own).equals(rankings)
    tables = [pl.read_parquet(path).columns for path in (tmp_path / "demo/data").glob("*.parquet")]
    assert len(tables) == 4
    assert not any("utility" in columns for columns in tables)


def test_the_test_window_is_the_tail_in_random_order() -> None:
    world = WorldSettings(random_tail=0.15)
    assert demo_settings(world).windows.fractions == (0.2, 0.5, 0.15, 0.15)


def test_a_folder_that_holds_anything_is_left_alone(tmp_path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(DataError, match="already exists and is not empty"):
        run_demo(tmp_path)


def test_a_model_of_the_demonstration_knows_its_settings(line) -> None:
    assert Model.load(line.model).settings.features.context == ("device",)
