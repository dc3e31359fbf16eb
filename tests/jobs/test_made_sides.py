"""Two systems on lists that they make of the whole field, against what was chosen of it."""

import json
import shutil
from dataclasses import replace

import polars as pl
import pytest

from recsys.data.tables import About
from recsys.errors import DataError, SettingsError
from recsys.evaluation.evaluation import BASELINES
from recsys.evaluation.plan import DEFAULT_PLAN, OF_FIELD, Plan
from recsys.jobs.compare import compare
from recsys.jobs.score import score
from recsys.manifest import write_manifest
from recsys.sources.finding import first_rows

pytestmark = pytest.mark.slow

BY_TIES = 0.005
"""By so much, at most, figures of rankings differ from those of their scores, some of which are equal: each has a rank."""

QUICK = Plan(resamples=200, permutations=400)


@pytest.fixture(scope="module")
def moments(made_shop):
    """The requests of the test window, without candidates."""
    ended = made_shop.evaluation.overall.requests
    lists = made_shop.dataset.requests
    first = lists.select("request_id", "timestamp").unique().sort("timestamp", "request_id").tail(ended)
    return first_rows(lists.filter(pl.col("request_id").is_in(first["request_id"].implode()))).drop("label")


@pytest.fixture(scope="module")
def made(made_shop, moments, tmp_path_factory):
    """What `score` makes for them."""
    out = tmp_path_factory.mktemp("made") / "out"
    score(made_shop.model, made_shop.dataset, moments, out)
    return out


def test_a_model_and_a_rule_have_the_figures_of_the_evaluation(made_shop):
    """One bootstrap, two reports: means and differences are those of made lists in the report of `train`."""
    said = made_shop.evaluation.made
    for rule in BASELINES[1:]:
        found = compare(rule, made_shop.model, made_shop.dataset, QUICK)
        assert found.comparison.window == "made lists"
        for measure in map(str, OF_FIELD):
            one = found.comparison.overall[measure]
            assert one.a == pytest.approx(said.rankers[rule][measure].mean, abs=1e-12)
            assert one.b == pytest.approx(said.rankers["both"][measure].mean, abs=1e-12)
            assert one.interval.mean == pytest.approx(said.differences[f"both-{rule}"][measure].mean, abs=1e-12)
            assert one.requests == said.lists
        assert not {"AUC", "AUC pooled"} & set(found.comparison.overall)


def test_drawn_lists_come_second_and_are_called_so(made_shop):
    found = compare("popularity", made_shop.model, made_shop.dataset, QUICK)
    second = found.exhibits.second
    assert second.overall["AUC"].b == pytest.approx(made_shop.evaluation.overall.rankers["both"]["AUC"].mean, abs=1e-12)
    text, page = found.to_text(), found.to_html()
    for said in (text, page):
        assert "the lists that were drawn at random around what was chosen" in " ".join(said.split())
    assert json.loads(json.dumps(found.to_json(), allow_nan=False))["second"]["window"] == "test"
    assert found.exhibits.facts["Candidates"].startswith("each side's own, of all items that were out")
    assert not any("expect lower ones" in warning for warning in found.exhibits.warnings)


def test_rankings_that_score_made_are_judged_as_their_model_is(made_shop, made):
    model = compare("popularity", made_shop.model, made_shop.dataset, QUICK).comparison
    scores = pl.read_parquet(made / "rankings/*.parquet").drop("rank")
    for source, near in ((made, BY_TIES), (scores, 1e-12)):
        names = ("popularity", "B") if isinstance(source, pl.DataFrame) else None
        found = compare("popularity", source, made_shop.dataset, QUICK, names=names)
        for measure in map(str, OF_FIELD):
            one, other = found.comparison.overall[measure], model.overall[measure]
            assert one.b == pytest.approx(other.b, abs=near), measure
            if source is made:  # it says which half-life popularity has
                assert one.a == other.a
        assert found.exhibits.second is None


def test_ids_written_as_text_are_those_of_the_tables(made_shop, made):
    plain = pl.read_parquet(made / "rankings/*.parquet").select("request_id", "item_id", "score")
    texts = plain.with_columns(pl.col("request_id", "item_id").cast(pl.String))
    found = [compare("popularity", each, made_shop.dataset, QUICK).comparison.overall for each in (plain, texts)]
    assert found[0] == found[1]


def test_lists_of_nobody_s_items_are_refused(made_shop, made):
    strange = pl.read_parquet(made / "rankings/*.parquet").with_columns(pl.col("item_id") + 10_000_000)
    with pytest.raises(
        DataError,
        match=r"rows rank an item that the items table does not hold, such as 1\d{7} in request",
    ):
        compare("popularity", strange, made_shop.dataset, QUICK)


