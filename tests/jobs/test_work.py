import subprocess
import sys
from pathlib import Path

import pytest

from recsys.errors import DataError
from recsys.jobs.work import alone, filled_again, work_folder


class Killed(BaseException):
    """Ends a block as a signal would."""


def interrupted(target: Path, facts: object) -> Path:
    with pytest.raises(Killed), work_folder(target, facts) as folder:  # noqa: PT012
        (folder / "block-0/log-0").mkdir(parents=True)
        (folder / "block-0/last.ckpt").write_text("half")
        (folder / "block-0/log-0/metrics.csv").write_text("loss")
        (folder / "frozen-1.npy").write_text("cache")
        raise Killed
    return folder


def test_what_an_interrupted_run_left_is_found_by_its_repetition_alone(tmp_path: Path) -> None:
    folder = interrupted(tmp_path / "model", {"seed": 1})
    with work_folder(tmp_path / "model", {"seed": 1}) as found:
        assert found == folder
        assert (found / "block-0/last.ckpt").read_text() == "half"


def test_checkpoints_lie_beside_the_target_whatever_its_name_begins_with(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("~", "s3:"):
        with work_folder(Path(name, "model"), {}) as folder:
            assert folder == tmp_path / name / "model.training"


def test_what_another_run_left_is_removed(tmp_path: Path) -> None:
    interrupted(tmp_path / "model", {"seed": 1})
    with work_folder(tmp_path / "model", {"seed": 2}) as found:
        assert sorted(path.name for path in found.iterdir()) == ["identity.txt", "lock"]


def test_only_logs_stay_when_all_went_well(tmp_path: Path) -> None:
    interrupted(tmp_path / "model", {"seed": 1})
    with work_folder(tmp_path / "model", {"seed": 1}) as folder:
        pass
    assert {path.name for path in folder.rglob("*") if path.is_file()} == {"identity.txt", "metrics.csv"}
    with work_folder(tmp_path / "model", {"seed": 2}) as again:
        assert [path.name for path in again.rglob("metrics.csv")] == []


def test_files_of_somebody_else_are_refused_and_left(tmp_path: Path) -> None:
    thesis = tmp_path / "model.training/thesis.tex"
    thesis.parent.mkdir()
    thesis.write_text("long work")
    words = r"model.training is where training keeps what it has done, but holds other files; move them"
    with pytest.raises(DataError, match=words), work_folder(tmp_path / "model", {}):
        pass
    assert thesis.read_text() == "long work"


def test_what_was_learnt_outlives_a_late_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="late"), work_folder(tmp_path / "model", {}) as folder:  # noqa: PT012
        (folder / "block-0").mkdir()
        (folder / "block-0/lesson.json").write_text("{}")
        raise DataError("late")
    with work_folder(tmp_path / "model", {}) as found:
        assert (found / "block-0/lesson.json").is_file()


def test_nothing_stays_after_an_error_of_the_user(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="bad"), work_folder(tmp_path / "model", {}):
        raise DataError("bad")
    assert list(tmp_path.iterdir()) == []


def test_two_processes_do_not_share_a_folder(tmp_path: Path) -> None:
    program = (
        "import sys\nfrom pathlib import Path\nfrom recsys.jobs.work import alone, filled_again, work_folder\n"
        "with work_folder(Path(sys.argv[1]), {}):\n    print('in', flush=True)\n    sys.stdin.read()\n"
    )
    words = [sys.executable, "-c", program, str(tmp_path / "model")]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "in\n"
        words = "another process is at the training of .*model; wait for it or choose another"
        with pytest.raises(DataError, match=words), work_folder(tmp_path / "model", {}):
            pass
        other.communicate("")
    with work_folder(tmp_path / "model", {}):
        pass


def test_nobody_else_works_in_a_folder_while_somebody_is_alone_in_it(tmp_path: Path) -> None:
    with alone(tmp_path, ""), pytest.raises(DataError, match="it is taken"), alone(tmp_path, "it is taken"):
        pass
    with alone(tmp_path, "it is taken"):
        pass


def test_a_folder_is_filled_by_the_same_call_again_and_by_no_other(tmp_path: Path) -> None:
    folder, facts = tmp_path / "deep/out", {"nights": 5, "config": {"seed": 1}, "against": None}
    with pytest.raises(Killed), filled_again(folder, facts):  # noqa: PT012
        (folder / "models/one").mkdir(parents=True)
        (folder / "models/one/manifest.json").write_text("{}")
        raise Killed
    with filled_again(folder, facts):
        assert (folder / "models/one/manifest.json").is_file()
    for change, told in [
        ({"nights": 4}, "out was begun with nights = 5, not 4; give the same again to go on, or choose another"),
        ({"config": {"seed": 2}}, "was begun with other config;"),
        ({"against": {"seed": 2}, "nights": 1}, "was begun with nights = 5, not 1, against left out;"),
    ]:
        with pytest.raises(DataError, match=told), filled_again(folder, facts | change):
            pass
    with pytest.raises(DataError, match="bad"), filled_again(folder, facts):
        raise DataError("bad")
    assert (folder / "models/one/manifest.json").is_file()


def test_an_error_before_anything_is_whole_leaves_nothing_to_fill(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="bad"), filled_again(tmp_path / "out", {}):
        raise DataError("bad")
    assert list(tmp_path.iterdir()) == []


def test_what_a_process_leaves_that_is_killed_at_once_is_no_reason_to_refuse(tmp_path: Path) -> None:
    (tmp_path / "lock").touch()
    (tmp_path / ".asked.json.0123abcd.unfinished").touch()
    with filled_again(tmp_path, {}):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["asked.json", "lock"]
