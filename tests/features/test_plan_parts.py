import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from recsys.data.clock import TimeSettings
from recsys.data.tables import Dataset
from recsys.errors import SettingsError
from recsys.features import plan
from recsys.features.plan import build_features, compute_features, from_features
from recsys.features.settings import FeatureSettings
from recsys.model.prepared import behaviour_of
from recsys.past.log import Log
from recsys.past.lookup import Asked
from tests.model.test_ready_ranks import ITEMS, make_lists

SETTINGS = FeatureSettings(affinity=("category",))


@pytest.fixture(scope="module")
def asked():
    items = pl.DataFrame({"item_id": ITEMS, "category": [str(number % 4) for number in range(len(ITEMS))]})
    requests = make_lists(40, seed=3)
    events = requests[:5].select("user_id", "item_id", "timestamp", event=pl.lit("click"))
    log = Log(behaviour_of(Dataset(items, events, requests), SETTINGS.kept), TimeSettings())
    return Asked.of(make_lists(25, seed=4).drop("label"), log)


def bits(table):
    return table.numbers.tobytes(), [(each.name, each.codes.tolist()) for each in table.categories]


@pytest.mark.parametrize("rows", [1, 7, 30])
def test_parts_hold_the_rows_of_the_whole_in_their_order_and_whole_requests(asked, monkeypatch, rows):
    whole = compute_features(asked, SETTINGS, None)
    monkeypatch.setattr(plan, "_ROWS", rows)
    parts = from_features(lambda table: table, asked, SETTINGS, None)
    sizes = [part.numbers.shape[1] for part in parts]
    assert len(parts) > 1
    assert sum(sizes) == len(asked.candidates)
    assert set(np.cumsum(sizes).tolist()) <= set(asked.starts.tolist())
    assert np.concatenate([part.numbers for part in parts], axis=1).tobytes() == whole.numbers.tobytes()
    assert bits(compute_features(asked, SETTINGS, None)) == bits(whole)
    for place, category in enumerate(whole.categories):
        assert np.concatenate([part.categories[place].codes for part in parts]).tolist() == category.codes.tolist()


def test_nobody_who_is_asked_is_one_part_of_no_rows(asked):
    nobody = Asked(asked.candidates[:0], np.zeros(1, dtype=np.int64), asked.log)
    (rows,) = from_features(lambda table: table.numbers.shape, nobody, SETTINGS, None)
    assert rows == (len(compute_features(asked, SETTINGS, None).names), 0)
    assert build_features(nobody, SETTINGS, None).is_empty()


def test_features_that_are_left_out_change_no_bit_of_the_others_and_are_not_counted(asked):
    left = ("showing_count_item", "hour", "item_category", "same_category_as_last_click")
    fewer = SETTINGS.model_copy(update={"without": left})
    whole, less = (build_features(asked, settings, None) for settings in (SETTINGS, fewer))
    gone = [column for each in plan.plan(SETTINGS) if each.name in left for column in each.columns]
    assert {*left, "showing_count_item_rank", "same_category_as_last_click_gap"} < set(gone)
    assert less.columns == [name for name in whole.columns if name not in gone] == plan.feature_names(fewer)
    assert less.equals(whole.drop(gone), null_equal=True)
    last = ("click_count_last_item_item", "click_share_last_item_item")
    alone = FeatureSettings(families=("transitions",), without=last)
    assert len(plan.counted_keys(alone)) < len(plan.counted_keys(alone.model_copy(update={"without": ()})))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "showing_count_itme",
            "without names 'showing_count_itme', which is no feature; did you mean showing_count_item?",
        ),
        ("showing_count_item_rank", "which is no feature; did you mean showing_count_item"),
        ("text_score", "without names 'text_score', which is of no family but of the text; leave it out here"),
    ],
)
def test_what_cannot_be_left_out_is_refused(name, words):
    with pytest.raises(SettingsError, match=words):
        plan.feature_names(SETTINGS.model_copy(update={"without": (name,)}))


def test_a_feature_is_left_out_once():
    with pytest.raises(ValidationError, match="without names 'hour' more than once"):
        FeatureSettings(without=("hour", "hour"))
