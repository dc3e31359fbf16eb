"""The serving half of the user tower: interest from dot products, in numpy alone."""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from recsys.compiled import compiled
from recsys.errors import ModelError


@compiled
def _weigh(
    similarity: NDArray[np.float32],
    bias: NDArray[np.float64],
    known: NDArray[np.bool_],
    sharpness: NDArray[np.float64],
    logits: NDArray[np.float64],
) -> None:
    """Fill in the logarithm of what each click weighs beside the heaviest; `bias` [B, K, H] is alike for candidates."""
    blocks, parts, clicks, candidates = similarity.shape
    largest = np.empty(candidates)
    for block in range(blocks):
        for part in range(parts):
            largest[:] = -np.inf
            for click in range(clicks):
                if not known[block, click]:
                    continue
                for candidate in range(candidates):
                    match = np.float64(similarity[block, part, click, candidate])
                    logit = match * sharpness[part] + bias[block, part, click]
                    logits[block, part, click, candidate] = logit
                    largest[candidate] = max(largest[candidate], logit)
            for click in range(clicks):
                for candidate in range(candidates):
                    logit = logits[block, part, click, candidate] - largest[candidate]
                    logits[block, part, click, candidate] = logit if known[block, click] else -np.inf


@compiled
def _attend(
    similarity: NDArray[np.float32],
    weights: NDArray[np.float64],
    scale: NDArray[np.float64],
    found: NDArray[np.float64],
) -> None:
    """Fill in interest, see `UserTower`; clicks are added in their order."""
    blocks, parts, clicks, candidates = similarity.shape
    total, weighted = np.empty(candidates), np.empty(candidates)
    for block in range(blocks):
        found[block] = 0.0
        for part in range(parts):
            total[:] = 0.0
            weighted[:] = 0.0
            for click in range(clicks):
                for candidate in range(candidates):
                    weight = weights[block, part, click, candidate]
                    total[candidate] += weight
                    weighted[candidate] += weight * np.float64(similarity[block, part, click, candidate])
            for candidate in range(candidates):
                mean = weighted[candidate] / total[candidate] if total[candidate] > 0 else np.nan
                found[block, candidate] += scale[part] * mean


CODE_GRID = 2.0**-24
"""Codes are multiples of this; their products with vectors on their own grid of 2**-11 need 35 bits after the point."""

LARGEST_CODE = 2.0**16
"""Bound of a code's length, so that its products with vectors of length 1 are summed exactly in float64."""

LARGEST = 1e9
"""Bound of every other number, so that interest stays finite in float32."""


