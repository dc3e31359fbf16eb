"""The model folder: what `train` writes whole or not at all, and everything else reads and checks."""

import hashlib
import json
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import polars as pl

from recsys.data.clock import TimeSettings
from recsys.data.tables import Dataset
from recsys.data.windows import Windows
from recsys.encoders.text_reader import TextReader
from recsys.errors import DataError, ModelError
from recsys.features.builder import Reader
from recsys.past.behaviour import Behaviour
from recsys.past.log import Log
from recsys.ranking.calibration import Calibration
from recsys.ranking.contract import Contract
from recsys.ranking.trees import TreeRanker
from recsys.settings import Settings
from recsys.vectors.item_vectors import ItemVectors
from recsys.vectors.queries import QueryReader
from recsys.vectors.user_tower import UserTower

FORMAT = 2
"""Number of the folder's layout; a folder of another number is refused."""

_LIBRARIES = ("recsys", "torch", "transformers", "pytorch-lightning", "lightgbm", "polars", "numpy")


@dataclass(frozen=True)
class State:
    """What changes from day to day: behaviour and item vectors.

    Attributes
    ----------
    behaviour
        Tables that features are computed from.
    vectors
        Vectors of the items.
    """

    behaviour: Behaviour
    vectors: ItemVectors

    def save(self, folder: Path, model: Path) -> None:
        """Write into a folder that does not exist yet, with the hash of every file and the identity of its model."""
        folder.mkdir()
        self.behaviour.save(folder)
        self.vectors.save(folder / "item_vectors.parquet")
        write_manifest(folder, {"model": identity(model)})

    @classmethod
    def load(cls, folder: Path, model: Path) -> "State":
        """Read what `save` wrote for the model in the folder `model`.

        Raises
        ------
        ModelError
            When a file is missing or was changed, or the state was made with another model: its vectors mean nothing
            to this one.
        """
        manifest = read_manifest(folder, "written by `recsys train` or `recsys score`")
        if manifest.get("model") != identity(model):
            raise ModelError(f"{folder} was made with another model than {model}; score with this model once, or train")
        return cls(Behaviour.load(folder), ItemVectors.load(folder / "item_vectors.parquet"))


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
        Scores of `ranker` into click probabilities.
    tower
        Turns item vectors and past clicks into interest.
    """

    settings: Settings
    windows: Windows
    ranker: TreeRanker
    behaviour_ranker: TreeRanker
    calibration: Calibration
    tower: UserTower

    @cached_property
    def clock(self) -> TimeSettings:
        """When behaviour is known to this model."""
        return self.settings.labels.clock(self.settings.time)

    def log(self, behaviour: Behaviour) -> Log:
        """Encode behaviour under this model's clock."""
        return Log(behaviour, self.clock)

    def reader(self, log: Log, vectors: ItemVectors, folder: Path) -> Reader:
        """Join item vectors with this model's user tower.

        Parameters
        ----------
        log, vectors
            Today's.
        folder
            Where the encoder lies. It is loaded when the first request comes that has a text of its own, with the
            errors of `TextReader.load`, or a ModelError when it is no longer the encoder of the vectors.
        """
        text = self.settings.text

        @cache
        def load() -> TextReader:
            reader = TextReader.load(folder)
            vectors.check_encoder(reader.identity)
            return reader

        queries = QueryReader(text.query, lambda query: load().encode_query(query)) if text.query else None
        return Reader.of(log, vectors, self.tower, text.history_length, queries)

    def save(self, folder: Path) -> None:
        """Write everything but the manifest into an existing folder."""
        self.ranker.save(folder / "ranker.txt")
        self.behaviour_ranker.save(folder / "behaviour.txt")
        self.tower.save(folder / "user_tower.safetensors")
        write_json(folder / "calibration.json", self.calibration.to_json())
        contracts = {"both": self.ranker.contract, "behaviour": self.behaviour_ranker.contract}
        write_json(folder / "features.json", {name: contract.to_json() for name, contract in contracts.items()})

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
        try:
            settings = Settings.model_validate(manifest["settings"])
            windows = Windows.from_json(manifest["windows"])
            contracts = json.loads((folder / "features.json").read_text())
            calibration = Calibration.from_json(json.loads((folder / "calibration.json").read_text()))
            both, behaviour = (Contract.from_json(contracts[name]) for name in ("both", "behaviour"))
        except (KeyError, ValueError, TypeError) as error:
            raise ModelError(f"{folder} does not read as a model of this version ({error}); train again") from error
        return cls(
            settings=settings,
            windows=windows,
            ranker=TreeRanker.load(folder / "ranker.txt", both),
            behaviour_ranker=TreeRanker.load(folder / "behaviour.txt", behaviour),
            calibration=calibration,
            tower=UserTower.load(folder / "user_tower.safetensors"),
        )


