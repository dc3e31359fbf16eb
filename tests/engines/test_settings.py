import pytest

from recsys.engines.settings import EngineSettings
from recsys.errors import SettingsError
from recsys.settings import Settings, load_settings
from recsys.validation import validate


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"kind": "spark"}, "engine.kind"),
        ({"cpus": 0}, "engine.cpus"),
        ({"memory": -1}, "engine.memory"),
        ({"memory": 1e300}, "engine.memory"),
        ({"cpus": 1e-5}, "engine.cpus"),
        ({"retries": -1}, "engine.retries"),
        ({"growers": 0}, "engine.growers"),
        ({"adress": "head:6379"}, "address"),
        ({"address": "head:6379"}, """address = 'head:6379' speaks of a cluster; set kind = "ray", or leave"""),
        ({"growers": 2}, 'growers = 2 speaks of a cluster; set kind = "ray", or leave it out'),
    ],
)
def test_what_is_no_engine_is_named(said, told) -> None:
    with pytest.raises(SettingsError, match=told):
        validate(Settings, {"engine": said}, "settings.toml")


def test_where_work_is_done_is_no_part_of_what_a_model_was_trained_with() -> None:
    settings = load_settings(None, ["engine.kind=ray", "engine.growers=2"])
    assert settings.engine == EngineSettings(kind="ray", growers=2)
    assert "engine" not in settings.model_dump(mode="json")
    assert Settings.model_validate(settings.model_dump(mode="json")).engine == EngineSettings()
