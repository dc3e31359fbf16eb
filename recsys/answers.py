"""What verbs answer: words for the terminal, numbers and pages for files, and how much is told on the way."""

import json
import logging
from pathlib import Path

from recsys.errors import StorageError
from recsys.shown import shown


def say(text: str, end: str = "\n") -> None:
    """Print what may hold names from the data: nothing in it commands the terminal."""
    print(shown(text), end=end)


def tell(verbose: bool) -> None:
    """Let messages on the way tell everything, or the stages alone."""
    logging.getLogger("recsys").setLevel(logging.DEBUG if verbose else logging.INFO)


def write(path: Path | None, content: object) -> None:
    """Write a text as it is, anything else as JSON, if there is a path.

    Raises
    ------
    StorageError
        When it cannot be written.
    """
    if path is None:
        return
    from recsys.files import write_whole

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content if isinstance(content, str) else json.dumps(content, indent=2) + "\n")
    except OSError as error:
        raise StorageError(f"{path} cannot be written ({error}); choose another file") from error
