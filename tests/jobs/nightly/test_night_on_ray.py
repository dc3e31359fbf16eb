import shutil
from pathlib import Path

import pytest

from recsys.engines.settings import EngineSettings
from tests.jobs.nightly.conftest import SECOND, Job

pytest.importorskip("ray")
pytestmark = pytest.mark.slow


@pytest.mark.parametrize("section", ["engine", "settings.engine"])
def test_a_night_on_a_cluster_publishes_what_one_process_does(job: Job, cluster, tmp_path: Path, section) -> None:
    shutil.copytree(job.folder, tmp_path / "other", symlinks=True)
    other = Job(tmp_path / "other")
    with other.config.open("a") as config:
        config.write(f'\n[{section}]\nkind = "ray"\naddress = "{cluster.address}"\n')
    assert other.configured.engine == EngineSettings(kind="ray", address=cluster.address)
    assert job.configured.engine == EngineSettings()
    done, expected = other.run(SECOND), job.run(SECOND)
    assert done.good
    assert done.notes == expected.notes  # where it is done is no change of the settings of a model
    assert other.files() == job.files()
