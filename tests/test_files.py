import os
import re
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import save_file

from recsys import files
from recsys.errors import DataError, ModelError, SettingsError
from recsys.files import (
    exchange,
    link_files,
    new_folder,
    put_back,
    read_json,
    refuse_existing,
    refuse_unwritable,
    remove,
    unfinished,
    write_whole,
)


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


@pytest.mark.parametrize("name", ["~", "s3:", "file:"])
def test_libraries_write_where_the_folder_is_whatever_its_name_begins_with(tmp_path: Path, monkeypatch, name) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    with new_folder(f"{name}/target") as staging:
        pl.DataFrame({"a": [1]}).write_parquet(staging / "a.parquet")
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.parquet")] == [f"{name}/target/a.parquet"]


def test_nothing_remains_when_the_block_fails(tmp_path: Path) -> None:
    def fail() -> None:
        with new_folder(tmp_path / "target") as staging:
            (staging / "a.txt").write_text("a")
            raise KeyError("wrong")

    with pytest.raises(KeyError, match="wrong"):
        fail()
    assert list(tmp_path.iterdir()) == []


KILLED = """
import os, signal, sys
signal.signal(signal.{signal}, signal.SIG_DFL) if "{signal}" != "SIGKILL" else None
from recsys.files import new_folder
with new_folder(sys.argv[1]) as staging:
    (staging / "a.txt").write_text("a")
    os.kill(os.getpid(), signal.{signal})
"""

AT_WORK = """
import sys
from recsys.files import new_folder
with new_folder(sys.argv[1]) as staging:
    (staging / "a.txt").write_text("a")
    print(staging, flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("name", ["target", "model[1]", "a.b+c*"])
@pytest.mark.parametrize("number", ["SIGKILL", "SIGHUP", "SIGQUIT"])
def test_what_a_killed_process_left_is_removed_by_the_next_one(tmp_path: Path, name: str, number: str) -> None:
    target = tmp_path / name
    done = subprocess.run([sys.executable, "-c", KILLED.format(signal=number), str(target)], check=False)
    assert done.returncode < 0
    assert not target.exists()
    (left,) = tmp_path.iterdir()
    assert (left / "a.txt").exists()
    with new_folder(target) as staging:
        (staging / "b.txt").write_text("b")
        assert not left.exists()
    assert [path.name for path in tmp_path.rglob("*")] == [name, "b.txt"]


def test_what_a_living_process_writes_is_left_alone(tmp_path: Path) -> None:
    words = [sys.executable, "-c", AT_WORK, str(tmp_path / "target")]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        writing = Path(other.stdout.readline().strip())
        with pytest.raises(KeyError), new_folder(tmp_path / "target"):
            raise KeyError
        assert (writing / "a.txt").exists()
        other.communicate("")
    assert other.returncode == 0
    assert (tmp_path / "target/a.txt").exists()


def test_hidden_folders_of_somebody_else_are_left_alone(tmp_path: Path) -> None:
    names = [".target.backup", ".target.unfinished", ".target.0a1b2c3d", ".targets.0a1b2c3d.unfinished", ".git"]
    names += ["target.0a1b2c3d.unfinished", ".target.0A1B2C3D.unfinished", ".other.target.0a1b2c3d.unfinished"]
    for name in names:
        (tmp_path / name).mkdir()
    (tmp_path / ".target.00000000.unfinished").symlink_to(tmp_path / ".git")
    with new_folder(tmp_path / "target"):
        pass
    expected = {*names, "target", ".target.00000000.unfinished"}
    assert {path.name for path in tmp_path.iterdir()} == expected


def test_what_is_made_meanwhile_is_removed_when_it_is_not_wanted(tmp_path: Path) -> None:
    with pytest.raises(KeyError), unfinished(tmp_path, "a", Path.touch) as file:  # noqa: PT012
        file.write_text("half")
        raise KeyError
    with unfinished(tmp_path, "a", Path.touch) as file:
        file.write_text("whole")
        file.rename(tmp_path / "a")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("mask", [0o022, 0o002, 0o077, 0o027])
def test_all_that_is_written_has_the_usual_permissions(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        with new_folder(tmp_path / "target") as staging:
            (staging / "deep").mkdir()
            (staging / "deep/plain.txt").write_text("a")
            save_file({"a": np.zeros(3)}, staging / "deep/tensors.safetensors")
            (staging / "deep/odd.txt").write_text("a")
            (staging / "deep/odd.txt").chmod(0o755)
            os.close(tempfile.mkstemp(dir=staging)[0])
            Path(tempfile.mkdtemp(dir=staging), "inner.txt").write_text("a")
    finally:
        os.umask(before)
    for path in [tmp_path / "target", *(tmp_path / "target").rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o777 if path.is_dir() else 0o666) & ~mask, path


FULL = """
import resource, sys
from pathlib import Path
import numpy as np, polars as pl
from safetensors.numpy import save_file
from recsys.errors import DataError
from recsys.files import new_folder
ways = {
    "text": lambda path: path.write_text("a" * 100_000),
    "parquet": lambda path: pl.DataFrame({"a": np.random.rand(100_000)}).write_parquet(path),
    "tensors": lambda path: save_file({"a": np.zeros(100_000)}, path),
}
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
try:
    with new_folder(sys.argv[1]) as staging:
        ways[sys.argv[2]](staging / "a")
