import itertools
import json
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest

from recsys.arranging.settings import RuleSettings
from recsys.errors import DataError, SettingsError
from recsys.evaluation.measures import AUC, ndcg
from recsys.evaluation.plan import Plan
from recsys.jobs.baselines import random
from recsys.jobs.compare import compare
from recsys.jobs.evaluate import evaluate
from recsys.jobs.exhibits import collect_exhibits
from recsys.jobs.score import score
from recsys.jobs.systems import open_system
from recsys.manifest import write_manifest
from recsys.model.folder import State
from recsys.model.ready import Ready
from recsys.statistics.verdict import Verdict

PLAN = Plan(measures=(ndcg(10), AUC), resamples=200, permutations=400)


@pytest.fixture(scope="module")
def beside_popularity(line):
    return compare("popularity", line.model, line.dataset, PLAN, ["category"])


def ranked(line, by: pl.Expr) -> pl.DataFrame:
    """Rank the lists of the simulated world by an expression over their truth."""
    truth = line.dataset.requests.join(line.world.truth, on=["request_id", "item_id"])
    return truth.select("request_id", "item_id", score=by.cast(pl.Float64))


def test_a_model_is_compared_on_its_test_lists_with_the_figures_of_its_evaluation(line, beside_popularity) -> None:
    found, judged = beside_popularity.comparison, line.judgement.evaluation.overall.rankers
    for measure in ("nDCG@10", "AUC"):
        assert found.overall[measure].a == pytest.approx(judged["popularity"][measure].mean, abs=1e-12)
        assert found.overall[measure].b == pytest.approx(judged["both"][measure].mean, abs=1e-12)
    assert found.window == "test"
    assert found.overall["nDCG@10"].requests + found.left_out["nDCG@10"] == line.judgement.evaluation.overall.requests


def test_the_json_holds_every_number_and_can_be_written(beside_popularity) -> None:
    written = json.loads(json.dumps(beside_popularity.to_json(), allow_nan=False))
    assert written["a"] == "popularity"
    assert written["overall"]["nDCG@10"]["verdict"] == written["verdict"]
    assert {"movement", "reliability", "without_labels", "facts", "notes", "segments"} <= set(written)
    assert list(written["reliability"]) == ["b"]
    assert any(name.startswith("clicked items' category = ") for name in written["segments"])
    assert {"coverage@10", "Gini@10", "personalisation@10", "diversity@10"} <= set(written["without_labels"])


def test_text_and_page_say_the_same(beside_popularity) -> None:
    text, page = beside_popularity.to_text(100), beside_popularity.to_html()
    assert text.startswith(beside_popularity.comparison.verdict.upper())
    assert f"{beside_popularity.comparison.overall['nDCG@10'].b:.4f}" in text
    assert f"{beside_popularity.comparison.overall['nDCG@10'].b:.4f}" in page


def test_swapping_the_sides_turns_every_difference_around(line, beside_popularity) -> None:
    turned = compare(line.model, "popularity", line.dataset, PLAN, ["category"]).comparison
    for measure, found in beside_popularity.comparison.overall.items():
        assert turned.overall[measure].interval.mean == pytest.approx(-found.interval.mean, abs=1e-12)
        assert turned.overall[measure].p == found.p


def test_the_truth_beats_its_reverse_in_files_of_any_system(line, tmp_path) -> None:
    ranked(line, -pl.col("utility")).write_parquet(tmp_path / "old.parquet")
    run = ranked(line, pl.col("utility"))
    lines = [f"{request} Q0 {item} 0 {score} mine\n" for request, item, score in run.rows()]
    (tmp_path / "new.run").write_text("".join(lines))
    found = compare(tmp_path / "old.parquet", tmp_path / "new.run", line.dataset, PLAN)
    assert found.comparison.verdict is Verdict.BETTER
    assert found.comparison.window == "ranked"
    assert found.exhibits.movement is not None
    assert found.exhibits.movement.tau < -0.9
    assert "Diversity is left out" in " ".join(found.exhibits.notes)
    assert found.exhibits.warnings == []


