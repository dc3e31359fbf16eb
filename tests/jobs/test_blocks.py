import numpy as np
import pytest

from recsys.jobs import blocks
from recsys.jobs.blocks import read_blocks
from recsys.jobs.train import prepare_to_learn, refuse_early
from recsys.learning.course import TextCourse
from recsys.model.folder import Model
from recsys.past.lookup import Asked
from recsys.progress import Story
from recsys.sources.merging import EVEN

pytestmark = pytest.mark.slow


def test_each_list_is_read_once_in_its_window_by_what_had_not_learnt_from_it(line, tmp_path, monkeypatch) -> None:
    prepared, windows = prepare_to_learn(line.dataset, line.settings), Model.load(line.model).windows
    refuse_early(prepared, windows)
    course = TextCourse(line.dataset, line.settings.text, line.settings.seed, windows, prepared.log, None, tmp_path)
    read, learn, order = course.read, course.learn, []
    monkeypatch.setattr(course, "read", lambda block: (order.append(("read", block)), read(block))[1])
    monkeypatch.setattr(course, "learn", lambda block: (order.append(("learn", block)), learn(block))[1])
    logged, merging = read_blocks(course, prepared, tmp_path, Story(1))
    assert merging is EVEN
    assert logged.keys() == {"ranker", "valid"}
    for window, found in logged.items():
        rows = windows.of(line.dataset.requests, window, prepared.log.time.feedback_delay, prepared.log.time.shown)
        asked = Asked.of(rows, prepared.log)
        assert sorted(found.requests["request_id"].unique()) == sorted(asked.candidates["request_id"].unique())
        assert np.isfinite(found.examples.table.column("text_score")).any()
    for block in course.blocks:
        if block.window != "text":
            assert order.index(("read", block)) < order.index(("learn", block))


@pytest.mark.parametrize("many", [2, 100])
def test_a_log_that_is_cut_into_very_many_blocks_is_told_of(line, tmp_path, monkeypatch, caplog, many) -> None:
    prepared, windows = prepare_to_learn(line.dataset, line.settings), Model.load(line.model).windows
    course = TextCourse(line.dataset, line.settings.text, line.settings.seed, windows, prepared.log, None, tmp_path)
    monkeypatch.setattr(blocks, "MANY", many)
    read_blocks(course, prepared, tmp_path, Story(1))
    said = f"[text] block = 1d cuts the log into {len(course.blocks)} periods, each of which is read and learnt from"
    assert (said in caplog.text) == (many < len(course.blocks))
    assert ('with block = "1d" it is done' in caplog.text) == (many < len(course.blocks))
