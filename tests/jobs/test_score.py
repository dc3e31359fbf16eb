import json
from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from recsys import Ranker, verbs
from recsys.data.candidates import cross
from recsys.errors import DataError, SettingsError
from recsys.jobs import score as scoring
from recsys.jobs.ranked_parts import RankedParts
from recsys.jobs.score import score


def rankings(out) -> pl.DataFrame:
    return pl.concat([pl.read_parquet(path) for path in sorted((out / "rankings").glob("*.parquet"))])


@pytest.fixture(scope="module")
def scored(line, tmp_path_factory):
    out = tmp_path_factory.mktemp("scored") / "out"
    score(line.model, line.dataset, line.candidates(), out)
    return out


def test_the_answer_is_the_one_that_a_serving_process_gives(line, scored) -> None:
    candidates = line.candidates()
    expected = rankings(scored)
    assert_frame_equal(Ranker.load(line.model).rank(candidates), expected, check_exact=True)
    assert_frame_equal(Ranker.load(line.model, state=scored / "state").rank(candidates), expected, check_exact=True)
    for request in expected.partition_by("request_id"):
        assert request["rank"].to_list() == list(range(1, len(request) + 1))
        assert request["score"].is_sorted(descending=True)
    assert expected["click_probability"].is_between(0, 1, closed="right").all()
    assert expected["score"].n_unique() > 50


def test_requests_with_a_text_get_the_answer_of_a_serving_process(asking, tmp_path) -> None:
    unseen = (
        pl.when(pl.col("request_id").cast(pl.Int64) % 3 == 0).then(pl.lit("salt & <b>dough</b>")).otherwise("asked")
    )
    candidates = asking.candidates(30).with_columns(asked=unseen)
    assert 1 < candidates["asked"].n_unique() < 30
    score(asking.model, asking.dataset, candidates, tmp_path / "out")
    expected = rankings(tmp_path / "out")
    ranker = Ranker.load(asking.model, state=tmp_path / "out" / "state")
    assert_frame_equal(ranker.rank(candidates.reverse()), expected, check_exact=True)
    alone = [ranker.rank(part) for part in candidates.partition_by("request_id")]
    assert_frame_equal(pl.concat(alone).sort("request_id", "rank"), expected, check_exact=True)
    silent = ranker.rank(candidates.with_columns(asked=pl.lit(None)))
    assert (silent.sort("request_id", "item_id")["score"] != expected.sort("request_id", "item_id")["score"]).any()
    with pytest.raises(SettingsError, match="query names 'asked', which is not a column of the requests"):
        score(asking.model, asking.dataset, candidates.drop("asked"), tmp_path / "other")
    assert not (tmp_path / "other").exists()


@pytest.fixture(scope="module")
def ranker(line) -> Ranker:
    return Ranker.load(line.model)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**6), parts=st.lists(st.integers(0, 4), min_size=40, max_size=40))
def test_answers_do_not_depend_on_order_batches_or_partitions(line, scored, ranker, seed, parts) -> None:
    candidates, expected = line.candidates(), rankings(scored)
    shuffled = candidates.sample(fraction=1, shuffle=True, seed=seed)
    ids = candidates["request_id"].unique().sort().to_list()
    answers = []
    for part in range(5):
        own = [request for request, number in zip(ids, parts, strict=True) if number == part]
        answers.append(ranker.rank(shuffled.filter(pl.col("request_id").is_in(own))))
    assert_frame_equal(pl.concat(answers).sort("request_id", "rank"), expected, check_exact=True)


