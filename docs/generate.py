"""Write the pages that the code itself tells: `commands.md`, `settings.md` and, a line for each file, `files.md`.

python docs/generate.py
"""

import ast
import json
from collections.abc import Iterable
from datetime import timedelta
from io import StringIO
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from docstring_parser import parse
from pydantic import AwareDatetime
from pydantic.fields import FieldInfo
from rich.console import Console

from recsys.data.clock import format_duration
from recsys.features import settings as features
from recsys.jobs.nightly.settings import NightlySettings
from recsys.settings import Settings
from recsys.verbs import APP

HERE = Path(__file__).parent
ROOT = HERE.parent
PLAIN = {str: "text", bool: "true or false", int: "whole number", float: "number", Any: "value"}
PLAIN |= {timedelta: "duration", AwareDatetime: "moment"}
BOUNDS = {
    "ge": "at least {}",
    "gt": "above {}",
    "le": "at most {}",
    "lt": "below {}",
    "min_length": "not empty",
}


FOLDERS = (
    ("The ground", "recsys"),
    *(
        (name, f"recsys/{name.split(':')[0]}")
        for name in (
            "engines",
            "statistics",
            "data",
            "world",
            "past",
            "vectors",
            "encoders",
            "evaluation",
            "offpolicy",
            "experiment",
            "features",
            "learning",
            "ranking",
            "arranging",
            "model",
            "explaining",
            "init",
            "jobs",
            "serving",
        )
    ),
    ("pipelines", "pipelines"),
)


def commands() -> str:
    """Give the help of every verb."""
    parts = [
        "# Commands",
        "Exit status: 0 all went well, 1 the answer is no, 2 the command or its settings are wrong, 3 a source, a "
        "target, a disk or a cluster failed, 128 + n stopped by signal n. What was asked for goes to standard output, "
        "progress and faults to standard error.",
        _help([]),
    ]
    for verb in (name for name in APP if not name.startswith("-")):
        parts += [f"## `recsys {verb}`", _help([verb])]
    return "\n\n".join(parts) + "\n"


def settings() -> str:
    """Give every section and field of the settings file."""
    parts = [
        "# Settings",
        "One TOML file for a model; every setting may be left out. `--set section.key=value` changes one for one "
        "command. A duration is a whole number and a unit: s, m, h or d.",
        _table(Settings, Settings.model_fields, top=True),
    ]
    for section, field in Settings.model_fields.items():
        if hasattr(field.annotation, "model_fields"):
            made: Any = field.annotation
            parts += [f"## `[{section}]`", str(parse(made.__doc__).short_description), _table(made, made.model_fields)]
            for inner in made.model_fields if section == "rules" else ():
                for part in _models(made.model_fields[inner].annotation):
                    own = {name: of for name, of in part.model_fields.items() if name not in made.model_fields}
                    about = str(parse(part.__doc__).short_description)
                    parts += [f"### `{inner}` of `[{section}]`", about, _table(part, own)]
    families = [
        f"| `{family}` | {features._FAMILIES[family].__doc__} |"  # the functions are what a family is
        for family in features.FAMILIES
    ]
    parts += ["## Families of features", _rows("| family | what its features do |", families)]
    parts += [
        "## Declarations",
        "A feature of one's own is a table in `[features] declarations`, such as "
        '`{ kind = "count", of = "like", per = ["user", "category"], window = "7d" }`.',
    ]
    for kind in get_args(get_args(features.Declaration)[0]):
        fields = {name: field for name, field in kind.__pydantic_fields__.items() if name != "kind"}
        about = str(parse(kind.__doc__).short_description)
        parts += [f'### `kind = "{kind.__pydantic_fields__["kind"].default}"`', about]
        parts += [_table(kind, fields)] if fields else []
    nightly = "The file of a nightly job, see [Nightly](nightly.md)."
    parts += ["## The nightly job", nightly, _table(NightlySettings, NightlySettings.model_fields, top=True)]
    for section, field in NightlySettings.model_fields.items():
        if hasattr(field.annotation, "model_fields"):
            of: Any = field.annotation
            parts += [f"### `[{section}]` of a nightly job", str(parse(of.__doc__).short_description)]
            parts += [_table(of, of.model_fields)]
    return "\n\n".join(parts) + "\n"


