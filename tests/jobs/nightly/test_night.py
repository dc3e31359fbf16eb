import json
import os
import shutil
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from recsys.data.cut import known_before
from recsys.data.tables import Dataset
from recsys.errors import DataError, SettingsError, StorageError
from recsys.jobs.nightly.job import plan_night
from recsys.jobs.nightly.night import STEPS
from recsys.jobs.score import score
from tests.jobs.nightly.conftest import FIRST, SECOND, Job, write_job

pytestmark = pytest.mark.slow


def command(job: Job, *more: str) -> list[str]:
    return [sys.executable, "-m", "recsys.cli", "nightly", "--config", str(job.config), *more]


def test_a_first_night_gives_every_user_a_list_by_what_was_known(job: Job, tmp_path: Path) -> None:
    known = known_before(Dataset.read(job.home / "work" / import_of(job)), FIRST, job.configured.model.clock)
    lists, (model,) = job.lists(), (job.home / "models").glob("*Z-*[0-9a-f]")
    users = {*known.requests["user_id"], *known.events["user_id"], *known.users["user_id"]}
    assert {*lists["user_id"]} == users
    assert lists.group_by("user_id").len()["len"].max() == 5
    asked = pl.DataFrame({"user_id": sorted(users)}).with_columns(
        request_id="user_id", timestamp=pl.lit(FIRST), device=pl.lit("mobile")
    )
    score(model, known, asked, tmp_path / "by-hand", top=5)
    by_hand = pl.read_parquet(tmp_path / "by-hand/rankings/*.parquet").sort("request_id", "rank")
    assert_frame_equal(lists, by_hand, check_exact=True)
    manifest = json.loads((job.home / "live/manifest.json").read_text())
    assert manifest["night"] == {"at": FIRST.isoformat(), "model": model.name, "after": None}


def import_of(job: Job) -> str:
    return next((job.home / "work").glob("import-*")).name


def test_a_second_run_does_nothing(job: Job) -> None:
    before = {path: path.stat().st_mtime_ns for path in (job.home / "lists").rglob("*")}
    done = job.run()
    assert done.good
    assert done.nothing
    assert "nothing to do: " in done.in_words(job.home)
    assert {path: path.stat().st_mtime_ns for path in (job.home / "lists").rglob("*")} == before
    assert plan_night(job.configured, FIRST).splitlines() == [
        "for 2025-03-09 04:00:00 UTC",
        "import: done",
        "check: done",
        "train: done",
        "embed: done",
        "candidates: done",
        "score: done",
        "publish: done",
    ]


def test_a_plan_says_what_would_run_and_why(job: Job, tiny_encoder: Path, tmp_path: Path) -> None:
    planned = plan_night(job.configured, SECOND).splitlines()
    assert planned[:4] == [
        "for 2025-03-10 04:00:00 UTC",
        "import: done",
        "check: would run, for at and usual changed",
        "train: not due before 2025-03-16 04:00:00 UTC",
    ]
    job.rewrite("events", lambda events: events.tail(-1))
    planned = plan_night(job.configured, FIRST).splitlines()
    assert planned[1] == "import: would run, for files changed"
    assert planned[2:] == [f"{name}: would follow, as its input is not there yet" for name in STEPS[1:]]
    fresh = write_job(tmp_path / "fresh", tiny_encoder)
    assert plan_night(fresh.configured) == "\n".join(f"{name}: would run, for it was never done" for name in STEPS)
    assert not fresh.home.exists()


def test_a_later_night_keeps_the_model_until_training_is_due(job: Job) -> None:
    done = job.run(SECOND)
    assert done.good, done.refused
    (model,) = (job.home / "models").glob("*Z-*[0-9a-f]")
    assert done.published.model == model.name
    assert done.published.after == next(iter(sorted((job.home / "lists").iterdir()))).name
    job.change("[settings.windows]", '[training]\nevery = "1d"\n\n[settings.windows]')
    third = job.run(SECOND + timedelta(hours=25))
    assert third.good, third.refused
    assert len([*(job.home / "models").glob("*Z-*[0-9a-f]")]) == 2
    assert third.notes[0].startswith(("the model ", "broken"))


def test_a_worse_model_is_refused_and_the_live_one_ranks(tiny_encoder: Path, tmp_path: Path) -> None:
    job = write_job(tmp_path / "job", tiny_encoder)
    job.change('sources = ["popular", "recent"]\n', "")  # all items are candidates then
    assert job.run().good
    job.change("rows_per_leaf = 20", "rows_per_leaf = 2000")  # no tree can grow
    job.change("[settings.windows]", '[training]\nevery = "1d"\n\n[gate]\nmargin = 0.0\n\n[settings.windows]')
    done = job.run(SECOND + timedelta(hours=1))
    assert done.good
    (refused,) = done.notes
    assert "is refused, and" in refused
    assert "it may lose more than 0.0" in refused
    assert done.published.model.startswith("2025-03-09")
    again = job.run(SECOND + timedelta(hours=1))
    assert again.nothing
    assert again.notes == (refused,)


def test_a_training_that_fails_leaves_the_live_model(job: Job) -> None:
    job.change("[settings.windows]", '[training]\nevery = "1d"\nwarm = true\n\n[settings.windows]')
    job.change(
        "fractions = [0.3, 0.35, 0.15, 0.2]",
        'cuts = ["2025-03-03", "2025-03-04", "2025-03-05", "2025-03-06", "2025-03-10"]',
    )
    done = job.run(SECOND)
    assert done.good
    (note,) = done.notes
    assert note.startswith("no new model was trained, and 2025-03-09")
    assert "has learnt from requests up to" in note


