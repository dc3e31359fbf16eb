import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from recsys.errors import DataError, ModelError
from recsys.files import new_folder, read_json, read_parquet, refuse_existing


def test_a_folder_appears_whole(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "target"
    with new_folder(target) as staging:
        (staging / "inner").mkdir()
        (staging / "inner" / "a.txt").write_text("a")
        assert staging.parent == target.parent
        assert not target.exists()
    assert (target / "inner" / "a.txt").read_text() == "a"
    assert [path.name for path in target.parent.iterdir()] == ["target"]
    assert target.stat().st_mode & 0o777 == 0o755


def test_nothing_remains_when_the_block_fails(tmp_path: Path) -> None:
    def fail() -> None:
        with new_folder(tmp_path / "target") as staging:
            (staging / "a.txt").write_text("a")
            raise KeyError("wrong")

    with pytest.raises(KeyError, match="wrong"):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_a_killed_process_leaves_no_target(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys\n"
        "from recsys.files import new_folder\n"
        "with new_folder(sys.argv[1]) as staging:\n"
        "    (staging / 'a.txt').write_text('a')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path / "target")], check=False)
    assert done.returncode == -9
    assert not (tmp_path / "target").exists()


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    with new_folder(str(tmp_path / "target")) as staging:
        (staging / "a.txt").write_text("a")
    assert (tmp_path / "target" / "a.txt").exists()


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_an_existing_target_is_refused_before_the_work(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "target"
    if kind == "folder":
        target.mkdir()
        (target / "old.txt").write_text("old")
    else:
        target.write_text("old")
    with pytest.raises(DataError, match="target already exists and is not empty; choose another folder"):
        refuse_existing(target)
    entered = []
    with pytest.raises(DataError, match="already exists"), new_folder(target) as staging:
        entered.append(staging)
    assert entered == []
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


def test_a_target_that_fills_meanwhile_is_kept(tmp_path: Path) -> None:
    target = tmp_path / "target"

    def be_late() -> None:
        with new_folder(target) as staging:
            (staging / "a.txt").write_text("mine")
            target.mkdir()
            (target / "a.txt").write_text("theirs")

    with pytest.raises(DataError, match="already exists and is not empty"):
        be_late()
    assert (target / "a.txt").read_text() == "theirs"
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


def test_a_place_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with (
        pytest.raises(
            DataError, match=r"cannot be made \(.* is not a folder that can be written\); choose another folder"
        ),
        new_folder(tmp_path / "file" / "target"),
    ):
        raise AssertionError("the block must not be entered")


@pytest.mark.parametrize("name", ["model[1]", "*", "a?", "{a,b}"])
def test_paths_of_parquet_files_are_taken_as_they_are_written(tmp_path: Path, name: str) -> None:
    for folder, value in (("model1", 0), ("ab", 0), (name, 1)):
        (tmp_path / folder).mkdir(exist_ok=True)
        pl.DataFrame({"a": [value]}).write_parquet(tmp_path / folder / f"{folder}.parquet")
    for path in (tmp_path / name / f"{name}.parquet", tmp_path / name):
        assert read_parquet(path, "", "").rows() == [(1,)]


def test_what_cannot_be_read_as_parquet_is_said_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.parquet is missing; import it"):
        read_parquet(tmp_path / "a.parquet", "import it", "write it again")
    with pytest.raises(DataError, match=r"holds no Parquet file; import it"):
        read_parquet(tmp_path, "import it", "write it again")
    (tmp_path / "a.parquet").write_text("no")
    with pytest.raises(DataError, match=r"a\.parquet cannot be read as Parquet \(.*\); write it again"):
        read_parquet(tmp_path / "a.parquet", "import it", "write it again")


def test_a_folder_that_is_called_like_a_file_gives_its_rows_once(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").mkdir()
    pl.DataFrame({"a": [1]}).write_parquet(tmp_path / "a.parquet" / "part-0.parquet")
    assert read_parquet(tmp_path, "", "").rows() == [(1,)]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"[" * 100_000, r"maximum recursion depth exceeded .*"),
        (b"[" * 900 + b"]" * 900, "more than 64 lists and objects inside each other"),
        (b'{"a":' * 65 + b"1" + b"}" * 65, "more than 64 lists and objects inside each other"),
        (b"\xff\xfe\x00", ".*"),
        (b"1" * 5_000, "Exceeds the limit .*"),
        (b"", "Expecting value: .*"),
    ],
)
def test_json_that_nobody_wrote_is_refused(tmp_path, content, words) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(ModelError, match=rf"a\.json is damaged \({words}\); copy it"):
        read_json(tmp_path / "a.json", "copy it")


def test_json_may_be_as_deep_as_anybody_needs(tmp_path) -> None:
    (tmp_path / "a.json").write_bytes(b"[" * 64 + b"]" * 64)
    assert len(read_json(tmp_path / "a.json", "")) == 1
