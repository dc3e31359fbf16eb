"""One encoder with its heads and its user tower, as they learn part after part."""

import copy
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from recsys.encoders.encoder import Encoder
from recsys.encoders.settings import TextSettings
from recsys.errors import first_line
from recsys.files import unfinished
from recsys.learning.blocks import Outcomes, Updates
from recsys.learning.heads import ItemHead, UserHead
from recsys.learning.learner import TextLearner
from recsys.learning.memory import TextMemory
from recsys.vectors.coded_lists import CodedLists

Lists = tuple[CodedLists, Outcomes]

logger = logging.getLogger(__name__)

_KEPT = "kept.safetensors"


class Chain:
    """An encoder with its heads and its user tower, and what it makes of texts.

    Parameters
    ----------
    encoder, heads, interest
        What learns, or stays as it is.
    memory
        Embeddings by that encoder.
    adapted
        Whether an adapter learns in place of the encoder's own weights, which are then all merged anew.
    """

    def __init__(
        self, encoder: Encoder, heads: ItemHead, interest: UserHead, memory: TextMemory, adapted: bool = False
    ) -> None:
        self.encoder, self.heads, self.interest, self.memory = encoder, heads, interest, memory
        self.adapted = adapted

    def twin(self, adapted: bool) -> "Chain":
        """Return another chain that is as this one is and learns by itself; what it remembers of texts is its own."""
        encoder = copy.deepcopy(self.encoder)
        heads, interest = copy.deepcopy(self.heads), copy.deepcopy(self.interest)
        return Chain(encoder, heads, interest, self.memory.beside(encoder), adapted)

    def copied(self) -> "Chain":
        """Return a chain that stays as this one is now, on the same encoder."""
        return Chain(self.encoder, copy.deepcopy(self.heads), copy.deepcopy(self.interest), self.memory)

    def learner(self, settings: TextSettings, seed: int) -> TextLearner:
        """Return what learns from requests."""
        return TextLearner(self.encoder, self.heads, self.interest, self.memory, settings, seed)

    def weights(self, encoder: bool = True) -> dict[str, Tensor]:
        """Return all that may change, without its gradient, the encoder's perhaps left out."""
        modules: dict[str, nn.Module] = {"encoder": self.encoder} if encoder else {}
        modules |= {"heads": self.heads, "interest": self.interest}
        return {
            f"{name}.{key}": value.detach()
            for name, module in modules.items()
            for key, value in module.state_dict(keep_vars=True).items()
            if name != "encoder" or self.adapted or value.requires_grad
        }

    def part(self, folder: Path, learn: Callable[[Path], None], encoder: bool = True) -> None:
        """Learn a part of a lesson in a folder, or take up what an earlier process has learnt there.

        Where the encoder stays as it is, only the others are kept.
        """
        kept = folder / _KEPT
        if (found := _found(kept)) is not None:
            for name, value in self.weights(encoder).items():
                value.copy_(found[name])
            return
        folder.mkdir(parents=True, exist_ok=True)
        learn(folder)
        # Copies, since a prefix shares tensors with the network that it stands before.
        write_tensors(kept, {name: value.clone() for name, value in self.weights(encoder).items()})
        (folder / "last.ckpt").unlink(missing_ok=True)

    def read(self, texts: NDArray[np.int64]) -> None:
        """Embed texts anew, whatever was embedded before: the same numbers in any process."""
        self.memory.outdate()
        self.memory.refresh(texts)

    def aucs(self, lists: Lists, settings: TextSettings) -> NDArray[np.float64]:
        """Return the AUC of each of R requests, [R], NaN where one has not both positive and other candidates."""
        learner = self.learner(settings, 0)
        updates = Updates(*lists, 0, len(lists[0]), settings.requests_per_step, settings.steps_per_update)
        found = []
        for update in (updates[place] for place in range(len(updates))):
            both = torch.cat([learner.judged(step) for step in update])
            aucs = torch.full(both.shape, torch.nan, dtype=torch.float64)
            aucs[both] = learner.judge(update).double()
            found.append(aucs.numpy())
        return np.concatenate(found) if found else np.empty(0)


def _found(kept: Path) -> dict[str, Tensor] | None:
    """Return what an earlier process kept; what was cut off counts as nothing."""
    if not kept.is_file():
        return None
    try:
        return load_file(kept)
    except SafetensorError as error:
        logger.warning("%s is cut off (%s); that part is learnt anew", kept, first_line(error))
        return None


def write_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write a safetensors file whole or not at all."""
    with unfinished(path.parent, path.name, Path.touch) as file:
        save_file(tensors, file)
        file.replace(path)


@torch.no_grad()
def put(weights: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    """Give weights other values."""
    for weight, value in zip(weights, values, strict=True):
        weight.copy_(value)
