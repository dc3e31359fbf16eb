"""TOML with comments: the one place where it is written, any text in, the same text out of tomllib."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_SHORT = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_UNPRINTABLE = re.compile(r'[\\"\x00-\x1f\x7f-\x9f\u2028\u2029]')
_LONGEST_COMMENT = 116

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
    parts = [_comment(header)]
    for section in sections:
        lines = [""] if section.path or section.entries else []
        lines += _comments(section.reason)
        lines += ["[" + ".".join(map(_key, section.path)) + "]"] if section.path else []
        for entry in section.entries:
            lines += [*_comments(entry.reason), f"{_key(entry.key)} = {_value(entry.value)}"]
        parts += lines
    return "\n".join(parts) + "\n"


def plain(text: str) -> str:
    r"""Write text from outside so that it stays on its line: control characters are escaped.

    Examples
    --------
    >>> plain("a\nb")
    'a\\nb'
    """
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]", lambda found: _escaped(found[0]), text)


def _comments(text: str) -> list[str]:
    return [_comment(text)] if text else []


def _comment(text: str) -> str:
    lines: list[str] = []
    for paragraph in text.split("\n"):
        lines.append("")
        for word in plain(paragraph).split(" "):
            if lines[-1] and len(lines[-1]) + len(word) > _LONGEST_COMMENT:
                lines.append("")
            lines[-1] += (" " if lines[-1] else "") + word
    return "\n".join(f"# {line}".rstrip() for line in lines)


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _string(key)


def _value(value: Value) -> str:
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f" {_key(key)} = {_value(each)}" for key, each in value.items()).rstrip() + " }"
    return "[" + ", ".join(map(_value, value)) + "]"


def _string(text: str) -> str:
    return '"' + _UNPRINTABLE.sub(lambda found: _escaped(found[0]), text) + '"'


def _escaped(character: str) -> str:
    return _SHORT.get(character) or f"\\u{ord(character):04x}"
