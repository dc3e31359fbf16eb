"""Passes over a block, by Lightning: which of them is kept, where its logs go, and the same bytes every time."""

import logging
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as lightning
import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.callbacks import LambdaCallback, ModelCheckpoint
from pytorch_lightning.loggers import CSVLogger, Logger, TensorBoardLogger, WandbLogger
from torch import Tensor
from torch.utils.data import DataLoader

from recsys.encoders.settings import TextSettings
from recsys.errors import SettingsError, first_line
from recsys.learning.blocks import Shuffled, Updates
from recsys.learning.learner import TextLearner
from recsys.learning.memory import TextMemory
from recsys.progress import progress

logger = logging.getLogger(__name__)

_PACKAGES = {"tensorboard": "tensorboard", "wandb": "wandb"}


def run_passes(learner: TextLearner, shown: Updates, held_out: Updates, seed: int, folder: Path) -> None:
    """Let a learner read a block again and again, and leave it as it was after its best pass, on the processor.

    Parameters
    ----------
    learner
        Its settings say how often and on what; how good its pass was stands in its `kept` in the end.
    shown
        What it learns from.
    held_out
        What its passes are judged by; may be empty.
    seed
        Draws the order of the updates.
    folder
        Holds the logs, and after every pass a checkpoint from which a run that was killed goes on.

    Raises
    ------
    SettingsError
        When Lightning refuses the settings.
    """
    updates = DataLoader(shown, batch_size=None, sampler=Shuffled(len(shown), seed))
    judged = DataLoader(held_out, batch_size=None) if len(held_out) else None
    best = [KeepBest(learner.settings.patience)]
    fit(learner, learner.memory, updates, judged, best, learner.settings, folder)


def fit(
    learner: lightning.LightningModule,
    memory: TextMemory,
    learnt: DataLoader[Any],
    judged: DataLoader[Any] | None,
    callbacks: Sequence[lightning.Callback],
    settings: TextSettings,
    folder: Path,
) -> None:
    """Let Lightning run the passes, `settings.epochs` at most, from the last one that was finished on."""
    # All that a checkpoint holds is written by the next lines: tensors and numbers, read back without pickle.
    checkpoint = ModelCheckpoint(folder, filename="last", save_on_train_epoch_end=True, enable_version_counter=False)
    every = [*callbacks]
    if settings.average:
        every.append(Average(settings.average, judged is not None, memory))
    with _silent_lightning(), _same_bytes(), progress(len(learnt) * settings.epochs, "passes", "update") as advance:
        if settings.devices == 1:  # other processes cannot tell this one how far they are
            every.append(LambdaCallback(on_train_batch_end=lambda *_: advance(1)))
        _open_trainer([*every, checkpoint], settings, folder).fit(
            learner, learnt, judged, ckpt_path=_unfinished(folder / "last.ckpt"), weights_only=True
        )
    learner.cpu()


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
        logger.debug("after pass %d: AUC %.4f", epoch, auc)
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


