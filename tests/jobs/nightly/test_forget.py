"""Who is forgotten is nowhere: not in what is worked on, not in states, not in lists, and not after the next import."""

import json
import shutil
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from recsys import Ranker
from recsys.cli import FINE, NO, main
from recsys.jobs.nightly.home import Home
from recsys.manifest import read_manifest
from tests.jobs.nightly.conftest import FIRST, SECOND, Job

pytestmark = pytest.mark.slow


def forget(job: Job, user: object) -> int:
    return main(["forget", "--config", str(job.config), "--user", str(user)])


def holders(home: Path, user: int) -> list[str]:
    """Name the tables that hold an id in a column of users."""
    found = []
    for path in sorted(home.rglob("*")):
        if path.suffix == ".parquet":
            table = pl.read_parquet(path)
        elif path.suffix == ".arrow":
            table = pl.read_ipc(path)
        else:
            continue
        names = [name for name in ("user_id", "request_id") if name in table.columns]
        if path.name == "requests.parquet":  # whose lists have numbers of their own
            names = ["user_id"]
        if "vocabulary-0" in path.name:
            names = ["value"]
        if any(user in table[name].to_list() for name in names):
            found.append(str(path.relative_to(home)))
    return found


def test_a_user_who_is_forgotten_is_in_no_file_and_does_not_come_back(job, capsys):
    user, other = job.lists()["user_id"].unique().sort()[3:5]
    before, names = job.lists(), {*job.files()}
    assert len(holders(job.home, user)) > 8
    assert forget(job, user) == FINE
    said = capsys.readouterr().out
    assert "forgotten: 5 rows of published lists, what 2 states knew, and all that was imported" in said
    assert "until they are trained anew: 2025-03-09T040000Z" in said
    assert holders(job.home, user) == []
    assert holders(job.home, other)
    assert set(json.loads((job.home / "forgotten.json").read_text())) == {"salt", "forgotten"}
    assert {*job.files()} == names
    assert job.lists().rows() == before.filter(pl.col("user_id") != user).rows()
    home = Home(job.home)
    live = home.live
    assert live is not None
    home.verify(live.name)
    read_manifest(home.models / live.model, "trained")
    ranker = Ranker.load(home.models / live.model, home.lists / live.name / "state", verify="all")
    asked = before.select("item_id").unique().sort("item_id").head(9)
    asked = asked.with_columns(request_id=1, timestamp=FIRST, device=pl.lit("mobile"))
    assert ranker.rank(asked.with_columns(user_id=pl.lit(user)))["unknown_user"].all()
    assert not ranker.rank(asked.with_columns(user_id=pl.lit(other)))["unknown_user"].any()
    assert job.run(SECOND).good
    assert holders(job.home, user) == []
    assert {*job.lists()["user_id"]} == {*before["user_id"]} - {user}
    assert forget(job, user) == FINE
    assert "nothing was known of this user" in capsys.readouterr().out


def test_a_user_who_comes_back_counts_from_then_on(job):
    user = job.lists()["user_id"][0]
    assert forget(job, user) == FINE
    record = job.home / "forgotten.json"
    told = json.loads(record.read_text())
    (code,) = told["forgotten"]
    moment = FIRST - timedelta(days=2)
    record.write_text(json.dumps(told | {"forgotten": {code: moment.isoformat()}}))
    assert job.run(SECOND).good
    found = [name for name in holders(job.home, user) if name.startswith("work/import")]
    assert [Path(name).name for name in found] == ["events.parquet", "requests.parquet", "users.parquet"]
    for table in map(pl.read_parquet, [job.home / name for name in found[:2]]):
        assert table.filter(pl.col("user_id") == user)["timestamp"].min() >= moment


def test_what_was_made_ready_before_a_kill_is_put_in_its_place_by_whoever_comes_next(job, tmp_path, monkeypatch):
    user = job.lists()["user_id"][0]
    shutil.copytree(job.folder, tmp_path / "unbroken", symlinks=True)
    unbroken = Job(tmp_path / "unbroken")
    assert forget(unbroken, user) == FINE
    replaced, replace = [], Path.replace

    def killed(path: Path, target: Path) -> Path:
        if ".ready" in str(path):
            replaced.append(path)
            if len(replaced) == 7:
                raise KeyboardInterrupt
        return replace(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            main(["forget", "--config", str(job.config), "--user", str(user)])
    assert [*job.home.rglob(".*.ready")]
    assert forget(job, user) == FINE
    assert not [*job.home.rglob(".*")]
    assert job.files() == unbroken.files()


def test_nothing_is_forgotten_where_nothing_was_made(tmp_path, job, capsys):
    shutil.rmtree(job.home)
    assert forget(job, 3) == NO
    assert "holds no nightly job yet; run `recsys nightly` first" in capsys.readouterr().err