def test_who_finds_nothing_orders_what_the_other_lists(made_shop):
    found = compare("random", made_shop.model, made_shop.dataset, QUICK)
    words = "random finds no candidates itself: it orders what the other side lists."
    assert words in found.exhibits.warnings
    overall = found.comparison.overall
    assert overall["recall@100"].a == overall["recall@100"].b  # lists of 60 hold the same
    assert overall["nDCG@10"].a < overall["nDCG@10"].b


def test_rankings_of_the_drawn_lists_are_compared_on_these(made_shop, tmp_path):
    drawn = made_shop.dataset.requests.select("request_id", "user_id", "timestamp", "item_id")
    score(made_shop.model, made_shop.dataset, drawn, tmp_path / "out")
    found = compare(tmp_path / "out", made_shop.model, made_shop.dataset, QUICK)
    assert found.comparison.window == "test"
    assert found.exhibits.second is None
    assert found.comparison.overall["nDCG@10"].interval.mean == pytest.approx(0, abs=BY_TIES)
    scores = pl.read_parquet(tmp_path / "out/rankings/*.parquet").drop("rank")
    found = compare(scores, made_shop.model, made_shop.dataset, QUICK, names=("A", "B"))
    assert found.comparison.overall["nDCG@10"].interval.mean == pytest.approx(0, abs=1e-12)


def test_an_area_under_the_curve_decides_between_no_made_lists(made_shop):
    for primary in ("AUC", "AUC pooled"):
        with pytest.raises(SettingsError, match=f"{primary} cannot decide between lists made of the whole field"):
            compare("popularity", made_shop.model, made_shop.dataset, Plan.of(primary))
    assert DEFAULT_PLAN.of_field().primary == "nDCG@10"
    assert Plan.of("AUC").of_field(decides=False).primary == "nDCG@10"


def test_made_lists_come_second_where_lists_were_logged(made_shop):
    """The same tables, as if a shop had logged them: whoever trains with sources gets both, logged lists first."""
    logged = replace(made_shop.dataset, about=About())
    found = compare("popularity", made_shop.model, logged, QUICK)
    assert found.comparison.window == "test"
    assert "AUC" in found.comparison.overall
    assert found.exhibits.second.window == "made lists"
    made = compare("popularity", made_shop.model, made_shop.dataset, QUICK)
    assert found.exhibits.second.overall == made.comparison.overall
    assert "lists that both make of the whole field" in " ".join(found.to_text().split())


def test_nothing_chosen_is_told(made_shop):
    silent = replace(
        made_shop.dataset,
        requests=made_shop.dataset.requests.with_columns(label=0 * pl.col("label")).drop("clicked_at"),
    )
    with pytest.raises(DataError, match="nothing was chosen that could have been a candidate, so that made lists"):
        compare("popularity", made_shop.model, silent, QUICK)


def test_what_either_side_may_list_may_be_chosen(made_shop, made, tmp_path):
    """`once` of one side leaves nothing out for the other: choices count where one of the two may list them."""
    strict = pl.read_parquet(made / "rankings/*.parquet")
    loose = compare(made, strict, made_shop.dataset, QUICK, names=("A", "B")).comparison
    manifest = json.loads((made / "manifest.json").read_text())
    assert manifest["candidates"]["once"] == []
    shutil.copytree(made, tmp_path / "once")
    facts = {name: manifest[name] for name in ("learnt_until", "time", "windows")}
    (tmp_path / "once/manifest.json").unlink()
    write_manifest(tmp_path / "once", facts | {"candidates": manifest["candidates"] | {"once": ["click", "purchase"]}})
    both = compare(made, tmp_path / "once", made_shop.dataset, QUICK).comparison
    alone = compare("popularity", tmp_path / "once", made_shop.dataset, QUICK).comparison
    assert both.overall["recall@10"].requests == loose.overall["recall@10"].requests
    assert alone.overall["recall@10"].requests < both.overall["recall@10"].requests


def test_drawn_lists_with_an_item_more_are_no_lists_of_the_field(made_shop, made, tmp_path):
    """They hold what was chosen among few others, and would beat whatever has to find it."""
    drawn = made_shop.dataset.requests.select("request_id", "item_id", score=pl.lit(1.0))
    listed = pl.read_parquet(made / "rankings/*.parquet").select("request_id", "item_id", score=pl.lit(0.5))
    more = listed.join(drawn, on=["request_id", "item_id"], how="anti")
    for few in (more.head(1), more.unique("request_id")):
        with pytest.raises(DataError, match="rank an item that is not a candidate of its request"):
            compare("popularity", pl.concat([drawn, few]), made_shop.dataset, QUICK, names=("popularity", "B"))
    brought = made_shop.dataset.requests.join(listed.select("request_id").unique(), on="request_id")
    asked = brought.select("request_id", "user_id", "timestamp", "item_id")
    score(made_shop.model, made_shop.dataset, asked, tmp_path / "out", find=True)  # mostly found, but not all
    with pytest.raises(DataError, match="rank an item that is not a candidate of its request"):
        compare("popularity", tmp_path / "out", made_shop.dataset, QUICK)
