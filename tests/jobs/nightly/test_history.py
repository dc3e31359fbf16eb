from datetime import timedelta

import pytest

from recsys.errors import DataError
from recsys.jobs.nightly.history import history, roll_back
from recsys.jobs.nightly.home import Home
from tests.jobs.nightly.conftest import FIRST, SECOND, Job

pytestmark = pytest.mark.slow


def test_models_tell_what_is_live_since_when_and_how_each_came_to_be(job: Job) -> None:
    job.run(SECOND)
    found = history(Home(job.home))
    ((name, model),) = found.models.items()
    assert model["at"] == FIRST.isoformat()
    assert model["live_since"] == FIRST.isoformat()
    assert 0 < model["figures"]["AUC"] < 1
    assert model["rows"]["requests"] > 1000
    assert [each.at for each in found.lists] == [FIRST, SECOND]
    text = found.to_text()
    assert f"model {name}, live since the lists for {FIRST.isoformat()}" in text
    assert f"lists {found.live} (live): made for 2025-03-10 04:00:00 UTC by {name}" in text
    assert found.to_json()["live"] == found.live


def test_the_way_back_leads_to_the_lists_before_and_the_next_night_starts_there(job: Job) -> None:
    first = job.lists()
    job.run(SECOND)
    assert not job.lists().equals(first)
    said = roll_back(Home(job.home), None)
    assert "leads to the lists 2025-03-09T040000Z-" in said
    assert job.lists().equals(first)
    names = [each.name for each in Home(job.home).published()]
    roll_back(Home(job.home), names[1])
    assert not job.lists().equals(first)
    with pytest.raises(DataError, match=r"holds no lists called none; there are: 2025-03-09.*, 2025-03-10.*; give one"):
        roll_back(Home(job.home), "none")


def test_a_job_that_never_ran_is_told(tmp_path) -> None:
    with pytest.raises(DataError, match="holds no nightly job yet; run `recsys nightly` first"):
        history(Home(tmp_path / "none"))


def test_the_night_that_was_rolled_back_from_is_not_published_again_and_the_next_one_is(job: Job) -> None:
    first = (job.home / "live").resolve()
    second = job.run(SECOND).published
    assert second is not None
    roll_back(Home(job.home), None)
    again = job.run(SECOND)
    assert (again.good, again.live) == (True, False)
    assert again.notes[-1].endswith(f"live stays with what it was rolled back to, {first.name}")
    assert (job.home / "live").resolve() == first
    roll_back(Home(job.home), second.name)
    assert job.run(SECOND).nothing
    roll_back(Home(job.home), first.name)
    third = job.run(SECOND + timedelta(minutes=1))
    assert third.live
    assert (job.home / "live").resolve().name == third.published.name
