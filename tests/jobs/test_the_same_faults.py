"""One table of faults, every verb: what one refuses by name, all do."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from recsys.data.checks import check_tables
from recsys.data.tables import About, Dataset
from recsys.errors import DataError, RecsysError, SettingsError
from recsys.jobs.compare import compare
from recsys.jobs.evaluate import evaluate
from recsys.jobs.features import show_features, write_features
from recsys.jobs.score import score
from recsys.jobs.train import train
from recsys.serving.ranker import Ranker


@pytest.fixture(scope="module")
def full(asking, tmp_path_factory):
    """A model that reads a context column, a score of a retrieval and a text of each request."""
    noise = pl.Series("retrieval", np.random.default_rng(0).random(len(asking.dataset.requests)))
    dataset = replace(asking.dataset, requests=asking.dataset.requests.with_columns(noise))
    features = asking.settings.features.model_copy(update={"scores": ("retrieval",)})
    text = asking.settings.text.model_copy(update={"epochs": 0})
    settings = asking.settings.model_copy(update={"features": features, "text": text})
    model = tmp_path_factory.mktemp("full") / "model"
    train(dataset, settings, model)
    return dataset, settings, model


def candidates_of(requests: pl.DataFrame) -> pl.DataFrame:
    last = requests["request_id"].unique(maintain_order=True).tail(20)
    return requests.filter(pl.col("request_id").is_in(last.implode())).drop("label", strict=False)


VERBS: dict[str, Callable[..., object]] = {
    "train": lambda dataset, settings, model, out: train(dataset, settings, out),
    "features of settings": lambda dataset, settings, model, out: write_features(dataset, settings, out),
    "features of a model": lambda dataset, settings, model, out: write_features(dataset, model, out),
    "features of one request": lambda dataset, settings, model, out: show_features(
        dataset, model, str(dataset.requests["request_id"][0])
    ),
    "evaluate": lambda dataset, settings, model, out: evaluate(model, dataset),
    "compare": lambda dataset, settings, model, out: compare("popularity", model, dataset),
    "score": lambda dataset, settings, model, out: score(model, dataset, candidates_of(dataset.requests), out),
    "Ranker.rank": lambda dataset, settings, model, out: Ranker.load(model).rank(candidates_of(dataset.requests)),
}

FAULTS: dict[str, tuple[Callable[[pl.DataFrame], pl.DataFrame], type[RecsysError], str]] = {
    "no context column": (
        lambda table: table.drop("device"),
        SettingsError,
        r"\[features\] context names 'device', which is not a column of (the candidates|requests)",
    ),
    "no score": (
        lambda table: table.drop("retrieval"),
        SettingsError,
        r"\[features\] scores names 'retrieval', which is not a column of the candidates; add it",
    ),
    "no text of the request": (
        lambda table: table.drop("asked"),
        SettingsError,
        r"\[text\] query names 'asked', which is not a column of the requests; add it",
    ),
    "scores that are texts": (
        lambda table: table.with_columns(retrieval=pl.lit("high")),
        SettingsError,
        "scores names 'retrieval', which holds String values; write them as numbers",
    ),
    "context of fractions": (
        lambda table: table.with_columns(device=pl.lit(0.5)),
        SettingsError,
        "context names 'device', which holds Float64 values; name it in scores",
    ),
    "context of lists": (
        lambda table: table.with_columns(device=pl.concat_list("device")),
        SettingsError,
        r"context names 'device', which holds List\(String\) values; write one value a row",
    ),
    "ids with fractions": (
        lambda table: table.with_columns(pl.col("item_id") + 0.5),
        DataError,
        "item_id: the column is Float64, not integers or text",
    ),
    "ids beyond 63 bits": (
        lambda table: table.with_columns(user_id=pl.lit(2**63 + 5, pl.UInt64)),
        DataError,
        r"user_id: ids of 2\*\*63 or more, such as 9223372036854775813; write them as text",
    ),
    "texts that are numbers": (
        lambda table: table.with_columns(asked=pl.lit(7)),
        SettingsError,
        r"\[text\] query names 'asked', which holds Int32, not texts; name a column of strings",
    ),
    "no user": (lambda table: table.drop("user_id"), DataError, r"user_id: the column is missing \(who\)"),
    "no moment": (lambda table: table.drop("timestamp"), DataError, "timestamp: the column is missing"),
    "empty ids of items": (
        lambda table: table.with_columns(item_id=pl.when(pl.int_range(pl.len()) % 9 > 0).then("item_id")),
        DataError,
        "item_id: empty values",
    ),
    "an item twice in a list": (
        lambda table: pl.concat(
            [table, table.group_by("request_id", maintain_order=True).first().select(table.columns)]
        ),
        DataError,
        r"request_id \+ item_id: ",
    ),
    "two users in a list": (
        lambda table: table.with_columns(user_id=pl.int_range(pl.len()).cast(table.schema["user_id"])),
        DataError,
        "user_id: requests with two users",
    ),
    "users that are texts": (
        lambda table: table.with_columns(pl.col("user_id").cast(pl.String)),
        DataError,
        "user_id as String, the model's data as Int64|user_id: ids are text here and integers in",
    ),
    "moments before 1990": (
        lambda table: table.with_columns(timestamp=pl.lit(0).cast(table.schema["timestamp"])),
        DataError,
        "timestamp: .*before 1990",
    ),
}

LOOKED_UP = ("Ranker.rank", "ids beyond 63 bits")
"""Candidates may be anybody: who cannot be in the tables is unknown there, and no fault."""

READS_NO_TEXT = "features of settings"
"""The verb that encodes nothing and so asks for no text."""


@pytest.mark.parametrize(
    ("verb", "fault"),
    [
        (verb, fault)
        for verb in VERBS
        for fault in FAULTS
        if (verb != READS_NO_TEXT or "query" not in FAULTS[fault][2]) and (verb, fault) != LOOKED_UP
    ],
)
def test_every_verb_refuses_every_fault_by_name(full, tmp_path: Path, verb: str, fault: str) -> None:
    dataset, settings, model = full
    change, kind, message = FAULTS[fault]
    broken = replace(dataset, requests=change(dataset.requests))
    with pytest.raises(kind, match=message):
        VERBS[verb](broken, settings, model, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("fault", [fault for fault, (_, kind, _) in FAULTS.items() if kind is DataError])
def test_the_check_refuses_what_train_refuses(full, fault: str) -> None:
    dataset, *_ = full
    change, _, message = FAULTS[fault]
    report = check_tables(replace(dataset, requests=change(dataset.requests)))
    assert any(re.search(message, str(error)) for error in report.errors)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_takes_the_tables_as_they_are(full, tmp_path: Path, verb: str) -> None:
    dataset, settings, model = full
    VERBS[verb](dataset, settings, model, tmp_path / "out")


@pytest.mark.parametrize(
    ("verb", "column"),
    [
        (verb, column)
        for verb in VERBS
        for column in ("device", "retrieval", "asked")
        if verb != "Ranker.rank" and (verb, column) != (READS_NO_TEXT, "asked")
    ],
)
def test_what_an_importer_declares_to_come_after_the_list_is_refused_by_every_verb(
    full, tmp_path: Path, verb: str, column: str
) -> None:
    dataset, settings, model = full
    declared = replace(dataset, about=About(recorded_after=(column,)))
    with pytest.raises(SettingsError, match=f"names '{column}', which is recorded with or after the list, as its imp"):
        VERBS[verb](declared, settings, model, tmp_path / "out")


def test_the_check_refuses_what_training_refuses(full) -> None:
    """Every fault that is one of the tables, whatever the settings, is an error of `recsys check`."""
    dataset, _, _ = full
    for name, (change, kind, _) in FAULTS.items():
        report = check_tables(Dataset(dataset.items, dataset.events, change(dataset.requests), dataset.users))
        assert report.ok == (kind is SettingsError), name
