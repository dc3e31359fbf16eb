from dataclasses import replace
from pathlib import Path

import pytest

from recsys.errors import DataError
from recsys.jobs.tuning.history import TrialLog, Tried
from recsys.jobs.tuning.space import OneOf, Range

FACTS = {"data": {"items": "abc"}, "settings": {"seed": 7}}
TRIALS = [
    Tried({"leaves": 31, "l2": 0.1 + 0.2, "family trend": True, "half_life": "3d"}, 0.5, 40, {10: 0.25, 20: 1 / 3}),
    Tried({"leaves": 7, "l2": 5.0, "family trend": False, "half_life": "none"}, 0.25, 20, {10: 0.25}, given_up=True),
]
SPACE = {
    "leaves": Range(4, 127, whole=True),
    "l2": Range(0.1, 10.0),
    "family trend": OneOf((True, False)),
    "half_life": OneOf(("none", "3d")),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    history = TrialLog(tmp_path / "h.jsonl", FACTS, SPACE)
    for trial in TRIALS:
        history.add(trial)
    return tmp_path / "h.jsonl"


def test_what_was_written_is_read_to_the_last_bit(path) -> None:
    assert TrialLog(path, FACTS, SPACE).trials == TRIALS


@pytest.mark.parametrize("cut", [1, 20, 60])
def test_a_trial_that_a_kill_cut_off_is_as_if_it_had_not_begun(path, cut) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    history = TrialLog(path, FACTS, SPACE)
    assert history.trials == TRIALS[:1]
    history.add(TRIALS[1])
    assert path.read_bytes() == whole


def test_a_history_of_other_facts_is_refused_and_kept(path) -> None:
    before = path.read_bytes()
    with pytest.raises(
        DataError, match="is the history of a tuning of other data, settings, libraries or threads; choose another file"
    ):
        TrialLog(path, FACTS | {"seed": 8}, SPACE)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "line", ['{"values": 3}', "[]", "nonsense", '{"values": {}, "steps": {}, "ndcg": 1, "trees": 2, "given_up": 0}']
)
def test_another_file_is_refused_and_kept(path, line) -> None:
    path.write_text(path.read_text() + line + "\n")
    before = path.read_bytes()
    with pytest.raises(
        DataError, match=r"h\.jsonl is no history of a tuning \(.*\); choose another file, or remove it"
    ):
        TrialLog(path, FACTS, SPACE)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("leaves", 3),
        ("leaves", 7.5),
        ("leaves", True),
        ("l2", "5"),
        ("l2", 1e9),
        ("family trend", 1),
        ("half_life", "4d"),
        ("more", 1),
    ],
)
def test_a_trial_of_what_may_not_be_tried_is_refused(path, name, value) -> None:
    TrialLog(path, FACTS, SPACE).add(replace(TRIALS[0], values={**TRIALS[0].values, name: value}))
    with pytest.raises(DataError, match="is no history of a tuning .a trial tried what may not be.; choose another"):
        TrialLog(path, FACTS, SPACE)


@pytest.mark.parametrize("other", [{"ndcg": float("nan")}, {"ndcg": 1e300}, {"steps": {10: float("nan")}}])
def test_figures_that_cannot_be_are_refused(path, other) -> None:
    TrialLog(path, FACTS, SPACE).add(replace(TRIALS[0], **other))
    with pytest.raises(DataError, match="an nDCG@10 lies outside 0 to 1"):
        TrialLog(path, FACTS, SPACE)


def test_a_figure_without_end_is_refused(path) -> None:
    path.write_text(path.read_text().replace('"10": 0', f'"10": {"9" * 400}', 1))
    assert "9" * 400 in path.read_text()
    with pytest.raises(DataError, match="is no history of a tuning"):
        TrialLog(path, FACTS, SPACE)


def test_a_head_whose_line_was_not_ended_is_a_head(path) -> None:
    head = path.read_text().split("\n")[0]
    path.write_text(head)
    assert TrialLog(path, FACTS, SPACE).trials == []
    assert path.read_text() == head + "\n"


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"[" * 100_000])
def test_what_is_no_text_or_has_no_end_is_refused(path, content) -> None:
    path.write_bytes(content + b"\n")
    with pytest.raises(DataError, match="is no history of a tuning"):
        TrialLog(path, FACTS, SPACE)
    path.unlink()
    path.mkdir()
    with pytest.raises(DataError, match="is no history of a tuning .*Is a directory"):
        TrialLog(path, FACTS, SPACE)
