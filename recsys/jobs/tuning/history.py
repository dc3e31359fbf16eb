"""The history of a tuning: one line of JSON for every trial, gone on with after a kill."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from recsys.errors import DataError
from recsys.files import write_whole
from recsys.jobs.tuning.space import Space, Value


@dataclass(frozen=True)
class Tried:
    """What was tried, and what came of it.

    Attributes
    ----------
    values
        What was tried, by name.
    ndcg
        The best nDCG@10 on the valid window, or the last one where growth was given up.
    trees
        How many trees it took.
    steps
        nDCG@10 after every so many trees.
    given_up
        Whether growth was ended early since others had done better by then.
    """

    values: dict[str, Value]
    ndcg: float
    trees: int
    steps: dict[int, float]
    given_up: bool = False


class TrialLog:
    """The trials of one tuning, in a file.

    Parameters
    ----------
    path
        The file; what another run with the same facts left is gone on with.
    facts
        All that decides what trials say, as JSON can write it.
    space
        What may be tried.

    Raises
    ------
    DataError
        When the file is of other facts, or no such history.
    """

    def __init__(self, path: Path, facts: Mapping[str, object], space: Space) -> None:
        self._path = path
        self.trials: list[Tried] = []
        if not path.exists():
            write_whole(path, json.dumps(_head(facts)) + "\n")
            return
        refuse_other(path, facts)
        whole, newline, cut = path.read_text(encoding="utf-8").rpartition("\n")
        if not newline:  # nothing but the head
            whole = cut
        try:
            self.trials = [_trial(json.loads(line), space) for line in whole.split("\n")[1:]]
        except (ValueError, TypeError, KeyError, RecursionError, OverflowError) as error:
            raise _is_none(path, error) from error
        if cut:  # a kill while it was written
            write_whole(path, whole + "\n")

    def add(self, trial: Tried) -> None:
        """Write a trial down, before anything is made of it."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(trial)) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self.trials.append(trial)


def refuse_other(path: Path, facts: Mapping[str, object]) -> None:
    """Refuse a file that is there and is of other facts, or no history.

    Raises
    ------
    DataError
        Saying which.
    """
    if not path.exists():
        return
    try:
        head = json.loads(path.read_text(encoding="utf-8").split("\n")[0])
    except (OSError, ValueError, RecursionError) as error:
        raise _is_none(path, error) from error
    if head != _head(facts):
        raise DataError(
            f"{path} is the history of a tuning of other data, settings, libraries or threads; choose another file, "
            "or remove it"
        )


def _head(facts: Mapping[str, object]) -> dict[str, str]:
    return {"tuning": hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()}


def _is_none(path: Path, error: Exception) -> DataError:
    return DataError(f"{path} is no history of a tuning ({error}); choose another file, or remove it")


def _trial(line: Mapping[str, object], space: Space) -> Tried:
    values, steps = line["values"], line["steps"]
    if not isinstance(values, dict) or not isinstance(steps, dict):
        raise TypeError("a trial has no values or no steps")
    ndcg, trees, given_up = line["ndcg"], line["trees"], line["given_up"]
    if not isinstance(ndcg, float) or not isinstance(trees, int) or not isinstance(given_up, bool):
        raise TypeError("a trial has no nDCG@10, trees, or end")
    if values.keys() != space.keys() or not all(each.holds(values[name]) for name, each in space.items()):
        raise ValueError("a trial tried what may not be")
    known = {int(step): float(of) for step, of in steps.items()}
    if not all(0 <= of <= 1 for of in (ndcg, *known.values())):
        raise ValueError("an nDCG@10 lies outside 0 to 1")
    return Tried(values, ndcg, trees, known, given_up)
