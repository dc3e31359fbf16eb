"""How lists are made where none were logged: sources that suit, and features that short and long lists share."""

import polars as pl

from recsys.data.tables import Dataset
from recsys.features.settings import FOR_MADE
from recsys.init import words
from recsys.init.toml import Entry, Section, Value
from recsys.past.streams import CLICK

_FEW_REPEATS = 0.02
"""Up to this share of choices that a user made of the same item before, what was chosen is no candidate again."""


def candidate_section(dataset: Dataset, says_nothing: bool) -> list[Section]:
    """Choose sources where lists are drawn and not logged; nothing where they were logged.

    Parameters
    ----------
    dataset
        The tables.
    says_nothing
        Whether items have no text.
    """
    if not dataset.about.sampled:
        return []
    once = _once(dataset)
    sources = ["popular", "covisited", *([] if says_nothing else ["nearest"]), "recent", *([] if once else ["again"])]
    reason = "no lists were logged: what finds the candidates of lists to come, and of some that are learnt from"
    repeats = "users hardly choose an item twice, so what they chose is no candidate again"
    entries = (Entry("sources", sources, reason), *((Entry("once", once, repeats),) if once else ()))
    return [Section(("candidates",), entries)]


def field_entries(dataset: Dataset) -> tuple[Entry, ...]:
    """Let features compare candidates with the whole field where lists are made, whatever their length."""
    if not dataset.about.sampled:
        return ()
    return (
        Entry("families", list(FOR_MADE), "all, and where candidates stand among all items"),
        Entry("compared", "field", "lists that are made are longer than those that are learnt from"),
    )


def _once(dataset: Dataset) -> list[Value]:
    """Name the kinds of choices after which an item is hardly chosen again by the same user."""
    kinds = dataset.events["event"].unique().sort().to_list()
    choices = [kind for kind in kinds if kind != CLICK and words.kind_of(str(kind)) in list(words.KINDS)[:3]]
    pairs = ["user_id", "item_id"]
    chosen = pl.concat(
        [
            dataset.requests.filter(pl.col("label") > 0).select(pairs),
            dataset.events.filter(pl.col("event").is_in([CLICK, *choices])).select(pairs),
        ]
    )
    repeats = len(chosen) - chosen.n_unique()
    return [CLICK, *choices] if repeats <= _FEW_REPEATS * len(chosen) else []