def test_a_past_night_is_made_of_what_was_known_then_and_the_pointer_stays(job: Job) -> None:
    later = job.run(SECOND).published
    job.rewrite("requests", lambda requests: requests.filter(pl.col("timestamp") < FIRST + timedelta(hours=12)))
    done = job.run(FIRST + timedelta(hours=6))
    assert done.good, done.refused
    assert (job.home / "live").resolve().name == later.name
    assert f"live stays with the later lists of {later.name}" in done.notes[0]
    assert done.published.after.startswith("2025-03-09")


def test_data_with_faults_leaves_the_lists_of_before(job: Job) -> None:
    before = job.files()
    job.rewrite("events", lambda events: events.with_columns(user_id=pl.lit(None, events.schema["user_id"])))
    done = job.run(SECOND)
    assert not done.good
    assert "events.user_id" in done.refused[0]
    assert "nothing was published; the lists of before stay" in done.in_words(job.home)
    assert job.files() == before


def test_a_clock_that_goes_backwards_is_told(job: Job) -> None:
    manifest = next((job.home / "lists").iterdir()) / "manifest.json"
    manifest.write_text(manifest.read_text().replace("2025-03-09T04:00:00+00:00", "2125-03-09T04:00:00+00:00"))
    with pytest.raises(DataError, match=r"the clock says .* but the live lists were made for 2125-03-09 04:00:00 UTC;"):
        job.run(None)


def test_a_pointer_that_leads_nowhere_is_told(job: Job) -> None:
    (job.home / "live").unlink()
    (job.home / "live").symlink_to("lists/gone")
    with pytest.raises(DataError, match=r"live leads to .*gone, which is not there; point it to other lists with `rec"):
        job.run(SECOND)


def test_a_pointer_that_is_gone_is_told_and_rolled_back_to(job: Job) -> None:
    (job.home / "live").unlink()
    with pytest.raises(DataError, match=r"live is gone, .* `recsys rollback --to NAME`; the last ones are 2025-03-09"):
        job.run(SECOND)
    assert job.run(FIRST).good  # the night itself may always be done


def test_settings_that_changed_count_from_the_next_training_on(job: Job) -> None:
    job.change("rounds = 20", "rounds = 21")
    done = job.run(SECOND)
    assert done.good
    assert done.notes[0].startswith("the settings have changed since 2025-03-09")


def test_lists_that_are_named_and_not_there_are_told_before_anything_is_done(job: Job) -> None:
    job.change("top = 5", 'top = 5\nusers = "none.parquet"')
    with pytest.raises(DataError, match=r"none.parquet is missing; \[lists\] users names it"):
        job.run(SECOND)
    with pytest.raises(DataError, match=r"none.parquet is missing; \[lists\] users names it"):
        plan_night(job.configured, SECOND)


def test_a_source_that_is_not_known_or_not_there_is_told(job: Job) -> None:
    job.change('folder = "source"', 'folder = "sauce"')
    with pytest.raises(StorageError, match=r"sauce is not there; name the folder that holds the files of tables"):
        job.run(SECOND)
    job.change('folder = "sauce"', 'folder = "source"\nkind = "tabels"')
    with pytest.raises(SettingsError, match="'tabels' is no source; did you mean tables"):
        job.run(SECOND)


def test_two_jobs_do_not_work_at_once_and_the_second_says_who_does(job: Job) -> None:
    program = (
        "import sys\nfrom pathlib import Path\nfrom recsys.jobs.nightly.home import Home\n"
        "with Home(Path(sys.argv[1])).locked():\n    print('in', flush=True)\n    sys.stdin.read()\n"
    )
    words = [sys.executable, "-c", program, str(job.home)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "in\n"
        with pytest.raises(DataError, match=rf"is worked on by process {other.pid} of .*, since .* UTC; wait for it"):
            job.run(SECOND)
        os.kill(other.pid, signal.SIGKILL)
    assert job.run().nothing  # a lock that a dead process left holds nobody up


ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def unbroken(first_night: Job, tmp_path_factory: pytest.TempPathFactory) -> tuple[Job, float]:
    """A second night that trains, and its seconds."""
    job = Job(tmp_path_factory.mktemp("unbroken") / "job")
    shutil.copytree(first_night.folder, job.folder, symlinks=True)
    job.change("[settings.windows]", '[training]\nevery = "1d"\n\n[settings.windows]')
    begun = time.monotonic()
    words = command(job, "--at", SECOND.isoformat())
    subprocess.run(words, check=True, env=ENVIRONMENT, capture_output=True)
    return job, time.monotonic() - begun


@pytest.mark.parametrize("share", [0.3, 0.7, 0.95])
def test_a_killed_night_is_gone_on_with_and_ends_as_one_that_was_not(job: Job, unbroken, share: float) -> None:
    whole, took = unbroken
    job.config.write_text(whole.config.read_text())
    words = command(job, "--at", SECOND.isoformat())
    with subprocess.Popen(words, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            process.wait(took * share)
        except subprocess.TimeoutExpired:
            process.kill()
    assert ((job.home / "live").resolve() / "manifest.json").is_file()
    subprocess.run(words, check=True, env=ENVIRONMENT, capture_output=True)
    assert job.files() == whole.files()
    there, expected = ({str(path.relative_to(of.home)) for path in of.home.rglob("*")} for of in (job, whole))
    assert there == expected
