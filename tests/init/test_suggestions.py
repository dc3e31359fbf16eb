from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from recsys.data.tables import About, Dataset
from recsys.errors import DataError
from recsys.features.checks import check_context
from recsys.init.suggestions import in_words, suggest_settings
from recsys.init.toml import Section
from recsys.schema import TIME
from recsys.settings import Settings

START = datetime(2024, 1, 1, tzinfo=UTC)


def make_dataset(lists: int = 300, hours: int = 1, **about: Any) -> Dataset:
    rows = [
        (n, n % 9, START + timedelta(hours=hours * n), item, int(item == n % 5), ["a", "b"][n % 2])
        for n in range(lists)
        for item in range(5)
    ]
    requests = pl.DataFrame(
        rows,
        schema={
            "request_id": pl.Int64,
            "user_id": pl.Int64,
            "timestamp": TIME,
            "item_id": pl.Int64,
            "label": pl.Int32,
            "device": pl.String,
        },
        orient="row",
    )
    events = requests.head(100).select("user_id", "item_id", "timestamp", event=pl.lit("view"))
    items = pl.DataFrame(
        {
            "item_id": range(20),
            "title": [f"title number {n}" for n in range(20)],
            "body": [f"a long body of words about {n}" for n in range(20)],
            "brand": [["x", "y", "z"][n % 3] for n in range(20)],
            "url": [f"https://shop/{n}" for n in range(20)],
            "price": [n / 2 for n in range(20)],
        }
    )
    return Dataset(items, events, requests, about=About(**about))


def suggested(dataset: Dataset, several_kinds: bool = False) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for section in suggest_settings(dataset, several_kinds):
        values = {entry.key: entry.value for entry in section.entries}
        content |= {section.path[0]: values} if section.path else values
    Settings.model_validate(content)
    return content


def test_texts_categories_events_and_context_are_found() -> None:
    content = suggested(make_dataset())
    assert content["text"]["fields"] == ["title", "body"]
    assert content["features"] == {
        "windows": ["1h", "6h", "1d"], "affinity": ["brand"], "context": ["device"], "events": ["view"],
        "numbers": ["price"], "users": [], "scores": [], "values": [],
    }  # fmt: skip
    assert content["windows"] == {"fractions": [0.4, 0.3, 0.1, 0.2]}
    assert content["text"]["block"] == "1d"
    assert content["ranker"]["rows_per_leaf"] == 5


def test_values_of_events_and_groups_of_users_are_found() -> None:
    dataset = make_dataset()
    events = dataset.events.with_columns(value=pl.lit(2.5))
    users = dataset.requests.select("user_id").unique().sort("user_id").with_row_index("n")
    users = users.select("user_id", age_group=pl.col("n").cast(pl.Int64) % 3, code=pl.col("n").cast(pl.String) + "x")
    content = suggested(replace(dataset, events=events, users=users))
    assert content["features"]["values"] == ["view"]
    assert content["features"]["users"][0] == "age_group"


@pytest.mark.parametrize(
    ("hours", "windows", "block"), [(10, ["1d", "7d", "28d"], "9d"), (200, ["7d", "28d", "182d"], "167d")]
)
def test_longer_logs_are_looked_back_on_further_and_learnt_from_in_longer_blocks(
    hours: int, windows: list[str], block: str
) -> None:
    content = suggested(make_dataset(hours=hours))
    assert (content["features"]["windows"], content["text"]["block"]) == (windows, block)


def test_sampled_lists_beside_views_are_ranked_with_the_knowledge_of_midnight() -> None:
    assert suggested(make_dataset(sampled=True), several_kinds=True)["time"]["freshness"] == "1d"
    assert suggested(make_dataset(sampled=True))["time"]["freshness"] == "live"
    assert suggested(make_dataset(), several_kinds=True)["time"]["freshness"] == "live"


def test_columns_recorded_after_the_list_are_no_context() -> None:
    assert suggested(make_dataset(recorded_after=("device",)))["features"]["context"] == []
    dataset = make_dataset()
    changing = dataset.requests.with_columns(device=pl.col("item_id").cast(pl.String))
    assert suggested(replace(dataset, requests=changing))["features"]["context"] == []


def test_ids_for_titles_are_not_learnt_from() -> None:
    dataset = make_dataset()
    bare = dataset.items.select("item_id", title=pl.col("item_id").cast(pl.String))
    text = suggested(replace(dataset, items=bare))["text"]
    assert text == {"fields": ["title"], "block": "1d", "epochs": 0, "lexicon": 0}


def test_lists_without_labels_are_graded_by_the_strongest_events() -> None:
    dataset = make_dataset()
    events = pl.concat([dataset.events.with_columns(event=pl.lit(kind)) for kind in ("click", "order", "view")])
    silent = replace(dataset, requests=dataset.requests.with_columns(label=pl.lit(0, pl.Int32)), events=events)
    content = suggested(silent)
    assert content["labels"] == {"grades": {"order": 3, "click": 1}, "attribution": "1d"}
    assert content["features"]["events"] == ["view"]


def test_a_search_query_is_read() -> None:
    dataset = make_dataset()
    asked = dataset.requests.with_columns(search_query=pl.format("red shoes {}", "request_id"))
    assert suggested(replace(dataset, requests=asked))["text"]["query"] == "search_query"


