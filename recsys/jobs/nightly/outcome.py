"""What a night did, in words."""

from dataclasses import dataclass
from pathlib import Path

from recsys.jobs.nightly.home import Published


@dataclass(frozen=True)
class NightDone:
    """What a night did.

    Attributes
    ----------
    published
        The lists that it made; None where those of before stay.
    refused
        Why data or lists were refused, so that those of before stay.
    notes
        What else people should know, such as that a new model was refused.
    nothing
        Whether all was done before.
    live
        Whether readers take them; they do not where later lists are live, or they were rolled back.
    """

    published: Published | None
    refused: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    nothing: bool = False
    live: bool = True

    @property
    def good(self) -> bool:
        """Whether lists of this night were made and are fit to be read."""
        return self.published is not None

    def in_words(self, home: Path) -> str:
        """Say it for the terminal."""
        lines = [*self.notes]
        if self.published is None:
            lines += [f"refused: {reason}" for reason in self.refused]
            lines.append(f"nothing was published; the lists of before stay in {home / 'live'}")
        elif not self.live:
            lines.append(f"lists of {self.published.name} are made, and lie in {home / 'lists' / self.published.name}")
        elif self.nothing:
            lines.append(f"nothing to do: {home / 'live'} holds the lists of {self.published.name} already")
        else:
            lines.append(
                f"lists of {self.published.name}, ranked by the model {self.published.model}, are live in "
                f"{home / 'live'}"
            )
        return "\n".join(lines)
