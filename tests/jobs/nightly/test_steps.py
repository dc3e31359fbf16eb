import json
from pathlib import Path

import pytest

from recsys.files import new_folder
from recsys.jobs.nightly.steps import Steps, UndoneError, print_of


def write(path: Path) -> None:
    with new_folder(path) as staging:
        (staging / "done").write_text("yes")


def steps(tmp_path: Path, planning: bool = False) -> Steps:
    (tmp_path / "work").mkdir(exist_ok=True)
    return Steps(tmp_path / "work", tmp_path / "log.jsonl", planning)


def test_a_step_is_done_once_for_the_same_inputs(tmp_path: Path) -> None:
    made = list[Path]()

    def make(path: Path) -> None:
        made.append(path)
        write(path)

    first = steps(tmp_path).do("import", {"files": {"a": 1}}, make)
    assert steps(tmp_path).do("import", {"files": {"a": 1}}, make) == first
    assert made == [first]
    assert steps(tmp_path).do("import", {"files": {"a": 2}}, make) != first
    told = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [(line["step"], line["event"]) for line in told] == [
        ("import", "begun"),
        ("import", "done"),
        ("import", "found"),
        ("import", "begun"),
        ("import", "done"),
    ]
    assert told[1]["seconds"] >= 0


def test_a_decision_is_made_once_and_read(tmp_path: Path) -> None:
    assert steps(tmp_path).decide("gate", {"a": 1}, lambda: {"accepted": True}) == {"accepted": True}
    assert steps(tmp_path).decide("gate", {"a": 1}, lambda: {"accepted": False}) == {"accepted": True}


def test_a_plan_does_nothing_and_names_what_changed(tmp_path: Path) -> None:
    done = steps(tmp_path)
    done.do("import", {"files": 1, "mapping": 2}, write)
    done.close()
    before = sorted(tmp_path.rglob("*"))
    for inputs, why in [
        ({"files": 1, "mapping": 3}, "mapping changed"),
        ({"files": 0, "mapping": 3}, "files and mapping changed"),
    ]:
        plan = steps(tmp_path, planning=True)
        with pytest.raises(UndoneError):
            plan.do("import", inputs, write)
        assert plan.lines == [f"import: would run, for {why}"]
    plan = steps(tmp_path, planning=True)
    with pytest.raises(UndoneError):
        plan.do("check", {}, write)
    assert plan.lines == ["check: would run, for it was never done"]
    assert sorted(tmp_path.rglob("*")) == before


def test_prints_tell_contents_apart() -> None:
    assert print_of({"a": 1}) == print_of({"a": 1}) != print_of({"a": 2})
