"""What is imported when it is first asked for: public names, so that a package costs nothing to import, and extras."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from recsys.errors import ModelError, first_line


def exports(package: str, homes: Mapping[str, str]) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """Make the `__getattr__` and the `__dir__` of a package.

    Parameters
    ----------
    package
        Its name.
    homes
        The module in which each public name lives, its whole dotted name.

    Raises
    ------
    AttributeError
        From `__getattr__`, for any other name; it says which there are.
    """
    names = sorted(homes)

    def get(name: str) -> object:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}; it has {', '.join(names)}")
        return getattr(import_module(homes[name]), name)

    return get, lambda: names


def need(module: str, extra: str, setting: str) -> Any:
    """Import a module of an extra.

    Parameters
    ----------
    module
        Its whole dotted name.
    extra
        What to install for it.
    setting
        What asks for it.

    Raises
    ------
    ModelError
        When it is not installed; says what to type.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise ModelError(
            f"{setting} needs {module} ({first_line(error)}); type, in the checkout of this package: "
            f"pip install --constraint constraints.txt --editable '.[{extra}]'"
        ) from error
