from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from recsys.data.clock import TimeSettings
from recsys.data.tables import Dataset
from recsys.data.windows import Windows
from recsys.features.plan import compute_features
from recsys.features.rows import FeatureRows
from recsys.features.settings import FeatureSettings
from recsys.model.folder import Model
from recsys.model.prepared import behaviour_of
from recsys.model.ready import Ready
from recsys.past.log import Log
from recsys.past.lookup import Asked
from recsys.ranking.calibration import Calibration, Fold
from recsys.ranking.contract import Contract
from recsys.ranking.examples import Examples
from recsys.ranking.settings import RankerSettings
from recsys.ranking.trees import grow
from recsys.schema import RANKINGS, TIME
from recsys.serving.ranker import Ranker
from recsys.settings import Settings
from recsys.statistics.ties import tie_keys
from recsys.vectors.encoded import round_to_grid
from recsys.vectors.item_vectors import ItemVectors
from recsys.vectors.reader import Reader
from recsys.vectors.user_tower import UserTower

pytestmark = pytest.mark.slow


NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)
SETTINGS = FeatureSettings(affinity=("category",))
ITEMS = [f"i{number:02d}" for number in range(20)]


def make_lists(requests, seed, users=8):
    """Build lists of items with a click on an item of the user's own category where there is one."""
    random = np.random.default_rng(seed)
    rows = []
    for request in range(requests):
        user, moment = int(random.integers(users)), NOON + timedelta(minutes=int(random.integers(5000)))
        shown = random.choice(20, int(random.integers(2, 7)), replace=False).tolist()
        liked = [item for item in shown if item % 4 == user % 4] or shown
        rows += [(f"r{request:03d}", f"u{user}", moment, ITEMS[item], int(item == liked[0])) for item in shown]
    names = ("request_id", "user_id", "timestamp", "item_id", "label")
    return pl.DataFrame(rows, schema=names, orient="row").with_columns(pl.col("timestamp").cast(TIME))


@dataclass(frozen=True)
class World:
    ready: Ready

    def rank(self, candidates):
        return self.ready.rank(Asked.of(candidates, self.ready.log))


@pytest.fixture(scope="module")
def world():
    random = np.random.default_rng(0)
    items = pl.DataFrame({"item_id": ITEMS[:18], "category": [str(number % 4) for number in range(18)]})
    requests = make_lists(200, seed=1)
    events = requests[:5].select("user_id", "item_id", "timestamp", event=pl.lit("click"))
    log = Log(behaviour_of(Dataset(items, events, requests), SETTINGS.kept), TimeSettings())
    vectors = round_to_grid(random.normal(size=(18, 8)) / 3)
    appeal = random.normal(size=18).astype(np.float32)
    text = ItemVectors(items["item_id"], items["item_id"], vectors, vectors, appeal)
    tower = UserTower(np.ones((2, 8)), np.ones(2), np.ones(2), np.ones(2), np.ones(1))
    reader = Reader.of(log, text, tower, 5)
    asked = Asked.of(requests, log)
    table = FeatureRows.of(compute_features(asked, SETTINGS, reader))
    labels = asked.candidates["label"].to_numpy().astype(np.int64)
    contract = Contract.of(table)
    grown = RankerSettings(leaves=5, rows_per_leaf=10)
    ranker = grow(Examples.alike(table, labels, asked.starts), contract, grown, seed=1, rounds=12)
    calibration = Calibration.fit([Fold(ranker.score(table), labels, asked.starts)])
    model = Model(Settings(features=SETTINGS), Windows((NOON,) * 5), ranker, ranker, calibration, tower)
    return World(Ready(model, log, reader))


ASKED = make_lists(30, seed=2).drop("label")


def test_the_answer_is_a_table_of_rankings(world):
    ranked = world.rank(ASKED)
    assert tuple(ranked.columns) == tuple(column.name for column in RANKINGS.columns)
    assert (
        ranked.select("request_id", "user_id", "item_id")
        .sort(pl.all())
        .equals(ASKED.select("request_id", "user_id", "item_id").sort(pl.all()))
    )
    for request in ranked.partition_by("request_id"):
        assert request["rank"].to_list() == list(range(1, len(request) + 1))
        assert request["score"].to_list() == sorted(request["score"], reverse=True)
        assert request["click_probability"].to_list() == sorted(request["click_probability"], reverse=True)
    assert ranked["request_id"].to_list() == sorted(ASKED["request_id"])
    assert ranked["click_probability"].is_between(1e-6, 1).all()
    assert ranked["score"].n_unique() > 10


def test_scores_are_the_rankers_own(world):
    ranked = world.rank(ASKED).sort("request_id", "item_id")
    ready = world.ready
    asked = Asked.of(ASKED, ready.log)
    scores = ready.model.ranker.score(compute_features(asked, SETTINGS, ready.reader))
    assert ranked["score"].to_list() == scores.tolist()
    assert ranked["click_probability"].to_list() == ready.model.calibration.probability(scores, asked.starts).tolist()