def test_what_a_model_scored_of_its_own_past_is_not_compared(line, tmp_path) -> None:
    candidates = line.dataset.requests.drop("label", "position", "propensity")
    score(line.model, line.dataset, candidates, tmp_path / "scored")
    of_file = compare("popularity", tmp_path / "scored", line.dataset, PLAN).comparison
    of_model = compare("popularity", line.model, line.dataset, PLAN).comparison
    assert of_file.overall["nDCG@10"] == of_model.overall["nDCG@10"]
    early = line.dataset.requests["timestamp"].min()
    past = candidates.filter(pl.col("timestamp") < early + timedelta(days=1))
    score(line.model, line.dataset, past, tmp_path / "past")
    with pytest.raises(DataError, match="rank none of the 700 logged requests after what their models have learnt fro"):
        compare("popularity", tmp_path / "past", line.dataset, PLAN)


def test_of_two_models_the_one_that_learnt_longer_says_where_the_comparison_starts(line, tmp_path) -> None:
    """The later model is the same one, said to have learnt a day longer."""
    later = line.judgement.window.requests["timestamp"].min() + timedelta(hours=12)
    score(line.model, line.dataset, line.dataset.requests.drop("label", "position", "propensity"), tmp_path / "scored")
    said = json.loads((tmp_path / "scored/manifest.json").read_text())["learnt_until"]
    (tmp_path / "scored/manifest.json").unlink()
    write_manifest(tmp_path / "scored", {"learnt_until": later.isoformat()})
    assert datetime.fromisoformat(said) < later
    unseen = line.dataset.requests.filter(pl.col("timestamp") >= later)["request_id"].n_unique()
    for sides in ((line.model, tmp_path / "scored"), (tmp_path / "scored", line.model)):
        found = compare(*sides, line.dataset, PLAN)
        assert found.exhibits.movement.requests == unseen


def test_requests_that_a_scored_folder_leaves_out_are_said(line, tmp_path) -> None:
    test = line.judgement.window.requests
    some = test.filter(pl.col("request_id").is_in(test["request_id"].unique()[:20].implode()))
    score(line.model, line.dataset, some.drop("label", "position", "propensity"), tmp_path / "scored")
    found = compare("random", tmp_path / "scored", line.dataset, PLAN)
    assert found.exhibits.warnings[0].startswith("random is a weak opponent, a rule that needs no training")
    assert found.exhibits.warnings[1:] == [
        f"20 of {test['request_id'].n_unique()} logged requests are ranked and compared; who leaves out what is hard looks "
        "better than it is."
    ]


def test_short_lists_and_requests_left_out_are_said_beside_the_verdict(line) -> None:
    whole = ranked(line, pl.col("utility"))
    top = whole.filter(pl.col("score").rank("ordinal", descending=True).over("request_id") <= 3)
    found = compare(whole, top, line.dataset, PLAN)
    longest = line.dataset.requests.group_by("request_id").len()["len"].max()
    (left_out, short) = found.exhibits.warnings
    assert left_out.startswith("B does not list")
    assert short == (
        f"B lists at most 3 items, the other {longest}: below place 3 it can only lose; compare with --primary nDCG@3, "
        "too."
    )
    assert found.comparison.verdict is Verdict.WORSE
    assert f"Mind: {short}" in found.to_text(2000)
    assert short in found.to_html()
    at_three = compare(whole, top, line.dataset, replace(PLAN, measures=(ndcg(3),), primary="nDCG@3"))
    assert at_three.comparison.overall["nDCG@3"].interval.mean == 0
    assert not any("at most 3" in warning for warning in at_three.exhibits.warnings)
    some = whole.filter(pl.col("request_id").is_in(whole["request_id"].unique()[:50].implode()))
    assert compare("random", some, line.dataset, PLAN).exhibits.warnings[1:] == [
        "50 of 700 logged requests are ranked and compared; who leaves out what is hard looks better than it is."
    ]


