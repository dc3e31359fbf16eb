"""Names for everybody: each package exports what it says, and costs next to nothing to import."""

import importlib
import subprocess
import sys

import pytest

from recsys.lazy import exports

PACKAGES = ["recsys", "recsys.evaluation", "recsys.experiment", "recsys.features", "recsys.offpolicy", "recsys.world"]


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_exports_what_it_says_and_all_of_it_resolves(name: str) -> None:
    package = importlib.import_module(name)
    assert sorted(package.__all__) == dir(package)
    for each in package.__all__:
        found = getattr(package, each)
        assert getattr(found, "__name__", each) == each or each.isupper()
    with pytest.raises(AttributeError, match=f"module '{name}' has no attribute 'rank_all'; it has {dir(package)[0]}"):
        _ = package.rank_all


@pytest.mark.parametrize("name", PACKAGES)
def test_no_exported_name_is_that_of_a_module_beside_it(name: str) -> None:
    """Else it would be the one or the other, whichever was imported first."""
    package = importlib.import_module(name)
    assert not [each for each in package.__all__ if importlib.util.find_spec(f"{name}.{each}")]


def test_importing_the_packages_loads_no_library() -> None:
    program = (
        f"import sys, {', '.join(PACKAGES)}\nassert not {{'numpy', 'polars', 'pydantic', 'torch'}} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_name_lives_where_it_is_said_to() -> None:
    get, names = exports("mine", {"sqrt": "math", "date": "datetime"})
    assert names() == ["date", "sqrt"]
    assert get("sqrt")(4) == 2
