"""A shop that logged purchases alone: its lists are made by sources, learnt from, judged and served in one way."""

import json
from dataclasses import replace
from datetime import timedelta

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from recsys import Ranker
from recsys.data.candidates import ask
from recsys.errors import DataError, SettingsError
from recsys.evaluation.evaluation import BASELINES
from recsys.jobs.evaluate import evaluate
from recsys.jobs.score import score
from recsys.jobs.train import train
from recsys.model.folder import Model, State
from recsys.model.ready import Ready
from recsys.schema import RANKINGS
from recsys.sources.settings import SOURCES

pytestmark = pytest.mark.slow


@pytest.fixture
def shop(made_shop):
    return made_shop


def test_training_and_evaluate_say_the_same_of_made_lists(shop):
    again = evaluate(shop.model, shop.dataset)
    assert json.dumps(again.to_json()["made"]) == json.dumps(shop.evaluation.to_json()["made"])
    made = shop.evaluation.made
    assert set(made.rankers) == {*BASELINES[1:], "factors", "nearest", "text", "behaviour", "both"}
    assert set(made.sources) == {*SOURCES, "all"}
    assert made.size <= 60 < made.field <= 200
    assert "Lists made as a night makes them" in made.in_words()


def test_what_is_judged_is_what_a_serving_process_would_have_answered(shop):
    """Recount hit@10 and recall@50 of made lists by asking a ranker for every list of the test window."""
    ranker = Ranker.load(shop.model)
    cuts = shop.evaluation.overall.requests
    chosen = shop.dataset.requests.filter(pl.col("label") > 0)
    test = chosen.filter(
        pl.col("request_id").is_in(
            shop.dataset.requests.select("request_id", "timestamp")
            .unique()
            .sort("timestamp")
            .tail(cuts)["request_id"]
            .implode()
        )
    )
    asked = test.select("request_id", "user_id", "timestamp").unique("request_id", maintain_order=True)
    ranked = ranker.rank(ranker.find(asked))
    assert ranked.group_by("request_id").len()["len"].max() <= 60
    # Equal scores share their places: the chance of each to stand among the first so many.
    above = pl.col("score").rank("min", descending=True).over("request_id").cast(pl.Int64) - 1
    alike = pl.len().over("request_id", "score")
    chances = {f"first_{many}": ((many - above) / alike).clip(0, 1) for many in (10, 50)}
    ranked = ranked.with_columns(**chances)
    first = ranked.join(test.select("request_id", "item_id"), on=["request_id", "item_id"])
    out = shop.dataset.items.select("item_id", "available_at")
    of_field = test.join(out, on="item_id").filter(pl.col("available_at") <= pl.col("timestamp"))
    choices = of_field.group_by("request_id").len("choices")
    hits = first.group_by("request_id").agg(hits=pl.col("first_50").sum())
    table = choices.join(hits, on="request_id", how="left").fill_null(0)
    assert shop.evaluation.made.lists == len(choices)
    assert shop.evaluation.made.rankers["both"]["recall@50"].mean == pytest.approx(
        (table["hits"] / table["choices"]).mean()
    )
    missed = first.group_by("request_id").agg(missed=(1 - pl.col("first_10")).product())
    hit = 1 - choices.join(missed, on="request_id", how="left")["missed"].fill_null(1.0)
    near = 1e-6 if hit.is_in([0.0, 1.0]).all() else 5e-3  # of two choices with one score, one takes the other's chance
    assert shop.evaluation.made.rankers["both"]["hit@10"].mean == pytest.approx(hit.mean(), abs=near)


def test_score_finds_the_lists_that_a_ranker_finds(shop, tmp_path):
    users = shop.dataset.requests.select("user_id").unique().sort("user_id").head(20)
    at = shop.dataset.requests["timestamp"].max() + timedelta(hours=1)
    requests = ask(users, at)
    done = score(shop.model, shop.dataset, requests, tmp_path / "out", top=10)
    assert done.requests == 20
    ranker = Ranker.load(shop.model, tmp_path / "out/state")
    served = ranker.rank(ranker.find(requests), top=10)
    assert_frame_equal(pl.read_parquet(tmp_path / "out/rankings/*.parquet"), served)
    assert_frame_equal(pl.from_pandas(ranker.find(requests.to_pandas())), ranker.find(requests), check_dtypes=False)
    crowd = ranker.find(requests)
    few = crowd.filter(pl.col("item_id").hash(1) % 7 == 0)
    whole = ranker.rank(crowd).join(few.select("request_id", "item_id"), on=["request_id", "item_id"])
    keys = ["request_id", "item_id"]
    assert_frame_equal(ranker.rank(few).sort(keys).select("score"), whole.sort(keys).select("score"))


