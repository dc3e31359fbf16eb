"""What reads new item texts: a backend and the item tower, without torch unless the backend needs it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from recsys.encoders.backends.backend import Backend
from recsys.encoders.backends.choice import load_backend
from recsys.encoders.lexicon import Lexicon
from recsys.encoders.settings import TextSettings
from recsys.errors import ModelError, first_line
from recsys.files import read_json
from recsys.vectors.encoded import Encoded
from recsys.vectors.item_tower import ItemTower

HEADS = "heads.safetensors"
IDENTITY = "identity.json"
LEXICON = "lexicon.safetensors"
SETTINGS = "text.json"

_TEXTS_AT_ONCE = 32
"""Texts of items that are read before a request's own text has its turn."""


@dataclass(frozen=True, eq=False)
class TextReader:
    """Texts in, item vectors out.

    Attributes
    ----------
    backend
        Texts in, embeddings out.
    lexicon
        Texts in, the lexical part of embeddings out.
    tower
        Embeddings in, item vectors out.
    settings
        How items are read.
    identity
        Tells readers apart: a hash over everything that a vector depends on beside the text.
    """

    backend: Backend
    lexicon: Lexicon
    tower: ItemTower
    settings: TextSettings
    identity: str

    def encode(self, texts: Sequence[str]) -> Encoded:
        """Return the vectors of n texts; the backend encodes each distinct text once.

        Raises
        ------
        ModelError
            When the backend or the lexicon cannot read them, as where a tokenizer knows tokens that the weights do not.
        """
        try:
            embeddings = np.hstack([self.backend.embed(texts), self.lexicon.embed(texts)])
        except ModelError:
            raise
        except Exception as error:  # every runtime raises exception classes of its own
            raise ModelError(
                f"the encoder cannot read {len(texts)} texts ({type(error).__name__}: {first_line(error)}); copy the "
                "model folder again, or make room where memory is short"
            ) from error
        return self.from_embeddings(texts, embeddings)

    def from_embeddings(self, texts: Sequence[str], embeddings: NDArray[np.float32]) -> Encoded:
        """Return the vectors of n texts whose embeddings [n, d], the lexical part included, are at hand."""
        return self.tower.encode(embeddings, np.array([not text for text in texts], bool))

    def encode_query(self, text: str) -> NDArray[np.float32]:
        """Return the vector, float32 [p], of the text that a request asks with: that of a past click on this text."""
        vector: NDArray[np.float32] = self.encode([text]).history[0]
        return vector

    @classmethod
    def load(cls, folder: str | Path) -> "TextReader":
        """Read it from a model folder, without a network.

        Raises
        ------
        ModelError
            When a file is missing or damaged, or the backend's extra is not installed.
        """
        inside = Path(folder) / "encoder"
        settings = load_settings(inside)
        backend, lexicon = load_backend(inside, settings), Lexicon.load(inside / LEXICON)
        tower = ItemTower.load(inside / HEADS)
        given, wanted = backend.dimension + lexicon.dimension, len(tower.center)
        if given != wanted:
            raise ModelError(
                f"{inside} gives embeddings of length {given} where its heads read {wanted}; "
                "copy the model folder again"
            )
        return cls(backend, lexicon, tower, settings, read_identity(inside))


class LateReader:
    """A text reader that is loaded when the first text comes; threads may share it.

    Parameters
    ----------
    load
        Gives the reader, or raises a ModelError; called until it gives one.
    lexical
        Gives the lexicon and the item tower, or raises a ModelError.
    """

    def __init__(self, load: Callable[[], TextReader], lexical: Callable[[], tuple[Lexicon, ItemTower]]) -> None:
        self._load, self._lexical = cache(load), lexical
        self._lock = Lock()  # tokenizers change while they read, and an encoder is loaded once only

    def encode_query(self, text: str) -> NDArray[np.float32]:
        """Return the vector of the text that a request asks with, see `TextReader.encode_query`."""
        with self._lock:
            return self._load().encode_query(text)

    def encode(self, texts: Sequence[str]) -> Encoded:
        """Return the vectors of n texts, at least one; between parts of them a request's own text may be read.

        Raises
        ------
        ModelError
            When no reader can be loaded.
        """
        parts = []
        for first in range(0, len(texts), _TEXTS_AT_ONCE):
            with self._lock:
                parts.append(self._load().encode(texts[first : first + _TEXTS_AT_ONCE]))
        return Encoded(*(np.concatenate(each) for each in zip(*parts, strict=True)))

    def encode_lexically(self, texts: Sequence[str]) -> tuple[Encoded, NDArray[np.bool_]]:
        """Return what the lexical part alone says, the encoder's being that of a middling text.

        Returns
        -------
        Vectors of n texts, and of which texts, [n], the lexicon knows anything: the others' say nothing.

        Raises
        ------
        ModelError
            When the files are not there.
        """
        lexicon, tower = self._lexical()
        part = lexicon.embed(texts)
        middle = np.tile(tower.center[: len(tower.center) - lexicon.dimension].astype(np.float32), (len(texts), 1))
        known: NDArray[np.bool_] = (part != 0).any(axis=1)
        return tower.encode(np.hstack([middle, part]), np.zeros(len(texts), bool)), known


def load_settings(inside: Path) -> TextSettings:
    """Read the text settings in an encoder's folder.

    Raises
    ------
    ModelError
        When the folder or the file is missing or damaged.
    """
    if not inside.is_dir():
        raise ModelError(f"{inside} is missing; {inside.parent} is not a model folder, or was copied in part")
    settings = read_json(inside / SETTINGS, "copy the model folder again")
    try:
        return TextSettings.model_validate(settings)
    except ValueError as error:
        raise ModelError(
            f"{inside / SETTINGS} is damaged ({first_line(error)}); copy the model folder again"
        ) from error


def load_lexical(inside: Path) -> tuple[Lexicon, ItemTower]:
    """Read what is left of a text reader where its backend cannot be loaded.

    Raises
    ------
    ModelError
        When a file is missing or damaged.
    """
    return Lexicon.load(inside / LEXICON), ItemTower.load(inside / HEADS)


def read_identity(inside: Path) -> str:
    """Read the identity of the reader in an encoder's folder, in no time.

    Raises
    ------
    ModelError
        When the file is missing or damaged.
    """
    content = read_json(inside / IDENTITY, "copy the model folder again")
    try:
        return str(content["sha256"])
    except (TypeError, KeyError) as error:
        raise ModelError(f"{inside / IDENTITY} is damaged ({error!r}); copy the model folder again") from error
