from importlib.util import find_spec
from pathlib import Path

import pytest
from pytorch_lightning.loggers import CSVLogger

from recsys.errors import SettingsError
from recsys.learning.loggers import open_logger


def test_each_attempt_has_a_log_of_its_own(tmp_path: Path) -> None:
    for attempt in range(2):
        log = open_logger("csv", tmp_path)
        assert isinstance(log, CSVLogger)
        log.log_metrics({"loss": 1.0 + attempt}, step=0)
        log.save()
    assert (tmp_path / "log-0/metrics.csv").read_text().splitlines() == ["loss,step", "1.0,0"]
    assert (tmp_path / "log-1/metrics.csv").read_text().splitlines() == ["loss,step", "2.0,0"]


@pytest.mark.parametrize("name", ["tensorboard", "wandb"])
def test_a_logger_that_is_not_installed_says_what_to_type(name, tmp_path: Path) -> None:
    if find_spec(name):
        pytest.skip(f"{name} is installed")
    with pytest.raises(SettingsError, match=rf"logger is '{name}', which is not installed; type: pip install {name}"):
        open_logger(name, tmp_path)
