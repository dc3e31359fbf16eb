"""The serving half of the user tower: interest from dot products, in numpy alone."""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from recsys.errors import ModelError


@dataclass(frozen=True, eq=False)
class UserTower:
    """Candidate-aware attention over a user's clicks, in dot products only.

    Vectors are split into K equal parts. With `s[k, j]` the dot product of part k of the candidate's vector and of
    the j-th click's vector, and `a[j]` the click's age in hours,

        w[k, j]  = softmax over j of (sharpness[k] * s[k, j] - forgetting[k] * log(1 + a[j] / 24))
        interest = sum over k of scale[k] * sum over j of w[k, j] * s[k, j]

    With sharpness and forgetting 0 and equal scales this is the mean cosine similarity to the clicks.

    Attributes
    ----------
    sharpness, forgetting, scale
        float64 [K]; learned in training.
    """

    sharpness: NDArray[np.float64]
    forgetting: NDArray[np.float64]
    scale: NDArray[np.float64]

    @property
    def parts(self) -> int:
        """K, the number of parts that a vector is split into."""
        return len(self.scale)

    def interest(
        self, similarity: NDArray[np.float32], ages: NDArray[np.float32], known: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        """Return how well each candidate matches the clicks.

        Every candidate's answer is computed by itself, adding over the clicks in their order, so it does not depend,
        to the last bit, on what else is in the block. B requests, K parts, H clicks, C candidates.

        Parameters
        ----------
        similarity
            [B, K, H, C]; dot products `s`, finite also where the click is not known.
        ages
            [B, H]; hours, at least 0.
        known
            [B, H]; where there is a click.

        Returns
        -------
            [B, C]; NaN where the user has no known click.
        """
        forgotten = np.log1p(np.where(known, ages, 0).astype(np.float64) / 24)
        penalty = self.forgetting[:, None] * forgotten[:, None, :]
        logits = similarity * self.sharpness[:, None, None]
        logits -= penalty[..., None]
        np.copyto(logits, -np.inf, where=~known[:, None, :, None])
        largest = logits.max(axis=2, initial=-np.inf)
        largest[np.isneginf(largest)] = 0
        logits -= largest[:, :, None]
        weights = np.exp(logits, out=logits)
        total = np.zeros(largest.shape)
        weighted = np.zeros(largest.shape)
        for click in range(similarity.shape[2]):
            total += weights[:, :, click]
            weighted += weights[:, :, click] * similarity[:, :, click]
        mean = np.divide(weighted, total, out=np.full(total.shape, np.nan), where=total > 0)
        interest = np.zeros((mean.shape[0], mean.shape[2]))
        for part in range(self.parts):
            interest += self.scale[part] * mean[:, part]
        return interest

    def save(self, path: str | Path) -> None:
        """Write a safetensors file."""
        save_file(asdict(self), path)

    @classmethod
    def load(cls, path: str | Path) -> "UserTower":
        """Read what `save` wrote.

        Raises
        ------
        ModelError
            When the file is missing or holds something else.
        """
        try:
            return cls(**load_file(path))
        except Exception as error:  # safetensors raises an exception class of its own
            raise ModelError(f"{path} is not a user tower ({error}); train again") from error
