import pytest
from pydantic import ValidationError

from recsys.world.sizes import WorldSettings


def test_settings_are_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        WorldSettings().items = 5


def test_unknown_setting_is_refused():
    with pytest.raises(ValidationError, match="Extra inputs"):
        WorldSettings(day=3)


@pytest.mark.parametrize(("name", "value"), [("items", 99), ("users", 9), ("candidates", 2), ("random_tail", 1.1)])
def test_sizes_too_small_to_make_a_world_are_refused(name, value):
    with pytest.raises(ValidationError, match=name):
        WorldSettings(**{name: value})
