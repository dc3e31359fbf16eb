"""What is remembered of texts during training: their embeddings, and what the frozen layers make of them."""

import logging
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from recsys.text.encoder import TOKENS_PER_BATCH, Encoder
from recsys.text.lists import Lists
from recsys.text.settings import TextSettings

logger = logging.getLogger(__name__)

_LARGEST = 2**31
"""Bytes of frozen layers' output that are kept; above, texts run through the whole network every time."""


class TextMemory:
    """Embeddings of the distinct texts that occur in lists.

    The layers below the trainable ones never change, and without dropout their output for a text is always the same:
    it is computed once and kept, so that a pass costs the top layers alone. Where it would not fit in 2 GiB, or the
    network is not built so that its top can run alone, the whole network runs instead, with the same result.

    Parameters
    ----------
    encoder
        Whose embeddings.
    texts
        One per item code.
    lists
        Which items occur.
    settings
        `max_tokens` and `trainable_layers`.

    Attributes
    ----------
    text_of
        int64 [items]; the text of each item code, -1 for items that do not occur.
    embeddings
        float32 [distinct texts, d]; as of the last `refresh`, or the last `remember`.
    """

    def __init__(self, encoder: Encoder, texts: Sequence[str], lists: Lists, settings: TextSettings) -> None:
        used = np.unique(np.concatenate([lists.items, lists.history.ravel()]))
        used = used[used >= 0]
        number: dict[str, int] = {}
        self.text_of = np.full(len(texts), -1, np.int64)
        self.text_of[used] = [number.setdefault(texts[item], len(number)) for item in used]
        self.tokens = encoder.tokenize(list(number), settings.max_tokens)
        self.encoded_tokens = 0
        self._encoder = encoder
        self._layers = settings.trainable_layers
        self._lower: Tensor | None = None
        self.embeddings = torch.empty(0)
        self.refresh()

    def encode(self, rows: NDArray[np.int64]) -> Tensor:
        """Return embeddings [len(rows), d] of some texts, with a gradient where gradients are on."""
        found = []
        batches = list(self.tokens.batches(rows, TOKENS_PER_BATCH))
        for batch in batches:
            self.encoded_tokens += int(self.tokens.lengths[rows[batch]].sum())
            found.append(self._encode_batch(rows[batch]))
        back = np.argsort(np.concatenate(batches))
        return torch.cat(found)[torch.from_numpy(back).to(found[0].device)]

    def remember(self, rows: NDArray[np.int64], embeddings: Tensor) -> None:
        """Keep newer embeddings [len(rows), d] of some texts."""
        self.embeddings[torch.from_numpy(rows)] = embeddings.detach().float().to(self.embeddings.device)

    @torch.no_grad()
    def refresh(self) -> None:
        """Embed every text with the encoder as it is now."""
        first = len(self.embeddings) == 0
        embeddings = torch.empty(len(self.tokens), self._encoder.dimension)
        if first:
            self._make_room()
        everything = np.arange(len(self.tokens))
        with tqdm(total=len(everything), desc="encode", unit="text", disable=None, leave=False) as progress:
            for rows in self.tokens.batches(everything, TOKENS_PER_BATCH):
                found = self._first_look(rows) if first and self._lower is not None else self._encode_batch(rows)
                embeddings[rows] = found.float().cpu()
                progress.update(len(rows))
        self.embeddings = embeddings

    def _make_room(self) -> None:
        size = len(self.tokens.ids) * self._encoder.dimension * 4
        if self._layers and size <= _LARGEST and self._encoder.top_runs_alone(self._layers):
            self._lower = torch.empty(len(self.tokens.ids), self._encoder.dimension)
        logger.info("%d distinct texts, %d tokens", len(self.tokens), len(self.tokens.ids))

    def _first_look(self, rows: NDArray[np.int64]) -> Tensor:
        assert self._lower is not None
        ids, real = self.tokens.batch(rows)
        places, _ = self.tokens.places(rows)
        entering, embeddings = self._encoder.split(ids, real, self._layers)
        self._lower[places[real]] = entering[real]
        return embeddings

    def _encode_batch(self, rows: NDArray[np.int64]) -> Tensor:
        device = self._encoder.device
        if self._lower is None:
            ids, real = self.tokens.batch(rows)
            found: Tensor = self._encoder(ids.to(device), real.to(device))
            return found
        places, real = self.tokens.places(rows)
        return self._encoder.finish(self._lower[places].to(device), real.to(device), self._layers)
