"""What is remembered of texts during training: their embeddings, and what the frozen layers make of them."""

import copy
import hashlib
import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recsys.encoders.lexicon import Lexicon
from recsys.encoders.settings import TextSettings
from recsys.encoders.tokens import TOKENS_PER_BATCH
from recsys.files import unfinished
from recsys.manifest import file_hash
from recsys.progress import progress
from recsys.vectors.coded_lists import CodedLists

if TYPE_CHECKING:
    from recsys.encoders.encoder import Encoder

logger = logging.getLogger(__name__)

_LARGEST = 2**34
"""Bytes of frozen layers' output that are kept; above, texts run through the whole network every time."""


class TextMemory:
    """Embeddings of the distinct texts of all items, each tokenized once.

    The layers below the trainable ones never change, and without dropout their output for a text is always the same:
    it is computed once and kept in a memory-mapped file, so that a pass costs the top layers alone. Where that would
    take more than 16 GiB, or the network is not built so that its top can run alone, the whole network runs instead,
    with the same result.

    Parameters
    ----------
    encoder
        Whose embeddings.
    texts
        One per item code.
    settings
        `max_tokens`, `trainable_layers` and `peft`.
    folder
        Where the frozen layers' output is kept, in a file named by the hash of layers and tokens and by its own.

    Attributes
    ----------
    text_of
        int64 [items]; the text of each item code.
    embeddings
        float32 [distinct texts, d + m]; the encoder's part as of the last `refresh`, 0 before, and the lexical part.
    encoded_tokens
        Tokens, without padding, that went through the network since this was last set to 0.
    empty
        int64; the text "", -1 where no item lacks a text.
    """

    def __init__(self, encoder: "Encoder", texts: Sequence[str], settings: TextSettings, folder: Path) -> None:
        number: dict[str, int] = {}
        self.text_of = np.array([number.setdefault(text, len(number)) for text in texts], np.int64)
        self.tokens = encoder.tokenize(list(number), settings.max_tokens)
        self._texts = list(number)
        self.empty = number.get("", -1)
        self.encoded_tokens = 0
        self.embeddings = torch.zeros(len(self.tokens), encoder.dimension)
        self._current = np.zeros(len(self.tokens), bool)
        self._encoder = encoder
        self._layers = 0 if settings.peft else settings.trainable_layers
        self._lower = self._open_lower(folder)
        logger.debug("%d distinct texts, %d tokens", len(self.tokens), len(self.tokens.ids))

    def add_lexicon(self, lexicon: Lexicon) -> None:
        """Append the lexical part to all embeddings."""
        lexical = torch.from_numpy(lexicon.embed(self._texts))
        self.embeddings = torch.cat([self.embeddings[:, : self._encoder.dimension], lexical], dim=1)

    def beside(self, encoder: "Encoder") -> "TextMemory":
        """Return a memory of the same texts for a copy of the encoder, which may then learn apart."""
        other = copy.copy(self)
        other._encoder = encoder
        other.embeddings = self.embeddings.clone()
        other._current = self._current.copy()
        return other

    def texts(self, rows: NDArray[np.int64]) -> list[str]:
        """Return some texts."""
        return [self._texts[row] for row in rows]

    def rows(self, lists: CodedLists) -> NDArray[np.int64]:
        """Return which texts occur in some lists, in order and each once."""
        used = lists.codes
        return np.unique(self.text_of[used[used >= 0]])

    def encode(self, rows: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
        """Yield some of `rows` and their embeddings [b, d], batch by batch, with a gradient where gradients are on."""
        for batch in self.tokens.batches(rows, TOKENS_PER_BATCH):
            self.encoded_tokens += int(self.tokens.lengths[rows[batch]].sum())
            yield rows[batch], self._encode_batch(rows[batch])

    def outdate(self) -> None:
        """Say that the encoder has changed."""
        self._current[:] = False

    @torch.no_grad()
    def refresh(self, rows: NDArray[np.int64]) -> None:
        """Embed some texts with the encoder as it is now, where that was not done since `outdate`."""
        rows = rows[~self._current[rows]]
        with self._encoder.at_work(len(rows)), progress(len(rows), "encode", "text") as advance:
            for batch, embeddings in self.encode(rows):
                self.embeddings[batch, : embeddings.shape[1]] = embeddings.float().cpu()
                self._current[batch] = True
                advance(len(batch))

    def _open_lower(self, folder: Path) -> np.memmap[tuple[int, int], np.dtype[np.float32]] | None:
        shape = (len(self.tokens.ids), self._encoder.dimension)
        if not self._layers or shape[0] * shape[1] * 4 > _LARGEST or not self._encoder.top_runs_alone(self._layers):
            return None
        folder.mkdir(parents=True, exist_ok=True)
        name = f"frozen-{self._lower_hash()}"
        path = self._find_lower(folder, name) or self._write_lower(folder, name, shape)
        found: np.memmap[tuple[int, int], np.dtype[np.float32]] = np.load(path, mmap_mode="r")
        return found

    def _lower_hash(self) -> str:
        """Return a hash of all that decides the output of the frozen layers."""
        seen = hashlib.sha256(repr((self._layers, self._encoder.network.config.to_dict())).encode())
        top = {id(parameter) for parameter in self._encoder.top_layers(self._layers).parameters()}
        for name, parameter in self._encoder.network.named_parameters():
            if id(parameter) not in top:
                seen.update(name.encode())
                seen.update(parameter.detach().cpu().numpy().tobytes())
        for part in (self.tokens.starts, self.tokens.ids):
            seen.update(part.tobytes())
        return seen.hexdigest()[:32]

    def _find_lower(self, folder: Path, name: str) -> Path | None:
        """Find what was kept before; its name ends with its own hash, so that a file that was damaged is noticed."""
        for path in folder.glob(f"{name}-*.npy"):
            if path.stem == f"{name}-{file_hash(path)}":
                return path
            logger.warning("%s was changed after it was written; it is made again", path)
            path.unlink()
        return None

    @torch.no_grad()
    def _write_lower(self, folder: Path, name: str, shape: tuple[int, int]) -> Path:
        with unfinished(folder, "frozen", Path.touch) as file:
            self._fill_lower(file, shape)
            return file.rename(folder / f"{name}-{file_hash(file)}.npy")

    def _fill_lower(self, file: Path, shape: tuple[int, int]) -> None:
        lower = np.lib.format.open_memmap(file, mode="w+", dtype=np.float32, shape=shape)
        with file.open("r+b") as opened:  # room is taken now: a full disk would later end the process without a word
            os.posix_fallocate(opened.fileno(), 0, file.stat().st_size)
        everything = np.arange(len(self.tokens))
        with self._encoder.at_work(len(everything)), progress(len(everything), "reading", "text") as advance:
            for rows in self.tokens.batches(everything, TOKENS_PER_BATCH):
                ids, real = self.tokens.batch(rows)
                device = self._encoder.device
                entering, _ = self._encoder.split(ids.to(device), real.to(device), self._layers)
                places, _ = self.tokens.places(rows)
                lower[places[real].numpy()] = entering.cpu()[real].numpy()
                self.encoded_tokens += int(self.tokens.lengths[rows].sum())
                advance(len(rows))
        lower.flush()

    def _encode_batch(self, rows: NDArray[np.int64]) -> Tensor:
        device = self._encoder.device
        if self._lower is None:
            ids, real = self.tokens.batch(rows)
            found: Tensor = self._encoder(ids.to(device), real.to(device))
            return found
        places, real = self.tokens.places(rows)
        entering = torch.from_numpy(self._lower[places.numpy()])
        return self._encoder.finish(entering.to(device), real.to(device), self._layers)
