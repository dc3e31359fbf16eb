import re
import shlex
import tomllib
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from recsys.cli import FINE, NO, main
from recsys.data.importers import read_source
from recsys.data.tables import SAMPLED, Dataset
from recsys.errors import DataError
from recsys.evaluation.reports.brief import SECOND
from recsys.init.project import init_project
from recsys.jobs.train import train
from recsys.settings import load_settings

pytestmark = pytest.mark.slow


SHOPS = ("german", "clicklog", "radio", "films", "retail", "news")


@pytest.mark.parametrize("name", SHOPS)
def test_the_folder_has_no_faults_and_its_mapping_imports_the_same_again(shop, tmp_path: Path, name: str) -> None:
    report = init_project([shop(name)], tmp_path / "project")
    project = tmp_path / "project"
    assert {path.name for path in project.iterdir()} == {"mapping.toml", "settings.toml", "night.toml", "data"}
    assert main(["check", str(project / "data")]) == FINE
    load_settings(project / "settings.toml")
    (folder,) = re.findall(
        r"^# recsys import tables (\S+) ", (project / "mapping.toml").read_text(), flags=re.MULTILINE
    )
    again, written = read_source("tables", folder, project / "mapping.toml"), Dataset.read(project / "data")
    for table in ("items", "events", "requests"):
        assert_frame_equal(getattr(again, table), getattr(written, table))
    assert written.about == again.about
    sampled = name != "news"
    assert (written.about.sampled, SAMPLED in written.about.notes, SAMPLED in report) == (sampled,) * 3
    command = report.splitlines()[-1].removeprefix("next: recsys ")
    assert shlex.split(command)[:2] == ["train", str(project / "data")]


def test_a_catalogue_of_versions_is_imported_as_versions(shop, tmp_path: Path) -> None:
    folder = shop("films")
    header, *films = (folder / "movies.csv").read_text().splitlines()
    versions = [f"{film},2024-01-{day:02}" for day in (2, 9) for film in films]
    (folder / "movies.csv").write_text("\n".join([f"{header},valid_from", *versions]))
    report = init_project([folder], tmp_path / "project")
    assert "items: movies.csv holds versions of an id, each known since its valid_from." in report
    items = Dataset.read(tmp_path / "project/data").items
    assert items.group_by("item_id").len()["len"].to_list() == [2] * len(films)
    assert items["known_at"].dt.day().unique().sort().to_list() == [2, 9]


@pytest.mark.parametrize("name", ["german", "clicklog", "news"])
def test_the_folder_trains_as_it_stands(shop, tmp_path: Path, tiny_encoder: Path, capsys, name: str) -> None:
    """The settings as written, but for a tiny encoder and few trees; lists that are sampled come second in every report."""
    project = tmp_path / "project"
    assert main(["init", str(shop(name)), "--out", str(project)]) == FINE
    words = capsys.readouterr().out.splitlines()[-1].removeprefix("next: recsys ")
    changes = [f'text.encoder="{tiny_encoder}"', "text.max_tokens=16", "text.block='30d'", "text.epochs=1"]
    changes += ["text.head_epochs=1", "ranker.rounds=5"]
    sets = [word for change in changes for word in ("--set", change)]
    assert main([*shlex.split(words), *sets]) == FINE
    said = capsys.readouterr().out
    page, figures = (project / "model/report.html").read_text(), (project / "model/metrics.json").read_text()
    sampled = name != "news"
    assert ("Lists that the sources made are measured first." in said) == sampled
    assert page.count(f'<dd class="text">{SECOND}</dd>') == int(sampled)
    assert f'"sampled": {str(sampled).lower()}' in figures
    evaluated = ["evaluate", str(project / "model"), str(project / "data"), "--json", str(tmp_path / "figures.json")]
    assert main(evaluated) == FINE
    assert f'"sampled": {str(sampled).lower()}' in (tmp_path / "figures.json").read_text()


def test_choices_in_a_world_without_taste_cannot_be_told_from_drawn_items(tmp_path: Path, shop, small_settings) -> None:
    """Users of the radio choose at random, so whatever a ranker finds in sampled lists was given away by the draw."""
    init_project([shop("radio")], tmp_path / "project")
    dataset = Dataset.read(tmp_path / "project/data")
    settings = small_settings.model_copy(
        update={
            "text": small_settings.text.model_copy(update={"fields": ("title",), "epochs": 0}),
            "features": small_settings.features.model_copy(
                update={"affinity": ("genre",), "events": (), "context": (), "declarations": ()}
            ),
        }
    )
    rankers = train(dataset, settings, tmp_path / "model").evaluation.overall.rankers
    for name in ("popularity", "behaviour", "both"):
        auc = rankers[name]["AUC"]
        assert auc.low < 0.56, name


def test_a_target_that_holds_something_is_refused_and_nothing_is_left_of_a_failure(shop, tmp_path: Path) -> None:
    folder = shop("films")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken/x").touch()
    with pytest.raises(DataError, match="taken already exists and is not empty"):
        init_project([folder], tmp_path / "taken")
    few = (folder / "ratings.csv").read_text().splitlines()[:3]
    (folder / "ratings.csv").write_text("\n".join(few))
    (folder / "tags.csv").unlink()
    before = sorted(tmp_path.iterdir())
    assert main(["init", str(folder), "--out", str(tmp_path / "project")]) == NO
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("name", ['quo"te', "back\\slash", "new\nline", "größe", "a = 1 # [x]", "{title}", "日本語"])
def test_hostile_column_names_come_through(tmp_path: Path, name: str) -> None:
    rows = 200
    frame = pl.DataFrame(
        {
            "user_id": [row % 9 for row in range(rows)],
            "item_id": [row % 7 for row in range(rows)],
            "time": [1_700_000_000 + 3_600 * row for row in range(rows)],
            f"title {name}": [f"A long text about {row % 7}" for row in range(rows)],
            f"genre {name}": [row % 7 % 2 == 0 for row in range(rows)],
        }
    )
    frame.write_parquet(tmp_path / "orders.parquet")
    report = init_project([tmp_path / "orders.parquet"], tmp_path / "project")
    mapping = tomllib.loads((tmp_path / "project/mapping.toml").read_text(encoding="utf-8"))
    assert mapping["items"]["columns"]["title"] == f"title {name}"
    assert f"genre {name}" in Dataset.read(tmp_path / "project/data").items.columns
    assert "\nline" not in report


def test_no_id_and_no_text_is_printed(shop, tmp_path: Path) -> None:
    report = init_project([shop("german")], tmp_path / "project")
    assert not re.search(r"\bK\d+\b|\bA\d{3}\b|Größe", report)
