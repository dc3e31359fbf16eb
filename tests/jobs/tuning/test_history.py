from pathlib import Path

import pytest

from recsys.errors import DataError
from recsys.jobs.tuning.history import TrialLog, Tried

FACTS = {"data": {"items": "abc"}, "settings": {"seed": 7}}
TRIALS = [
    Tried({"leaves": 31, "l2": 0.1 + 0.2, "family trend": True, "half_life": "3d"}, 0.5, 40, {10: 0.25, 20: 1 / 3}),
    Tried({"leaves": 7}, 0.25, 20, {10: 0.25}, given_up=True),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    history = TrialLog(tmp_path / "h.jsonl", FACTS)
    for trial in TRIALS:
        history.add(trial)
    return tmp_path / "h.jsonl"


def test_what_was_written_is_read_to_the_last_bit(path) -> None:
    assert TrialLog(path, FACTS).trials == TRIALS


@pytest.mark.parametrize("cut", [1, 20, 60])
def test_a_trial_that_a_kill_cut_off_is_as_if_it_had_not_begun(path, cut) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    history = TrialLog(path, FACTS)
    assert history.trials == TRIALS[:1]
    history.add(TRIALS[1])
    assert path.read_bytes() == whole


def test_a_history_of_other_facts_is_refused_and_kept(path) -> None:
    before = path.read_bytes()
    with pytest.raises(DataError, match="is the history of a tuning of other data or settings; choose another file"):
        TrialLog(path, FACTS | {"seed": 8})
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
        TrialLog(path, FACTS)
    assert path.read_bytes() == before
