"""What is learned on top of the pooled embedding: item heads and the user tower, in torch."""

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from recsys.text.user_tower import UserTower

_HIDDEN = 64


class ItemHeads(nn.Module):
    """From a unit embedding to the item as a candidate, the item as a past click, and its appeal.

    The mean embedding of the texts, which says what they have in common and drowns what sets them apart, is taken off
    first. Untrained, both vectors are then the centred embedding and appeal is 0: plain cosine similarity.

    Parameters
    ----------
    dimension
        d, the length of an embedding.
    generator
        Draws the first weights.

    Attributes
    ----------
    center
        [d]; the mean embedding, 0 until it is set.
    """

    def __init__(self, dimension: int, generator: torch.Generator) -> None:
        super().__init__()
        self.center: Tensor
        self.register_buffer("center", torch.zeros(dimension))
        self.candidate_map = nn.Linear(dimension, dimension, bias=False)
        self.history_map = nn.Linear(dimension, dimension, bias=False)
        self.appeal_hidden = nn.Linear(dimension, _HIDDEN)
        self.appeal_out = nn.Linear(_HIDDEN, 1)
        with torch.no_grad():
            self.candidate_map.weight.copy_(torch.eye(dimension))
            self.history_map.weight.copy_(torch.eye(dimension))
            self.appeal_hidden.weight.normal_(0, 1, generator=generator)
            for parameter in (self.appeal_hidden.bias, self.appeal_out.weight, self.appeal_out.bias):
                parameter.zero_()

    def candidate(self, embedding: Tensor) -> Tensor:
        """Return unit vectors [..., d] of embeddings [..., d]."""
        return normalize(self.candidate_map(embedding - self.center), dim=-1)

    def history(self, embedding: Tensor) -> Tensor:
        """Return unit vectors [..., d] of embeddings [..., d]."""
        return normalize(self.history_map(embedding - self.center), dim=-1)

    def appeal(self, embedding: Tensor) -> Tensor:
        """Return appeal [...] of embeddings [..., d]."""
        found: Tensor = self.appeal_out(torch.tanh(self.appeal_hidden(embedding - self.center))).squeeze(-1)
        return found


class InterestHead(nn.Module):
    """The learning half of `recsys.text.user_tower.UserTower`, where the formula is.

    Parameters
    ----------
    dimension
        d, the length of a vector; split into 4 parts, or fewer where 4 does not divide it.
    """

    def __init__(self, dimension: int) -> None:
        super().__init__()
        parts = math.gcd(dimension, 4)
        self.sharpness = nn.Parameter(torch.full((parts,), 8.0))
        self.forgetting = nn.Parameter(torch.full((parts,), 0.1))
        self.scale = nn.Parameter(torch.full((parts,), 4.0))

    @property
    def parts(self) -> int:
        """K, the number of parts that a vector is split into."""
        return len(self.scale)

    def similarity(self, candidate: Tensor, history: Tensor) -> Tensor:
        """Return dot products [B, K, H, C] of parts of candidates [B, C, d] and clicks [B, H, d]."""
        width = candidate.shape[-1] // self.parts
        clicks = history.reshape(*history.shape[:2], self.parts, width).permute(0, 2, 1, 3)
        shown = candidate.reshape(*candidate.shape[:2], self.parts, width).permute(0, 2, 3, 1)
        return clicks @ shown

    def forward(self, similarity: Tensor, ages: Tensor, known: Tensor) -> Tensor:
        """Return interest [B, C] of dot products [B, K, H, C], ages [B, H] in hours; 0 for users without a click."""
        forgotten = torch.log1p(ages.masked_fill(~known, 0) / 24)
        logits = self.sharpness[:, None, None] * similarity - (self.forgetting[:, None] * forgotten[:, None])[..., None]
        # A finite stand-in for minus infinity: users without a click must not turn into NaN.
        weights = torch.softmax(logits.masked_fill(~known[:, None, :, None], -1e9), dim=2)
        interest = ((weights * similarity).sum(dim=2) * self.scale[:, None]).sum(dim=1)
        return interest * known.any(dim=1, keepdim=True)

    def tower(self) -> UserTower:
        """Return the serving half."""
        return UserTower(*(_numbers(value) for value in (self.sharpness, self.forgetting, self.scale)))


def _numbers(parameter: nn.Parameter) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return parameter.detach().cpu().double().numpy()
