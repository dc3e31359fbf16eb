"""Checked settings out of TOML files, with one clear line for every fault."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from recsys.errors import DataError, SettingsError

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


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """Read a TOML file.

    Parameters
    ----------
    path
        The file.
    what
        What it is, for the message that it is missing.

    Raises
    ------
    DataError
        When the file is missing.
    SettingsError
        When it is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist; give the path of {what}") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise SettingsError(
            f"{path} cannot be read as TOML ({error}); mend that line: texts stand in quotes, true and false do not"
        ) from error


def _explain(fault: ErrorDetails, root: type[BaseModel]) -> str:
    name, context = ".".join(str(part) for part in fault["loc"]), fault.get("ctx", {})
    known = _fields(root, fault["loc"])
    match fault["type"]:
        case "extra_forbidden" if known:
            nearest = get_close_matches(str(fault["loc"][-1]), known, n=1, cutoff=0.0)
            return f"{name} is not known; did you mean {nearest[0]}? Known are {', '.join(known)}"
        case "unexpected_keyword_argument" if known:
            near = get_close_matches(str(fault["loc"][-1]), known, n=1)
            return f"{name} is unknown; " + (f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}")
        case "missing":
            return f"{name} is missing"
        case "union_tag_not_found" if isinstance(fault["input"], Mapping):
            return f"{name}.{_bare(context['discriminator'])} is missing"
        case "union_tag_invalid":
            of, given = f"{name}.{_bare(context['discriminator'])}", str(context["tag"])
            return f"{of} = {given!r} does not fit: {_allowed(given, context['expected_tags'])}"
        case "tuple_type" | "list_type":
            message = 'write a list, such as ["one", "other"]'
        case "dict_type" | "model_type" | "model_attributes_type":
            message = "write a table, such as { name = value }"
        case "literal_error":
            message = _allowed(str(fault["input"]), context["expected"])
        case _:
            message = fault["msg"].removeprefix("Value error, ")
    given = "" if isinstance(fault["input"], Mapping) else f" = {fault['input']!r}"
    return f"{name}{given} does not fit: {message}" if name else message


def _bare(quoted: str) -> str:
    return quoted.strip("'")


def _allowed(given: str, expected: str) -> str:
    """List the values that pydantic expects, and the nearest where there is one."""
    near = get_close_matches(given, re.findall(r"'([^']*)'", expected), n=1)
    return f"Input should be {expected}" + (f"; did you mean {near[0]!r}?" if near else "")


def _fields(root: type[BaseModel], loc: Sequence[int | str]) -> list[str]:
    """Name the fields beside the last part of a place; a part may be a field, an index, or the kind in a union."""
    found: list[Any] = [root]
    for part in loc[:-1]:
        fields = [each.__pydantic_fields__ for each in found]
        if any(part in of for of in fields):
            found = [each for of in fields if part in of for each in _classes(of[str(part)].annotation)]
        elif isinstance(part, str):
            found = [each for each, of in zip(found, fields, strict=True) if part in [it.default for it in of.values()]]
    return [name for each in found for name in each.__pydantic_fields__]


def _classes(annotation: Any) -> list[Any]:
    """List the settings classes and declarations inside an annotation."""
    if hasattr(annotation, "__pydantic_fields__"):
        return [annotation]
    return [each for inner in get_args(annotation) for each in _classes(inner)]
