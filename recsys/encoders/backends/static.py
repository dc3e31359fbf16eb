"""A table of token vectors whose mean stands in for the encoder: numpy alone, for tiny machines."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load, save
from scipy.sparse import csr_array

from recsys.encoders.backends.backend import Backend
from recsys.encoders.backends.tokenizer import TextTokenizer
from recsys.encoders.tokens import Tokens
from recsys.errors import ModelError

if TYPE_CHECKING:
    from recsys.encoders.encoder import Encoder

TABLE = "static/table.safetensors"

_TEXTS_PER_BLOCK = 256

_MOST_TEXTS = 8_000
"""Bounds the memory and time of the fit, which grow with the square and the cube of it."""

_RIDGE = 0.1


def open_static(content: bytes, tokenizer: TextTokenizer) -> Backend:
    """Embed a text as the mean of its tokens' vectors, scaled to length 1.

    Parameters
    ----------
    content
        What `distil` wrote.
    tokenizer
        The encoder's.
    """
    table = load(content)["table"].astype(np.float32)

    def embed(tokens: Tokens) -> NDArray[np.float32]:
        sums = np.empty((len(tokens), table.shape[1]), np.float32)
        for first in range(0, len(tokens), _TEXTS_PER_BLOCK):
            starts = tokens.starts[first : first + _TEXTS_PER_BLOCK + 1]
            vectors = table[tokens.ids[starts[0] : starts[-1]]]
            # Adds up the tokens of each text in their order, whatever the other texts.
            np.add.reduceat(vectors, starts[:-1] - starts[0], axis=0, out=sums[first : first + len(starts) - 1])
        unit: NDArray[np.float32] = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)
        return unit

    return Backend(table.shape[1], tokenizer, embed)


def distil(encoder: "Encoder", texts: Sequence[str], tokenizer: TextTokenizer) -> dict[str, bytes]:
    """Fit the table that `open_static` reads to an encoder's embeddings of texts.

    A ridge regression of the centred embeddings Y [n, d] on two descriptions of a text: the shares X [n, tokens] of
    its tokens, and the mean X E [n, e] of the encoder's own token vectors E, through which tokens that occur in no
    text get a vector as well. With both descriptions scaled alike, solved in the dual:

        K = X X' + X E E' X',    A = (K + 0.1 I)^-1 Y,    table = mean(Y) + (X' + E E' X') A

    Parameters
    ----------
    encoder
        What to imitate.
    texts
        The catalogue's; of more than 8,000, so many at even steps are read.
    tokenizer
        The encoder's.

    Raises
    ------
    ModelError
        When there is no text.
    """
    different = list(dict.fromkeys(text for text in texts if text))
    if not different:
        raise ModelError("[text] backend = 'static' is fitted to the catalogue; encode items with texts before saving")
    chosen = np.unique(np.linspace(0, len(different) - 1, min(len(different), _MOST_TEXTS)).round().astype(np.int64))
    tokens = tokenizer([different[place] for place in chosen])
    target = encoder.embed(tokens).astype(np.float64)
    own = encoder.network.get_input_embeddings().weight.detach().cpu().double().numpy()
    own -= own.mean(axis=0)
    shares = csr_array(
        (np.repeat(1 / tokens.lengths, tokens.lengths), tokens.ids, tokens.starts), shape=(len(tokens), len(own))
    )
    means = shares @ own
    kernels = [(shares @ shares.T).toarray(), means @ means.T]
    scales = [len(tokens) / np.trace(kernel) for kernel in kernels]
    kernel = sum(scale * each for scale, each in zip(scales, kernels, strict=True)) + _RIDGE * np.eye(len(tokens))
    center = target.mean(axis=0)
    dual = np.linalg.solve(kernel, target - center)
    table = center + scales[0] * (shares.T @ dual) + scales[1] * own @ (means.T @ dual)
    return {TABLE: save({"table": table.astype(np.float16)})}