def write_manifest(folder: Path, facts: dict[str, Any]) -> None:
    """Write `manifest.json`: format, library versions, `facts`, and size and sha256 of every other file.

    Nothing in it depends on the wall clock.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    manifest = {
        "format": FORMAT,
        "versions": {library: version(library) for library in _LIBRARIES},
        **facts,
        "files": {path.relative_to(folder).as_posix(): _sha256(path) for path in files},
    }
    write_json(folder / "manifest.json", {**manifest, "sha256": _digest(manifest)})


def identity(folder: Path) -> str:
    """Tell models apart: sha256 over the files that turn a state into scores."""
    parts = ("ranker.txt", "behaviour.txt", "features.json", "user_tower.safetensors")
    return hashlib.sha256("".join(_sha256(folder / part) for part in parts).encode()).hexdigest()


def read_manifest(folder: Path, origin: str) -> dict[str, Any]:
    """Read `manifest.json` and hold every file against its hash.

    Raises
    ------
    ModelError
        When the folder has no manifest of this format, or files are missing, extra or changed.
    """
    path = folder / "manifest.json"
    if not path.is_file():
        raise ModelError(f"{folder} holds no manifest.json; give a folder {origin}")
    try:
        manifest = json.loads(path.read_text())
        expected, number, digest = dict(manifest["files"]), manifest["format"], manifest.pop("sha256", None)
    except (ValueError, KeyError, TypeError, RecursionError, OSError) as error:
        raise ModelError(f"{path} is damaged ({type(error).__name__}); give a folder {origin}") from error
    if number != FORMAT:
        raise ModelError(f"{folder} has format {number}, this version reads {FORMAT}; train again with this version")
    if digest != _digest(manifest):
        raise ModelError(f"{path} was changed after it was written (its sha256 differs); copy the whole folder again")
    present = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()} - {"manifest.json"}
    for name in sorted(present ^ set(expected)):
        fault = "is missing from" if name in expected else "does not belong to"
        raise ModelError(f"{name} {fault} {folder}; copy the whole folder again")
    for name, digest in expected.items():
        if _sha256(folder / name) != digest:
            raise ModelError(f"{folder / name} was changed after it was written (its sha256 differs); copy it again")
    return dict(manifest)


def fingerprint(dataset: Dataset) -> dict[str, Any]:
    """Describe the data a model saw: rows and sha256 of the columns' names, types and row hashes of every table."""
    tables = {name: getattr(dataset, name) for name in ("items", "events", "requests", "users")}
    found = {}
    for name, table in tables.items():
        if table is not None:
            seen = hashlib.sha256(repr(table.schema).encode())
            seen.update(table.hash_rows(0).to_numpy().tobytes())
            found[name] = {"rows": len(table), "sha256": seen.hexdigest()}
    return found


def check_id_types(frame: pl.DataFrame, behaviour: Behaviour, called: str = "candidates") -> None:
    """Refuse rows whose ids are of another kind than those of the model's data.

    Raises
    ------
    DataError
        Naming the column and both types.
    """
    for column in ("user_id", "item_id"):
        known = behaviour.showings.schema[column]
        given = frame.schema[column]
        if known.is_integer() != given.is_integer() and given != pl.Null:
            raise DataError(
                f"{called} hold {column} as {given}, the model's data as {known}; cast the column to the same kind"
            )


def write_json(path: Path, content: object) -> None:
    """Write readable JSON, the same bytes for the same content."""
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def _digest(manifest: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
