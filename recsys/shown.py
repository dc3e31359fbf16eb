"""Text from outside, as people may see it: what would command a terminal or turn a line around is written out."""

import re
from collections.abc import Iterable
from difflib import get_close_matches

LONGEST_NAME = 60
"""Characters of a name that a chart or a table shows."""

_COMMANDS = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""Control characters but tab and end of line, marks of direction, separators, halves of characters."""


def shown(text: str) -> str:
    r"""Write text for a terminal or a page: escapes and controls of direction are shown and not obeyed.

    Tabs and ends of lines stay as they are.

    Examples
    --------
    >>> shown("red \x1b[31m, turned \u202e")
    'red \\x1b[31m, turned \\u202e'
    """
    return _COMMANDS.sub(_written, text)


def plain(text: str) -> str:
    r"""Write text so that it also stays on its line.

    Examples
    --------
    >>> plain("a\nb")
    'a\\nb'
    """
    return shown(text).replace("\t", "\\t").replace("\n", "\\n")


def short(name: str, longest: int = LONGEST_NAME) -> str:
    """Cut a name that is too long; the cut shows."""
    return name if len(name) <= longest else name[: longest - 1] + "…"


def counted(number: int, thing: str) -> str:
    """Write how many there are of something whose plural ends in s.

    Examples
    --------
    >>> counted(1, "note"), counted(0, "tree"), counted(12_000, "candidate row")
    ('1 note', '0 trees', '12,000 candidate rows')
    """
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def _written(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()


def finish(value: object) -> object:
    """Finish what a template writes: text is `shown`, mark-up that the template made itself and numbers stay."""
    return shown(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Ask for the nearest known name, after a semicolon; nothing where none is near.

    Examples
    --------
    >>> did_you_mean("titel", ["item_id", "title"])
    '; did you mean title?'
    """
    near = get_close_matches(name, [*known], n=1)
    return f"; did you mean {near[0]}?" if near else ""
