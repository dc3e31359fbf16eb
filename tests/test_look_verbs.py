"""Verbs that look into lists: what they print and write."""

import json

import polars as pl

from recsys.cli import FINE, NO, main


def test_explain_tells_writes_numbers_and_a_page(line, tmp_path, capsys) -> None:
    request = str(line.dataset.requests["request_id"][-1])
    files = ["--json", str(tmp_path / "deep/why.json"), "--html", str(tmp_path / "why.html")]
    assert main(["explain", str(line.model), str(line.data), "--request", request, "--top", "2", *files]) == FINE
    said = capsys.readouterr().out
    assert said.startswith(f"Request {request} of user ")
    told = json.loads((tmp_path / "deep/why.json").read_text())
    assert [place["rank"] for place in told["places"]] == [1, 2]
    assert told["why"][0] in said
    assert told["places"][0]["title"] in said
    assert (tmp_path / "why.html").read_text().startswith("<!DOCTYPE html>")
    assert main(["explain", str(line.model), str(line.data), "--request", "-5"]) == NO
    assert "request '-5' is not among the logged requests" in capsys.readouterr().err


def test_explain_takes_what_score_takes_and_score_can_say_why(line, tmp_path, capsys) -> None:
    candidates = line.candidates(2)
    candidates.write_parquet(tmp_path / "lists.parquet")
    words = [str(line.model), str(line.data), "--candidates", str(tmp_path / "lists.parquet")]
    assert main(["score", *words, "--explain", "--out", str(tmp_path / "out"), "--top", "3"]) == FINE
    rankings = pl.read_parquet(tmp_path / "out/rankings").sort("request_id", "rank")
    request, first, second = str(rankings["request_id"][0]), str(rankings["item_id"][0]), str(rankings["item_id"][1])
    capsys.readouterr()
    held = ["--why", second, first, "--json", str(tmp_path / "why.json")]
    assert main(["explain", *words, "--request", request, "--top", "1", *held]) == FINE
    told = json.loads((tmp_path / "why.json").read_text())
    assert [place["item"] for place in told["places"]] == [first, second]
    assert [place["named_first"] for place in told["places"]] == rankings["named_first"][:2].to_list()
    assert len(told["why"]) == 1
    users = candidates.select("user_id", "device").unique("user_id")
    users.write_parquet(tmp_path / "users.parquet")
    asked = ["--users", str(tmp_path / "users.parquet"), "--at", line.dataset.requests["timestamp"].max().isoformat()]
    user = str(users["user_id"][0])
    assert main(["explain", *words[:2], *asked, "--request", user, "--top", "1"]) == FINE
    assert f"Request {user} of user {user}, " in capsys.readouterr().out


def test_features_prints_one_request_and_writes_the_table(line, config, tmp_path, capsys) -> None:
    request = str(line.dataset.requests["request_id"][-1])
    words = ["features", str(line.data), "--config", str(config)]
    assert main([*words, "--request", request]) == FINE
    assert "click_count_item" in capsys.readouterr().out
    assert main([*words, "--out", str(tmp_path / "table")]) == FINE
    assert "text columns are left out" in capsys.readouterr().out
    assert (tmp_path / "table/catalogue.html").is_file()
