"""Fine-tuning: the encoder's top layers, the item heads and the user tower learn from clicked lists."""

import logging
import math
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import pytorch_lightning as lightning
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from recsys.errors import DataError
from recsys.text.blocks import Blocks, Step
from recsys.text.encoder import Encoder
from recsys.text.heads import InterestHead, ItemHeads
from recsys.text.learner import KeepBest, TextLearner
from recsys.text.lists import Lists
from recsys.text.memory import TextMemory
from recsys.text.model import TextModel
from recsys.text.settings import TextSettings

logger = logging.getLogger(__name__)


def fit_text(
    texts: Sequence[str], lists: Lists, labels: NDArray[np.float32], settings: TextSettings, seed: int
) -> TextModel:
    """Fine-tune an encoder on lists that were shown and clicked.

    The last `held_out` share of the requests chooses the pass whose weights are kept; the untrained model counts as
    pass 0. The same arguments give the same weights on the same machine.

    Parameters
    ----------
    texts
        One text per item code.
    lists
        Requests in order of time; codes are places in `texts`.
    labels
        float32 [C]; above 0 is positive, and more counts more.
    settings
        See `TextSettings`; 0 epochs return the untrained model.
    seed
        Draws the first weights of the heads, the order of the steps and the texts of a step.

    Raises
    ------
    DataError
        When labels do not fit the lists, a code has no text, or no candidate with a text is positive.
    ModelError
        When the encoder cannot be loaded, or the loss is not a number.
    """
    _check(texts, lists, labels, settings.epochs)
    encoder = Encoder.load(settings.encoder)
    encoder.top_layers(settings.trainable_layers).requires_grad_(True)
    heads = ItemHeads(encoder.dimension, torch.Generator().manual_seed(seed))
    interest = InterestHead(encoder.dimension)
    memory = TextMemory(encoder, texts, lists, settings)
    heads.center.copy_(memory.embeddings.mean(dim=0))
    if settings.epochs:
        learner = TextLearner(encoder, heads, interest, memory, settings, seed)
        _learn(learner, lists, labels, settings, seed)
    return TextModel(encoder, heads, interest.tower(), settings)


def _learn(learner: TextLearner, lists: Lists, labels: NDArray[np.float32], settings: TextSettings, seed: int) -> None:
    split = max(1, len(lists) - math.ceil(settings.held_out * len(lists)))
    shown = Blocks(lists, labels, 0, split, settings.requests_per_step)
    held_out = Blocks(lists, labels, split, len(lists), settings.requests_per_step)
    best = KeepBest(learner, settings.patience)
    with _silent_lightning(), _same_bytes():
        trainer = lightning.Trainer(
            max_epochs=settings.epochs,
            precision=settings.precision,
            gradient_clip_val=1.0,
            callbacks=[best],
            num_sanity_val_steps=-1,  # judges the untrained model as well
            logger=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=sys.stderr.isatty(),
        )
        trainer.fit(learner, _loader(shown, seed), _loader(held_out, None))
    best.restore()
    learner.cpu()
    logger.info("best pass %d: AUC %.4f on %d held-out requests", best.epoch, best.auc, len(lists) - split)


def _loader(blocks: Dataset[Step], seed: int | None) -> DataLoader[Step]:
    """Give blocks whole, shuffled between passes when there is a seed; their requests stay neighbours in time."""
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    return DataLoader(blocks, batch_size=None, shuffle=seed is not None, generator=generator)


def _check(texts: Sequence[str], lists: Lists, labels: NDArray[np.float32], epochs: int) -> None:
    if labels.shape != lists.items.shape:
        raise DataError(f"labels has the shape {labels.shape}, the candidates {lists.items.shape}; give one label each")
    for name, codes in (("items", lists.items), ("history", lists.history)):
        if codes.size and codes.max() >= len(texts):
            raise DataError(f"{name} holds the code {codes.max()} but there are {len(texts)} texts")
    if epochs and not np.any((labels > 0) & (lists.items >= 0)):
        raise DataError(
            "no candidate of the text window is positive, so there is nothing to learn from; "
            "move [windows] cuts or fractions, or set [text] epochs = 0"
        )


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
