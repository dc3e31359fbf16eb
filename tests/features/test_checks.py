from dataclasses import replace
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from recsys.data.tables import Dataset
from recsys.errors import DataError, SettingsError
from recsys.features.checks import check_context, check_events, check_id_types
from recsys.features.definitions import Count, Share
from recsys.features.moments import Pace
from recsys.features.plan import feature_names, refuse_doubles
from recsys.features.settings import FeatureSettings
from recsys.model.prepared import behaviour_of
from recsys.past.behaviour import Kept


@pytest.mark.parametrize("name", ["label", "views", "clicks", "position", "propensity", "read_time"])
def test_context_recorded_with_the_list_is_refused(name):
    frame = pl.DataFrame({name: [1]})
    with pytest.raises(SettingsError, match=f"context names '{name}', which is recorded with or after the list"):
        check_context(frame, FeatureSettings(context=(name,)), ("read_time",))


def test_missing_context_is_refused():
    frame = pl.DataFrame({"request_id": [1], "phone": [1]})
    with pytest.raises(SettingsError, match=r"'device', which is not a column .*their columns are request_id, phone"):
        check_context(frame, FeatureSettings(context=("device",)), ())


@pytest.mark.parametrize("setting", ["context", "scores"])
@pytest.mark.parametrize(
    "name", ["hour", "list_size", "interest_gap", "item_category", "click_rate_item_over_category_1h_share"]
)
def test_context_and_scores_named_as_a_feature_are_refused(setting, name):
    settings = FeatureSettings(**{setting: (name,)}, affinity=("category",))
    with pytest.raises(SettingsError, match=f"makes two features called '{name}'; rename a col"):
        refuse_doubles(settings)


def test_every_computed_name_is_refused_as_context(tools):
    settings = tools.settings.model_copy(update={"context": (), "declarations": ()})
    for name in feature_names(settings):
        own = settings.model_copy(update={"context": (name,), "scores": ()})
        if name.startswith("retrieval"):
            own = own.model_copy(update={"scores": ("retrieval",)})
        with pytest.raises(SettingsError, match="makes two features called"):
            refuse_doubles(own)


def test_scores_must_be_numbers_known_before_the_list():
    settings = FeatureSettings(scores=("similarity",))
    check_context(pl.DataFrame({"similarity": [1, 2]}), settings, ())
    check_context(pl.DataFrame({"similarity": [None]}), settings, ())
    message = (
        "scores names 'similarity', which holds String values; write them as numbers, or name the column in context"
    )
    with pytest.raises(SettingsError, match=message):
        check_context(pl.DataFrame({"similarity": ["high"]}), settings, ())
    for lists in (pl.Series([[0.5]]), pl.Series([[0.5]], dtype=pl.Array(pl.Float32, 1)), pl.Series([{"a": 0.5}])):
        with pytest.raises(
            SettingsError, match="scores names 'similarity', which holds .* values; write one number a row"
        ):
            check_context(pl.DataFrame({"similarity": lists}), settings, ())
    with pytest.raises(SettingsError, match="scores names 'similarity', which is recorded with or after the list"):
        check_context(pl.DataFrame({"similarity": [1]}), settings, ("similarity",))
    with pytest.raises(SettingsError, match="scores names 'similarity', which is not a column of the candidates"):
        check_context(pl.DataFrame({"device": ["a"]}), settings, ())


def test_a_context_of_floats_is_refused():
    settings = FeatureSettings(context=("depth",))
    check_context(pl.DataFrame({"depth": [1]}), settings, ())
    with pytest.raises(
        SettingsError, match="context names 'depth', which holds Float64 values; name it in scores, or write"
    ):
        check_context(pl.DataFrame({"depth": [0.5]}), settings, ())


@pytest.mark.parametrize(
    "change", [{"events": ("lik",)}, {"values": ("lik",)}, {"declarations": (Pace("lik", ("user",)),)}]
)
def test_an_event_kind_that_never_occurs_is_refused(tools, change):
    likes = tools.events([(1, 1, "like", datetime(2024, 3, 1, tzinfo=UTC), timedelta(0))])
    dataset = Dataset(likes.select("item_id"), likes, tools.showings([]))
    check_events(
        dataset,
        FeatureSettings(events=("like",), declarations=(Count("skip", ()), Share(("item",), (), None, "outcome"))),
    )
    with pytest.raises(SettingsError, match=r"counts 'lik', an event that never occurs; events holds \['like'\]"):
        check_events(dataset, FeatureSettings(**change))


def test_values_of_events_that_have_none_are_refused(tools) -> None:
    likes = tools.events([(1, 1, "like", datetime(2024, 3, 1, tzinfo=UTC), timedelta(0))])
    dataset = Dataset(likes.select("item_id"), likes.with_columns(value=pl.lit(2.0)), tools.showings([]))
    check_events(dataset, FeatureSettings(values=("like",)))
    for events in (likes.with_columns(value=pl.lit(None, pl.Float64)), likes.drop("value", strict=False)):
        with pytest.raises(SettingsError, match=r"\[features\] values names 'like', and no such event has a `value`"):
            check_events(replace(dataset, events=events), FeatureSettings(values=("like",)))


def test_context_known_before_the_list_is_taken():
    check_context(pl.DataFrame({"device": ["a"]}), FeatureSettings(context=("device",)), ("read_time",))


def test_ids_of_another_kind_are_refused(line) -> None:
    behaviour = behaviour_of(line.dataset, Kept())
    candidates = line.candidates(1).with_columns(pl.col("user_id").cast(pl.String))
    with pytest.raises(
        DataError, match="candidates hold user_id as String, the model's data as Int64; cast the column"
    ):
        check_id_types(candidates, behaviour)
