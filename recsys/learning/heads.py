"""The learning halves, in torch, of `ItemTower` and `UserTower`: what is learned on top of the pooled embedding."""

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from recsys.vectors.item_tower import ItemTower
from recsys.vectors.user_tower import CODE_GRID, UserTower

_QUERY_SPEED = 30.0
"""How much faster the weight of the request's own text learns than the rest."""


class ItemHead(nn.Module):
    """From a unit embedding to the item as a candidate, the item as a past click, and its appeal.

    The mean embedding of the texts, which says what they have in common and drowns what sets them apart, is taken off
    first. Untrained, both vectors are then the centred embedding (its first principal directions, where vectors are
    shorter) and appeal is 0: plain cosine similarity.

    Parameters
    ----------
    dimension
        d, the length of an embedding.
    projection
        p, the length of the vectors; 0 keeps d.

    Attributes
    ----------
    center
        [d]; the mean embedding, 0 until `settle`.
    empty
        [d]; stands for the embedding of an item without text.
    """

    def __init__(self, dimension: int, projection: int = 0) -> None:
        super().__init__()
        length = projection or dimension
        self.center: Tensor
        self.register_buffer("center", torch.zeros(dimension))
        self.empty = nn.Parameter(torch.zeros(dimension))
        self.candidate_map = nn.Linear(dimension, length, bias=False)
        self.history_map = nn.Linear(dimension, length, bias=False)
        self.appeal_map = nn.Linear(dimension, 1)
        with torch.no_grad():
            self.candidate_map.weight.copy_(torch.eye(length, dimension))
            self.history_map.weight.copy_(torch.eye(length, dimension))
            self.appeal_map.weight.zero_()
            self.appeal_map.bias.zero_()

    @torch.no_grad()
    def settle(self, embeddings: Tensor, empty: Tensor) -> None:
        """Start from the embeddings [n, d] of the texts and that of an empty text, [d]."""
        self.center.copy_(embeddings.mean(dim=0))
        self.empty.copy_(empty)
        length, dimension = self.candidate_map.weight.shape
        if length < dimension:
            _, directions = torch.linalg.eigh((embeddings - self.center).double().T.cov())
            first = directions.flip(dims=[1])[:, :length].T.float()
            self.candidate_map.weight.copy_(first)
            self.history_map.weight.copy_(first)

    def fill(self, embeddings: Tensor, empty: Tensor) -> Tensor:
        """Return embeddings [..., d] with the learned one where `empty`, bool [...], says that there is no text."""
        return torch.where(empty.unsqueeze(-1), self.empty, embeddings)

    def candidate(self, embedding: Tensor) -> Tensor:
        """Return unit vectors [..., p] of embeddings [..., d]."""
        return normalize(self.candidate_map(embedding - self.center), dim=-1)

    def history(self, embedding: Tensor) -> Tensor:
        """Return unit vectors [..., p] of embeddings [..., d]."""
        return normalize(self.history_map(embedding - self.center), dim=-1)

    def appeal(self, embedding: Tensor) -> Tensor:
        """Return appeal [...] of embeddings [..., d]."""
        found: Tensor = self.appeal_map(embedding - self.center).squeeze(-1)
        return found

    def tower(self) -> ItemTower:
        """Return the serving half.

        Raises
        ------
        ValueError
            When a weight is not finite.
        """
        return ItemTower.of({name: value.cpu().numpy() for name, value in self.state_dict().items()})


class UserHead(nn.Module):
    """The learning half of `recsys.vectors.user_tower.UserTower`, where the formula is.

    Parameters
    ----------
    length
        p, the length of a vector; split into K = 4 parts, or fewer where 4 does not divide it.
    """

    def __init__(self, length: int) -> None:
        super().__init__()
        parts = math.gcd(length, 4)
        self.codes = nn.Parameter(torch.zeros(parts, length))
        self.sharpness = nn.Parameter(torch.full((parts,), 8.0))
        self.forgetting = nn.Parameter(torch.full((parts,), 0.1))
        self.scale = nn.Parameter(torch.full((parts,), 4.0))
        self.query_share = nn.Parameter(torch.zeros(1))

    @classmethod
    def of(cls, tower: UserTower) -> "UserHead":
        """Go on learning from a serving half."""
        head = cls(tower.codes.shape[1])
        with torch.no_grad():
            for name in ("codes", "sharpness", "forgetting", "scale"):
                getattr(head, name).copy_(torch.from_numpy(getattr(tower, name)))
            head.query_share.copy_(torch.from_numpy(tower.query_scale / _QUERY_SPEED))
        return head

    @property
    def parts(self) -> int:
        """K, the number of interests, each with a part of every vector."""
        return len(self.scale)

    @property
    def query_scale(self) -> Tensor:
        """[1]; what the match with the request's own text counts: of either sign, so it starts at 0 and moves fast."""
        return _QUERY_SPEED * self.query_share

    def similarity(self, candidate: Tensor, history: Tensor) -> Tensor:
        """Return dot products [B, K, H, C] of parts of candidates [B, C, p] and clicks [B, H, p]."""
        width = candidate.shape[-1] // self.parts
        clicks = history.reshape(*history.shape[:2], self.parts, width).permute(0, 2, 1, 3)
        shown = candidate.reshape(*candidate.shape[:2], self.parts, width).permute(0, 2, 3, 1)
        return clicks @ shown

    def attention(self, history: Tensor) -> Tensor:
        """Return how much each interest attends to past clicks, [..., K], of their vectors [..., p]."""
        return history @ self.codes.T

    def forward(self, similarity: Tensor, attention: Tensor, ages: Tensor, known: Tensor) -> Tensor:
        """Return interest [B, C]; 0 for users without a click.

        Parameters
        ----------
        similarity
            [B, K, H, C]; dot products.
        attention
            [B, H, K]; see `attention`.
        ages, known
            [B, H]; hours, and where there is a click.
        """
        forgotten = torch.log1p(ages.masked_fill(~known, 0) / 24)
        bias = attention.transpose(1, 2) - self.forgetting[:, None] * forgotten[:, None]
        logits = self.sharpness[:, None, None] * similarity + bias[..., None]
        # A finite stand-in for minus infinity: users without a click must not turn into NaN.
        weights = torch.softmax(logits.masked_fill(~known[:, None, :, None], -1e9), dim=2)
        interest = ((weights * similarity).sum(dim=2) * self.scale[:, None]).sum(dim=1)
        return interest * known.any(dim=1, keepdim=True)

    def tower(self) -> UserTower:
        """Return the serving half."""
        values = (self.codes, self.sharpness, self.forgetting, self.scale, self.query_scale)
        codes, *others = (value.detach().cpu().double().numpy() for value in values)
        return UserTower(np.round(codes / CODE_GRID) * CODE_GRID, *others)