def test_names_that_lightgbm_would_not_tell_apart_are_left_out() -> None:
    dataset = make_dataset()
    items = dataset.items.with_columns(pl.col("brand").alias("brand (a)"), pl.col("brand").alias("brand [a]"))
    affinity = suggested(replace(dataset, items=items))["features"]["affinity"]
    assert affinity == ["brand", "brand (a)"]


def test_names_that_mean_something_else_to_features_are_left_out() -> None:
    dataset = make_dataset()
    n = pl.col("item_id")
    few = pl.col("brand")
    items = dataset.items.with_columns(last_category=few, timestamp=few, request_id=few, region=few, age_hours=n / 2)
    items = items.with_columns((n / 3).alias("age hours"), id=n % 3)
    users = dataset.requests.select("user_id").unique().sort("user_id").with_columns(last_city=pl.col("user_id") % 3)
    users = users.with_columns(id=pl.col("user_id") % 2, city=pl.col("user_id") % 3)
    requests = dataset.requests.with_columns(
        weekday=pl.col("timestamp").dt.weekday(), region=pl.col("device"), last_device=pl.col("device")
    )
    events = pl.concat([dataset.events.with_columns(event=pl.lit(kind)) for kind in ("view", "skip", "last_view")])
    dataset = replace(dataset, items=items, users=users, requests=requests, events=events)
    content = suggested(dataset)["features"]
    chosen = {name: content[name] for name in ("affinity", "context", "events", "numbers", "users")}
    assert chosen == {
        "affinity": ["brand", "region"], "context": ["device"], "events": ["view"], "numbers": ["price"],
        "users": ["city"],
    }  # fmt: skip
    check_context(requests, Settings.model_validate({"features": content}).features, ())


def test_few_lists_are_divided_otherwise_or_refused() -> None:
    assert suggested(make_dataset(lists=4, hours=24))["windows"] == {"fractions": [0.3, 0.3, 0.2, 0.2]}
    with pytest.raises(
        DataError, match="2 lists at 2 moments are too few to be divided into windows of time with a choice"
    ):
        suggested(make_dataset(lists=2))


def test_reasons_are_said_in_one_line_each() -> None:
    lines = in_words(suggest_settings(make_dataset(), several_kinds=False))
    assert "text.fields = ['title', 'body']: the title, and the columns with the longest texts" in lines
    assert in_words([Section(("a",), ())]) == []


def test_scores_and_ranks_of_retrievers_are_used_and_those_that_tell_the_outcome_are_not():
    dataset = make_dataset()
    rows = len(dataset.requests)
    requests = dataset.requests.with_columns(
        bm25_score=pl.Series([(7 * n) % 13 / 13 for n in range(rows)]),
        ann_rank=pl.Series([(7 * n // 3) % 11 for n in range(rows)]),
        oracle_score=pl.col("label") * 0.9,
        list_score=pl.lit(0.5),
    )
    assert suggested(replace(dataset, requests=requests))["features"]["scores"] == ["bm25_score", "ann_rank"]


def test_dates_without_a_time_get_windows_of_days():
    dataset = make_dataset(hours=24)
    by_day = dataset.requests.with_columns(pl.col("timestamp").dt.truncate("1d"))
    content = suggested(replace(dataset, requests=by_day, events=dataset.events.clear()))
    assert content["time"]["freshness"] == "1d"
    assert all(window.endswith("d") for window in content["features"]["windows"])
    short = make_dataset(lists=60)
    by_day = short.requests.with_columns(pl.col("timestamp").dt.truncate("1d"))
    assert suggested(make_dataset())["time"]["freshness"] == "live"
    with pytest.raises(DataError, match="3 moments are too few to be divided into windows of time"):
        suggested(replace(short, requests=by_day, events=short.events.clear()))


def test_a_description_that_three_quarters_lack_is_text_all_the_same():
    dataset = make_dataset()
    rare = pl.Series(
        "story", [f"a very long story of words about number {n}" if n % 4 == 0 else None for n in range(20)]
    )
    items = dataset.items.with_columns(rare, never=pl.lit(None, pl.String))
    assert suggested(replace(dataset, items=items))["text"]["fields"] == ["title", "story", "body"]


def test_a_column_of_dates_is_no_text():
    dataset = make_dataset()
    dates = pl.Series("On sale since", [f"{1 + n} Mar 2024" for n in range(20)])
    assert suggested(replace(dataset, items=dataset.items.with_columns(dates)))["text"]["fields"] == ["title", "body"]


@pytest.mark.parametrize(("kind", "clicks"), [("order", ["order"]), ("like", ["like"]), ("impression", None)])
def test_choices_beside_logged_lists_count_as_clicks(kind, clicks):
    dataset = make_dataset()
    events = dataset.events.with_columns(event=pl.lit(kind))
    assert suggested(replace(dataset, events=events)).get("labels", {}).get("clicks") == clicks
    sampled = replace(dataset, events=events, about=About(sampled=True))
    assert "labels" not in suggested(sampled)


def test_events_that_repeat_clicks_on_lists_do_not_count_as_more_clicks():
    dataset = make_dataset()
    clicks = dataset.requests.filter(pl.col("label") > 0)
    orders = clicks.select("user_id", "item_id", pl.col("timestamp") + timedelta(minutes=9), event=pl.lit("order"))
    assert "clicks" not in suggested(replace(dataset, events=orders)).get("labels", {})
    late = orders.with_columns(pl.col("timestamp") + timedelta(days=40))
    assert suggested(replace(dataset, events=late))["labels"]["clicks"] == ["order"]
