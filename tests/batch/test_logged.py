import numpy as np
import polars as pl
from polars.testing import assert_frame_equal

from recsys.batch import logged
from recsys.batch.logged import cold_requests, read_logged
from recsys.features.builder import TEXT_COLUMNS
from recsys.model import Model, State


def parts(line):
    model, state = Model.load(line.model), State.load(line.model / "state", line.model)
    log = model.log(state.behaviour)
    return model, log, model.reader(log, state.vectors, line.model)


def test_batches_of_any_size_give_the_same_table(line, monkeypatch) -> None:
    model, log, reader = parts(line)
    arguments = (model.windows.of(line.dataset.requests, "valid"), log, model.settings.features, reader)
    whole = read_logged(*arguments)
    monkeypatch.setattr(logged, "ROWS_PER_BATCH", 50)
    assert_frame_equal(read_logged(*arguments).examples.table, whole.examples.table, check_exact=True)


def test_without_a_reader_the_text_columns_are_missing_and_the_rest_is_the_same(line) -> None:
    model, log, reader = parts(line)
    arguments = (model.windows.of(line.dataset.requests, "valid"), log, model.settings.features)
    blind, seeing = read_logged(*arguments, None).examples, read_logged(*arguments, reader).examples
    assert blind.table.select(TEXT_COLUMNS).to_numpy().dtype == np.float32
    assert np.isnan(blind.table.select(TEXT_COLUMNS).to_numpy()).all()
    assert_frame_equal(blind.table.drop(TEXT_COLUMNS), seeing.table.drop(TEXT_COLUMNS), check_exact=True)


def test_later_requests_are_appended(line) -> None:
    model, log, reader = parts(line)
    valid, test = (
        read_logged(model.windows.of(line.dataset.requests, window), log, model.settings.features, reader)
        for window in ("valid", "test")
    )
    joined = valid.joined(test)
    assert len(joined.requests) == len(valid.requests) + len(test.requests) == len(joined.examples.table)
    assert joined.requests["request_id"][joined.examples.starts[:-1]].is_unique().all()


def test_cold_requests_have_a_clicked_item_with_few_showings_before(line) -> None:
    _, log, _ = parts(line)
    window = line.judgement.window
    flags = cold_requests(window, log, showings=20)
    showings = line.dataset.requests.select("timestamp", "item_id")
    expected = {}
    for request, moment, item, label in window.requests.select("request_id", "timestamp", "item_id", "label").rows():
        if label > 0:
            before = showings.filter((pl.col("item_id") == item) & (pl.col("timestamp") < moment)).height
            expected[request] = expected.get(request, False) or before < 20
    assert flags.tolist() == [expected.get(request, False) for request in window.requests["request_id"]]
    assert 0 < np.mean(flags) < 1
