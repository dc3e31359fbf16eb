import json

import pytest

from recsys.world import WorldSettings
from tests.benchmarks import features, growth, news, run

pytestmark = pytest.mark.slow


def test_where_no_real_log_lies_a_world_is_measured_and_the_peer_gives_the_same_values(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(features, "EBNERD", tmp_path / "no such log")
    monkeypatch.setattr(features, "SIMULATED", WorldSettings(items=200, users=60, days=6, requests=300))
    monkeypatch.setattr(features, "RUNS", 1)
    monkeypatch.setattr(run, "OUT", tmp_path / "build" / "bench.json")
    run.main(["features"])
    (row,) = json.loads(run.OUT.read_text())
    assert row["name"] == "features"
    assert row["ratio"] > 0
    assert "candidate rows of simulated" in row["note"]
    assert capsys.readouterr().out.startswith("features: ")


def test_rows_that_take_processes_of_their_own_end_on_small_worlds(monkeypatch):
    monkeypatch.setattr(news, "ITEMS", 500)
    monkeypatch.setattr(growth, "SMALL", 3_000)
    monkeypatch.setattr(growth, "LARGE", 6_000)
    assert [row["name"] for row in news.bench_news()] == ["item-told"]
    assert [row["name"] for row in growth.bench_growth()] == ["features-growth", "features-memory-gib"]


def test_what_was_measured_before_stays_beside_what_is_measured_anew(monkeypatch, tmp_path):
    monkeypatch.setattr(run, "OUT", tmp_path / "bench.json")
    rows = [{"name": name, "ratio": 1.0, "against": "a peer", "note": "before"} for name in ("score", "features")]
    run.OUT.write_text(json.dumps(rows))
    anew = {"name": "score", "ratio": 2.0, "against": "a peer", "note": "now"}
    monkeypatch.setitem(run.BENCHMARKS, "scoring", lambda: [anew])
    run.main(["scoring"])
    assert json.loads(run.OUT.read_text()) == [rows[1], anew]


def test_an_unknown_benchmark_is_refused_with_those_there_are():
    with pytest.raises(SystemExit, match="no benchmark is called 'scorign'; there are evaluate, features, growth"):
        run.main(["scorign"])