def test_only_requests_that_a_file_ranks_are_compared_and_those_that_one_lacks_count_as_nothing(line) -> None:
    requests = line.dataset.requests.filter((pl.col("label") > 0).any().over("request_id"))
    ids = requests["request_id"].unique(maintain_order=True)[:60]
    of = ranked(line, pl.col("utility"))
    whole, half = (of.filter(pl.col("request_id").is_in(some.implode())) for some in (ids, ids[:30]))
    found = compare(whole, half, line.dataset, PLAN).comparison
    assert found.overall["nDCG@10"].requests == 60
    each = compare(whole, whole.filter(pl.col("request_id").is_in(ids[:30].implode())), line.dataset, PLAN).comparison
    assert found.overall["nDCG@10"].b == each.overall["nDCG@10"].b
    alone = compare(half, half, line.dataset, PLAN).comparison
    assert found.overall["nDCG@10"].b == pytest.approx(alone.overall["nDCG@10"].a / 2, abs=1e-12)
    assert (alone.a, alone.b) == ("A", "B")
    assert alone.overall["nDCG@10"].interval.mean == 0


def test_one_system_on_both_sides_is_told_apart_and_never_better(line) -> None:
    found = compare(line.model, line.model, line.dataset, PLAN).comparison
    assert found.a.endswith("(A)")
    assert found.b.endswith("(B)")
    assert found.overall["nDCG@10"].p == 1
    assert found.verdict in (Verdict.NO_DIFFERENCE, Verdict.UNDERPOWERED)


def test_the_order_of_rows_changes_nothing(line, beside_popularity) -> None:
    shuffled = line.dataset.requests.sample(fraction=1, shuffle=True, seed=1)
    again = compare("popularity", line.model, replace(line.dataset, requests=shuffled), PLAN, ["category"])
    assert again.to_json() == beside_popularity.to_json()


def test_examples_run_from_the_list_where_b_loses_most_to_that_where_it_gains_most(line, beside_popularity) -> None:
    """Recomputed from the places that the page shows."""
    changes = []
    for example in beside_popularity.exhibits.examples:
        gains = []
        for side in ("a", "b"):
            places = [getattr(of, side) for of in example.listed if of.label]
            gains.append(sum(1 / np.log2(place + 1) for place in places if place <= 10))
        changes.append(gains[1] - gains[0])
        assert sorted(of.a for of in example.listed) == list(range(1, len(example.listed) + 1))
    assert len(changes) == 4
    assert np.sign(changes).tolist() == sorted(np.sign(changes).tolist())


def test_past_clicks_ages_and_vectors_are_those_of_the_items(line, beside_popularity) -> None:
    """Freshness of a list that is shown whole is the mean age of its candidates, recomputed with a plain loop."""
    free = {of.name: of for of in beside_popularity.exhibits.label_free}
    assert free["requests answered"].a == free["requests answered"].b == line.judgement.evaluation.overall.requests
    available = dict(line.dataset.items.select("item_id", "available_at").rows())
    scores = line.judgement.scores["both"]
    table = line.judgement.window.requests.with_columns(score=pl.Series(scores))
    ages = []
    for _, of in table.group_by("request_id"):
        top = of.sort("score", descending=True).head(10)
        hours = [(at - available[item]) / timedelta(hours=1) for at, item in top.select("timestamp", "item_id").rows()]
        ages.append(np.mean(hours))
    assert free["age@10, hours"].b == pytest.approx(np.mean(ages), rel=1e-9)


