"""What a backend needs beside the package's own dependencies, and what to type where it is missing."""

import importlib
from typing import Any

from recsys.errors import ModelError, first_line


def need(module: str, extra: str) -> Any:
    """Import a module of an extra.

    Raises
    ------
    ModelError
        When it is not installed; says what to type.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ModelError(
            f"[text] backend = {extra!r} needs {module} ({first_line(error)}); type, in the checkout of this "
            f"package: pip install --constraint constraints.txt --editable '.[{extra}]'"
        ) from error
