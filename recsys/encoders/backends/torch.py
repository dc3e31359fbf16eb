"""The encoder as it is, in torch: in full precision, or in bfloat16."""

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from recsys.encoders.backends.tokenizer import distinct

if TYPE_CHECKING:
    from recsys.encoders.encoder import Encoder


class TorchBackend:
    """Runs batches of texts of similar length.

    An embedding changes with its batch by what rounding leaves: about 1e-6 in full precision, 1e-3 in bfloat16.

    Parameters
    ----------
    encoder
        Left as it is.
    max_tokens
        Most tokens per text.
    half
        Run a copy in bfloat16, which is twice as fast where the processor has instructions for it.
    """

    def __init__(self, encoder: "Encoder", max_tokens: int, half: bool) -> None:
        self._encoder = copy.deepcopy(encoder).to(torch.bfloat16) if half else encoder
        self._max_tokens = max_tokens

    @property
    def dimension(self) -> int:
        """d, the length of an embedding."""
        return self._encoder.dimension

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return unit embeddings [n, d] of n texts."""
        different, rows = distinct(texts)
        return self._encoder.embed(self._encoder.tokenize(different, self._max_tokens))[rows]
