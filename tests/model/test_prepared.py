from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest

from recsys.data.labels import LabelSettings
from recsys.errors import DataError, SettingsError
from recsys.model.prepared import available_at, fingerprint, prepare
from recsys.schema import TIME
from recsys.settings import Settings


def test_tables_with_faults_are_refused_before_anything_is_made_of_them(line) -> None:
    requests = line.dataset.requests.with_columns(label=pl.lit(-1))
    with pytest.raises(DataError, match="labels below 0"):
        prepare(replace(line.dataset, requests=requests), line.settings)


def test_ids_are_plain_labels_graded_and_the_clock_is_that_of_the_labels(line) -> None:
    dataset = replace(line.dataset, items=line.dataset.items.with_columns(pl.col("item_id").cast(pl.Int32)))
    labels = LabelSettings(grades={"share": 3}, attribution=timedelta(hours=5))
    settings = line.settings.model_copy(update={"labels": labels})
    plain, graded = prepare(dataset, line.settings), prepare(dataset, settings)
    assert plain.dataset.items.schema["item_id"] == pl.Int64
    assert plain.dataset.requests["label"].max() == 1
    assert graded.dataset.requests["label"].max() == 3
    assert plain.log.time == line.settings.time
    assert graded.log.time.feedback_delay == timedelta(hours=5)
    assert graded.log.behaviour.showings["label"].equals(graded.dataset.requests["label"])
    assert graded.checked.ok


def test_kinds_of_history_are_read_and_not_counted(line) -> None:
    text = line.settings.text.model_copy(update={"history": ("share", "like")})
    settings = line.settings.model_copy(update={"text": text})
    log, plain = (prepare(line.dataset, each).log for each in (settings, line.settings))
    shared = line.dataset.events.filter(pl.col("event").is_in(["share", "like"]))
    ((layer,), (plain_layer,)) = log.layers, plain.layers
    assert len(layer.click_rows.moments) == len(plain_layer.click_rows.moments)
    assert len(layer.history_rows.moments) == len(plain_layer.click_rows.moments) + len(shared)
    for kind in ("like ", "purchase"):
        text = line.settings.text.model_copy(update={"history": ("like", kind)})
        words = rf"\[text\] history names '{kind}', an event that never occurs; events holds click, comment"
        with pytest.raises(SettingsError, match=words):
            prepare(line.dataset, line.settings.model_copy(update={"text": text}))


def test_without_settings_of_a_model_those_of_the_package_hold(line) -> None:
    behaviour = prepare(line.dataset, Settings()).log.behaviour
    assert (behaviour.attributes, behaviour.numbers, behaviour.user_attributes, behaviour.context) == ((), (), (), ())


def test_tables_without_a_column_that_settings_name_have_no_log(line) -> None:
    prepared = prepare(replace(line.dataset, items=line.dataset.items.drop("category")), line.settings)
    with pytest.raises(SettingsError, match="affinity names 'category', which is not a column of items"):
        _ = prepared.log


def test_the_fingerprint_sees_columns_that_changed_names(line) -> None:
    items = line.dataset.items.rename({"title": "description", "description": "title"})
    swapped = replace(line.dataset, items=items)
    assert fingerprint(swapped)["items"] != fingerprint(line.dataset)["items"]


def test_the_fingerprint_sees_one_changed_value(line) -> None:
    first = pl.int_range(pl.len()) == 0
    items = line.dataset.items.with_columns(title=pl.when(first).then(pl.lit("x")).otherwise("title"))
    changed, before = fingerprint(replace(line.dataset, items=items)), fingerprint(line.dataset)
    assert changed["items"] != before["items"]
    assert changed["requests"] == before["requests"]


def test_an_item_can_be_put_into_a_list_when_it_is_out_and_known(line) -> None:
    items, moment = line.dataset.items, line.dataset.requests["timestamp"].max()
    first, second = items["available_at"].to_list()[:2]
    known = [None, moment, *[first] * (len(items) - 2)]
    dated = pl.concat([
        items.with_columns(known_at=pl.Series(known, dtype=TIME)),
        items[:1].with_columns(known_at=pl.lit(moment, TIME), available_at=pl.lit(moment, TIME)),
    ])  # fmt: skip
    ids = pl.concat([items["item_id"][:2], pl.Series("item_id", [-1])])
    for table, expected in (
        (items, [micro(first), micro(second), np.inf]),
        (dated, [micro(first), micro(moment) + 1, np.inf]),
        (dated.with_columns(available_at=pl.lit(None, TIME)), [np.nan, micro(moment) + 1, np.inf]),
    ):
        log = prepare(replace(line.dataset, items=table), line.settings).log
        np.testing.assert_array_equal(available_at(log, ids), expected)


def micro(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000_000)


def test_lists_whose_labels_are_not_known_yet_are_shown_but_neither_learnt_from_nor_judged(line) -> None:
    requests = line.dataset.requests
    late = pl.col("timestamp") > requests["timestamp"].sort()[-200]
    waiting = requests.with_columns(label=pl.when(~late).then("label"))
    whole, found = (prepare(replace(line.dataset, requests=each), line.settings) for each in (requests, waiting))
    assert found.made.lists.equals(whole.made.lists.filter(~late))
    assert len(found.log.behaviour.showings) == len(whole.log.behaviour.showings)


def test_a_log_of_which_every_made_list_waits_for_a_label_is_refused(line) -> None:
    """The lists of one day are one made list for each user, and each of them was shown one more since."""
    requests = line.dataset.requests
    day = requests.filter(pl.col("timestamp").dt.date() == requests["timestamp"][0].date())
    evening = requests["timestamp"][0].replace(hour=23, minute=59)
    again = day.with_columns(
        request_id=pl.col("request_id") + 1_000_000, timestamp=pl.lit(evening, TIME), label=pl.lit(None, pl.Int64)
    )
    one_list = again.unique(["user_id", "item_id"], keep="first").with_columns(request_id=pl.col("user_id") + 1_000_000)
    table = pl.concat([day, one_list.cast(dict(day.schema))])
    nightly = Settings.model_validate({"time": {"freshness": "nightly", "made_at": "00:00"}})
    with pytest.raises(DataError, match="lists none has all its labels, so .*; import a longer log, or write 0"):
        _ = prepare(replace(line.dataset, requests=table), nightly).made