def test_models_that_learnt_other_labels_are_not_compared(line, monkeypatch) -> None:
    from recsys.jobs import compare as job
    from recsys.jobs.systems import open_system

    def other(source, dataset, name, seed):
        system = open_system(source, dataset, name, seed)
        if not name.endswith("(B)"):
            return system
        settings = system.prepared.settings
        labels = settings.labels.model_copy(update={"grades": {"like": 2}})
        prepared = replace(system.prepared, settings=settings.model_copy(update={"labels": labels}))
        return replace(system, prepared=prepared)

    monkeypatch.setattr(job, "open_system", other)
    with pytest.raises(SettingsError, match=r"learnt different labels \(\[labels\] .*; train both with the same"):
        compare(line.model, line.model, line.dataset, PLAN)


def test_requests_that_a_model_has_learnt_from_are_never_compared(line) -> None:
    early = line.dataset.requests.filter(pl.col("timestamp") < line.judgement.window.requests["timestamp"].min())
    with pytest.raises(DataError, match="no request is left that the models have not learnt from: they have learnt u"):
        compare("random", line.model, replace(line.dataset, requests=early), PLAN)


def test_files_that_rank_nothing_logged_are_refused(line) -> None:
    foreign = pl.DataFrame({"request_id": ["x"], "item_id": ["y"], "rank": [1]})
    with pytest.raises(DataError, match="A and B rank none of the 700 logged requests; rank requests of this data"):
        compare(foreign, foreign, line.dataset, PLAN)


def test_an_unknown_primary_measure_is_refused(line) -> None:
    with pytest.raises(SettingsError, match="primary is 'MAP', which is not among the measures nDCG@10, AUC"):
        compare("random", "popularity", line.dataset, replace(PLAN, primary="MAP"))


def test_beside_a_model_a_file_is_compared_on_all_requests_that_the_model_has_not_learnt_from(line) -> None:
    test = line.judgement.window.requests
    some = ranked(line, pl.col("utility")).filter(
        pl.col("request_id").is_in(test["request_id"].unique()[:20].implode())
    )
    found = compare(some, line.model, line.dataset, PLAN)
    assert found.exhibits.movement.requests == test["request_id"].n_unique()
    assert found.exhibits.warnings[0].startswith(
        f"A does not answer {test['request_id'].n_unique() - 20} of the requests"
    )


def test_what_each_side_shows_is_measured_side_by_side(line, beside_popularity) -> None:
    """Diversity and evenness of the model, recomputed with plain loops over its scores and vectors."""
    free = {of.name: of for of in beside_popularity.exhibits.label_free}
    vectors = State.load(line.model / "state", line.model).vectors
    unit = {
        item: row / np.linalg.norm(row)
        for item, row in zip(vectors.item_ids, np.asarray(vectors.candidate), strict=True)
    }
    table = line.judgement.window.requests.with_columns(score=pl.Series(line.judgement.scores["both"]))
    tops = [of.sort("score", descending=True).head(10)["item_id"].to_list() for _, of in table.group_by("request_id")]
    spread = [np.mean([1 - unit[a] @ unit[b] for a, b in itertools.combinations(top, 2)]) for top in tops]
    assert free["diversity@10"].b == pytest.approx(np.mean(spread), abs=1e-6)
    items = table["item_id"].unique()
    showings = sorted(sum(top.count(item) for top in tops) for item in items)
    size = len(showings)
    uneven = sum((2 * place - size - 1) * x for place, x in enumerate(showings, 1)) / ((size - 1) * sum(showings))
    assert free["Gini@10"].b == pytest.approx(uneven, abs=1e-9)
    assert free["coverage@10"].b == pytest.approx(np.mean(np.array(showings) > 0), abs=1e-12)
    for name in ("novelty@10, bits", "age@10, hours", "diversity@10"):
        assert free[name].interval.mean == pytest.approx(free[name].b - free[name].a, abs=1e-9)
        assert free[name].a != free[name].b


def test_lists_that_are_too_short_are_counted(line) -> None:
    whole = ranked(line, pl.col("utility"))
    first = pl.col("score").rank("ordinal", descending=True).over("request_id") == 1
    free = {of.name: of for of in compare(whole, whole.filter(first), line.dataset, PLAN).exhibits.label_free}
    assert (free["lists too short"].a, free["lists too short"].b) == (0, 700)
    assert (free["requests answered"].a, free["requests answered"].b) == (700, 700)