def files() -> str:
    """Give the page: folders in the order of the floors, lowest first, then the pipelines."""
    parts = ["# Files\n\nFolders are the stages; a file imports only its own folder and those above it in this list.\n"]
    for title, folder in FOLDERS:
        lines = [f"| `{path.relative_to(ROOT)}` | {_purpose(path)} |" for path in _files(folder)]
        parts.append("\n".join([f"## {title}\n", "| file | what it is |", "|---|---|", *lines]) + "\n")
    return "\n".join(parts)


PAGES = {"commands.md": commands, "settings.md": settings, "files.md": files}


def main() -> None:
    """Write the pages beside this file."""
    for name, page in PAGES.items():
        (HERE / name).write_text(page(), encoding="utf-8")


def _help(words: list[str]) -> str:
    console = Console(file=StringIO(), width=110, color_system=None, force_terminal=False)
    APP.help_print(words, console=console)
    assert isinstance(console.file, StringIO)
    return f"```text\n{console.file.getvalue().strip()}\n```"


def _table(of: type, fields: dict[str, FieldInfo], top: bool = False) -> str:
    meanings = {
        name: str(param.description)
        for each in reversed(of.__mro__)
        for param in parse(each.__doc__ or "").params
        for name in param.arg_name.split(", ")
    }
    rows = []
    for name, field in fields.items():
        if top and hasattr(field.annotation, "model_fields"):
            continue
        meaning = " ".join(meanings[name].split())
        kind = "; ".join([_kind(field.annotation), *_bounds(field.metadata)])
        rows.append("| " + " | ".join(map(_cell, (f"`{name}`", kind, _default(field), meaning))) + " |")
    return _rows("| setting | holds | when left out | meaning |", rows)


def _models(annotation: Any) -> list[Any]:
    """Find the classes of settings in an annotation."""
    if hasattr(annotation, "model_fields"):
        return [annotation]
    return [found for inner in get_args(annotation) for found in _models(inner)]


def _rows(head: str, rows: Iterable[str]) -> str:
    return "\n".join([head, "|" + " --- |" * (head.count("|") - 1), *rows])


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is None:
        return "none"
    return f"`{json.dumps(_plain(value))}`"


def _plain(value: Any) -> Any:
    if isinstance(value, timedelta):
        return format_duration(value)
    return [_plain(each) for each in value] if isinstance(value, tuple) else value


def _bounds(metadata: Iterable[Any]) -> list[str]:
    given = [(name, getattr(each, name)) for each in metadata for name in BOUNDS if hasattr(each, name)]
    return [
        BOUNDS[name].format(f"{value:,}" if isinstance(value, int) else value)
        for name, value in given
        if not isinstance(value, timedelta)
    ]


def _kind(annotation: Any) -> str:
    inner, origin = get_args(annotation), get_origin(annotation)
    if annotation is features.Declaration:
        return "declarations, see below"
    if origin is Annotated:
        checks = [check for field in inner[1:] for check in getattr(field, "metadata", [field])]
        return "; ".join([_kind(inner[0]), *_bounds(checks)])
    if origin is Literal:
        return " or ".join(f"`{json.dumps(each)}`" for each in inner)
    if origin in (Union, UnionType):
        return " or ".join(_kind(each) for each in inner if each is not NoneType)
    if origin is tuple:
        return f"list of {_kind(inner[0])}" if ... in inner else f"{len(inner)} of {_kind(inner[0])}"
    if origin is dict:
        return "table" if inner[1] is Any else f"table of {_kind(inner[1])}"
    if hasattr(annotation, "model_fields"):
        return f"table with {', '.join(f'`{name}`' for name in annotation.model_fields)}"
    return PLAIN[annotation]


def _files(folder: str) -> list[Path]:
    found = (ROOT / folder).glob("*.*") if folder in ("recsys", "pipelines") else (ROOT / folder).rglob("*.*")
    return sorted(path for path in found if path.suffix in (".py", ".j2", ".toml") and path.name != "__init__.py")


def _purpose(path: Path) -> str:
    text = path.read_text()
    if path.suffix == ".py":
        return (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0]
    if path.suffix == ".toml":
        return text.partition("\n")[0].removeprefix("# ")
    return text.partition("#}")[0].removeprefix("{#").strip() if text.startswith("{#") else "a template of pages"


if __name__ == "__main__":
    main()
