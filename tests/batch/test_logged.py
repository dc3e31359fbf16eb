import numpy as np
import polars as pl
from polars.testing import assert_frame_equal

from recsys.batch import logged
from recsys.batch.logged import cold_requests, read_window
from recsys.model import Model, State


def parts(line):
    model, state = Model.load(line.model), State.load(line.model / "state", line.model)
    log = model.log(state.behaviour)
    return model, log, model.reader(log, state.vectors)


def test_batches_of_any_size_give_the_same_table(line, monkeypatch) -> None:
    model, log, reader = parts(line)
    arguments = (line.dataset.requests, model.windows, "valid", log, model.settings.features, reader)
    whole = read_window(*arguments)
    monkeypatch.setattr(logged, "ROWS_PER_BATCH", 50)
    assert_frame_equal(read_window(*arguments).examples.table, whole.examples.table, check_exact=True)


def test_labels_not_known_at_the_end_of_a_training_window_are_left_out(line) -> None:
    model, log, reader = parts(line)
    end = model.windows.bounds("ranker")[1]
    delay = end - line.dataset.requests.filter(pl.col("timestamp") < end)["timestamp"].max()
    arguments = (line.dataset.requests, model.windows, "ranker", log, model.settings.features, reader)
    everything, known = read_window(*arguments), read_window(*arguments, delay)
    assert len(known.requests) < len(everything.requests)
    assert (known.requests["timestamp"] + delay < end).all()


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
