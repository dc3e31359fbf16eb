"""The text model: an encoder with its heads and user tower, saved and loaded as plain files."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from recsys.errors import ModelError
from recsys.text.encoder import Encoder
from recsys.text.fields import item_texts, text_hashes
from recsys.text.heads import ItemHeads
from recsys.text.settings import TextSettings
from recsys.text.sources import first_line
from recsys.text.user_tower import UserTower
from recsys.text.vectors import ItemVectors, round_to_grid


@dataclass(frozen=True, eq=False)
class TextModel:
    """What the text stage learned.

    Attributes
    ----------
    encoder, heads
        Texts in, item vectors out.
    tower
        Item vectors and past clicks in, interest out; needs neither torch nor the encoder.
    settings
        How items are read.
    """

    encoder: Encoder
    heads: ItemHeads
    tower: UserTower
    settings: TextSettings

    def encode_items(self, items: pl.DataFrame, texts: Sequence[str]) -> ItemVectors:
        """Encode every item; each distinct text once.

        Parameters
        ----------
        items
            n rows with `item_id`.
        texts
            Their n texts, see `recsys.text.fields.item_texts`. Items without text share the vector of the empty text.
        """
        hashes = text_hashes(texts)
        distinct = dict(zip(hashes, texts, strict=True))
        number = {key: place for place, key in enumerate(distinct)}
        rows = np.array([number[key] for key in hashes], np.int64)
        candidate, history, appeal = (part[rows] for part in self._encode(list(distinct.values())))
        return ItemVectors(items["item_id"], pl.Series("text_hash", hashes, pl.String), candidate, history, appeal)

    def update(self, vectors: ItemVectors, items: pl.DataFrame) -> ItemVectors:
        """Return the vectors of `items`, in their order, encoding only texts that are new or have changed.

        Parameters
        ----------
        vectors
            Made by this model.
        items
            The catalogue as it is now; items that left it are left out.
        """
        texts = item_texts(items, self.settings.fields)
        hashes = text_hashes(texts)
        rows = vectors.rows(items["item_id"], hashes)
        new = np.flatnonzero(rows < 0)
        fresh = self.encode_items(items[new], [texts[place] for place in new])
        rows[new] = len(vectors) + np.arange(len(new))
        return ItemVectors(
            items["item_id"],
            pl.Series("text_hash", hashes, pl.String),
            np.concatenate([vectors.candidate, fresh.candidate])[rows],
            np.concatenate([vectors.history, fresh.history])[rows],
            np.concatenate([vectors.appeal, fresh.appeal])[rows],
        )

    def save(self, folder: Path) -> None:
        """Write `encoder/` (weights, tokenizer, heads, settings) and `user_tower.safetensors` into a folder."""
        inside = folder / "encoder"
        self.encoder.save(inside)
        save_file(self.heads.state_dict(), inside / "heads.safetensors")
        (inside / "text.json").write_text(json.dumps(self.settings.model_dump(), indent=2, ensure_ascii=False) + "\n")
        self.tower.save(folder / "user_tower.safetensors")

    @classmethod
    def load(cls, folder: str | Path) -> "TextModel":
        """Read what `save` wrote, without a network.

        Raises
        ------
        ModelError
            When a file is missing or damaged.
        """
        inside = Path(folder) / "encoder"
        if not inside.is_dir():
            raise ModelError(f"{inside} is missing; {folder} is not a model folder, or was copied in part")
        encoder = Encoder.load(inside)
        heads = ItemHeads(encoder.dimension, torch.Generator())
        try:
            settings = TextSettings.model_validate_json((inside / "text.json").read_text())
            heads.load_state_dict(load_file(inside / "heads.safetensors"))
        except Exception as error:  # safetensors raises an exception class of its own
            raise ModelError(f"{inside} is damaged ({first_line(error)}); copy the model folder again") from error
        return cls(encoder, heads, UserTower.load(Path(folder) / "user_tower.safetensors"), settings)

    @torch.no_grad()
    def _encode(self, texts: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        embedding = torch.from_numpy(self.encoder.embed(self.encoder.tokenize(texts, self.settings.max_tokens)))
        return (
            round_to_grid(self.heads.candidate(embedding).numpy()),
            round_to_grid(self.heads.history(embedding).numpy()),
            self.heads.appeal(embedding).numpy(),
        )
