"""The text model: an encoder with its heads and user tower, saved and loaded as plain files."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from recsys.encoders.backends.choice import make_backend
from recsys.encoders.encoder import Encoder
from recsys.encoders.lexicon import Lexicon
from recsys.encoders.settings import TextSettings
from recsys.encoders.text_reader import HEADS, IDENTITY, LEXICON, SETTINGS, TextReader, load_settings
from recsys.errors import ModelError, first_line
from recsys.learning.heads import ItemHead
from recsys.vectors.item_vectors import ItemVectors
from recsys.vectors.user_tower import UserTower


@dataclass(eq=False)
class TextModel:
    """What the text stage learned; `TextReader` is its half that reads new texts.

    Attributes
    ----------
    encoder, heads
        Texts in, embeddings out; embeddings in, item vectors out.
    tower
        Item vectors and past clicks in, interest out; needs neither torch nor the encoder.
    settings
        How items are read.
    lexicon
        Texts in, the lexical part of embeddings out; none when left out.
    """

    encoder: Encoder
    heads: ItemHead
    tower: UserTower
    settings: TextSettings
    lexicon: Lexicon = field(default_factory=lambda: Lexicon.fit([], 0, 0))

    def __post_init__(self) -> None:
        self._made: tuple[TextReader, dict[str, bytes]] | None = None

    def vectors(
        self, items: pl.DataFrame, texts: Sequence[str], embeddings: NDArray[np.float32] | None = None
    ) -> ItemVectors:
        """Encode every item with the backend of the settings, each distinct text once.

        The backend is made by the first call, which fits a static one to its texts, and kept: what learns on after
        that needs a new `TextModel`.

        Parameters
        ----------
        items
            [n]; `item_id` and perhaps `known_at`, see `recsys.data.texts.own_texts`.
        texts
            Their n texts. Items without text share one learned vector.
        embeddings
            [n, d]; what encoder and lexicon make of the texts now, where it is at hand. The torch backend would give
            the same; any other gives something else, so it reads the texts: rankers shall learn from what serving will
            see.

        Raises
        ------
        ModelError
            When the backend cannot be made.
        """
        reader, _ = self._make(texts)
        nothing = ItemVectors.of_nothing(reader.identity, len(reader.tower.candidate_map))
        if embeddings is None or self.settings.backend != "torch":
            return nothing.update(items, texts, reader.encode)
        place = {text: row for row, text in enumerate(texts)}
        return nothing.update(
            items, texts, lambda new: reader.from_embeddings(new, embeddings[[place[text] for text in new]])
        )

    def encode_query(self, text: str) -> NDArray[np.float32]:
        """Return what `TextReader.encode_query` returns; a static backend needs `vectors` before.

        Raises
        ------
        ModelError
            When the backend cannot be made.
        """
        reader, _ = self._make(())
        return reader.encode_query(text)

    def save(self, folder: Path) -> None:
        """Write `encoder/` (weights, tokenizer, lexicon, heads, settings, backend) and `user_tower.safetensors`.

        Raises
        ------
        ModelError
            When the backend cannot be made; a static one needs `vectors` before.
        """
        inside = folder / "encoder"
        reader, files = self._make(())
        self.encoder.save(inside)
        self.lexicon.save(inside / LEXICON)
        save_file(self.heads.state_dict(), inside / HEADS)
        (inside / SETTINGS).write_text(self.settings.model_dump_json(indent=2) + "\n")
        (inside / IDENTITY).write_text(json.dumps({"sha256": reader.identity}) + "\n")
        for name, content in files.items():
            (inside / name).parent.mkdir(exist_ok=True)
            (inside / name).write_bytes(content)
        self.tower.save(folder / "user_tower.safetensors")

    @classmethod
    def load(cls, folder: str | Path) -> "TextModel":
        """Read what `save` wrote, without a network, to go on learning; `TextReader.load` is for reading.

        Raises
        ------
        ModelError
            When a file is missing or damaged.
        """
        inside = Path(folder) / "encoder"
        settings = load_settings(inside)
        encoder = Encoder.load(inside)
        try:
            state = load_file(inside / HEADS)
            length, dimension = state["candidate_map.weight"].shape
            heads = ItemHead(dimension, length)
            heads.load_state_dict(state)
        except Exception as error:  # safetensors raises an exception class of its own
            raise ModelError(
                f"{inside / HEADS} is damaged ({first_line(error)}); copy the model folder again"
            ) from error
        tower = UserTower.load(Path(folder) / "user_tower.safetensors")
        return cls(encoder, heads, tower, settings, Lexicon.load(inside / LEXICON))

    def _make(self, texts: Sequence[str]) -> tuple[TextReader, dict[str, bytes]]:
        if self._made is None:
            backend, files = make_backend(self.encoder, self.settings, texts)
            try:
                tower = self.heads.tower()
            except ValueError as error:
                raise ModelError(
                    f"the heads have come apart while learning ({error}); lower [text] head_learning_rate and train "
                    "again"
                ) from error
            self._made = TextReader(backend, self.lexicon, tower, self.settings, self._identity(files)), files
        return self._made

    def _identity(self, files: dict[str, bytes]) -> str:
        """Return a hash over settings, weights and the backend's files."""
        reading = f"{self.settings.backend} {self.settings.max_tokens} {self.encoder.pooling}"
        found = hashlib.sha256(reading.encode())
        for part in (self.encoder, self.heads):
            for name, value in part.state_dict().items():
                found.update(name.encode())
                found.update(value.cpu().contiguous().numpy().tobytes())
        for values in asdict(self.lexicon).values():
            found.update(values.tobytes())
        for name, content in files.items():
            found.update(name.encode())
            found.update(content)
        return found.hexdigest()
