import pytest

from recsys import errors


@pytest.mark.parametrize("kind", [errors.DataError, errors.SettingsError, errors.ModelError])
def test_every_error_can_be_caught_as_the_one_of_the_package(kind: type[Exception]) -> None:
    with pytest.raises(errors.RecsysError, match="what, where, what next"):
        raise kind("what, where, what next")
