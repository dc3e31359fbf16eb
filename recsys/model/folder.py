"""The model folder: what `train` writes whole or not at all, and everything else reads and checks."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from recsys.arranging.settings import RuleSettings
from recsys.data.clock import TimeSettings, utc
from recsys.data.windows import Windows
from recsys.encoders.lexicon import Lexicon
from recsys.encoders.text_reader import LateReader, TextReader, load_lexical
from recsys.errors import ModelError
from recsys.evaluation.evaluation import AGELESS, PRODUCT
from recsys.features.field import half_lives
from recsys.features.plan import counted_keys
from recsys.files import read_json, write_json
from recsys.manifest import check_files, file_hash, read_manifest, write_manifest
from recsys.model.tables import read_behaviour, refuse_mixed_ids
from recsys.past.behaviour import Behaviour
from recsys.past.clicks import READ
from recsys.past.log import Log
from recsys.past.stored import read_log, write_log
from recsys.past.totals import Keeping
from recsys.ranking.calibration import Calibration
from recsys.ranking.contract import Contract
from recsys.ranking.experience import Experience
from recsys.ranking.trees import TreeRanker
from recsys.settings import Settings
from recsys.sources.merging import EVEN, Merging
from recsys.vectors.item_tower import ItemTower
from recsys.vectors.item_vectors import ItemVectors
from recsys.vectors.neighbours import Neighbours
from recsys.vectors.queries import QueryReader
from recsys.vectors.reader import Reader
from recsys.vectors.user_tower import UserTower

_TREES = {PRODUCT: "ranker.txt", "behaviour": "behaviour.txt", AGELESS: "ageless.txt"}
"""The file of each ranker."""
_FIELD_REACH = 23
"""After so many half-lives a click counts nothing in the field, whenever that was counted last."""

_SOURCES, _EXPERIENCE = "sources.json", "experience.json"


@dataclass(frozen=True)
class State:
    """What changes from day to day: behaviour and item vectors.

    Attributes
    ----------
    behaviour
        Tables that features are computed from.
    vectors
        Vectors of the items.
    log
        The behaviour in codes, where it is counted already.
    known_until
        The latest moment (UTC) of a showing or of an event becoming known; None where nothing is.
    neighbours
        Of the items, where they were looked for already.
    rules
        Of ranked lists; None where they are those of the model.
    """

    behaviour: Behaviour
    vectors: ItemVectors
    log: Log | None = None
    known_until: datetime | None = None
    neighbours: Neighbours | None = None
    rules: RuleSettings | None = None

    @classmethod
    def of(cls, log: Log, reader: Reader) -> "State":
        """Take what is known, and counted."""
        return cls(log.behaviour, reader.vectors, log, until(log.behaviour), reader.neighbours)

    def save(self, folder: Path, model: Path, settings: Settings, earliest: int | None = None) -> None:
        """Write into a folder that does not exist yet, with the hash of every file and the identity of its model.

        Parameters
        ----------
        folder
            Where to.
        model
            The folder of the model.
        settings
            Its settings.
        earliest
            The first `as_of`, microseconds, that may still be asked of it: older rows become totals. All may when left
            out.
        """
        log = _log(self.behaviour, settings) if self.log is None else self.log
        keys, known = counted_keys(settings.features, settings.rules.asks), until(log.behaviour)
        folder.mkdir()
        kept = log if earliest is None else log.compacted(earliest, keeping(settings), keys)
        for layer in log.rows_known:
            layer.forget()
        write_log(folder, kept, keys)
        self.vectors.save(folder)
        (Neighbours.of(log, self.vectors) if self.neighbours is None else self.neighbours).save(folder)
        said = None if known is None else known.isoformat()
        rules = settings.rules.model_dump(mode="json")
        write_manifest(folder, {"model": identity(model), "known_until": said, "rules": rules})

    @classmethod
    def load(cls, folder: Path, model: Path, verify_all: bool = False, part: int | None = None) -> "State":
        """Read what `save` wrote for the model in the folder `model`.

        Parameters
        ----------
        folder, model
            Where they lie.
        verify_all
            Whether all counters are held against their hashes at once, and not each block when it is first read.
        part
            Of users, the one that will be asked, see `recsys.past.parts`; all when left out.

        Raises
        ------
        ModelError
            When a file is missing or was changed, the state was made with another model, whose vectors mean nothing
            to this one, or its tables are not what this model reads.
        """
        manifest = read_manifest(folder, "written by `recsys train` or `recsys score`")
        if manifest.get("model") != identity(model):
            raise ModelError(f"{folder} was made with another model than {model}; score with this model once, or train")
        settings = _settings(model, read_json(model / "manifest.json", "copy the whole folder again"))
        settings = settings.model_copy(update={"rules": _rules(folder, manifest)})
        behaviour = read_behaviour(folder, settings.kept)
        vectors = ItemVectors.load(folder, verify_all)
        refuse_mixed_ids(folder, behaviour, vectors.item_ids)
        log = _log(behaviour, settings)
        mapped = read_log(folder, behaviour, log.time, log.history, verify_all, part)
        log.register, log.layers, log.earliest = mapped
        neighbours = Neighbours.load(folder, log, vectors)
        return cls(behaviour, vectors, log, _known_until(folder, manifest), neighbours, settings.rules)


def state_until(folder: Path) -> datetime | None:
    """Give what a state in a folder says of `State.known_until`.

    Raises
    ------
    ModelError
        When it is no state.
    """
    return _known_until(folder, read_manifest(folder, "written by `recsys train` or `recsys score`"))


def _known_until(folder: Path, manifest: Mapping[str, Any]) -> datetime | None:
    try:
        return None if (said := manifest.get("known_until")) is None else utc(said)
    except (ValueError, TypeError, AttributeError) as error:
        raise ModelError(f"{folder} says that it is known until {said!r}; copy the whole folder again") from error


def until(behaviour: Behaviour) -> datetime | None:
    """Give the latest moment (UTC) of a showing or of an event becoming known; None where there is none."""
    moments = (behaviour.showings["timestamp"], behaviour.events["known_at"])
    found: datetime | None = pl.select(pl.max_horizontal(*(pl.lit(each).max() for each in moments))).item()
    return found


def keeping(settings: Settings) -> Keeping:
    """Say how much of the past a state keeps as rows for a model of these settings."""
    features, time = settings.features, settings.clock
    families = {"field", "factors"} & {*features.families}
    in_field = families or features.compared == "field" or settings.candidates.sources
    return Keeping(
        rows_for=max(features.longest, settings.rules.longest) + time.feedback_delay + time.lateness,
        read=max(READ, settings.text.history_length),
        clicks_for=_FIELD_REACH * half_lives(features)[-1] if in_field else timedelta(0),
        kinds=settings.candidates.once if settings.candidates.sources else (),
    )


def _log(behaviour: Behaviour, settings: Settings) -> Log:
    return Log(behaviour, settings.clock, settings.text.history, settings.features.horizon)


@dataclass(frozen=True)
class Model:
    """A trained model, without its state and without its encoder.

    Attributes
    ----------
    settings
        What it was trained with.
    windows
        The times between its windows.
    ranker
        Orders candidates by text and behaviour.
    behaviour_ranker
        The same without text.
    calibration
        Scores of `ranker`, list by list, into click probabilities.
    tower
        Turns item vectors and past clicks into interest.
    ageless_ranker
        `ranker` without ages of items, to be judged beside it; None where ages say nothing that was not known.
    merging
        How often what each source of candidates found was chosen.
    experience
        Lists that `ranker` has learnt from; None where nothing is known of them.
    files
        sha256 of the files it was read from; none where it was just trained.
    """

    settings: Settings
    windows: Windows
    ranker: TreeRanker
    behaviour_ranker: TreeRanker
    calibration: Calibration
    tower: UserTower
    ageless_ranker: TreeRanker | None = None
    merging: Merging = EVEN
    experience: Experience | None = None
    files: Mapping[str, str] = field(default_factory=dict, repr=False)

    @cached_property
    def clock(self) -> TimeSettings:
        """When behaviour is known to this model."""
        return self.settings.clock

    def ruled(self, rules: RuleSettings) -> "Model":
        """Let other rules count for ranked lists."""
        return replace(self, settings=self.settings.model_copy(update={"rules": rules}))

    @property
    def rankers(self) -> dict[str, TreeRanker]:
        """All of them, by the names under which they are judged."""
        found = {"behaviour": self.behaviour_ranker, PRODUCT: self.ranker}
        return found if self.ageless_ranker is None else {**found, AGELESS: self.ageless_ranker}

    def log(self, behaviour: Behaviour) -> Log:
        """Encode behaviour as this model reads it."""
        return _log(behaviour, self.settings)

    def reader(self, log: Log, vectors: ItemVectors, folder: Path, neighbours: Neighbours | None = None) -> Reader:
        """Join item vectors with this model's user tower.

        Parameters
        ----------
        log, vectors
            Today's.
        folder
            Where the encoder lies. It is loaded when the first text comes, of a request or of a new item, with the
            errors of `text_reader`, or a ModelError when it is no longer the encoder of the vectors.
        neighbours
            Of these items, where they were looked for; all are found then.

        Raises
        ------
        ModelError
            When the vectors are of another length than the user tower reads.
        """
        text, length = self.settings.text, vectors.history.shape[1]
        if length != self.tower.length:
            raise ModelError(
                f"the state holds item vectors of {length} numbers, user_tower.safetensors of {folder} reads "
                f"{self.tower.length}; copy the model and its state again"
            )
        made = ItemVectors.of_nothing(vectors.encoder, 0)  # to keep of the vectors no more than what made them

        def load() -> TextReader:
            reader = self.text_reader(folder)
            made.check_encoder(reader.identity)
            return reader

        def lexical() -> tuple[Lexicon, ItemTower]:
            self.check_encoder(folder)
            return load_lexical(folder / "encoder")

        texts = LateReader(load, lexical)
        queries = QueryReader(text.query, texts.encode_query) if text.query else None
        reader = Reader.of(log, vectors, self.tower, text.history_length, queries, texts, neighbours)
        reader.neighbours.find()  # so that no list waits for it, and threads only read
        return reader

    def check_encoder(self, folder: Path) -> None:
        """Hold the encoder in `folder` against the hashes that its files had when this model was read from there.

        Raises
        ------
        ModelError
            When a file is missing, extra or was changed since.
        """
        if self.files:
            check_files(folder, self.files, "encoder/")

    def text_reader(self, folder: Path) -> TextReader:
        """Load what reads new texts, which may be long after this model was read.

        Raises
        ------
        ModelError
            When a file of the encoder was changed since, it makes vectors of another length than the user tower reads,
            or with those of `TextReader.load`.
        """
        self.check_encoder(folder)
        reader = TextReader.load(folder)
        if reader.tower.length != self.tower.length:
            raise ModelError(
                f"{folder} has an encoder that makes vectors of {reader.tower.length} numbers and a user tower that "
                f"reads {self.tower.length}; copy the whole folder again"
            )
        return reader

    def save(self, folder: Path) -> None:
        """Write everything but the manifest into an existing folder."""
        rankers = {name: self.rankers[name] for name in _TREES if name in self.rankers}
        for name, ranker in rankers.items():
            ranker.save(folder / _TREES[name])
        self.tower.save(folder / "user_tower.safetensors")
        write_json(folder / "calibration.json", self.calibration.to_json())
        write_json(folder / _EXPERIENCE, None if self.experience is None else self.experience.to_json())
        if self.settings.candidates.sources:
            write_json(folder / _SOURCES, self.merging.to_json())
        write_json(folder / "features.json", {name: each.contract.to_json() for name, each in rankers.items()})

    @classmethod
    def load(cls, folder: str | Path) -> "Model":
        """Read a model folder without torch.

        Raises
        ------
        ModelError
            When the folder is no model, is of another format, or a file is missing, extra or was changed.
        """
        folder = Path(folder)
        manifest = read_manifest(folder, "written by `recsys train`")
        mend = "copy the whole folder again"
        contracts, knots = (read_json(folder / name, mend) for name in ("features.json", "calibration.json"))
        settings = _settings(folder, manifest)
        try:
            windows = Windows.from_json(manifest["windows"])
            calibration = Calibration.from_json(knots)
            read = {name: Contract.from_json(contracts[name]) for name in _TREES if name in contracts}
            both, behaviour = read[PRODUCT], read["behaviour"]
            merging = _merging(read_json(folder / _SOURCES, mend), settings) if settings.candidates.sources else EVEN
            experience = Experience.from_json(read_json(folder / _EXPERIENCE, mend))
        except (KeyError, ValueError, TypeError) as error:
            raise _unread(folder, error) from error
        return cls(
            settings=settings,
            windows=windows,
            ranker=TreeRanker.load(folder / _TREES[PRODUCT], both),
            behaviour_ranker=TreeRanker.load(folder / _TREES["behaviour"], behaviour),
            calibration=calibration,
            tower=UserTower.load(folder / "user_tower.safetensors"),
            ageless_ranker=TreeRanker.load(folder / _TREES[AGELESS], read[AGELESS]) if AGELESS in read else None,
            merging=merging,
            experience=experience,
            files=manifest["files"],
        )


def identity(folder: Path) -> str:
    """Tell models apart: sha256 over the files that turn a state into scores."""
    parts = ("ranker.txt", "behaviour.txt", "features.json", "user_tower.safetensors")
    return hashlib.sha256("".join(file_hash(folder / part) for part in parts).encode()).hexdigest()


def _settings(folder: Path, manifest: dict[str, Any]) -> Settings:
    try:
        return Settings.model_validate(manifest["settings"])
    except (KeyError, ValueError, TypeError) as error:
        raise _unread(folder, error) from error


def _rules(folder: Path, manifest: dict[str, Any]) -> RuleSettings:
    try:
        return RuleSettings.model_validate(manifest["rules"])
    except (KeyError, ValueError, TypeError) as error:
        raise _unread(folder, error) from error


def _merging(content: dict[str, Any], settings: Settings) -> Merging:
    return Merging.from_json(content, settings.candidates.sources, half_lives(settings.features))


def _unread(folder: Path, error: Exception) -> ModelError:
    return ModelError(f"{folder} does not read as a model of this version ({error}); train again")
