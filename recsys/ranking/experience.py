"""Lists that a ranker has learnt from: what is asked of it may be unlike any of them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

Kind = Literal["logged", "drawn", "found"]

LENGTH, UNSEEN, DRAWN = "length", "unseen items", "drawn lists alone"
"""Why a list is unlike all that were learnt from: how long it is, how many of its items are new, or what was learnt."""


@dataclass(frozen=True)
class Experience:
    """Lists that a ranker has learnt from.

    Attributes
    ----------
    kinds
        Where they came from: `"logged"` by whoever showed them, `"drawn"` at random by an importer, or `"found"` by
        candidate sources; each once, in this order.
    shortest, longest
        Candidates of a list.
    unseen
        The largest share of candidates of a list of whose items no showing and no click was known, 0 to 1.
    """

    kinds: tuple[Kind, ...]
    shortest: int
    longest: int
    unseen: float

    @classmethod
    def of(cls, kind: Kind, lengths: Ints, unseen: Floats) -> "Experience | None":
        """Say what lists have in common, of which lengths and shares of unseen candidates are given, each [R].

        None where there is no list.
        """
        if not len(lengths):
            return None
        return cls((kind,), int(lengths.min()), int(lengths.max()), float(unseen.max()))

    def joined(self, other: "Experience | None") -> "Experience":
        """Have learnt from the lists of another, too."""
        if other is None:
            return self
        return Experience(
            tuple(kind for kind in get_args(Kind) if kind in (*self.kinds, *other.kinds)),
            min(self.shortest, other.shortest),
            max(self.longest, other.longest),
            max(self.unseen, other.unseen),
        )

    def unlike(self, lengths: Ints, unseen: Floats, by_length: bool) -> list[str | None]:
        """Say which lists are unlike all that were learnt from, and why.

        Parameters
        ----------
        lengths, unseen
            As of `of`.
        by_length
            Whether features change with the length of a list.

        Returns
        -------
        For each list the reasons, joined by commas; None where there is none.
        """
        strange = by_length & ((lengths < self.shortest) | (lengths > self.longest))
        always = (DRAWN,) if self.kinds == ("drawn",) else ()
        said = {
            (long, new): ", ".join((*[LENGTH] * long, *[UNSEEN] * new, *always)) or None
            for long in (False, True)
            for new in (False, True)
        }
        return [said[each] for each in zip(strange.tolist(), (unseen > self.unseen).tolist(), strict=True)]

    def in_words(self) -> str:
        """Say what was learnt from."""
        kinds = ", ".join(self.kinds)
        return (
            f"lists ({kinds}) of {self.shortest:,} to {self.longest:,} candidates, up to {self.unseen:.0%} of them of "
            "items that nobody had seen"
        ).replace("%", " %")

    def to_json(self) -> dict[str, Any]:
        """Write as plain JSON."""
        return {**asdict(self), "kinds": list(self.kinds)}

    @classmethod
    def from_json(cls, written: Mapping[str, Any]) -> "Experience":
        """Read what `to_json` wrote.

        Raises
        ------
        KeyError, TypeError, ValueError
            When it is something else.
        """
        found = cls(tuple(written["kinds"]), written["shortest"], written["longest"], written["unseen"])
        if len(written) != len(vars(found)) or not found.kinds or not set(found.kinds) <= set(get_args(Kind)):
            raise ValueError(f"lists that were learnt from are {dict(written)}")
        whole = all(isinstance(each, int) and not isinstance(each, bool) for each in (found.shortest, found.longest))
        if not whole or not 1 <= found.shortest <= found.longest or not 0 <= float(found.unseen) <= 1:
            raise ValueError(f"lists that were learnt from are {dict(written)}")
        return found
