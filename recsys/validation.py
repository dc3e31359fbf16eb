"""Checked settings out of plain TOML content, with one clear line for every fault."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import TypeVar, cast

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from recsys.errors import SettingsError

Model = TypeVar("Model", bound=BaseModel)


def validate(model: type[Model], content: Mapping[str, object], place: str) -> Model:
    """Turn the content of a file into settings.

    Parameters
    ----------
    model
        Class of the settings; its sections are such classes themselves.
    content
        What the file holds.
    place
        Name of the file, for messages.

    Raises
    ------
    SettingsError
        When a key is unknown or a value does not fit; one line for each, with the nearest known name for a key.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise SettingsError("\n".join(f"{place}: {_explain(fault, model)}" for fault in error.errors())) from error


def _explain(fault: ErrorDetails, root: type[BaseModel]) -> str:
    name = ".".join(str(part) for part in fault["loc"])
    if fault["type"] != "extra_forbidden":
        message = fault["msg"].removeprefix("Value error, ")
        return f"{name} = {fault['input']!r} does not fit: {message}"
    section: type[BaseModel] = root
    for part in fault["loc"][:-1]:
        section = cast("type[BaseModel]", section.model_fields[str(part)].annotation)
    known = list(section.model_fields)
    nearest = get_close_matches(str(fault["loc"][-1]), known, n=1, cutoff=0.0)
    return f"{name} is not known; did you mean {nearest[0]}? Known are {', '.join(known)}"
