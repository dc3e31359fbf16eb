"""A settings file with what a tuning found; all else in it stays as it was written, comments beside it too."""

import tomllib
from typing import Any

import tomlkit

from recsys.settings import Settings
from recsys.shown import plain


def with_found(text: str, was: Settings, now: Settings, reason: str) -> str:
    """Change the settings in a file that differ, and say above all why.

    A file whose form leaves no place for that is written anew, without its comments.

    Parameters
    ----------
    text
        The file; may be empty.
    was, now
        What it says, and what it shall say.
    reason
        Why, in one line.
    """
    head = f"# {plain(reason)}\n"
    before, after = (each.model_dump(mode="json", exclude_none=True) for each in (was, now))
    found = head + tomlkit.dumps(_changed(tomlkit.parse(text), before, after))
    if _says(found) == now:
        return found
    return head + tomlkit.dumps(_changed(tomllib.loads(text), before, after))


def _changed(content: Any, before: dict[str, Any], after: dict[str, Any]) -> Any:
    """Put what differs into the content of a file."""
    for name, section in after.items():
        if not isinstance(section, dict):
            if section != before.get(name):
                content[name] = section
            continue
        old = before.get(name, {})
        for key in (*section, *(key for key in old if key not in section)):
            if section.get(key) == old.get(key):
                continue
            table = content.setdefault(name, {})
            if key in section:
                table[key] = section[key]
            else:
                table.pop(key, None)
    return content


def _says(text: str) -> Settings | None:
    """Read settings; None where they are none."""
    try:
        return Settings.model_validate(tomllib.loads(text))
    except ValueError:
        return None