except DataError as error:
    print(error)
"""


@pytest.mark.parametrize("way", ["text", "parquet", "tensors"])
def test_a_disk_without_room_is_said_and_leaves_nothing(tmp_path: Path, way: str) -> None:
    words = [sys.executable, "-c", FULL, str(tmp_path / "target"), way]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    assert re.match(
        r"there is no room left to write .*target \(.*File too large.*\); make room, or choose", done.stdout
    )
    assert list(tmp_path.iterdir()) == []


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


@pytest.mark.parametrize("target", [".", "", "..", "/", "a/.."])
def test_a_folder_without_a_name_of_its_own_is_wrong_use(tmp_path, monkeypatch, target) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError, match="is no name of a new folder; name one, such as"), new_folder(target):
        pass
    assert not list(tmp_path.iterdir())


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


def test_a_text_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    write_whole(tmp_path / "a.json", "old")
    assert stat.S_IMODE((tmp_path / "a.json").stat().st_mode) == 0o644
    program = (
        "import resource, sys\nfrom pathlib import Path\nfrom recsys.files import write_whole\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, 1_000))\nwrite_whole(Path(sys.argv[1]), 'a' * 9_000)\n"
    )
    words = [sys.executable, "-c", program, str(tmp_path / "a.json")]
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    assert "File too large" in done.stderr
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]
    (tmp_path / "link").symlink_to("a.json")
    write_whole(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "a.json").read_text() == "new"
    write_whole(Path("/dev/null"), "gone")


NOWHERE = Path("/proc")
"""Where even root makes nothing, though the permissions say otherwise."""


@pytest.mark.parametrize("name", ["new", "deep/new"])
def test_where_nothing_can_be_made_is_found_by_trying(name: str) -> None:
    for refuse, kind in ((refuse_existing, "folder"), (refuse_unwritable, "file")):
        with pytest.raises(DataError, match=rf"{name} cannot be made .*; choose another {kind}"):
            refuse(NOWHERE / name)


def test_a_file_that_can_be_written_leaves_nothing_behind_when_it_is_looked_at(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("kept")
    (tmp_path / "link").symlink_to(tmp_path / "old")
    for path in (tmp_path / "new", tmp_path / "old", tmp_path / "deep/new", tmp_path / "link", Path("/dev/null")):
        refuse_unwritable(path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "old"]
    assert (tmp_path / "old").read_text() == "kept"
    with pytest.raises(DataError, match=r"cannot be written \(it is a folder\); choose another file"):
        refuse_unwritable(tmp_path)


@pytest.mark.parametrize("name", ["x" * 250, "x" * 256, "deep/" + "x" * 400, "/".join(["long"] * 1_000)])
def test_a_name_that_is_too_long_is_wrong_use(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError, match=r"(is no name of a|cannot be made in) .*\(File name too long\)"):
        refuse_existing(tmp_path / name)
    with pytest.raises(SettingsError, match=r"(is no name of a|cannot be made in) .*\(File name too long\)"):
        refuse_unwritable(tmp_path / name)


@pytest.mark.parametrize("system", [True, False])
def test_folders_change_their_names_whatever_is_in_them(tmp_path: Path, monkeypatch, system) -> None:
    for folder, text in (("one", "before"), (".one.ready", "after")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a").write_text(text)
    if not system:
        monkeypatch.setattr(files.ctypes, "CDLL", lambda *_, **__: object())
    exchange(tmp_path / "one", tmp_path / ".one.ready")
    assert (tmp_path / "one/a").read_text() == "after"
    assert (tmp_path / ".one.ready/a").read_text() == "before"
    assert len([*tmp_path.iterdir()]) == 2


def test_what_has_a_second_name_keeps_its_permissions_in_a_new_folder(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    (tmp_path / "a").chmod(0o644)
    before = os.umask(0o077)
    try:
        with new_folder(tmp_path / "new") as staging:
            link_files([tmp_path / "a"], staging)
            (staging / "b").write_text("b")
    finally:
        os.umask(before)
    assert [(tmp_path / "new" / name).stat().st_mode & 0o777 for name in "ab"] == [0o644, 0o600]


def test_a_folder_is_out_of_sight_before_it_is_removed(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / ".a.gone/left").mkdir(parents=True)
    remove(tmp_path / "a")
    (tmp_path / "file").touch()
    remove(tmp_path / "file")
    assert not [*tmp_path.iterdir()]


def test_a_folder_that_a_kill_left_between_two_names_gets_its_own_back(tmp_path: Path, monkeypatch) -> None:
    for folder in ("one", ".one.ready"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a").write_text(folder)
    rename, renamed = Path.rename, []

    def killed(path: Path, target: Path) -> Path:
        if renamed:
            raise KeyboardInterrupt
        renamed.append(path)
        return rename(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(files.ctypes, "CDLL", lambda *_, **__: object())
        patch.setattr(Path, "rename", killed)
        with pytest.raises(KeyboardInterrupt):
            exchange(tmp_path / "one", tmp_path / ".one.ready")
    assert not (tmp_path / "one").exists()
    put_back(tmp_path)
    put_back(tmp_path)
    assert (tmp_path / "one/a").read_text() == "one"
