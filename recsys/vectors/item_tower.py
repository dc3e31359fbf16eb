"""The serving half of the item heads: embeddings into item vectors, in numpy alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from recsys.errors import ModelError, first_line
from recsys.vectors.encoded import Encoded, round_to_grid

_FINE = 2.0**-22
"""Weights and centred embeddings are rounded to multiples of this, so that their dot products are exact.

A product is then a multiple of 2**-44. An embedding is at most sqrt(2) long and so is the mean embedding, so that the
sum of any subset of the products with a row of weights of length w is at most 3 w, and float64 holds every multiple of
2**-44 below 2**9 exactly: no addition rounds as long as rows of weights are at most 128 long, and an item's vectors do
not depend, to the last bit, on which items are encoded with it. Rounding moves a component by less than 1e-5.
"""

_LONGEST_ROW = 128.0

_LARGEST = 1e6
"""Bound of every number, so that appeal stays finite in float32."""


@dataclass(frozen=True, eq=False)
class ItemTower:
    """What `recsys.learning.heads.ItemHead` learned; the same numbers within 1e-5, without torch.

    Attributes
    ----------
    center
        float64 [d]; the mean embedding.
    empty
        float64 [d]; stands for the embedding of an item without text.
    candidate_map, history_map
        float64 [p, d]; to the item as a candidate and as a past click.
    appeal_map, appeal_bias
        float64 [1, d] and [1]; to appeal.
    """

    center: NDArray[np.float64]
    empty: NDArray[np.float64]
    candidate_map: NDArray[np.float64]
    history_map: NDArray[np.float64]
    appeal_map: NDArray[np.float64]
    appeal_bias: NDArray[np.float64]

    @classmethod
    def of(cls, state: Mapping[str, NDArray[np.float32]]) -> "ItemTower":
        """Take the numbers of a state dict of `ItemHead`.

        Raises
        ------
        KeyError, ValueError
            When one is missing, not finite, or of another shape than the others ask for.
        """
        found = {name: np.asarray(value, np.float64) for name, value in state.items()}
        dimension = len(found["center"])
        length = len(found["candidate_map.weight"])
        shapes = {
            "center": (dimension,),
            "empty": (dimension,),
            "candidate_map.weight": (length, dimension),
            "history_map.weight": (length, dimension),
            "appeal_map.weight": (1, dimension),
            "appeal_map.bias": (1,),
        }
        for name, shape in shapes.items():
            if found[name].shape != shape or not (np.abs(found[name]) <= _LARGEST).all():
                raise ValueError(
                    f"{name} holds the shape {found[name].shape}, not {shape} finite numbers of at most {_LARGEST:g}"
                )
        for name in ("candidate_map.weight", "history_map.weight", "appeal_map.weight"):
            found[name] = _fine(found[name])
            if np.linalg.norm(found[name], axis=1).max() > _LONGEST_ROW:
                raise ValueError(f"{name} has a row longer than {_LONGEST_ROW:g}")
        return cls(*(found[name] for name in shapes))

    @property
    def length(self) -> int:
        """p, the length of an item vector."""
        return len(self.candidate_map)

    @classmethod
    def load(cls, path: Path) -> "ItemTower":
        """Read the safetensors file of a state dict.

        Raises
        ------
        ModelError
            When the file is missing or holds something else.
        """
        try:
            return cls.of(load_file(path))
        except Exception as error:  # safetensors raises an exception class of its own
            raise ModelError(f"{path} is damaged ({first_line(error)}); copy the model folder again") from error

    def encode(self, embeddings: NDArray[np.float32], empty: NDArray[np.bool_]) -> Encoded:
        """Return what n items are as candidates and as past clicks, and their appeal.

        Parameters
        ----------
        embeddings
            [n, d]; of length 1, or sqrt(2) with a lexical part.
        empty
            [n]; which items have no text.

        Raises
        ------
        ModelError
            When an embedding is not a number.
        """
        broken = int((~np.isfinite(embeddings).all(axis=1)).sum())
        if broken:
            raise ModelError(
                f"{broken} of {len(embeddings)} embeddings are not numbers: the encoder has come apart while learning; "
                "lower [text] learning_rate and train again"
            )
        centred = _fine(np.where(empty[:, None], self.empty, embeddings) - self.center)
        return Encoded(
            round_to_grid(_unit(centred @ self.candidate_map.T)),
            round_to_grid(_unit(centred @ self.history_map.T)),
            (centred @ self.appeal_map[0] + self.appeal_bias).astype(np.float32),
        )


def _fine(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    rounded: NDArray[np.float64] = np.round(numbers / _FINE) * _FINE
    return rounded


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    lengths = np.sqrt(
        (vectors * vectors).sum(axis=1, keepdims=True)
    )  # adds along a row, in the same order in any block
    unit: NDArray[np.float64] = vectors / np.maximum(lengths, 1e-12)
    return unit
