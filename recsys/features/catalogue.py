"""The catalogue: every column of the feature table with its meaning, formula, keys and rule for missing values."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from jinja2 import Environment, PackageLoader, StrictUndefined

from recsys.features.builder import differs_in_list
from recsys.features.columns import (
    COMPARISONS,
    NEIGHBOURS,
    REQUEST,
    SIGNALS,
    Column,
    context_column,
    item_column,
    score_column,
    user_column,
)
from recsys.features.feature import Per, Told, spoken
from recsys.features.settings import FeatureSettings, declare_families


@dataclass(frozen=True)
class Entry:
    """A feature as the catalogue lists it.

    Attributes
    ----------
    family
        What it stands under.
    name
        Column of the feature table.
    per
        Key columns.
    told
        Its meaning, its formula, and what it is where nothing is known.
    compared
        Whether it is also compared within its list, see `COMPARISONS`.
    """

    family: str
    name: str
    per: Per
    told: Told
    compared: bool

    @property
    def keys(self) -> str:
        """The key columns in words."""
        return spoken(self.per)

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column of the feature table that this entry stands for, in their order."""
        return (self.name, *(f"{self.name}_{comparison}" for comparison in COMPARISONS if self.compared))


def list_features(settings: FeatureSettings) -> list[Entry]:
    """List what `recsys.features.builder.build_features` computes, in the order of its columns."""
    entries = [
        Entry(family, feature.name, feature.per, feature.told, differs_in_list(feature.per, settings))
        for family, features in declare_families(settings).items()
        for feature in features
    ]
    entries += _under("scores", {name: score_column(name) for name in settings.scores}, compared=True)
    entries += _under("request", REQUEST, compared=False)
    entries += _under("text", SIGNALS, compared=True)
    entries += _under("text neighbours", NEIGHBOURS, compared=True)
    categories = {f"item_{name}": item_column(name) for name in settings.affinity}
    categories |= {f"user_{name}": user_column(name) for name in settings.users}
    categories |= {name: context_column(name) for name in settings.context}
    return entries + _under("categories", categories, compared=False)


def column_names(entries: Iterable[Entry]) -> list[str]:
    """Name the columns that entries stand for."""
    return [column for entry in entries for column in entry.columns]


def to_html(settings: FeatureSettings, facts: Mapping[str, str], notes: Sequence[str] = ()) -> str:
    """Write the catalogue as one page that needs nothing else: no network, no script.

    Parameters
    ----------
    settings
        Whose features.
    facts
        What a reader should know of the table, as name and value: its clock, its rows.
    notes
        Sentences to read before it is used.
    """
    environment = Environment(
        loader=PackageLoader("recsys.features"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    entries = list_features(settings)
    return environment.get_template("catalogue.html.j2").render(
        families=[(family, list(those)) for family, those in groupby(entries, lambda entry: entry.family)],
        features=len(entries),
        columns=len(column_names(entries)),
        comparisons=COMPARISONS,
        facts=facts,
        notes=notes,
    )


def _under(family: str, columns: Mapping[str, Column], compared: bool) -> list[Entry]:
    return [Entry(family, name, column.per, column.told, compared) for name, column in columns.items()]
