"""What lists made from the field of all items came to."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from recsys.statistics.intervals import Interval

ALL_SOURCES = "all"
"""What the lists of all sources together are called."""

MeasureTable = Mapping[str, Mapping[str, "Interval"]]


@dataclass(frozen=True)
class FieldResults:
    """What made lists say of rankers and of the sources of candidates.

    Attributes
    ----------
    lists, users
        How many lists were made, for how many users.
    rankers
        Ranker, baseline or single source, measure, interval of the mean over lists; a choice that a list lacks earns
        nothing.
    differences
        `both-<other>`, measure, interval of the mean difference paired by list.
    sources
        The same measures of what each source found in its own order, and of all together, as `"all"`.
    field
        How many items could have stood in a list, on average.
    size
        How many candidates the sources found for a list, on average.
    choices, not_candidates
        How much was chosen that might have been a candidate, and how much that was not out or left out by settings.
    """

    lists: int
    users: int
    rankers: MeasureTable
    differences: MeasureTable
    sources: MeasureTable
    field: float
    size: float
    choices: int
    not_candidates: int

    def to_json(self) -> dict[str, object]:
        """Return plain objects for `json.dumps`; what is not a number is None."""
        plain = {
            name: {each: {measure: of.to_json() for measure, of in row.items()} for each, row in table.items()}
            for name, table in (("rankers", self.rankers), ("differences", self.differences), ("sources", self.sources))
        }
        return {**vars(self), **plain}

    def in_words(self) -> str:
        """Say what was judged."""
        return (
            f"Lists made as a night makes them: for {self.lists:,} moments of {self.users:,} users the sources found "
            f"{self.size:,.0f} candidates each among {self.field:,.0f} items that were out; held against "
            f"{self.choices:,} choices. {self.not_candidates:,} more were not out, or left out by [candidates] once."
        )
