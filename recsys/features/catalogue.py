"""The catalogue: every column of the feature table with its meaning, formula, keys and rule for missing values."""

from collections.abc import Mapping, Sequence
from itertools import groupby

from jinja2 import Environment, PackageLoader, StrictUndefined

from recsys.features.columns import BESIDE_FIELD, COMPARISONS, DEVIATION, DEVIATION_BESIDE_FIELD
from recsys.features.plan import feature_names, plan
from recsys.features.settings import FeatureSettings
from recsys.shown import finish


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
        finalize=finish,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    columns = plan(settings)
    in_field = settings.compared == "field"
    comparisons, deviation = (BESIDE_FIELD, DEVIATION_BESIDE_FIELD) if in_field else (COMPARISONS, DEVIATION)
    return environment.get_template("catalogue.html.j2").render(
        families=[(family, list(those)) for family, those in groupby(columns, lambda column: column.family)],
        features=len(columns),
        columns=len(feature_names(settings)),
        comparisons=comparisons | (deviation if settings.deviations else {}),
        facts=facts,
        notes=notes,
    )
