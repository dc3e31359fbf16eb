"""Texts as token numbers: tokenized once, cut into batches of similar length."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from recsys.vectors.padding import pad, similar_blocks

if TYPE_CHECKING:
    from torch import Tensor

_TEXTS_PER_CALL = 10_000

TOKENS_PER_BATCH = 8_192
"""Padded tokens that are encoded together; bounds the memory of a batch."""


@dataclass(frozen=True, eq=False)
class Tokens:
    """The tokens of n texts, one after the other.

    Attributes
    ----------
    starts
        int64 [n + 1]; text i holds the tokens `starts[i]` up to, not including, `starts[i + 1]`, at least one.
    ids
        int64 [all tokens].
    padding
        Token number that fills the end of shorter texts in a batch.
    """

    starts: NDArray[np.int64]
    ids: NDArray[np.int64]
    padding: int

    def __len__(self) -> int:
        """Return the number of texts."""
        return len(self.starts) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """int64 [n]; tokens per text."""
        return np.diff(self.starts)

    def places(self, rows: NDArray[np.int64]) -> "tuple[Tensor, Tensor]":
        """Return where the tokens of some texts stand, int64 [B, longest], and which are real, bool [B, longest]."""
        from torch import from_numpy  # here, so that tokens can be made where there is no torch

        places, real = pad(self.starts, rows)
        return from_numpy(places), from_numpy(real)

    def batch(self, rows: NDArray[np.int64]) -> "tuple[Tensor, Tensor]":
        """Return the padded tokens of some texts, int64 [B, longest], and which are real, bool [B, longest]."""
        import torch

        places, real = self.places(rows)
        return torch.from_numpy(self.ids)[places].masked_fill(~real, self.padding), real

    def batches(self, rows: NDArray[np.int64], tokens_per_batch: int) -> Iterator[NDArray[np.int64]]:
        """Give places in `rows` in batches of similar length, each of at most `tokens_per_batch` padded tokens.

        A batch holds at least one text.
        """
        return similar_blocks(self.lengths[rows], tokens_per_batch)


def tokenize(tokenizer: Any, texts: Sequence[str], max_tokens: int) -> Tokens:
    """Turn texts into tokens, special tokens included, each cut to `max_tokens`.

    An empty text keeps the special tokens alone; with a tokenizer that has none it becomes one padding token, so that
    every text has a vector.

    Parameters
    ----------
    tokenizer
        A tokenizer of transformers that has a padding token.
    texts
        Any strings; half a surrogate pair counts as a question mark.
    max_tokens
        Most tokens per text.
    """
    found: list[list[int]] = []
    for first in range(0, len(texts), _TEXTS_PER_CALL):
        part = plain(texts[first : first + _TEXTS_PER_CALL])
        found += tokenizer(part, truncation=True, max_length=max_tokens, return_attention_mask=False)["input_ids"]
    return pack(found, int(tokenizer.pad_token_id))


def plain(texts: Sequence[str]) -> list[str]:
    """Return texts with a question mark for half a surrogate pair, which is no character: tokenizers refuse it."""
    return [text.encode("utf-8", "replace").decode() for text in texts]


def pack(found: Sequence[Sequence[int]], padding: int) -> Tokens:
    """Put the token numbers of n texts one after the other; a text without any becomes one padding token."""
    rows = [row or [padding] for row in found]
    starts = np.cumsum([0, *(len(row) for row in rows)], dtype=np.int64)
    ids = np.fromiter((number for row in rows for number in row), np.int64, count=int(starts[-1]))
    return Tokens(starts, ids, padding)
