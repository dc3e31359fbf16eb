"""The Lightning side of fine-tuning: what happens in a step, and which pass is kept."""

import logging

import numpy as np
import pytorch_lightning as lightning
import torch
from numpy.typing import NDArray
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor

from recsys.errors import ModelError
from recsys.text.blocks import Step
from recsys.text.encoder import Encoder
from recsys.text.heads import InterestHead, ItemHeads
from recsys.text.losses import list_cross_entropy, request_auc
from recsys.text.memory import TextMemory
from recsys.text.settings import TextSettings

logger = logging.getLogger(__name__)

_WARM_UP_STEPS = 10


class TextLearner(lightning.LightningModule):
    """Scores blocks of requests and learns from them.

    In a step, up to `texts_per_step` of the block's candidate texts are encoded with a gradient, each once; all other
    texts, those of the clicks among them, enter with their embedding from `memory`.

    Parameters
    ----------
    encoder, heads, interest
        What learns.
    memory
        Embeddings of all texts.
    settings
        Rates and sizes.
    seed
        Draws the texts of a step.
    """

    def __init__(
        self,
        encoder: Encoder,
        heads: ItemHeads,
        interest: InterestHead,
        memory: TextMemory,
        settings: TextSettings,
        seed: int,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.heads = heads
        self.interest = interest
        self.memory = memory
        self.settings = settings
        self.aucs: list[Tensor] = []
        self._random = np.random.default_rng(seed)

    def score(self, step: Step, live: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Return scores [B, C] and which candidates count, bool [B, C]; texts in `live` are encoded with a gradient."""
        present, known = step.items >= 0, step.history >= 0
        text_of = torch.from_numpy(self.memory.text_of)
        texts, place = torch.unique(
            torch.cat([text_of[step.items[present].cpu()], text_of[step.history[known].cpu()]]), return_inverse=True
        )
        embedding = self.memory.embeddings[texts].to(self.device)
        if len(live):
            encoded = self.memory.encode(live)
            self.memory.remember(live, encoded)
            embedding = embedding.index_copy(
                0, torch.searchsorted(texts, torch.from_numpy(live)).to(self.device), encoded.float()
            )
        shown, clicked = (torch.zeros(codes.shape, dtype=torch.int64) for codes in (step.items, step.history))
        shown[present.cpu()] = place[: int(present.sum())]
        clicked[known.cpu()] = place[int(present.sum()) :]
        similarity = self.interest.similarity(
            self.heads.candidate(embedding)[shown.to(self.device)],
            self.heads.history(embedding)[clicked.to(self.device)],
        )
        interest = self.interest(similarity, step.ages, known)
        return interest + self.heads.appeal(embedding)[shown.to(self.device)], present

    def training_step(self, step: Step, number: int) -> Tensor:
        """Return the loss of one block."""
        scores, present = self.score(step, self._draw(step))
        loss = list_cross_entropy(scores.float(), step.labels, present)
        if not torch.isfinite(loss):
            raise ModelError(
                f"the loss is {loss.item()} in step {number} of epoch {self.current_epoch}; "
                "lower [text] learning_rate and head_learning_rate, or set precision = '32-true'"
            )
        return loss

    def on_validation_epoch_start(self) -> None:
        """Embed all texts anew; the next pass starts from these embeddings too."""
        if self.memory.encoded_tokens:
            logger.info("epoch %d: %d tokens encoded", self.current_epoch + 1, self.memory.encoded_tokens)
            self.memory.refresh()
            self.memory.encoded_tokens = 0
        self.aucs = []

    def validation_step(self, step: Step, number: int) -> None:
        """Collect the AUC of each held-out request."""
        scores, present = self.score(step, np.empty(0, np.int64))
        self.aucs.append(request_auc(scores.float(), step.labels, present).cpu())

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW with one rate for the encoder and one for the heads; both rise over the first steps, then fall to 0."""
        settings = self.settings
        encoder = [each for each in self.encoder.parameters() if each.requires_grad]
        heads = [*self.heads.parameters(), *self.interest.parameters()]
        groups = []
        for parameters, rate in ((encoder, settings.learning_rate), (heads, settings.head_learning_rate)):
            matrices = [each for each in parameters if each.ndim > 1]
            others = [each for each in parameters if each.ndim <= 1]
            groups.append({"params": matrices, "lr": rate, "weight_decay": settings.weight_decay})
            groups.append({"params": others, "lr": rate, "weight_decay": 0.0})
        optimizer = torch.optim.AdamW([group for group in groups if group["params"]])
        steps = max(1, int(self.trainer.estimated_stepping_batches))
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: min((step + 1) / _WARM_UP_STEPS, 1 - step / steps)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _draw(self, step: Step) -> NDArray[np.int64]:
        """Choose which candidate texts of a block are encoded with a gradient."""
        if self.current_epoch < self.settings.head_epochs or not self.settings.trainable_layers:
            return np.empty(0, np.int64)
        texts = np.unique(self.memory.text_of[step.items[step.items >= 0].cpu().numpy()])
        if len(texts) > self.settings.texts_per_step:
            texts = np.sort(self._random.choice(texts, self.settings.texts_per_step, replace=False))
        return texts


class KeepBest(lightning.Callback):
    """Keeps the weights of the pass with the best held-out AUC and stops when it no longer rises.

    Without a held-out request that has both positive and other candidates, the last pass is kept.

    Parameters
    ----------
    learner
        Whose weights.
    patience
        Passes without a better AUC before training stops.
    """

    def __init__(self, learner: TextLearner, patience: int) -> None:
        self.auc = float("nan")
        self.epoch = 0
        self._learner = learner
        self._patience = patience
        self._weights = self._copy()

    def on_validation_end(self, trainer: lightning.Trainer, _: lightning.LightningModule) -> None:
        """Compare the pass with the best so far."""
        aucs = torch.cat(self._learner.aucs)
        auc = aucs.mean().item() if len(aucs) else float("nan")
        epoch = 0 if trainer.sanity_checking else trainer.current_epoch + 1
        logger.info("after epoch %d: AUC %.4f", epoch, auc)
        if not auc <= self.auc:
            self.auc, self.epoch, self._weights = auc, epoch, self._copy()
        elif epoch - self.epoch >= self._patience:
            trainer.should_stop = True

    def restore(self) -> None:
        """Put the best weights back."""
        for parameter, value in zip(self._learning(), self._weights, strict=True):
            parameter.data.copy_(value)

    def _learning(self) -> list[torch.nn.Parameter]:
        return [each for each in self._learner.parameters() if each.requires_grad]

    def _copy(self) -> list[Tensor]:
        return [each.detach().cpu().clone() for each in self._learning()]