def test_another_seed_draws_anew(line) -> None:
    ends = [
        compare("random", "popularity", line.dataset, replace(PLAN, seed=seed)).comparison.overall["AUC"].interval
        for seed in (1, 1, 2)
    ]
    assert ends[0] == ends[1] != ends[2]


def test_items_without_a_text_are_left_out_of_diversity(line) -> None:
    """One item is no longer in the catalogue: pairs with it do not count, recomputed with a plain loop."""
    test = line.judgement.window.requests
    gone = test["item_id"].mode().sort()[0]
    items = line.dataset.items.filter(pl.col("item_id") != gone)
    found = compare("random", line.model, replace(line.dataset, items=items), PLAN)
    vectors = State.load(line.model / "state", line.model).vectors
    unit = {
        item: row / np.linalg.norm(row)
        for item, row in zip(vectors.item_ids, np.asarray(vectors.candidate), strict=True)
    }
    del unit[gone]
    scores = random(test, PLAN.seed)
    spread = []
    for _, of in test.with_columns(score=pl.Series(scores)).group_by("request_id"):
        top = [item for item in of.sort("score", descending=True).head(10)["item_id"] if item in unit]
        spread.append(np.mean([1 - unit[a] @ unit[b] for a, b in itertools.combinations(top, 2)]))
    free = {of.name: of for of in found.exhibits.label_free}
    assert free["diversity@10"].a == pytest.approx(np.mean(spread), abs=1e-6)


def test_groups_of_items_that_lose_by_b_are_named(line) -> None:
    shown = line.dataset.requests.join(line.dataset.items.select("item_id", "category"), on="item_id")
    least = shown["category"].value_counts(sort=True)["category"][0]
    key = ["request_id", "item_id"]
    a = shown.select(*key, score=pl.col("item_id").hash(1).cast(pl.Float64))
    b = shown.select(*key, score=(pl.col("category") != least).cast(pl.Float64))
    found = compare(a, b, line.dataset, PLAN, ["category"])
    named = found.exhibits.exposure[f"category = {least}"]
    assert named.named
    places = pl.col("score").rank("ordinal", descending=True).over("request_id")
    worth = pl.when(places <= 10).then(1 / (places + 1).log(2)).otherwise(0.0)
    by_hand = a.with_columns(worth=worth).join(line.dataset.items.select("item_id", "category"), on="item_id")
    share = by_hand.filter(pl.col("category") == least)["worth"].sum() / by_hand["worth"].sum()
    assert named.a == pytest.approx(share)
    assert named.b < named.a
    said = f"items with category = {least} are shown less by B"
    assert f"B: {said}" in found.to_text(200)
    assert f"I{said[1:]}" in found.to_html()
    assert json.loads(json.dumps(found.to_json()))["exposure"][f"category = {least}"]["named"]
    shares = [(of.candidates, of.clicks, of.a, of.b) for of in found.exhibits.exposure.values()]
    assert np.sum(shares, axis=0) == pytest.approx([1, 1, 1, 1])


def test_what_a_side_does_not_list_gets_no_exposure(line) -> None:
    shown = line.dataset.requests.join(line.dataset.items.select("item_id", "category"), on="item_id")
    kind, *_ = shown["category"].value_counts(sort=True)["category"]
    scores = shown.select("request_id", "item_id", "category", score=pl.col("item_id").hash(1).cast(pl.Float64))
    without = scores.filter(pl.col("category") != kind).drop("category")
    found = compare(scores.drop("category"), without, line.dataset, PLAN, ["category"])
    assert found.exhibits.exposure[f"category = {kind}"].b == 0


