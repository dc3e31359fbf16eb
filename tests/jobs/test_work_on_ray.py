"""Scoring, features and texts on two nodes: the same bytes as in one process, whatever dies meanwhile."""

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from recsys import verbs
from recsys.arguments import Where
from recsys.engines.settings import EngineSettings
from recsys.errors import SettingsError, StorageError
from recsys.jobs import features as tabulating
from recsys.jobs import score as scoring
from recsys.jobs.features import write_features
from recsys.jobs.ranked_parts import RankedParts
from recsys.jobs.score import score
from recsys.jobs.train import train
from recsys.model import encoding

pytest.importorskip("ray")


def assert_same_files(one: Path, other: Path) -> None:
    names = {path.relative_to(one) for path in one.rglob("*") if path.is_file()}
    assert names == {path.relative_to(other) for path in other.rglob("*") if path.is_file()}
    for name in sorted(names):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


@pytest.fixture
def small_parts(monkeypatch) -> None:
    monkeypatch.setattr(scoring, "ROWS_PER_PART", 60)
    monkeypatch.setattr(tabulating, "ROWS_PER_PART", 900)
    monkeypatch.setattr(encoding, "TEXTS_AT_ONCE", 30)


def on(cluster) -> EngineSettings:
    return EngineSettings(kind="ray", address=cluster.address)


@pytest.mark.usefixtures("small_parts")
def test_rankings_and_new_texts_are_those_of_one_process(line, cluster, tmp_path) -> None:
    new = (pl.col("item_id").rank("dense") % 2 == 0) & pl.col("title").is_not_null()
    items = line.dataset.items.with_columns(title=pl.when(new).then(pl.col("title") + " salt").otherwise("title"))
    dataset = replace(line.dataset, items=items)
    score(line.model, dataset, line.candidates(), tmp_path / "one")
    score(line.model, dataset, line.candidates(), tmp_path / "ray", engine=on(cluster))
    assert_same_files(tmp_path / "one", tmp_path / "ray")
    parts = [pl.read_parquet(path)["request_id"] for path in (tmp_path / "ray/rankings").iterdir()]
    assert len(parts) > 4
    assert sum(part.n_unique() for part in parts) == pl.concat(parts).n_unique() == 40  # no request in two tasks


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("by_model", [True, False])
def test_features_are_those_of_one_process(line, cluster, tmp_path, by_model) -> None:
    basis = line.model if by_model else line.settings
    done = write_features(line.dataset, basis, tmp_path / "one")
    assert write_features(line.dataset, basis, tmp_path / "ray", on(cluster)) == done
    assert done.parts > 4
    assert_same_files(tmp_path / "one", tmp_path / "ray")


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("what", ["worker", "node"])
def test_a_worker_or_a_node_may_die_meanwhile(line, cluster, tmp_path, monkeypatch, what) -> None:
    score(line.model, line.dataset, line.candidates(), tmp_path / "one")
    commit, killed = RankedParts.commit, list[str]()

    def kills(parts: RankedParts, place: int, done: object) -> None:
        commit(parts, place, done)
        if not killed:
            killed.append(what)
            if what == "node":
                cluster.remove_node(cluster.list_all_nodes()[-1], allow_graceful=False)
            else:
                for worker in workers(cluster):
                    os.kill(worker, signal.SIGKILL)

    monkeypatch.setattr(RankedParts, "commit", kills)
    try:
        score(line.model, line.dataset, line.candidates(), tmp_path / "ray", engine=on(cluster))
    finally:
        if what == "node":
            cluster.add_node(num_cpus=1, object_store_memory=80 * 2**20)
    assert killed == [what]
    assert_same_files(tmp_path / "one", tmp_path / "ray")


def workers(cluster) -> list[int]:
    """Find the processes that work for a cluster, by whose children they are."""
    said = dict[int, bytes]()
    parents = dict[int, int]()
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with suppress(OSError):
                said[int(folder.name)] = (folder / "cmdline").read_bytes()
                parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    of_cluster = {number for number, own in said.items() if f"--gcs-address={cluster.address}".encode() in own}
    names = (b"ray::_do", b"ray::IDLE")  # not the agents, without which a node ends itself
    found = [number for number, parent in parents.items() if parent in of_cluster and said[number].startswith(names)]
    assert found
    return found


def scored_by(program: str, line, cluster, folder: Path) -> "subprocess.CompletedProcess[str]":
    """Run the command line in another process, which the program changed before."""
    given = ["score", str(line.model), str(line.data), "--candidates", str(folder / "candidates.parquet")]
    given += ["--out", str(folder / "ray"), "--set", "engine.kind=ray", "--set", f"engine.address={cluster.address}"]
    return subprocess.run([sys.executable, "-c", program, *given], check=False, capture_output=True, text=True)


