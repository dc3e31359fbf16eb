"""A settings file with what a tuning found; all else in it stays as it was written, comments too."""

from typing import Any

import tomlkit

from recsys.settings import Settings
from recsys.shown import plain


def with_found(text: str, was: Settings, now: Settings, reason: str) -> str:
    """Change the settings in a file that differ, and say above all why.

    Parameters
    ----------
    text
        The file; may be empty.
    was, now
        What it says, and what it shall say.
    reason
        Why, in one line.
    """
    document = tomlkit.parse(f"# {plain(reason)}\n{text}")
    before, after = was.model_dump(mode="json"), now.model_dump(mode="json")
    for name, section in after.items():
        if not isinstance(section, dict):
            if section != before[name]:
                document[name] = section
            continue
        changed = {key: value for key, value in section.items() if value != before[name][key]}
        if not changed:
            continue
        if name not in document:
            document.add(tomlkit.nl())
            document.add(name, tomlkit.table())
        table: Any = document[name]
        for key, value in changed.items():
            if value is None:
                table.pop(key, None)
            else:
                table[key] = value
    return tomlkit.dumps(document)
