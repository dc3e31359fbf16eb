import numpy as np
from polars.testing import assert_frame_equal

from recsys.features.columns import TEXT_COLUMNS
from recsys.jobs import judging
from recsys.jobs.judging import read_logged
from recsys.model.folder import Model, State
from recsys.past.lookup import Asked


def parts(line):
    model, state = Model.load(line.model), State.load(line.model / "state", line.model)
    log = model.log(state.behaviour)
    return model, log, model.reader(log, state.vectors, line.model)


def test_batches_of_any_size_give_the_same_table(line, monkeypatch) -> None:
    model, log, reader = parts(line)
    arguments = (Asked.of(model.windows.of(line.dataset.requests, "valid"), log), model.settings.features, reader)
    whole = read_logged(*arguments)
    monkeypatch.setattr(judging, "ROWS_PER_BATCH", 50)
    assert_frame_equal(read_logged(*arguments).examples.table.frame(), whole.examples.table.frame(), check_exact=True)


def test_without_a_reader_the_text_columns_are_missing_and_the_rest_is_the_same(line) -> None:
    model, log, reader = parts(line)
    arguments = (Asked.of(model.windows.of(line.dataset.requests, "valid"), log), model.settings.features)
    blind, seeing = (read_logged(*arguments, each).examples.table.frame() for each in (None, reader))
    assert blind.select(TEXT_COLUMNS).to_numpy().dtype == np.float32
    assert np.isnan(blind.select(TEXT_COLUMNS).to_numpy()).all()
    assert_frame_equal(blind.drop(TEXT_COLUMNS), seeing.drop(TEXT_COLUMNS), check_exact=True)


def test_later_requests_are_appended(line) -> None:
    model, log, reader = parts(line)
    valid, test = (
        read_logged(Asked.of(model.windows.of(line.dataset.requests, window), log), model.settings.features, reader)
        for window in ("valid", "test")
    )
    joined = valid.joined(test)
    assert len(joined.requests) == len(valid.requests) + len(test.requests) == len(joined.examples.table)
    assert joined.requests["request_id"][joined.examples.starts[:-1]].is_unique().all()


def test_lists_that_nobody_was_shown_have_no_places(line) -> None:
    model, log, _ = parts(line)
    rows = model.windows.of(line.dataset.requests, "valid")
    for kind, shown in (("logged", True), ("found", False), ("drawn", False)):
        examples = read_logged(Asked.of(rows, log), model.settings.features, None, kind).examples
        assert (examples.positions > 0).tolist() == [shown] * len(rows)
        assert np.isfinite(examples.propensities).tolist() == [shown] * len(rows)
