"""The one file of a nightly job: where data comes from, how often a model is trained, what is made and kept."""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from recsys.data.clock import Duration
from recsys.data.importers.mapping import Mapping as Mapped
from recsys.engines.settings import EngineSettings
from recsys.errors import SettingsError
from recsys.evaluation.measures import parse_measure
from recsys.settings import Settings, load_settings
from recsys.validation import read_toml, validate

_Share = Annotated[float, Field(ge=0, le=1)]
_FROZEN = ConfigDict(frozen=True, extra="forbid")


class SourceSettings(BaseModel):
    """What each night imports.

    Attributes
    ----------
    kind
        A source of `recsys import`.
    folder
        Where its files lie; where a path does not begin with `/`, it starts from the folder of the configuration.
    mapping
        For the kind `tables`: a TOML file that maps columns, or what such a file holds.
    """

    model_config = _FROZEN

    kind: str = "tables"
    folder: str
    mapping: str | dict[str, Any] | None = None


class TrainingSettings(BaseModel):
    """How often a model is trained.

    Attributes
    ----------
    every
        A model is trained in the first night, and in each that begins so long after the last training began.
    warm
        Whether the encoder of each training goes on from that of the model before.
    """

    model_config = _FROZEN

    every: Duration = timedelta(days=7)
    warm: bool = False


class ListSettings(BaseModel):
    """Whose lists are made, of what.

    Attributes
    ----------
    candidates
        A Parquet file or folder of candidates, see `recsys score`; when left out, each user has one list, of what the
        sources of the model find, or, where it has none, of all items that are out.
    users
        A Parquet file of users to make lists for, with the context columns of the model; all that the tables hold when
        left out.
    context
        What requests without a file say in the context columns of the model, such as `device = "mobile"`; null where
        nothing is said.
    top
        How many places of each list are kept.
    """

    model_config = _FROZEN

    candidates: str | None = None
    users: str | None = None
    context: dict[str, str | int | bool] = Field(default_factory=dict)
    top: int = Field(default=20, ge=1, le=10_000)


class GateSettings(BaseModel):
    """What a new model, new data and new lists must not be.

    Attributes
    ----------
    measure
        By what a new model is held against the one before, on requests that neither has learnt from.
    margin
        A new model is refused unless the whole 95 % interval of the difference lies above minus this.
    shortfall
        A new model is refused when a group of items is shown by so large a share less than it is clicked, and chance
        does not explain it, see `recsys.evaluation.gains.Exposure`; not looked at when left out.
    volume
        Data is refused when a kind of rows has, in the last day, fewer than this share of what a usual day has.
    users
        Data is refused when fewer users did anything in the last day than this share of those of the least usual day.
    unknown
        Data is refused when the share of rows whose category was unknown to training grows by more than this.
    nulls
        Data is refused when the share of empty values of a column grows by more than this.
    psi
        Data is refused when the population stability index of a category is by more than this above that of any usual
        day.
    scores
        Lists are refused when the population stability index of the scores of one model, from night to night, is above
        this and twice as large as in the nights before; above 4 while there are too few. A shift by one standard
        deviation gives about 1.
    coverage
        Lists are refused when fewer than this share of the users who had lists the night before have one.
    cold
        Lists are refused when the share of places of items without a showing grows by more than this.
    """

    model_config = _FROZEN

    measure: str = "nDCG@10"
    margin: float = Field(default=0.02, ge=0)
    shortfall: _Share | None = None
    volume: _Share = 0.3
    users: _Share = 0.7
    unknown: _Share = 0.1
    nulls: _Share = 0.1
    psi: float = Field(default=0.25, gt=0)
    scores: float = Field(default=1.0, gt=0)
    coverage: _Share = 0.8
    cold: _Share = 0.2

    @field_validator("measure")
    @classmethod
    def _known(cls, measure: str) -> str:
        try:
            parse_measure(measure)
        except SettingsError as error:
            raise ValueError(str(error)) from error
        return measure


