"""The command line: words in, one verb called, an exit status out."""

import errno
import logging
import os
import re
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from itertools import pairwise
from types import FrameType
from typing import TextIO

from recsys.errors import RecsysError, SettingsError, StorageError
from recsys.shown import shown

FINE, NO, WRONG_USE, FAILED = 0, 1, 2, 3
"""Exit status: all went well; the answer is no; the command or its settings are wrong; a source or a disk failed."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
"""Signals that ask the process to stop."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit status.

    Parameters
    ----------
    arguments
        Words after `recsys`; those of the process when left out.
    """
    words = sys.argv[1:] if arguments is None else arguments
    handler = _AboveBars(sys.stderr)
    handler.setFormatter(_Shown("%(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    try:
        with _stopped_by_signals():
            if not words:
                raise SettingsError("give a verb; `recsys --help` lists them")
            answer = _run(words)
            print(end="", flush=True)  # so that a reader who has left is met here
            return NO if answer is False else FINE
    except SettingsError as error:
        _complain(error)
        return WRONG_USE
    except StorageError as error:
        _complain(error)
        return FAILED
    except RecsysError as error:
        _complain(error)
        return NO
    except (BrokenPipeError, SystemExit):  # the latter is how the library that writes helps says the same
        _leave_output()  # who read it has left; nothing more can be said there
        return 128 + signal.SIGPIPE
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            _complain(f"there is no room left to write ({error}); make room, or set TMPDIR")
        else:
            _complain(f"{error}; see that what it names can be read and written")
        _leave_output()
        return FAILED
    except _StoppedError as stopped:
        _complain(
            "stopped by a signal; nothing was left half-written, and a training that is asked for again goes on after "
            "its last whole pass"
        )
        return stopped.status


class _AboveBars(logging.StreamHandler[TextIO]):
    """Messages stand above a bar that is being drawn."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one message."""
        from tqdm import tqdm  # loads much that short verbs do not need

        with tqdm.external_write_mode(self.stream):
            super().emit(record)


class _Shown(logging.Formatter):
    """Messages may hold names from the data: nothing in them commands the terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """Write one message."""
        return shown(super().format(record))


def _complain(what: object) -> None:
    print(shown(f"recsys: {what}"), file=sys.stderr)


def _leave_output() -> None:
    """Let go of output that cannot be written: Python would try again in the end, and give a status of its own."""
    try:
        print(end="", flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(words: Sequence[str]) -> bool | None:
    """Run one verb; False when the answer is no.

    Raises
    ------
    SettingsError
        When the words are not understood; says where to look.
    """
    from cyclopts import CycloptsError  # so that a signal that comes while this is read stops in peace, too

    from recsys.verbs import APP

    verbs = [name for name in APP if not name.startswith("-")]
    if words[0] not in APP:
        near = get_close_matches(words[0], verbs, n=1)
        meant = f"did you mean {near[0]}? " if near else ""
        raise SettingsError(f"{words[0]!r} is no verb; {meant}Verbs are {', '.join(verbs)}; see `recsys --help`")
    for before, word in pairwise(words):
        if word == "" or re.fullmatch(r"--[\w-]+=", word):  # an empty path would be the working folder
            raise SettingsError(
                f"the word {word or 'after ' + before} is empty; write what it shall be, or leave it out"
            )
    try:
        answer: bool | None = APP(words)
    except CycloptsError as error:
        verb = " ".join(["recsys", *(error.command_chain or ())])
        raise SettingsError(f"{str(error).rstrip('.')}; see `{verb} --help`") from error
    return answer


class _StoppedError(BaseException):
    """A signal asked the process to stop; not a KeyboardInterrupt, which Lightning would answer by itself."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal_number)
        self.status = 128 + signal_number


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    def stop(signal_number: int, _: FrameType | None) -> None:
        raise _StoppedError(signal_number)

    heeded = [each for each in _SIGNALS if signal.getsignal(each) != signal.SIG_IGN]  # `nohup` ignores SIGHUP
    before = {number: signal.signal(number, stop) for number in heeded}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


if __name__ == "__main__":
    sys.exit(main())