def test_a_list_of_a_size_that_was_not_learnt_from_has_an_order_and_no_click_probabilities(world):
    known = world.ready.model.calibration.sizes
    long = pl.concat([ASKED[:1].with_columns(item_id=pl.lit(f"new {place}")) for place in range(int(known[-1]) + 1)])
    ranked = world.rank(pl.concat([ASKED.filter(pl.col("request_id") != long["request_id"][0]), long]))
    of_long = pl.col("request_id") == long["request_id"][0]
    assert ranked.schema["click_probability"] == pl.Float64
    assert ranked.filter(of_long)["click_probability"].null_count() == len(long)
    assert ranked.filter(of_long)["rank"].to_list() == [*range(1, len(long) + 1)]
    others = ranked.filter(~of_long)
    assert others.equals(world.rank(ASKED).filter(~of_long))
    assert others["click_probability"].null_count() == 0


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 99), rows=st.integers(1, 40))
def test_neither_the_order_of_rows_nor_the_batch_changes_a_bit(world, seed, rows):
    whole = world.rank(ASKED)
    shuffled = ASKED.sample(fraction=1, shuffle=True, seed=seed)
    assert_frame_equal(world.rank(shuffled), whole, check_exact=True)
    parts = [world.ready.rank(part) for part in Asked.of(shuffled, world.ready.log).parts(rows)]
    assert_frame_equal(pl.concat(parts), whole, check_exact=True)


def make_ties(requests, items=("z", "y", "ω", "q")):
    """Lists of items that nobody knows, which have equal features and so equal scores."""
    rows = [(request, "x", NOON, item) for request in requests for item in items]
    schema = {"request_id": None, "user_id": pl.String, "timestamp": TIME, "item_id": None}
    return pl.DataFrame(rows, schema=schema, orient="row")


def settle(world, ties):
    """Give the same model with another way to order equal scores."""
    model = world.ready.model
    ranker = model.settings.ranker.model_copy(update={"ties": ties})
    settings = model.settings.model_copy(update={"ranker": ranker})
    return World(replace(world.ready, model=replace(model, settings=settings)))


def test_equal_scores_are_ordered_by_item_where_the_settings_say_so(world):
    ranked = settle(world, "item").rank(make_ties(["r"]))
    assert ranked["score"].n_unique() == 1
    assert ranked["item_id"].to_list() == ["q", "y", "z", "ω"]
    assert ranked["rank"].to_list() == [1, 2, 3, 4]


def test_equal_scores_favour_no_item(world):
    ranked = world.rank(make_ties([f"r{number:04d}" for number in range(2000)]))
    assert ranked["score"].n_unique() == 1
    first = ranked.filter(pl.col("rank") == 1)["item_id"].value_counts()["count"].cast(pl.Int64)
    assert (first - 500).abs().max() < 4 * 500**0.5
    keys = ranked.select(key=pl.Series(tie_keys(ranked["request_id"], ranked["item_id"])), request="request_id")
    assert keys.equals(keys.sort("request", "key"))


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 99), rows=st.integers(1, 40), ties=st.sampled_from(["hash", "item"]))
def test_ties_fall_alike_whatever_else_is_ranked(world, seed, rows, ties):
    asked, own = pl.concat([ASKED, make_ties([f"s{number}" for number in range(20)])]), settle(world, ties)
    whole = own.rank(asked)
    shuffled = asked.sample(fraction=1, shuffle=True, seed=seed)
    assert_frame_equal(own.rank(shuffled), whole, check_exact=True)
    parts = [own.ready.rank(part) for part in Asked.of(shuffled, world.ready.log).parts(rows)]
    assert_frame_equal(pl.concat(parts), whole, check_exact=True)
    alone = own.rank(asked.filter(pl.col("request_id") == "s7"))
    assert_frame_equal(alone, whole.filter(pl.col("request_id") == "s7"), check_exact=True)


def test_unknown_users_and_items_are_scored_and_marked(world):
    later = NOON + timedelta(days=60)
    rows = pl.DataFrame(
        [
            ("a", "u1", later, "i00"),
            ("a", "u1", later, "i19"),  # has behaviour, but is not in the items table
            ("a", "u1", later, "new"),
            ("b", "new", later, "i00"),
        ],
        schema={"request_id": pl.String, "user_id": pl.String, "timestamp": TIME, "item_id": pl.String},
        orient="row",
    )
    ranked = world.rank(rows).sort("request_id", "item_id")
    assert "i19" in world.ready.log.items.values
    assert ranked["unknown_item"].to_list() == [False, True, True, False]
    assert ranked["unknown_user"].to_list() == [False, False, False, True]
    assert ranked["score"].is_finite().all()


def test_ids_come_back_in_the_type_they_came_in(world):
    cast = ASKED.with_columns(request_id=pl.col("request_id").str.slice(1).cast(pl.Int16))
    assert world.rank(cast).schema["request_id"] == pl.Int16
    words = ASKED.with_columns(pl.col("user_id", "item_id").cast(pl.Categorical))
    ranked = world.rank(words)
    assert ranked.schema["item_id"] == pl.Categorical
    assert_frame_equal(ranked.with_columns(pl.col("user_id", "item_id").cast(pl.String)), world.rank(ASKED))


def test_no_candidate_gives_an_empty_answer(world):
    ranked = world.rank(ASKED.clear())
    assert ranked.is_empty()
    assert ranked.schema == world.rank(ASKED).schema


def test_a_user_whose_behaviour_comes_later_is_unknown(line):
    """What is said of a user holds at the moment of the request, not at the end of the log."""
    ranker = Ranker(Ready.today(line.model, line.dataset)[0])
    first = line.dataset.requests.sort("timestamp").head(1)
    earlier = line.dataset.requests.filter(pl.col("request_id") == first["request_id"][0]).with_columns(
        pl.lit(line.dataset.events["timestamp"].min()).alias("timestamp")
    )
    assert ranker.rank(earlier)["unknown_user"].all()
    assert not ranker.rank(line.candidates(1))["unknown_user"].any()
