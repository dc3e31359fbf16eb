"""What an engine does: work that is opened once and done on part after part."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol, TypeVar

from recsys.engines.settings import EngineSettings

Part = TypeVar("Part")
Done = TypeVar("Done")

Opening = Callable[[], Callable[[Part], Done]]
"""Makes ready what works on parts, once in each process: an instance of a class, with paths and plain values."""


class Engine(Protocol):
    """Does work on parts.

    Attributes
    ----------
    apart
        Whether the work is done in processes that share no memory with this one: what they open lies in files then.
    """

    @property
    def apart(self) -> bool:
        """See the class."""

    def each(
        self, opening: Opening[Part, Done], parts: Iterable[tuple[int, Part]], gpu: bool = False
    ) -> Iterator[tuple[int, Done]]:
        """Do the work on each part, and give what came of it.

        Parameters
        ----------
        opening
            The work.
        parts
            The place of each part and the part, which is asked for when its turn comes.
        gpu
            Whether the work reads texts, for which a GPU is of use.

        Yields
        ------
        The place of a part and what came of it, in any order.

        Raises
        ------
        StorageError
            When what does the work failed; errors of the work itself are raised as they are.
        """

    def refuse_growers(self, workers: int) -> None:
        """Refuse more workers that talk to each other than there is room for, with a `StorageError`."""


class OneProcess:
    """Works on part after part in this process."""

    apart = False

    def each(
        self, opening: Opening[Part, Done], parts: Iterable[tuple[int, Part]], gpu: bool = False
    ) -> Iterator[tuple[int, Done]]:
        """Do the work on each part in its turn, see `Engine.each`."""
        work = opening()
        for place, part in parts:
            yield place, work(part)

    def refuse_growers(self, workers: int) -> None:
        """Refuse nobody: one process has one worker, see `Engine.refuse_growers`."""
        assert workers == 1, "settings refuse more without a cluster"


HERE = OneProcess()
"""This process."""


def open_engine(settings: EngineSettings) -> AbstractContextManager[Engine]:
    """Make an engine ready, for as long as the block runs.

    Raises
    ------
    ModelError
        When the extra of the engine is not installed.
    StorageError
        When a cluster cannot be reached, or is not of these versions.
    """
    if settings.kind == "process":
        return nullcontext(HERE)
    from recsys.engines.on_ray import open_ray  # imports an extra

    return open_ray(settings)


def refuse_absent(settings: EngineSettings) -> None:
    """Refuse an engine that is not installed, or a cluster that does not answer; errors as of `open_engine`.

    It takes no time, so that long work may ask before it begins.
    """
    if settings.kind != "process":
        from recsys.engines.on_ray import refuse_absent_ray  # imports an extra

        refuse_absent_ray(settings)
