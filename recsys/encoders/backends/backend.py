"""What a backend is, and what those that need no torch share."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from recsys.compiled import thread_count
from recsys.lazy import need
from recsys.progress import progress

if TYPE_CHECKING:
    from recsys.encoders.tokens import Tokens


@dataclass(frozen=True, eq=False)
class Backend:
    """Turns texts into embeddings.

    Attributes
    ----------
    dimension
        d, the length of an embedding.
    tokenize
        Turns n texts into tokens.
    embed_tokens
        Turns the tokens of n texts into unit embeddings, float32 [n, d].
    """

    dimension: int
    tokenize: "Callable[[Sequence[str]], Tokens]"
    embed_tokens: "Callable[[Tokens], NDArray[np.float32]]"

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return unit embeddings [n, d] of n texts, in their order; each distinct text is encoded once."""
        place = {text: number for number, text in enumerate(dict.fromkeys(texts))}
        embeddings = self.embed_tokens(self.tokenize(list(place)))
        return embeddings[np.array([place[text] for text in texts], np.int64)]


def need_backend(module: str, extra: str) -> Any:
    """Import a module of the extra of a backend, see `recsys.lazy.need`."""
    return need(module, extra, f"[text] backend = {extra!r}")


def one_by_one(
    dimension: int,
    tokenize: "Callable[[Sequence[str]], Tokens]",
    run: Callable[[NDArray[np.int64]], NDArray[np.float32]],
) -> Backend:
    """Return a backend that encodes each text by itself, several at a time.

    An embedding then does not depend, to the last bit, on what else is encoded, though 8-bit arithmetic scales its
    numbers by the largest that it meets; nothing is padded either.

    Parameters
    ----------
    dimension, tokenize
        See `Backend`.
    run
        Turns the tokens [1, T] of a text into its embedding [d]; called in several threads at once.
    """

    def embed(tokens: "Tokens") -> NDArray[np.float32]:
        found = np.empty((len(tokens), dimension), np.float32)
        texts = [tokens.ids[None, first:last] for first, last in pairwise(tokens.starts)]
        with ThreadPoolExecutor(thread_count()) as pool:
            embeddings = pool.map(run, texts)
            with progress(len(texts), "encode", "text") as advance:
                for row, embedding in enumerate(embeddings):
                    found[row] = embedding
                    advance(1)
        return found

    return Backend(dimension, tokenize, embed)
