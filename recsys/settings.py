"""One TOML file for a model: the settings of every stage, read and checked in one place."""

import tomllib
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, model_validator

from recsys.arranging.settings import RuleSettings
from recsys.data.clock import TimeSettings
from recsys.data.labels import LabelSettings
from recsys.data.windows import WindowSettings
from recsys.encoders.settings import TextSettings
from recsys.engines.settings import EngineSettings
from recsys.errors import SettingsError
from recsys.features.settings import FeatureSettings
from recsys.past.behaviour import Kept
from recsys.ranking.settings import RankerSettings
from recsys.sources.settings import CandidateSettings
from recsys.validation import read_toml, validate

_LARGEST, _DEEPEST = 2**31 - 1, 16


class ReportSettings(BaseModel):
    """What pages show.

    Attributes
    ----------
    histories
        Whether example lists show what their user had chosen before.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    histories: bool = False


class Settings(BaseModel):
    """Everything that decides a model, beside the data.

    Attributes
    ----------
    seed
        Starts every random draw; same data, settings and machine give the same model.
    time, windows, labels, text, features, candidates, ranker, rules, report
        The settings of the stages, each documented at its class.
    engine
        Where long work runs; not kept with a model, but for `growers` in its manifest, whose trees are others.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = Field(default=7, ge=0, lt=2**31)
    time: TimeSettings = Field(default_factory=TimeSettings)
    windows: WindowSettings = Field(default_factory=WindowSettings)
    labels: LabelSettings = Field(default_factory=LabelSettings)
    text: TextSettings = Field(default_factory=TextSettings)
    features: FeatureSettings = Field(default_factory=FeatureSettings)
    candidates: CandidateSettings = Field(default_factory=CandidateSettings)
    ranker: RankerSettings = Field(default_factory=RankerSettings)
    rules: RuleSettings = Field(default_factory=RuleSettings)
    report: ReportSettings = Field(default_factory=ReportSettings)
    engine: EngineSettings = Field(default_factory=EngineSettings, exclude=True)

    @model_validator(mode="after")
    def _check(self) -> "Settings":
        """Refuse what is read twice, and what nightly lists, which are made before anybody asks, cannot know."""
        clicks = ("click", *self.labels.clicks)
        for kind in (kind for kind in self.text.history if kind in clicks):
            raise ValueError(f"[text] history names {kind!r}, which is a click, and read as one already; leave it out")
        weight = [("[ranker] weight", self.ranker.weight)] if self.ranker.weight else []
        for setting, name in (*self.of_requests, *weight) if self.time.nightly else ():
            raise ValueError(
                f"{setting} names {name!r}, which only a request knows, and nightly lists are made before anybody "
                'asks; leave it out, or set [time] freshness to "live" or "1d"'
            )
        return self

    @property
    def kept(self) -> Kept:
        """The columns that features and rules read."""
        return replace(self.features.kept, rules=self.rules.attributes, user_rules=self.rules.user_attributes)

    @property
    def clock(self) -> TimeSettings:
        """When behaviour is known, labels in units of their own included."""
        return self.labels.clock(self.time)

    @property
    def of_requests(self) -> list[tuple[str, str]]:
        """Name the settings that read what only a request knows, each with the column."""
        context = [("[features] context", name) for name in self.features.context]
        scores = [("[features] scores", name) for name in self.features.scores]
        return [*context, *scores, *([("[text] query", self.text.query)] if self.text.query else [])]


def load_settings(path: str | Path | None, changes: Sequence[str] = ()) -> Settings:
    """Read a settings file and apply changes such as `time.freshness="1d"`.

    Parameters
    ----------
    path
        TOML file; None starts from the defaults.
    changes
        `section.key=value` with TOML values, later ones win; a bare word is a text where the setting takes a text or a
        duration. Setting `windows.cuts` clears `windows.fractions` and the other way round.

    Raises
    ------
    DataError
        When the file is missing.
    SettingsError
        When the file or a change cannot be read, a key is unknown or a value is out of range; names all of them.
    """
    place = str(path) if path is not None else "the settings"
    place += " with --set" if changes else ""
    content = read_toml(Path(path), "a TOML settings file") if path is not None else {}
    for change in changes:
        _apply(content, change)
    settings = validate(Settings, content, place)
    _refuse_large(content, place)
    return settings


def _refuse_large(content: dict[str, Any], place: str) -> None:
    """Refuse whole numbers that the libraries below cannot take, and tables inside tables without end."""
    waiting: list[tuple[tuple[str, ...], object]] = [((), content)]
    while waiting:
        path, value = waiting.pop()
        if len(path) > _DEEPEST:
            raise SettingsError(f"{place}: {'.'.join(path[:3])}... holds more than {_DEEPEST} tables inside each other")
        if isinstance(value, dict):
            waiting += [((*path, name), inner) for name, inner in value.items()]
        elif isinstance(value, list):
            waiting += [((*path, str(number)), inner) for number, inner in enumerate(value)]
        elif isinstance(value, int) and abs(value) > _LARGEST:
            raise SettingsError(
                f"{place}: {'.'.join(path)} = {value} does not fit: a whole number lies between {-_LARGEST} and "
                f"{_LARGEST}"
            )


def _apply(content: dict[str, Any], change: str) -> None:
    key, separator, value = change.partition("=")
    path = key.strip().split(".")
    if not separator or not all(path):
        raise SettingsError(f"--set {change!r} is not section.key=value; write for example --set time.freshness=1d")
    parsed = _parse(change, path, value.strip())
    section = content
    for part in path[:-1]:
        section = section.setdefault(part, {})
        if not isinstance(section, dict):
            raise SettingsError(f"--set {change!r}: {part} is a value, not a section; write section.key=value")
    section[path[-1]] = parsed
    if path in (["windows", "cuts"], ["windows", "fractions"]):
        section.pop("fractions" if path[-1] == "cuts" else "cuts", None)


def _parse(change: str, path: Sequence[str], value: str) -> object:
    """Read a TOML value, or a bare word where the setting takes a text."""
    try:
        if "\n" in value:
            raise ValueError("a value stands on one line")
        return tomllib.loads(f"value = {value}")["value"]
    except (ValueError, RecursionError) as error:
        if value and value.isprintable() and value[0] not in "\"'[{" and _takes_text(path):
            return value
        raise SettingsError(
            f"--set {change!r}: {value!r} is not a TOML value ({error}); write a number, true or false, a list such as "
            f"""{".".join(path)}='["a", "b"]', or, where a text is wanted, the word itself"""
        ) from error


def _takes_text(path: Sequence[str]) -> bool:
    """Tell whether a setting is a text, one of a few words or a duration; so is an unknown one, whose name is told."""
    kind: Any = Settings
    for name in path:
        if get_origin(kind) is dict:
            kind = get_args(kind)[1]
        elif name in getattr(kind, "__pydantic_fields__", {}):
            kind = kind.__pydantic_fields__[name].annotation
        else:
            return True
    return _is_text(kind)


def _is_text(kind: Any) -> bool:
    if get_origin(kind) is Annotated:
        return _is_text(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        return any(map(_is_text, get_args(kind)))
    return kind in (str, timedelta, Any) or get_origin(kind) is Literal
