"""TOML with a reason above each key: the one place where it is written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import wrap

import tomlkit
from tomlkit.items import SingleKey

from recsys.shown import plain

_LONGEST = 117
"""Letters of a comment on one line."""

Value = str | bool | int | float | Sequence["Value"] | Mapping[str, "Value"]


@dataclass(frozen=True)
class Entry:
    """One key of a section.

    Attributes
    ----------
    key, value
        What is set.
    reason
        Why, for the comment above it; may be empty.
    """

    key: str
    value: Value
    reason: str = ""


@dataclass(frozen=True)
class Section:
    """One table of the file.

    Attributes
    ----------
    path
        Its name in parts; none for the keys at the top.
    entries
        Its keys.
    reason
        A comment above it; may be empty.
    """

    path: tuple[str, ...]
    entries: tuple[Entry, ...]
    reason: str = ""


def write_toml(header: str, sections: Sequence[Section]) -> str:
    r"""Write a file: a comment, then the sections in order, each reason as a comment above what it explains.

    Examples
    --------
    >>> print(write_toml("Hello.", [Section(("a",), (Entry("k", 'say "x"', "why"),))]), end="")
    # Hello.
    <BLANKLINE>
    [a]
    # why
    k = "say \"x\""
    """
    parts = _comment(header)
    for section in sections:
        parts += ["", *_comment(section.reason)]
        parts += ["[" + ".".join(_key(part) for part in section.path) + "]"] if section.path else []
        for entry in section.entries:
            parts += [*_comment(entry.reason), f"{_key(entry.key)} = {_value(entry.value)}"]
    return "\n".join(parts) + "\n"


def _comment(text: str) -> list[str]:
    wrapped = [wrap(plain(line), _LONGEST, break_long_words=False, break_on_hyphens=False) for line in text.split("\n")]
    return [f"# {line}" for lines in wrapped for line in lines]


def _key(name: str) -> str:
    return _shown(SingleKey(name).as_string())


def _value(value: Value) -> str:
    if isinstance(value, Mapping):
        inside = tomlkit.inline_table()
        inside.update(value)
        return _shown(inside.as_string())
    return _shown(tomlkit.item(value).as_string())


def _shown(written: str) -> str:
    """Escape as TOML does what a terminal would obey; outside of quotes there is none of it."""
    return "".join(letter if plain(letter) == letter else f"\\u{ord(letter):04x}" for letter in written)