@dataclass(frozen=True, eq=False)
class UserTower:
    """K interests of a user: candidate-aware poly-attention over the clicks, in dot products only.

    Vectors are split into K equal parts, one for each interest. With `s[k, j]` the dot product of part k of the
    candidate's vector and of the j-th click's vector, `c[k, j]` how much interest k attends to that click whatever the
    candidate (Humeau et al. 2020, "Poly-encoders"; Li et al. 2022, "MINER"), and `a[j]` the click's age in hours,

        w[k, j]  = softmax over j of (sharpness[k] * s[k, j] + c[k, j] - forgetting[k] * log(1 + a[j] / 24))
        interest = sum over k of scale[k] * sum over j of w[k, j] * s[k, j]

    With sharpness, attention and forgetting 0 and equal scales this is the mean cosine similarity to the clicks.

    Attributes
    ----------
    codes
        float64 [K, p]; learned in training, multiples of `CODE_GRID`.
    sharpness, forgetting, scale
        float64 [K]; learned in training.
    query_scale
        float64 [1]; what the match of a candidate with the request's own text counts.
    """

    codes: NDArray[np.float64]
    sharpness: NDArray[np.float64]
    forgetting: NDArray[np.float64]
    scale: NDArray[np.float64]
    query_scale: NDArray[np.float64]

    @property
    def parts(self) -> int:
        """K, the number of parts that a vector is split into."""
        return len(self.scale)

    @property
    def length(self) -> int:
        """p, the length of a vector."""
        return int(self.codes.shape[1])

    def attention(self, history: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return how much each interest attends to past clicks, [..., K], of their vectors [..., p].

        Vectors and codes lie on grids, so that float64 holds every sum exactly: no batching changes it.
        """
        found: NDArray[np.float64] = history.astype(np.float64) @ self.codes.T
        return found

    def interest(
        self,
        similarity: NDArray[np.float32],
        attention: NDArray[np.float64],
        ages: NDArray[np.float32],
        known: NDArray[np.bool_],
    ) -> NDArray[np.float64]:
        """Return how well each candidate matches the clicks.

        Every candidate's answer is computed by itself, adding over the clicks in their order, so it does not depend,
        to the last bit, on what else is in the block. B requests, K parts, H clicks, C candidates.

        Parameters
        ----------
        similarity
            [B, K, H, C]; dot products `s`, finite also where the click is not known.
        attention
            [B, H, K]; `c`, finite also where the click is not known.
        ages
            [B, H]; hours, at least 0.
        known
            [B, H]; where there is a click.

        Returns
        -------
            [B, C]; NaN where the user has no known click.
        """
        found = np.empty((similarity.shape[0], similarity.shape[3]))
        _attend(similarity, self._weights(similarity, attention, ages, known), self.scale, found)
        return found

    def interest_by_click(
        self,
        similarity: NDArray[np.float32],
        attention: NDArray[np.float64],
        ages: NDArray[np.float32],
        known: NDArray[np.bool_],
    ) -> NDArray[np.float64]:
        """Return what each click adds to the interest, [B, H, C], of the same; 0 where there is none."""
        weights = self._weights(similarity, attention, ages, known)
        total = weights.sum(axis=2, keepdims=True)
        shares = np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)
        found: NDArray[np.float64] = (self.scale[:, None, None] * shares * similarity).sum(axis=1)
        return found

    def _weights(
        self,
        similarity: NDArray[np.float32],
        attention: NDArray[np.float64],
        ages: NDArray[np.float32],
        known: NDArray[np.bool_],
    ) -> NDArray[np.float64]:
        """Return `w` but for a factor, [B, K, H, C], the largest of a part 1."""
        forgotten = np.log1p(np.where(known, ages, 0).astype(np.float64) / 24)
        bias = attention.transpose(0, 2, 1) - self.forgetting[:, None] * forgotten[:, None, :]
        weights = np.empty(similarity.shape)
        _weigh(similarity, np.ascontiguousarray(bias), known, self.sharpness, weights)
        np.exp(weights, out=weights)
        return weights

    def save(self, path: str | Path) -> None:
        """Write a safetensors file."""
        save_file(asdict(self), path)

    @classmethod
    def load(cls, path: str | Path) -> "UserTower":
        """Read what `save` wrote.

        Raises
        ------
        ModelError
            When the file is missing or holds something else: other names, shapes or kinds, numbers that are not finite
            or too large, codes off the grid.
        """
        try:
            tower = cls(**load_file(path))
            tower._check()
        except Exception as error:  # safetensors raises an exception class of its own
            raise ModelError(f"{path} is not a user tower ({error}); train again") from error
        return tower

    def _check(self) -> None:
        shapes = {name: values.shape for name, values in vars(self).items()}
        parts, length = (*self.codes.shape, 0, 0)[:2]
        wanted = {"codes": (parts, length), "query_scale": (1,)}
        wanted |= dict.fromkeys(("sharpness", "forgetting", "scale"), (parts,))
        if shapes != wanted or not parts or not length or length % parts:
            raise ValueError(f"shapes {shapes} are not those of parts of a vector")
        for name, values in vars(self).items():
            if values.dtype != np.float64 or not (np.abs(values) <= LARGEST).all():
                raise ValueError(f"{name} holds {values.dtype} values, not float64 of at most {LARGEST:g}")
        if (np.linalg.norm(self.codes, axis=1) > LARGEST_CODE).any() or (self.codes % CODE_GRID).any():
            raise ValueError(f"codes are longer than {LARGEST_CODE:g} or no multiples of 2**-24")
