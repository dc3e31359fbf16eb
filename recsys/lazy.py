"""Public names that are imported when first asked for, so that a package costs next to nothing to import."""

from collections.abc import Callable, Mapping
from importlib import import_module


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
