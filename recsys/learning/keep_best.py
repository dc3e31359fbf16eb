"""Which pass of fine-tuning is kept, and when to stop."""

import logging
import math
from typing import Any

import pytorch_lightning as lightning
import torch
from torch import Tensor

from recsys.learning.learner import TextLearner

logger = logging.getLogger(__name__)


class KeepBest(lightning.Callback):
    """Keeps the weights of the pass with the best held-out AUC and stops when it no longer rises.

    Without a held-out request that has both positive and other candidates, the last pass is kept. What it finds stands
    in the learner's `kept`, which comes back from the processes of several devices.

    Parameters
    ----------
    patience
        Passes without a better AUC before training stops.
    """

    def __init__(self, patience: int) -> None:
        self._patience = patience
        self._resumed = False
        self._best: dict[str, Tensor] = {}

    def on_validation_end(self, trainer: lightning.Trainer, learner: lightning.LightningModule) -> None:
        """Compare the pass with the best so far, all devices together."""
        assert isinstance(learner, TextLearner)
        if trainer.sanity_checking and self._resumed:
            return  # the checkpoint knows how good its pass was
        aucs = torch.cat(learner.aucs).double()
        both = torch.stack([aucs.sum(), torch.tensor(len(aucs), dtype=torch.float64)])
        total, count = trainer.strategy.reduce(both.to(learner.device), reduce_op="sum").tolist()
        auc = total / count if count else math.nan
        epoch = 0 if trainer.sanity_checking else trainer.current_epoch + 1
        logger.info("after pass %d: AUC %.4f", epoch, auc)
        if trainer.logger is not None:
            trainer.logger.log_metrics({"auc": auc, "epoch": epoch}, step=trainer.global_step)
        kept, before, best = learner.kept.tolist()
        if trainer.sanity_checking:
            before = auc
        if not auc <= best:
            kept, best = float(epoch), auc
            self._best = {name: each.detach().cpu().clone() for name, each in _learning(learner).items()}
        elif epoch - kept >= self._patience:
            trainer.should_stop = True
        learner.kept.copy_(torch.tensor([kept, before, best], dtype=torch.float64))

    def on_train_start(self, trainer: lightning.Trainer, learner: lightning.LightningModule) -> None:
        """Let a run that was killed after it had stopped stay stopped."""
        assert isinstance(learner, TextLearner)
        if self._resumed and self._best:
            trainer.should_stop = trainer.current_epoch - learner.kept[0].item() >= self._patience

    def on_fit_end(self, trainer: lightning.Trainer, learner: lightning.LightningModule) -> None:
        """Put the best weights back; also where a resumed run finds that no pass is left."""
        assert isinstance(learner, TextLearner)
        if not self._best:  # nothing was held out
            learner.kept[0] = trainer.current_epoch
        for name, value in self._best.items():
            _learning(learner)[name].data.copy_(value)

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        return self._best

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self._resumed = True
        self._best = state


def _learning(learner: TextLearner) -> dict[str, torch.nn.Parameter]:
    return {name: each for name, each in learner.named_parameters() if each.requires_grad}