def test_the_size_of_a_part_changes_no_ranking(line, scored, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(scoring, "ROWS_PER_PART", 37)
    score(line.model, line.dataset, line.candidates(), tmp_path / "out")
    assert len(list((tmp_path / "out/rankings").glob("*.parquet"))) > 5
    assert_frame_equal(rankings(tmp_path / "out").sort("request_id", "rank"), rankings(scored), check_exact=True)


def test_top_keeps_the_first_of_each_request(line, scored, tmp_path) -> None:
    done = score(line.model, line.dataset, line.candidates(), tmp_path / "out", top=3)
    expected = rankings(scored).filter(pl.col("rank") <= 3)
    assert_frame_equal(rankings(tmp_path / "out"), expected, check_exact=True)
    assert done.rankings == len(expected) < done.candidates
    with pytest.raises(SettingsError, match="top = 0; keep at least 1 candidate per request, as a whole number"):
        score(line.model, line.dataset, line.candidates(), tmp_path / "none", top=0)


def test_unknown_users_and_items_are_scored_and_counted(line, tmp_path) -> None:
    candidates = line.candidates(3)
    one = candidates.filter(pl.col("request_id") == candidates["request_id"][0])
    strange = one.with_columns(
        request_id=pl.lit(-5, dtype=one.schema["request_id"]),
        user_id=pl.lit(-7, dtype=one.schema["user_id"]),
        item_id=pl.int_range(-len(one), 0, dtype=one.schema["item_id"]),
    )
    done = score(line.model, line.dataset, pl.concat([candidates, strange]), tmp_path / "out")
    assert (done.unknown_users, done.unknown_items) == (1, len(strange))
    answer = rankings(tmp_path / "out")
    assert answer.filter("unknown_item")["item_id"].sort().to_list() == list(range(-len(one), 0))
    assert answer.filter("unknown_user")["user_id"].unique().to_list() == [-7]
    assert np.isfinite(answer["score"].to_numpy()).all()
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert manifest["counts"]["unknown_items"] == len(strange)


def test_candidates_of_equal_scores_are_counted_whatever_is_kept(line, tmp_path) -> None:
    candidates = line.candidates(3)
    one = candidates.filter(pl.col("request_id") == candidates["request_id"][0])
    strange = one.with_columns(
        request_id=pl.lit(-5, dtype=one.schema["request_id"]),
        item_id=pl.int_range(-len(one), 0, dtype=one.schema["item_id"]),
    )
    whole = score(line.model, line.dataset, pl.concat([candidates, strange]), tmp_path / "whole")
    some = score(line.model, line.dataset, pl.concat([candidates, strange]), tmp_path / "some", top=2)
    shared = rankings(tmp_path / "whole").group_by("request_id", "score").len().filter(pl.col("len") > 1)
    assert len(strange) <= whole.tied == some.tied == shared["len"].sum()
    assert json.loads((tmp_path / "whole/manifest.json").read_text())["counts"]["tied"] == whole.tied


def test_every_item_that_is_out_is_ranked_for_every_user(line, tmp_path) -> None:
    at = line.dataset.requests["timestamp"].max()
    users = (
        line.dataset.requests.select("user_id").unique().sort("user_id").head(4).with_columns(device=pl.lit("phone"))
    )
    candidates = cross(users, line.dataset.items, at)
    score(line.model, line.dataset, candidates, tmp_path / "out", top=10)
    answer = rankings(tmp_path / "out")
    assert answer["request_id"].to_list() == answer["user_id"].to_list()
    assert answer.group_by("user_id").len()["len"].to_list() == [10] * 4
    out = line.dataset.items.filter(pl.col("available_at") <= at)["item_id"]
    assert set(answer["item_id"]) <= set(out)
    assert len(candidates) == 4 * len(out)


def test_new_and_changed_texts_are_encoded_and_reach_serving_through_the_state(line, tmp_path) -> None:
    items, candidates = line.dataset.items, line.candidates(5)
    changed = candidates["item_id"][0]
    title = pl.when(pl.col("item_id") == changed).then(pl.lit("a goal in the last minute")).otherwise("title")
    fresh = items.head(1).with_columns(item_id=pl.lit(10**6, dtype=items.schema["item_id"]), title=pl.lit("brand new"))
    from dataclasses import replace

    dataset = replace(line.dataset, items=pl.concat([items.with_columns(title=title), fresh]))
    new_row = candidates.head(1).with_columns(item_id=pl.lit(10**6, dtype=candidates.schema["item_id"]))
    candidates = pl.concat([candidates, new_row])
    done = score(line.model, dataset, candidates, tmp_path / "out")
    assert done.unknown_items == 0
    served = Ranker.load(line.model, state=tmp_path / "out/state").rank(candidates)
    assert_frame_equal(served, rankings(tmp_path / "out"), check_exact=True)
    old = Ranker.load(line.model).rank(candidates)
    assert old.filter(pl.col("item_id") == 10**6)["unknown_item"].all()
    assert not served["score"].equals(old["score"])


def test_faulty_candidates_write_nothing(line, tmp_path) -> None:
    candidates = line.candidates(3)
    for broken, words in [
        (candidates.drop("item_id"), "item_id"),
        (pl.concat([candidates, candidates.head(1)]), "candidates.request_id"),
        (candidates.with_columns(timestamp=pl.lit(None, dtype=candidates.schema["timestamp"])), "timestamp"),
        (candidates.with_columns(item_id=pl.col("item_id").cast(pl.String)), "candidates hold item_id as String"),
    ]:
        with pytest.raises(DataError, match=words):
            score(line.model, line.dataset, broken, tmp_path / "out")
    with pytest.raises(SettingsError, match="context names 'device', which is not a column of the candidates"):
        score(line.model, line.dataset, candidates.drop("device"), tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_a_moment_with_a_zone_beside_one_without_is_taken_as_utc(line, scored, tmp_path) -> None:
    naive = line.candidates().with_columns(pl.col("timestamp").dt.replace_time_zone(None), seen=pl.col("timestamp"))
    score(line.model, line.dataset, naive, tmp_path / "out")
    assert_frame_equal(rankings(tmp_path / "out"), rankings(scored), check_exact=True)


def test_lists_long_after_all_behaviour_are_told(line, tmp_path) -> None:
    lists = line.candidates()
    known = pl.concat([line.dataset.events["timestamp"], line.dataset.requests["timestamp"]]).max()
    for days, told in ((0.5, False), (612.4, True)):
        asked = lists.with_columns(timestamp=pl.lit(known + timedelta(days=days)))
        done = score(line.model, line.dataset, asked, tmp_path / str(days))
        assert done.days_behind == pytest.approx(days * told, abs=0.1)
        said = done.in_words(tmp_path)
        assert ("the last behaviour in the tables is 612.4 days older than the first of these lists" in said) == told
        assert done.to_json()["days_behind"] == done.days_behind


def test_lists_unlike_any_that_were_learnt_from_are_told(line, tmp_path) -> None:
    """One candidate alone, and the whole catalogue: no list of the world is so short, or so long."""
    lists = line.dataset.requests
    first = lists.filter(pl.col("request_id") == lists["request_id"].max()).drop("label", "clicked_at", strict=False)
    short = first.head(1)
    every = line.dataset.items.select("item_id").join(short.drop("item_id"), how="cross").select(short.columns)
    asked = {"as logged": first, "short": short, "long": every}
    reasons = {}
    for name, candidates in asked.items():
        done = score(line.model, line.dataset, candidates, tmp_path / name)
        words = pl.read_parquet(tmp_path / name / "rankings/*.parquet")["unlike"].unique().to_list()
        assert len(words) == 1
        reasons[name] = words[0]
        said = done.in_words(tmp_path / name)
        assert ("unlike any list that the model has learnt from: 1 list by length" in said) == (name != "as logged")
        assert done.to_json()["unlike"] == done.unlike
    assert reasons["as logged"] is None
    assert reasons["short"] == "length"
    assert reasons["long"].startswith("length")


def test_a_file_whose_items_have_another_name_is_no_request_for_lists(line, tmp_path) -> None:
    wrong = line.candidates(1).rename({"item_id": "sku"})
    wrong.write_parquet(tmp_path / "wrong.parquet")
    with pytest.raises(
        DataError, match=r"wrong\.parquet has no column item_id; its columns are .*sku.*, or give --find"
    ):
        verbs.score(line.model, line.data, candidates=tmp_path / "wrong.parquet", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_night_read_from_files_part_by_part_is_that_of_the_whole(line, tmp_path, monkeypatch) -> None:
    candidates = line.candidates()
    strange = candidates.head(1).with_columns(
        user_id=pl.lit(-7, dtype=candidates.schema["user_id"]),
        request_id=pl.lit(-5, dtype=candidates.schema["request_id"]),
    )
    candidates = pl.concat([candidates, strange])
    candidates.write_parquet(tmp_path / "candidates.parquet")
    whole = score(line.model, line.dataset, candidates, tmp_path / "whole")
    monkeypatch.setattr(scoring, "ROWS_PER_PART", 100)
    cut = score(line.model, line.dataset, tmp_path / "candidates.parquet", tmp_path / "cut")
    assert cut == whole
    assert_frame_equal(rankings(tmp_path / "cut").sort("request_id", "rank"), rankings(tmp_path / "whole"))
    assert len([*(tmp_path / "cut/rankings").iterdir()]) > 2
    assert not (tmp_path / "cut/parts").exists()
    loaded = Ranker.load(line.model, state=tmp_path / "cut/state").rank(candidates)
    assert_frame_equal(loaded, rankings(tmp_path / "whole"), check_exact=True)


def test_a_killed_run_is_gone_on_with_and_ranks_no_part_again(line, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(scoring, "ROWS_PER_PART", 60)
    candidates = line.candidates()
    score(line.model, line.dataset, candidates, tmp_path / "whole")
    commit, ranked = RankedParts.commit, list[int]()

    class KilledError(BaseException):
        pass

    def watched(parts: RankedParts, place: int, *given: object) -> None:
        if len(ranked) == 3:
            raise KilledError
        ranked.append(place)
        commit(parts, place, *given)

    monkeypatch.setattr(RankedParts, "commit", watched)
    with pytest.raises(KilledError):
        score(line.model, line.dataset, candidates, tmp_path / "out")
    assert ranked == [0, 1, 2]
    assert not (tmp_path / "out").exists()
    broken = tmp_path / "out.scoring/ranked/part-00001.parquet"
    broken.write_bytes(broken.read_bytes()[:-1] + b"x")
    monkeypatch.setattr(RankedParts, "commit", lambda *given: (ranked.append(given[1]), commit(*given)))
    score(line.model, line.dataset, candidates, tmp_path / "out")
    count = len([*(tmp_path / "out/rankings").iterdir()])
    assert ranked == [0, 1, 2, 1, *range(3, count)]
    assert not (tmp_path / "out.scoring").exists()
    for path in (tmp_path / "whole").rglob("*"):
        if path.is_file():
            assert path.read_bytes() == (tmp_path / "out" / path.relative_to(tmp_path / "whole")).read_bytes(), path


def test_what_a_killed_run_ranked_of_other_candidates_is_not_used(line, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(scoring, "link_files", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        score(line.model, line.dataset, line.candidates(3), tmp_path / "out")
    assert [*(tmp_path / "out.scoring/ranked").glob("*.json")]
    monkeypatch.undo()
    score(line.model, line.dataset, line.candidates(5), tmp_path / "out")
    assert rankings(tmp_path / "out")["request_id"].n_unique() == 5


def test_a_broken_file_of_a_folder_is_named_and_the_others_are_ranked(line, tmp_path, capsys) -> None:
    (tmp_path / "lists").mkdir()
    first, second, third = (line.candidates(10).filter(pl.col("request_id").rank("dense") % 3 == n) for n in range(3))
    first.write_parquet(tmp_path / "lists/a.parquet")
    second.write_parquet(tmp_path / "lists/b.parquet")
    third.with_columns(user_id=pl.lit(None, pl.Int64)).write_parquet(tmp_path / "lists/c.parquet")
    content = (tmp_path / "lists/b.parquet").read_bytes()
    (tmp_path / "lists/b.parquet").write_bytes(content[: len(content) // 2])
    assert verbs.score(line.model, line.data, candidates=tmp_path / "lists", out=tmp_path / "out") is False
    said = capsys.readouterr().out
    assert "broken, and left out: b.parquet: " in said
    assert "broken, and left out: c.parquet: candidates.user_id: " in said
    assert [*json.loads((tmp_path / "out/manifest.json").read_text())["counts"]["broken"]] == ["b.parquet", "c.parquet"]
    expected = Ranker.load(line.model).rank(first)
    assert_frame_equal(rankings(tmp_path / "out"), expected, check_exact=True)
    (tmp_path / "lists/a.parquet").unlink()
    with pytest.raises(DataError, match=r"no file of 2 can be used \(b\.parquet: .*; c\.parquet: candidates\.user_id"):
        verbs.score(line.model, line.data, candidates=tmp_path / "lists", out=tmp_path / "other")


def test_a_request_of_two_users_is_refused_whatever_part_they_are_of(line, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(scoring, "ROWS_PER_PART", 60)
    candidates = line.candidates()
    others = candidates.head(1).select("user_id"), candidates.tail(1).drop("user_id")
    other = pl.concat(others, how="horizontal").select(candidates.columns)
    other = other.with_columns(item_id=candidates["item_id"].max() + 1).cast(candidates.schema)
    with pytest.raises(DataError, match="user_id"):
        score(line.model, line.dataset, pl.concat([candidates, other]), tmp_path / "out")
    assert not [*tmp_path.iterdir()]


def test_a_fault_in_any_part_leaves_nothing(line, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(scoring, "ROWS_PER_PART", 100)
    candidates = line.candidates()
    pl.concat([candidates, candidates.tail(1)]).write_parquet(tmp_path / "candidates.parquet")
    with pytest.raises(DataError, match="the same request_id and item_id again"):
        score(line.model, line.dataset, tmp_path / "candidates.parquet", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["candidates.parquet"]