def test_made_lists_are_as_of_their_moment(shop, tmp_path):
    """Whatever happens after a moment, the lists made for it stay."""
    users = shop.dataset.requests.select("user_id").unique().sort("user_id")
    at = shop.dataset.requests["timestamp"].sort()[len(shop.dataset.requests) * 3 // 4]
    past = replace(
        shop.dataset,
        requests=shop.dataset.requests.filter(pl.col("timestamp") < at),
        events=shop.dataset.events.filter(pl.col("timestamp") < at),
    )
    for name, dataset in (("all", shop.dataset), ("past", past)):
        score(shop.model, dataset, ask(users, at), tmp_path / name)
    found = [pl.read_parquet(tmp_path / name / "rankings/*.parquet") for name in ("all", "past")]
    assert_frame_equal(*found)


def test_a_model_without_sources_finds_nothing_and_says_what_to_do(line):
    ranker = Ranker.load(line.model)
    requests = line.dataset.requests.head(1).select("request_id", "user_id", "timestamp", "device")
    with pytest.raises(SettingsError, match=r"no sources of candidates; name some in \[candidates\] sources and train"):
        ranker.find(requests)
    with pytest.raises(DataError, match="requests are a list; pass a polars or pandas DataFrame"):
        ranker.find([1])
    assert line.judgement.evaluation.made is None


def test_requests_with_faults_are_refused_with_all_of_them(shop):
    ranker = Ranker.load(shop.model)
    requests = shop.dataset.requests.head(2).select("request_id", "user_id", "timestamp")
    with pytest.raises(DataError, match="user_id"):
        ranker.find(requests.with_columns(user_id=pl.lit(None, pl.Int64)))
    with pytest.raises(DataError, match="timestamp"):
        ranker.find(requests.drop("timestamp"))


@pytest.mark.parametrize("steps", [1, 5])
def test_a_process_that_was_told_everything_makes_the_lists_of_a_batch_that_knew_it(shop, tmp_path, steps):
    requests, events = shop.dataset.requests, shop.dataset.events
    cut = requests["timestamp"].sort()[len(requests) // 2]
    past = replace(
        shop.dataset,
        requests=requests.filter(pl.col("timestamp") < cut),
        events=events.filter(pl.col("timestamp") < cut),
    )
    users = requests.select("user_id").unique().sort("user_id")
    end = requests["timestamp"].max() + timedelta(hours=1)
    score(shop.model, past, ask(users.head(1), cut), tmp_path / "past")
    score(shop.model, shop.dataset, ask(users.head(1), cut), tmp_path / "all")
    told = Ranker.load(shop.model, tmp_path / "past/state")
    whole = Ranker.load(shop.model, tmp_path / "all/state")
    assert len(told.find(ask(users, end)))  # a field that is counted now must not stay
    later = requests.filter(pl.col("timestamp") >= cut).sort("request_id")
    done = events.filter(pl.col("timestamp") >= cut)
    for step in range(steps):  # in no order of time
        told.update(
            events=done.filter(pl.col("item_id").hash(3) % steps == step),
            requests=later.filter(pl.col("request_id").hash(5) % steps == step),
        )
    for at in (cut, end, end + timedelta(days=2)):
        found = [ranker.rank(ranker.find(ask(users, at))) for ranker in (told, whole)]
        assert_frame_equal(*found, check_exact=True)


def test_lists_that_are_brought_stay_and_sources_add_to_them(shop, tmp_path):
    users = shop.dataset.requests.select("user_id").unique().sort("user_id").head(5)
    at = shop.dataset.requests["timestamp"].max() + timedelta(hours=1)
    requests = ask(users, at)
    own = shop.dataset.items.select("item_id").sort("item_id").head(7)
    brought = requests[[4, 0, 2]].join(own, how="cross")
    ranker = Ranker.load(shop.model)
    found, alone = ranker.find(brought), ranker.find(requests)
    assert found["request_id"].unique(maintain_order=True).to_list() == requests["request_id"][[4, 0, 2]].to_list()
    for request in requests["request_id"][[4, 0, 2]]:
        items = found.filter(pl.col("request_id") == request)["item_id"].to_list()
        theirs = alone.filter(pl.col("request_id") == request)["item_id"].to_list()
        assert items[:7] == own["item_id"].to_list()
        assert items[7:] == [item for item in theirs if item not in items[:7]][:53]
    assert_frame_equal(ranker.find(found.sample(fraction=1, shuffle=True, seed=1)).sort(pl.all()), found.sort(pl.all()))
    score(shop.model, shop.dataset, brought, tmp_path / "out", find=True)
    assert_frame_equal(pl.read_parquet(tmp_path / "out/rankings/*.parquet"), ranker.rank(found))
    with pytest.raises(DataError, match="item_id"):
        ranker.find(brought.with_columns(item_id=pl.lit(None, pl.Int64)))


@pytest.mark.parametrize("name", ["itemid", "Item ID", "item_ids"])
def test_a_column_that_is_nearly_item_id_is_no_list_of_nothing(shop, name):
    asked = ask(shop.dataset.requests.select("user_id").head(1), shop.dataset.requests["timestamp"].max())
    ranker = Ranker.load(shop.model)
    with pytest.raises(DataError, match=f"requests have a column '{name}' and none named item_id; call it item_id if"):
        ranker.find(asked.with_columns(pl.lit(3).alias(name)))
    assert len(ranker.find(asked.with_columns(pl.lit(3).alias("items"))))


def test_users_for_whom_sources_find_nothing_have_no_list_and_are_counted(shop, tmp_path):
    """Who never chose anything chooses nothing again."""
    settings = shop.settings.model_copy(
        update={"candidates": shop.settings.candidates.model_copy(update={"sources": ("again",), "size": 5})}
    )
    evaluation = train(shop.dataset, settings, tmp_path / "model").evaluation
    assert evaluation.made.size <= 5
    at = shop.dataset.requests["timestamp"].max() + timedelta(hours=1)
    known = shop.dataset.requests.select("user_id").head(1)
    strangers = pl.DataFrame({"user_id": [1_000_000, 1_000_001]}, schema=known.schema)
    ranker = Ranker.load(tmp_path / "model")
    assert ranker.rank(ranker.find(ask(strangers, at))).is_empty()
    for name, users, lists in (("nobody", strangers, 0), ("one", pl.concat([strangers, known]), 1)):
        done = score(tmp_path / "model", shop.dataset, ask(users, at), tmp_path / name)
        assert (done.requests, done.unlisted) == (lists, 2)
        assert "no list for 2 requests: the sources of the model found nothing there" in done.in_words(tmp_path / name)
        written = pl.read_parquet(tmp_path / name / "rankings/*.parquet")
        assert written["request_id"].n_unique() == lists
        assert written.columns == [column.name for column in RANKINGS.columns]


def test_a_kind_after_which_items_are_left_out_and_that_never_occurs_is_refused(shop, tmp_path):
    once = shop.settings.candidates.model_copy(update={"once": ("click", "bananas")})
    with pytest.raises(
        SettingsError, match=r"\[candidates\] once names 'bananas', an event that never occurs; .*'click'"
    ):
        train(shop.dataset, shop.settings.model_copy(update={"candidates": once}), tmp_path / "model")


def test_a_column_that_the_model_reads_is_missed_before_anything_is_found(shop):
    ranker = Ranker.load(shop.model)
    features = ranker._ready.model.settings.features.model_copy(update={"context": ("device",)})
    settings = ranker._ready.model.settings.model_copy(update={"features": features})
    ready = replace(ranker._ready, model=replace(ranker._ready.model, settings=settings))
    requests = shop.dataset.requests.head(1).select("request_id", "user_id", "timestamp")
    with pytest.raises(
        SettingsError, match=r"\[features\] context names 'device', which is not a column of the requests"
    ):
        ready.find(requests)
    with pytest.raises(DataError) as told:
        ranker.find(requests.with_columns(timestamp=pl.lit(None, pl.Datetime("us", "UTC"))))
    assert "timestamp" in str(told.value)
    assert "one candidate" not in str(told.value)


def test_events_that_leave_items_out_are_read(shop, caplog):
    state = State.load(shop.model / "state", shop.model)
    ranker = Ranker(Ready.of(Model.load(shop.model), replace(state, log=None), shop.model))
    once = shop.settings.candidates.model_copy(update={"once": ("wish",)})
    model = ranker._ready.model
    settings = model.settings.model_copy(update={"candidates": once})
    ranker._ready = replace(ranker._ready, model=replace(model, settings=settings))
    at = shop.dataset.requests["timestamp"].max() + timedelta(minutes=1)
    first = shop.dataset.requests.head(1).select("user_id")
    request = ask(first, at + timedelta(hours=1))
    items = ranker.find(request)["item_id"]
    wished = first.with_columns(item_id=items[0], timestamp=at, event=pl.lit("wish"))
    ranker.update(events=wished)
    assert not [record for record in caplog.records if "change no ranking" in record.message]
    assert items[0] not in ranker.find(request)["item_id"]
