"""The encoder learns from the teacher: to make of each text what behaviour would have it be."""

from collections.abc import Sequence

import numpy as np
import pytorch_lightning as lightning
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

from recsys.encoders.adapters import adapter_penalty, after_update
from recsys.encoders.encoder import Encoder
from recsys.encoders.settings import TextSettings
from recsys.errors import ModelError
from recsys.learning.memory import TextMemory
from recsys.learning.rates import draw_back, learning, open_optimizers, set_rates, shared_step

_MUCH_SEEN = 20.0
"""Times that an item was shown or clicked at which its teacher counts half."""


class TextPupil(lightning.LightningModule):
    """Learns to embed texts as their teacher does.

    The loss of a text is the squared distance of its embedding from that of the teacher, which is brought to length 1,
    weighed by how much was seen of the text. Each text is read once a pass with all that behaviour says of it, which
    costs a fraction of the passes over requests that would say the same (van den Oord et al. 2013, "Deep content-based
    music recommendation", teach audio the factors of songs).

    Parameters
    ----------
    encoder
        What learns.
    memory
        Reads texts.
    taught
        float32 [texts, d]; the embeddings that the teacher gives.
    seen
        float32 [texts]; how often each was shown or clicked, 0 for those without a teacher.
    published
        Weights that the encoder is drawn back to, in the order of those that learn.
    settings
        Rates and sizes.
    """

    def __init__(
        self,
        encoder: Encoder,
        memory: TextMemory,
        taught: Tensor,
        seen: Tensor,
        published: Sequence[Tensor],
        settings: TextSettings,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.encoder = encoder
        self.memory = memory
        self.settings = settings
        self._taught = normalize(taught, dim=-1)
        self._weights = seen / (seen + _MUCH_SEEN)
        self._published = published

    def distance(self, batch: NDArray[np.int64], embeddings: Tensor) -> Tensor:
        """Return the weighed squared distances of embeddings [b, d] of the texts `batch` from the teacher's, [b]."""
        taught, weights = (of[torch.from_numpy(batch)].to(embeddings.device) for of in (self._taught, self._weights))
        apart: Tensor = weights * ((embeddings.float() - taught) ** 2).sum(dim=1)
        return apart

    def training_step(self, texts: list[Tensor], number: int) -> None:
        """Learn from some texts."""
        optimizer = self.optimizers()
        updates = int(self.trainer.num_training_batches)
        done = self.current_epoch * updates + number
        set_rates(optimizer, (done + 0.5) / (updates * self.settings.epochs), self.settings.warm_up)
        optimizer.zero_grad()  # type: ignore[union-attr]  # one optimizer
        rows = np.sort(texts[0].cpu().numpy())
        lost = []
        for batch, embeddings in self.memory.encode(rows):
            loss = self.distance(batch, embeddings).sum() / len(rows)
            if not torch.isfinite(loss):
                raise ModelError(
                    f"the loss is {loss.item()} while the encoder learns from the teacher, in pass "
                    f"{self.current_epoch + 1}; lower [text] learning_rate, or set precision = '32-true'"
                )
            self.manual_backward(loss)
            lost.append(loss.detach())
        self.log("loss", torch.stack(lost).sum(), batch_size=1)
        if self.settings.peft:
            penalty = adapter_penalty(self.encoder)
            if penalty.requires_grad:
                self.manual_backward(penalty)
        if self.settings.leash:
            draw_back(learning(self.encoder), self._published, self.settings.leash)
        shared_step(self, optimizer, self.settings.clip)
        after_update(self.encoder, done + 1)

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """See `recsys.learning.rates.open_optimizers`."""
        return open_optimizers(self.encoder, [], self.settings)

    def on_fit_start(self) -> None:
        """Let every process of several devices add up gradients in one order, as the first one does."""
        torch.use_deterministic_algorithms(True)