class Average(lightning.Callback):
    """Keeps a running mean of all that learns, which is judged in place of the last weights, and kept in the end.

    Exponential moving average of weights: Polyak and Juditsky (1992); the decay rises with the updates t as
    (1 + t) / (10 + t) until it reaches its full size.

    Parameters
    ----------
    decay
        0 to 1; how much of the mean stays at an update.
    judged
        Whether passes are judged; then the best is kept by `KeepBest`, which comes before in the list of callbacks.
    memory
        Learns that the encoder is another one.
    """

    def __init__(self, decay: float, judged: bool, memory: TextMemory) -> None:
        self._decay, self._judged, self._memory = decay, judged, memory
        self._updates = 0
        self._mean: dict[str, Tensor] = {}

    @torch.no_grad()
    def on_train_batch_end(
        self, trainer: lightning.Trainer, learner: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Take the update into the mean."""
        decay = min(self._decay, (1 + self._updates) / (10 + self._updates))
        self._updates += 1
        for name, value in _learning(learner).items():
            mean = self._mean.setdefault(name, value.detach().clone())
            mean.lerp_(value.to(mean.device), 1 - decay)

    def on_validation_start(self, trainer: lightning.Trainer, learner: lightning.LightningModule) -> None:
        """Let the mean be judged."""
        self._swap(learner)

    def on_validation_end(self, trainer: lightning.Trainer, learner: lightning.LightningModule) -> None:
        """Go on from the last weights."""
        self._swap(learner)

    def on_fit_end(self, trainer: lightning.Trainer, learner: lightning.LightningModule) -> None:
        """Keep the mean where no pass was judged."""
        if not self._judged:
            self._swap(learner)

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        return {"updates": self._updates, "mean": self._mean}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self._updates, self._mean = state["updates"], state["mean"]

    @torch.no_grad()
    def _swap(self, learner: lightning.LightningModule) -> None:
        for name, value in _learning(learner).items():
            last, mean = value.detach().clone(), self._mean.get(name, value)
            if name.startswith("encoder.") and not torch.equal(last, mean.to(last.device)):
                self._memory.outdate()
            value.copy_(mean)
            self._mean[name] = last


def open_logger(name: Literal["csv", "tensorboard", "wandb"], folder: Path) -> Logger:
    """Return one of Lightning's loggers.

    Parameters
    ----------
    name
        See `TextSettings.logger`.
    folder
        Where it writes: a folder `log-0` in it, `log-1` after training was resumed, and so on.

    Raises
    ------
    SettingsError
        When its package is not installed.
    """
    package = _PACKAGES.get(name)
    if package and find_spec(package) is None:
        raise SettingsError(f"[text] logger is {name!r}, which is not installed; type: pip install {package}")
    version = f"log-{len(list(folder.glob('log-*')))}"
    if name == "tensorboard":
        return TensorBoardLogger(folder, name="", version=version)
    if name == "wandb":
        return WandbLogger(save_dir=folder, project="recsys", name=folder.name)
    return CSVLogger(folder, name="", version=version)


def _open_trainer(callbacks: list[lightning.Callback], settings: TextSettings, folder: Path) -> lightning.Trainer:
    logs = open_logger(settings.logger, folder)
    try:
        return lightning.Trainer(
            max_epochs=settings.epochs,
            precision=settings.precision,
            devices=settings.devices,
            strategy="ddp_spawn" if settings.devices > 1 and settings.strategy == "auto" else settings.strategy,
            callbacks=callbacks,
            num_sanity_val_steps=-1,  # judges what was known before as well
            logger=logs,
            log_every_n_steps=1,
            enable_model_summary=False,
            enable_progress_bar=False,
        )
    except (ValueError, MisconfigurationException) as error:
        raise SettingsError(
            f"Lightning cannot train with [text] strategy = {settings.strategy!r}, devices = {settings.devices}, "
            f"precision = {settings.precision!r}: {first_line(error)}"
        ) from error


def _learning(learner: lightning.LightningModule) -> dict[str, torch.nn.Parameter]:
    return {name: each for name, each in learner.named_parameters() if each.requires_grad}


def _unfinished(checkpoint: Path) -> Path | None:
    """Return the checkpoint of a run that was killed; one that was cut off while it was written counts as none."""
    if not checkpoint.is_file():
        return None
    try:
        torch.load(checkpoint, weights_only=True, map_location="cpu", mmap=True)
    except Exception as error:  # torch has many
        logger.warning("%s is cut off (%s); the block begins anew", checkpoint, first_line(error))
        checkpoint.unlink()
        return None
    return checkpoint


def threads() -> int:
    """Return how many threads add numbers up; another number adds them in another order, and changes last bits."""
    return torch.get_num_threads()


@contextmanager
def _same_bytes() -> Iterator[None]:
    """Let torch add up gradients in one order only: threads would add those of a repeated item in any."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


@contextmanager
def _silent_lightning() -> Iterator[None]:
    """Keep Lightning's advice about workers and hardware off the terminal."""
    loggers = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning.pytorch", "lightning.fabric")]
    levels = [each.level for each in loggers]
    for each in loggers:
        each.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"(pytorch_)?lightning")
            yield
    finally:
        for each, level in zip(loggers, levels, strict=True):
            each.setLevel(level)
