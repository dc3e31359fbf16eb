import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from recsys.errors import DataError, ModelError
from recsys.files import new_folder
from recsys.jobs.nightly.home import Home
from recsys.manifest import write_manifest

START = datetime(2025, 3, 1, 4, tzinfo=UTC)


def publish(home: Home, day: int, model: str, after: str | None = None) -> str:
    name = f"night-{day}"
    with new_folder(home.lists / name) as staging:
        (staging / "rankings.txt").write_text(name)
        night = {"at": (START + timedelta(days=day)).isoformat(), "model": model, "after": after}
        write_manifest(staging, {"night": night})
    return name


def add_model(home: Home, name: str, day: int) -> None:
    (home.models / name).mkdir(parents=True)
    (home.models / name / "manifest.json").write_text("{}")
    home.tell(name, {"at": (START + timedelta(days=day)).isoformat()})


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    with home.locked():
        pass
    return home


def test_the_pointer_leads_to_what_was_published_and_moves_in_one_step(home: Home) -> None:
    assert home.live is None
    for day in range(3):
        name = publish(home, day, "m")
        home.point(name)
        assert home.live == home.read(name)
        assert (home.folder / "live/rankings.txt").read_text() == name
    assert [each.name for each in home.published()] == ["night-0", "night-1", "night-2"]
    home.verify("night-1")
    (home.lists / "night-1/rankings.txt").write_text("other")
    with pytest.raises(ModelError, match=r"rankings.txt was changed after it was written"):
        home.verify("night-1")


def test_a_pointer_to_lists_that_are_gone_is_told(home: Home) -> None:
    publish(home, 0, "m")
    home.point("gone")
    with pytest.raises(DataError, match=r"live leads to .*gone, which is not there; .* there are: night-0"):
        _ = home.live


def test_old_nights_and_models_go_and_what_is_live_stays(home: Home) -> None:
    for day in range(6):
        add_model(home, f"m{day}", day)
        publish(home, day, f"m{day}")
    home.point("night-1")
    (home.work / "import-1").mkdir()
    (home.work / "import-2").mkdir()
    (home.models / ".m9.12345678.unfinished").mkdir()
    (home.models / "m5.training").mkdir()
    (home.lists / ".night-9.gone").mkdir()
    (home.folder / ".live.unfinished").symlink_to("lists/night-0")
    home.clear({"import-2"}, "night-2", nights=2, models=3)
    assert sorted(path.name for path in home.lists.iterdir()) == ["night-1", "night-2", "night-4", "night-5"]
    models = sorted(path.name for path in home.models.iterdir())
    assert models == [name for each in ("m1", "m2", "m3", "m4", "m5") for name in (each, f"{each}.json")]
    assert not [path for path in home.folder.iterdir() if path.name.startswith(".")]
    assert [path.name for path in home.work.iterdir()] == ["import-2"]
    assert home.live.name == "night-1"


def test_a_manifest_that_tells_of_no_night_is_named(home: Home) -> None:
    publish(home, 0, "m")
    path = home.lists / "night-0/manifest.json"
    path.write_text(json.dumps({"night": {"at": "someday", "model": "m", "after": None}}))
    with pytest.raises(ModelError, match=r"manifest.json does not read as published lists"):
        home.published()


def test_nobody_else_is_let_in(home: Home) -> None:
    with home.locked(), pytest.raises(DataError, match="is worked on by process"), home.locked():
        pass
    with home.locked():
        pass


def test_whoever_has_the_lock_gives_folders_their_names_back_first(home: Home) -> None:
    for folder in (home.models, home.lists):
        (folder / ".a.between").mkdir(parents=True)
    with home.locked():
        assert all((folder / "a").is_dir() for folder in (home.models, home.lists))
    assert home.left_behind() == []