class AlertSettings(BaseModel):
    """Who is told when a night does not publish what it should have, or leaves something out.

    Attributes
    ----------
    file
        A file that holds the reasons while there are any, and is gone after the next good night.
    webhook
        A URL to which they are posted as JSON.
    prometheus
        A text file for Prometheus' collector, written every night.
    """

    model_config = _FROZEN

    file: str | None = None
    webhook: str | None = None
    prometheus: str | None = None


class SinkSettings(BaseModel):
    """A table that the lists go into, beside the files.

    Attributes
    ----------
    database
        `postgresql://user:${PASSWORD}@host/name`, or the path of a DuckDB file; `${NAME}` stands for an environment
        variable. It takes the extra `databases`. No table is written when left out.
    table
        Its name. Lists of the same requests are replaced in one transaction, others stay.
    """

    model_config = _FROZEN

    database: str | None = None
    table: str = Field(default="rankings", pattern=r"^[A-Za-z_]\w*$")


class KeepSettings(BaseModel):
    """How much is kept; what is live stays in any case.

    Attributes
    ----------
    nights
        Published nights.
    models
        Models that were trained last.
    """

    model_config = _FROZEN

    nights: int = Field(default=14, ge=1)
    models: int = Field(default=3, ge=1)


class NightlySettings(BaseModel):
    """All that decides a night.

    Attributes
    ----------
    home
        Folder of the job: what it works on, models, published lists.
    settings
        A TOML file of settings of the model, or what such a file holds.
    source, training, lists, gate, sink, alert, keep
        See their classes.
    engine
        Where the night is worked on; as the settings of the model say when left out.
    """

    model_config = _FROZEN

    home: str = "nights"
    settings: str | dict[str, Any] = Field(default_factory=dict)
    source: SourceSettings
    training: TrainingSettings = Field(default_factory=TrainingSettings)
    lists: ListSettings = Field(default_factory=ListSettings)
    gate: GateSettings = Field(default_factory=GateSettings)
    sink: SinkSettings = Field(default_factory=SinkSettings)
    alert: AlertSettings = Field(default_factory=AlertSettings)
    keep: KeepSettings = Field(default_factory=KeepSettings)
    engine: EngineSettings | None = None


class Configured(BaseModel):
    """A configuration that was read, with everything it names.

    Attributes
    ----------
    nightly
        What it says.
    root
        The folder that its paths start from.
    model
        Settings of the model.
    mapping
        How the source maps columns; None where it does not.
    """

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    nightly: NightlySettings
    root: Path
    model: Settings
    mapping: Mapped | None = None

    def path(self, said: str) -> Path:
        """Return a path of the configuration."""
        return self.root / said

    @property
    def engine(self) -> EngineSettings:
        """Where the night is worked on."""
        return self.model.engine if self.nightly.engine is None else self.nightly.engine

    @property
    def home(self) -> Path:
        """The folder of the job."""
        return self.path(self.nightly.home)


def read_nightly(path: Path) -> Configured:
    """Read the configuration of a nightly job and what it names.

    Raises
    ------
    DataError
        When a file is missing.
    SettingsError
        When one cannot be read, or holds a key or value that is not known.
    """
    nightly = validate(NightlySettings, read_toml(path, "a TOML file of a nightly job"), str(path))
    root, said, mapping = path.absolute().parent, nightly.settings, nightly.source.mapping
    model = load_settings(root / said) if isinstance(said, str) else validate(Settings, said, f"{path}: settings")
    read = None
    if isinstance(mapping, str):
        read = validate(Mapped, read_toml(root / mapping, "a TOML mapping file"), str(root / mapping))
    elif isinstance(mapping, Mapping):
        read = validate(Mapped, mapping, f"{path}: source.mapping")
    return Configured(nightly=nightly, root=root, model=model, mapping=read)
