"""The verb's function: logged lists, lists that are made, pairs, words and pages."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from recsys import Ranker
from recsys.data.candidates import ask
from recsys.data.tables import Dataset
from recsys.errors import DataError, SettingsError
from recsys.jobs import score as module
from recsys.jobs.explain import explain_list
from recsys.jobs.score import score


@pytest.fixture(scope="module")
def request_id(line) -> str:
    return str(line.dataset.requests["request_id"][-1])


@pytest.fixture(scope="module")
def explained(line, request_id):
    return explain_list(line.model, line.dataset, request_id)


def test_a_logged_list_is_explained_as_it_is_ranked(line, request_id, explained) -> None:
    candidates = line.candidates(1)
    ranked = Ranker.load(line.model).rank(candidates, top=3)
    assert [(place.item, place.rank) for place in explained.places] == [
        (str(item), rank) for item, rank in ranked.select("item_id", "rank").rows()
    ]
    assert [place.score for place in explained.places] == pytest.approx(ranked["score"].to_list())
    assert (explained.request, explained.candidates) == (request_id, len(candidates))
    titles = dict(line.dataset.items.select("item_id", "title").rows())
    for place in explained.places:
        assert place.title == titles[int(place.item)]
        assert sum(part.adds for part in place.parts) == pytest.approx(place.score - place.others, abs=1e-6)
        weights = [part.weight for part in place.parts]
        assert weights == sorted(weights, reverse=True)
        text = titles[int(place.item)].lower()
        assert all(word.what.lower() in text or word.adds > 0 for word in place.words)
    assert len(explained.why) == 3
    assert explained.why[0].startswith(f'"{explained.places[0].title}" stands above "{explained.places[1].title}"')


def test_words_come_from_the_texts(line, explained) -> None:
    named = [(place, word) for place in explained.places for word in place.words]
    assert named
    for place, word in named:
        item = line.dataset.items.filter(pl.col("item_id") == int(place.item)).row(0, named=True)
        assert word.what in f"{item['title']} {item['description']}"
        assert word.adds > 0


def test_two_items_are_held_against_each_other_the_upper_one_first(line, request_id) -> None:
    ranked = Ranker.load(line.model).rank(line.candidates(1))
    last, first = str(ranked["item_id"][-1]), str(ranked["item_id"][0])
    told = explain_list(line.model, line.dataset, request_id, top=1, pair=(last, first))
    assert [place.item for place in told.places] == [first, last]
    assert len(told.why) == 1
    with pytest.raises(DataError, match="item 'gone' is not in the ranked list, which holds .* and others"):
        explain_list(line.model, line.dataset, request_id, pair=(first, "gone"))
    with pytest.raises(DataError, match=f"item '{first}' cannot stand above itself; give two items"):
        explain_list(line.model, line.dataset, request_id, pair=(first, first))


def test_lists_of_a_night_are_explained_as_they_were_scored(line, tmp_path) -> None:
    users = line.dataset.requests.select("user_id", "device").unique("user_id", keep="last").sort("user_id").head(2)
    at = line.dataset.requests["timestamp"].max()
    asked = ask(users, at)
    score(line.model, line.dataset, asked, tmp_path / "out", top=2, explained=True)
    rankings = pl.read_parquet(tmp_path / "out/rankings")
    user = str(users["user_id"][0])
    told = explain_list(line.model, line.dataset, user, asked, top=2)
    own = rankings.filter(pl.col("request_id").cast(pl.String) == user)
    assert [place.item for place in told.places] == [str(item) for item in own["item_id"]]
    assert [place.score for place in told.places] == pytest.approx(own["score"].to_list())
    assert [place.parts[0].family for place in told.places] == own["named_first"].to_list()
    assert [place.others for place in told.places] == pytest.approx(own["others"].to_list())
    assert told.as_of <= told.timestamp == at


def test_json_words_and_page_hold_the_same_and_nothing_commands(line, request_id, explained, read_page) -> None:
    told = json.loads(json.dumps(explained.to_json()))
    first = told["places"][0]
    assert first["named_first"] == first["parts"][0]["family"]
    assert told["timestamp"] == explained.timestamp.isoformat()
    words = explained.to_text()
    assert f"Request {request_id} of user {explained.user}, {explained.candidates} candidates" in words
    assert f"1. {explained.places[0].title} (item {explained.places[0].item}): score " in words
    assert explained.why[0] in words
    page = read_page(explained.to_html())
    assert explained.places[0].title in page.text
    items = line.dataset.items.with_columns(title=pl.lit("<i>bread</i>\x1b[31m"))
    hostile = explain_list(line.model, Dataset(items, line.dataset.events, line.dataset.requests), request_id)
    assert "<i>" not in hostile.to_html()
    assert "\x1b" not in hostile.to_html()


def test_what_cannot_be_explained_is_refused(line, request_id) -> None:
    with pytest.raises(DataError, match="request 'none' is not among the logged requests, which hold .* and others"):
        explain_list(line.model, line.dataset, "none")
    with pytest.raises(DataError, match="request 'none' is not among the candidates, which hold "):
        explain_list(line.model, line.dataset, "none", line.candidates(2))
    with pytest.raises(SettingsError, match="top = 0; keep at least 1 candidate"):
        explain_list(line.model, line.dataset, request_id, top=0)


def test_a_user_of_whom_nothing_is_known_is_explained_by_appeal(line) -> None:
    asked = ask(pl.DataFrame({"user_id": [999_999], "device": ["mobile"]}), datetime(2030, 1, 1, tzinfo=UTC))
    told = explain_list(line.model, line.dataset, "999999", asked, top=1)
    assert told.places[0].clicks == ()
    assert told.places[0].raised == "appeal"


def test_candidates_without_ids_of_requests_are_refused_by_name(line, request_id) -> None:
    with pytest.raises(DataError, match="the candidates have no column request_id; their columns are user_id, "):
        explain_list(
            line.model, line.dataset, request_id, line.candidates(2).drop("request_id").select("user_id", "item_id")
        )


def test_items_are_called_what_they_were_called_then(line, request_id, explained) -> None:
    later = line.dataset.requests["timestamp"].max() + timedelta(hours=1)
    items = line.dataset.items.with_columns(known_at=pl.lit(None, pl.Datetime("us", "UTC")))
    renamed = items.with_columns(title=pl.lit("of tomorrow"), known_at=pl.lit(later))
    told = explain_list(line.model, replace(line.dataset, items=pl.concat([items, renamed])), request_id)
    assert [place.title for place in told.places] == [place.title for place in explained.places]
    assert "of tomorrow" not in told.to_text()


@pytest.mark.parametrize("rows", [1, 10**6])
def test_rankings_are_explained_part_by_part_and_none_is_none(line, tmp_path, monkeypatch, rows) -> None:
    monkeypatch.setattr(module, "ROWS_EXPLAINED", rows)
    score(line.model, line.dataset, line.candidates(12), tmp_path / "out", top=3, explained=True)
    rankings = pl.read_parquet(tmp_path / "out/rankings").sort("request_id", "rank")
    expected = Ranker.load(line.model).explain(line.candidates(12), top=3)
    assert_frame_equal(rankings, expected, check_exact=False, rel_tol=1e-9)
