"""Who is forgotten is nowhere: not in what is worked on, not in states, not in lists, and not after the next import."""

import json
import shutil
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from recsys import Ranker
from recsys.cli import FINE, NO, main
from recsys.files import exchange
from recsys.jobs.nightly import forget as forgetting
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
    assert "no state and no list knows this user (any more)" in capsys.readouterr().out


def test_a_user_who_comes_back_counts_from_then_on(job):
    user = job.lists()["user_id"][0]
    assert forget(job, user) == FINE
    record = job.home / "forgotten.json"
    told = json.loads(record.read_text())
    ((form, codes),) = told["forgotten"].items()
    moment = FIRST - timedelta(days=2)
    record.write_text(json.dumps(told | {"forgotten": {form: dict.fromkeys(codes, moment.isoformat())}}))
    assert job.run(SECOND).good
    found = [name for name in holders(job.home, user) if name.startswith("work/import")]
    assert [Path(name).name for name in found] == ["events.parquet", "requests.parquet", "users.parquet"]
    for table in map(pl.read_parquet, [job.home / name for name in found[:2]]):
        assert table.filter(pl.col("user_id") == user)["timestamp"].min() >= moment


def test_a_kill_while_folders_are_made_leaves_whole_ones_and_what_is_left_is_done_again(
    job, tmp_path, monkeypatch
) -> None:
    user = job.lists()["user_id"][0]
    shutil.copytree(job.folder, tmp_path / "unbroken", symlinks=True)
    unbroken = Job(tmp_path / "unbroken")
    assert forget(unbroken, user) == FINE
    for calls in (1, 2):
        with monkeypatch.context() as patch:
            done = []

            def killed(one: Path, other: Path, done=done, calls=calls) -> None:
                done.append(one)
                if len(done) == calls:
                    raise KeyboardInterrupt
                exchange(one, other)

            patch.setattr(forgetting, "exchange", killed)
            with pytest.raises(KeyboardInterrupt):
                main(["forget", "--config", str(job.config), "--user", str(user)])
        home = Home(job.home)
        live = home.live
        assert live is not None
        home.verify(live.name)
        assert home.left_behind()
    hidden = job.home / "lists/.2025.0a0a0a0a.unfinished"
    hidden.mkdir()
    (hidden / "rankings.parquet").touch()
    assert forget(job, user) == FINE
    assert not [*job.home.rglob(".*")]
    assert job.files() == unbroken.files()


def test_lists_tell_how_many_there_are_and_a_forgotten_user_who_is_asked_for_gets_none(job) -> None:
    users = pl.DataFrame({"user_id": job.lists()["user_id"].unique().sort().head(20), "device": ["mobile"] * 20})
    assert forget(job, users["user_id"][7]) == FINE
    folder = (job.home / "live").resolve()
    counts = json.loads((folder / "manifest.json").read_text())["counts"]
    assert (counts["rankings"], counts["requests"]) == (len(job.lists()), job.lists()["request_id"].n_unique())
    assert json.loads((folder / "profile.json").read_text())["users"] == job.lists()["user_id"].n_unique()
    users.write_parquet(job.folder / "users.parquet")
    job.change("[lists]", '[gate]\nscores = 100\ncoverage = 0\n\n[lists]\nusers = "users.parquet"')
    assert job.run(SECOND).good
    assert {*job.lists()["user_id"]} == {*users["user_id"]} - {users["user_id"][7]}


def test_a_damaged_folder_is_named_and_all_else_is_done(job, capsys) -> None:
    assert job.run(SECOND).good
    user = job.lists()["user_id"][0]
    (old,) = (path for path in (job.home / "lists").iterdir() if path != (job.home / "live").resolve())
    numbers = old / "state/rows.numbers"
    whole = numbers.read_bytes()
    numbers.unlink()
    numbers.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
    assert forget(job, user) == NO
    said = capsys.readouterr().err
    assert f"{old} may still hold the user" in said
    assert "all else is done; remove these folders, or mend them and forget again" in said
    assert {name.split("/")[1] for name in holders(job.home, user)} == {old.name}


def test_users_who_were_forgotten_are_not_lost_when_ids_are_written_otherwise(job, capsys, monkeypatch) -> None:
    monkeypatch.setenv("KEY", "a key that nobody guesses")
    user = job.lists()["user_id"][0]
    assert forget(job, user) == FINE
    job.change("[source]", '[source]\nmapping = { ids = { pseudonyms = "env:KEY" } }')
    assert main(["nightly", "--config", str(job.config), "--at", SECOND.isoformat()]) == NO
    assert "1 user who asked to be forgotten under ids of another form" in capsys.readouterr().err
    assert forget(job, user) == FINE
    job.change("[settings.windows]", "[gate]\ncoverage = 0\nscores = 100\n\n[settings.windows]")
    job.run(SECOND)
    (kept,) = (job.home / "work").glob("import-*")
    assert pl.read_parquet(kept / "users.parquet")["user_id"].n_unique() == job.table("users")["user_id"].n_unique() - 1


def test_nothing_is_forgotten_where_nothing_was_made(tmp_path, job, capsys):
    shutil.rmtree(job.home)
    assert forget(job, 3) == NO
    assert "holds no nightly job yet; run `recsys nightly` first" in capsys.readouterr().err