@pytest.mark.slow
def test_bad_days_cost_a_model_in_a_comparison_what_they_cost_it_alone(line) -> None:
    found = compare("popularity", line.model, line.dataset, PLAN, stressed=True)
    assert found.exhibits.stress == {"B": evaluate(line.model, line.dataset, stressed=True).stress}
    assert "On a bad day nDCG@10 of B changes by:" in found.to_text(300)
    assert "What do bad days cost?" in found.to_html()
    assert json.loads(json.dumps(found.to_json()))["stress"]


def test_bad_days_are_refused_where_nobody_can_tell(line) -> None:
    with pytest.raises(SettingsError, match=r"where neither side is a model; leave it out \(`--stress`\)"):
        compare("popularity", "random", line.dataset, PLAN, stressed=True)
    drawn = replace(line.dataset, about=replace(line.dataset.about, sampled=True))
    with pytest.raises(SettingsError, match="where no list was logged"):
        compare("popularity", line.model, drawn, PLAN, stressed=True)


def test_a_side_that_ties_all_gives_no_group_more_than_a_random_one(line) -> None:
    tied = line.dataset.requests.select("request_id", "item_id", score=pl.lit(1.0))
    found = compare("random", tied, line.dataset, PLAN, ["category", "subcategory"]).exhibits.exposure
    assert len(found) > 5
    assert not any(of.named for of in found.values())


def test_items_are_grouped_by_what_was_known_of_them_at_the_request(line) -> None:
    """The last fifth of the time knows half the items by another category."""
    moments = line.dataset.requests["timestamp"].sort()
    late = moments[len(moments) * 4 // 5]
    known = line.dataset.items.with_columns(known_at=pl.lit(None, moments.dtype))
    half = known.filter(pl.col("item_id") % 2 == 0)
    new = half.with_columns(category=pl.lit("changed"), known_at=pl.lit(late, moments.dtype))
    versions = replace(line.dataset, items=pl.concat([known, new]))
    found = compare("random", "popularity", versions, PLAN, ["category"]).exhibits.exposure["category = changed"]
    requests = line.dataset.requests
    of_it = (pl.col("item_id") % 2 == 0) & (pl.col("timestamp") > late)
    assert found.candidates == pytest.approx(requests.select(of_it.mean()).item(), abs=1e-3)


def test_columns_that_a_model_knows_are_grouped_as_it_knows_them(line) -> None:
    exposure = compare("popularity", line.model, line.dataset, PLAN, ["category"]).exhibits.exposure
    assert sum(of.candidates for of in exposure.values()) == pytest.approx(1)
    alike = replace(line.dataset, items=line.dataset.items.with_columns(shop=pl.lit("one")))
    assert compare("random", "popularity", alike, PLAN, ["shop"]).exhibits.exposure == {}


def test_items_that_a_side_ties_get_alike_exposure_whatever_their_ids(line) -> None:
    key, items = ["request_id", "item_id"], line.dataset.items
    low = items.with_columns(half=pl.when(pl.col("item_id") < items["item_id"].median()).then(1).otherwise(2))
    tied = line.dataset.requests.select(*key, score=pl.lit(1.0))
    last = line.dataset.requests.select(*key, score=-pl.col("item_id").cast(pl.Float64))
    found = compare(tied, last, replace(line.dataset, items=low), PLAN, ["half"]).exhibits.exposure["half = 1"]
    assert abs(found.a - found.candidates) < 0.03
    assert found.b > found.a + 0.05


@pytest.mark.slow
def test_a_model_with_rules_is_compared_without_them_and_that_is_said(line) -> None:
    ruled = Ready.today(line.model, line.dataset, rules=RuleSettings.model_validate({"available": True}))[1]
    systems = tuple(open_system(side, line.dataset, side, 0) for side in ("random", "popularity"))
    both = (systems[0], replace(systems[1], prepared=ruled))
    found = compare("random", "popularity", line.dataset, PLAN)
    said = collect_exhibits(replace(found.sides, systems=both), "nDCG@10").warnings
    assert any(each.startswith("popularity stands in the order of scores, without [rules]; ") for each in said)
    assert not any("[rules]" in each for each in found.exhibits.warnings)