def test_after_the_driver_was_killed_the_repetition_goes_on(line, cluster, tmp_path, monkeypatch) -> None:
    line.candidates().write_parquet(tmp_path / "candidates.parquet")
    monkeypatch.setattr(scoring, "ROWS_PER_PART", 60)
    score(line.model, line.dataset, tmp_path / "candidates.parquet", tmp_path / "one")
    program = (
        "import os, sys\nfrom recsys import cli\nfrom recsys.jobs import score\n"
        "from recsys.jobs.ranked_parts import RankedParts\n"
        "score.ROWS_PER_PART = 60\ncommit, places = RankedParts.commit, []\n"
        "def kills(parts, place, done):\n"
        "    commit(parts, place, done)\n    places.append(place)\n"
        "    if len(places) == 3:\n        os.kill(os.getpid(), 9)\n"
        "RankedParts.commit = kills\ncli.main()\n"
    )
    done = scored_by(program, line, cluster, tmp_path)
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "ray").exists()
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "ray.scoring/ranked").glob("*.json")}
    assert len(before) == 3
    commit, places = RankedParts.commit, list[int]()
    monkeypatch.setattr(RankedParts, "commit", lambda *given: (places.append(given[1]), commit(*given)))
    score(line.model, line.dataset, tmp_path / "candidates.parquet", tmp_path / "ray", engine=on(cluster))
    assert_same_files(tmp_path / "one", tmp_path / "ray")
    assert len(places) == len([*(tmp_path / "one/rankings").iterdir()]) - 3
    assert not {f"part-{place:05}.json" for place in places} & before.keys()


def test_a_driver_that_is_asked_to_stop_says_so_as_without_a_cluster(line, cluster, tmp_path) -> None:
    line.candidates().write_parquet(tmp_path / "candidates.parquet")
    program = (
        "import os, signal, threading\nfrom recsys import cli\nfrom recsys.jobs import score\n"
        "from recsys.engines.on_ray import OnRay\n"
        "score.ROWS_PER_PART = 60\nnext_done = OnRay._next\n"
        "def stopped_in(engine, waiting):\n"
        "    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM)).start()\n"
        "    return [next_done(engine, waiting) for _ in range(len(waiting))][-1]\n"
        "OnRay._next = stopped_in\nraise SystemExit(cli.main())\n"
    )
    done = scored_by(program, line, cluster, tmp_path)
    assert done.returncode == 128 + signal.SIGTERM, done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("recsys: stopped by a signal; nothing was left half-written")
    assert "Traceback" not in done.stderr


def test_where_it_is_done_is_all_that_settings_may_say_of_a_model(line, tmp_path) -> None:
    line.candidates().write_parquet(tmp_path / "candidates.parquet")
    (tmp_path / "own.toml").write_text('seed = 7\n[engine]\nkind = "process"\n')
    (tmp_path / "other.toml").write_text("[engine]\ncpus = 2\n[features]\nwindows = ['2d']\n[rules]\nnewest = '1d'\n")
    given = {"candidates": tmp_path / "candidates.parquet", "out": tmp_path / "out"}
    said = r"has its own settings, and --config or --set says others of \[features\], \[rules\]; leave these out"
    with pytest.raises(SettingsError, match=said):
        verbs.score(line.model, line.data, **given, where=Where(tmp_path / "other.toml"))
    with pytest.raises(SettingsError, match=r"--config or --set says others of \[ranker\]; leave these out"):
        verbs.features(line.data, model=line.model, out=tmp_path / "table", changes=("ranker.rounds=9",))
    assert verbs.score(line.model, line.data, **given, where=Where(tmp_path / "own.toml"))


@pytest.mark.filterwarnings("ignore::DeprecationWarning:ray")
def test_a_model_of_several_growers_says_so_and_too_many_are_refused_before_anything_is_learnt(
    line, cluster, tmp_path
) -> None:
    trees = line.settings.ranker.model_copy(update={"position_bias": "none", "rounds": 3, "bags": 1})
    text = line.settings.text.model_copy(update={"epochs": 0})
    both = on(cluster).model_copy(update={"growers": 2})
    settings = line.settings.model_copy(update={"ranker": trees, "text": text, "engine": both})
    with pytest.raises(StorageError, match=r"growers = 3 find no room at once: the cluster takes 2 such tasks; lower"):
        train(
            line.dataset, settings.model_copy(update={"engine": both.model_copy(update={"growers": 3})}), tmp_path / "m"
        )
    assert not [*tmp_path.iterdir()]
    train(line.dataset, settings, tmp_path / "model")
    assert json.loads((tmp_path / "model/manifest.json").read_text())["growers"] == 2
    assert score(tmp_path / "model", line.dataset, line.candidates(), tmp_path / "ranked").requests == 40
