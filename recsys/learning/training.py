"""Fine-tuning: the encoder's top layers, the item heads and the user tower learn from clicked lists."""

import dataclasses
import json
import logging
import math
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor

from recsys.encoders.adapters import add_adapter, merge_adapter
from recsys.encoders.encoder import Encoder
from recsys.encoders.lexicon import Lexicon
from recsys.encoders.settings import TextSettings
from recsys.errors import DataError, SettingsError
from recsys.learning.blocks import Outcomes, Updates
from recsys.learning.heads import ItemHead, UserHead
from recsys.learning.learner import TextLearner
from recsys.learning.memory import TextMemory
from recsys.learning.passes import run_passes
from recsys.learning.text_model import TextModel
from recsys.vectors.coded_lists import CodedLists

logger = logging.getLogger(__name__)


def fit_text(
    texts: Sequence[str], lists: CodedLists, outcomes: Outcomes, settings: TextSettings, seed: int
) -> TextModel:
    """Fine-tune an encoder on lists that were shown and clicked, as one block; see `TextTrainer`."""
    with tempfile.TemporaryDirectory() as folder:
        trainer = TextTrainer(texts, settings, seed, Path(folder))
        trainer.learn("block", lists, outcomes)
        return trainer.model


@dataclass(frozen=True)
class Lesson:
    """What came of one block.

    Attributes
    ----------
    requests
        How many requests were learnt from, those held out included.
    epoch
        The pass that was kept, 0 = what was known before.
    auc_before, auc
        Mean AUC on the held-out requests before and after; None where none of them could be judged.
    old_auc_before, old_auc
        The same on older requests: what was forgotten.
    """

    requests: int
    epoch: int
    auc_before: float | None
    auc: float | None
    old_auc_before: float | None
    old_auc: float | None


class TextTrainer:
    """Teaches one encoder, its heads and its user tower block after block, each from where the last one ended.

    In each block the last `held_out` share of the requests chooses the pass whose weights are kept; what was known
    before counts as pass 0. Where nothing is held out the last pass is kept. A pass that was finished is kept in the
    working folder: a trainer that is made again with the same arguments, after its process was killed, goes on after
    it, with the same result to the last bit. The same arguments give the same weights on the same machine.

    Parameters
    ----------
    texts
        One text per item code.
    settings
        See `TextSettings`; 0 epochs learn nothing.
    seed
        Draws the order of the updates and their texts, and starts lexicon and adapters.
    work
        Folder for checkpoints, logs and, unless `settings.cache` names another, the output of the frozen layers.
    start
        Model to go on from; the encoder that the settings name when left out.

    Attributes
    ----------
    lessons
        What came of each block.

    Raises
    ------
    ModelError
        When the encoder cannot be loaded.
    SettingsError
        When `max_tokens` is more than the encoder reads, or `cache` is no folder.
    """

    def __init__(
        self,
        texts: Sequence[str],
        settings: TextSettings,
        seed: int,
        work: Path,
        start: TextModel | None = None,
    ) -> None:
        self._settings = settings
        self._seed = seed
        self._work = work
        self.lessons: list[Lesson] = []
        self._settled = start is not None
        self._model: TextModel | None = None
        if start is None:
            self._encoder = Encoder.load(settings.encoder, settings.pooling, settings.layers)
            self._lexicon = Lexicon.fit([], 0, 0)
            self._heads = ItemHead(self._encoder.dimension, settings.dimension)
            self._interest = UserHead(self._heads.candidate_map.out_features)
        else:
            self._encoder, self._lexicon, self._heads = start.encoder, start.lexicon, start.heads
            self._interest = UserHead.of(start.tower)
        self._encoder.requires_grad_(False)
        if not settings.peft:
            self._encoder.top_layers(settings.trainable_layers).requires_grad_(True)
        if self._encoder.query is not None:
            self._encoder.query.requires_grad_(True)
        cache = Path(settings.cache).expanduser() if settings.cache else work
        self._encoder_learns = bool(settings.peft) or any(each.requires_grad for each in self._encoder.parameters())
        self._check_settings(cache)
        self._memory = TextMemory(self._encoder, texts, settings, cache)
        self._memory.add_lexicon(self._lexicon)

    def _check_settings(self, cache: Path) -> None:
        longest = getattr(self._encoder.network.config, "max_position_embeddings", None)
        if longest is not None and self._settings.max_tokens > longest:
            raise SettingsError(
                f"[text] max_tokens is {self._settings.max_tokens} but the encoder reads at most {longest}; lower it"
            )
        try:
            cache.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SettingsError(f"[text] cache = {str(cache)!r} is no folder to write to ({error})") from error

    @property
    def model(self) -> TextModel:
        """What is known by now, the same object until the next lesson; shares its weights with the trainer."""
        if self._model is None:
            tower = self._interest.tower()
            self._model = TextModel(self._encoder, self._heads, tower, self._settings, self._lexicon)
        return self._model

    def embed(self) -> NDArray[np.float32]:
        """Return the embeddings of all texts, [items, d], as of now; reads the frozen layers' kept output."""
        self._memory.refresh(np.arange(len(self._memory.tokens)))
        embeddings: NDArray[np.float32] = self._memory.embeddings.numpy()
        return embeddings[self._memory.text_of]

    def learn(
        self, name: str, lists: CodedLists, outcomes: Outcomes, old: tuple[CodedLists, Outcomes] | None = None
    ) -> None:
        """Learn from one block and append to `lessons` what came of it.

        Parameters
        ----------
        name
            Of the block's folder in the working folder.
        lists, outcomes
            Requests in order of time; codes are places in `texts`.
        old
            Older requests, which are judged before and after.

        Raises
        ------
        DataError
            When outcomes do not fit the lists, a code has no text, or no candidate with a text is positive.
        ModelError
            When the loss is not a number.
        """
        _check(lists, outcomes, self._settings.epochs, len(self._memory.text_of))
        self._model = None
        if not self._settled:
            self._settle(lists)
        folder = self._work / name
        if self._settings.peft:
            add_adapter(self._encoder, self._settings.peft, self._updates(len(lists)), self._seed)
            self._memory.outdate()  # a prefix changes every embedding at once
        memory, rows = self._memory, self._memory.rows(lists)
        weights = {} if self._settings.peft else self._weights()
        before = {name: value.clone() for name, value in weights.items() if name.startswith("encoder.")}
        if (folder / "lesson.json").is_file():
            lesson = self._recall(folder)
            if not self._changed(before):
                memory.refresh(rows)  # in the batches of a run that was not resumed here
        else:
            memory.refresh(rows)
            embedded = memory.kept()
            lesson = self._fit(lists, outcomes, old, folder)
            self._keep(folder, lesson)
            if not self._changed(before):
                memory.restore(embedded)
        if self._changed(before):
            memory.outdate()
        self.lessons.append(lesson)

    def _changed(self, before: dict[str, Tensor]) -> bool:
        """Tell whether the encoder is another one than before: only then all texts are embedded anew."""
        own = self._weights()
        return bool(self._settings.peft) or any(not torch.equal(own[name], value) for name, value in before.items())

    def _updates(self, requests: int) -> int:
        """Return how often the encoder is updated in a block."""
        settings = self._settings
        steps = math.ceil((1 - settings.held_out) * requests / settings.requests_per_step)
        return math.ceil(steps / settings.steps_per_update) * max(1, settings.epochs - settings.head_epochs)

    def _settle(self, lists: CodedLists) -> None:
        """Make the lexicon and the untrained heads from the texts of the first block."""
        settings, memory = self._settings, self._memory
        rows = memory.rows(lists)
        if settings.lexicon:
            self._lexicon = Lexicon.fit(memory.texts(rows), settings.lexicon, self._seed)
            memory.add_lexicon(self._lexicon)
        memory.refresh(rows)
        embeddings = memory.embeddings[torch.from_numpy(rows)]
        self._heads = ItemHead(embeddings.shape[1], settings.dimension)
        self._interest = UserHead(self._heads.candidate_map.out_features)
        empty = torch.zeros(embeddings.shape[1])
        empty[: self._encoder.dimension] = torch.from_numpy(
            self._encoder.embed(self._encoder.tokenize([""], settings.max_tokens))[0]
        )
        self._heads.settle(embeddings, empty)
        self._settled = True

    def _fit(
        self,
        lists: CodedLists,
        outcomes: Outcomes,
        old: tuple[CodedLists, Outcomes] | None,
        folder: Path,
    ) -> Lesson:
        """Run the passes over a block and tell what came of them."""
        settings = self._settings
        folder.mkdir(parents=True, exist_ok=True)
        learner = TextLearner(self._encoder, self._heads, self._interest, self._memory, settings, self._seed)
        old_before = _mean_auc(learner, old, settings)
        if not settings.epochs:
            return Lesson(len(lists), 0, None, None, old_before, old_before)
        split = max(1, len(lists) - math.ceil(settings.held_out * len(lists)))
        size, steps = settings.requests_per_step, settings.steps_per_update
        shown = Updates(lists, outcomes, 0, split, size, steps)
        held_out = Updates(lists, outcomes, split, len(lists), size, steps)
        learner.block_texts = self._memory.rows(lists)
        learner.click_shares = _click_shares(lists, outcomes, len(self._memory.text_of))
        run_passes(learner, shown, held_out, self._seed, folder)
        if self._encoder_learns:
            self._memory.outdate()
        kept, before, after = (None if math.isnan(number) else number for number in learner.kept.tolist())
        epoch = int(kept or 0)
        quality = "no AUC" if after is None else f"AUC {after:.4f}"
        logger.debug("pass %d is kept: %s on %d held-out requests", epoch, quality, len(lists) - split)
        return Lesson(len(lists), epoch, before, after, old_before, _mean_auc(learner, old, settings))

    def _keep(self, folder: Path, lesson: Lesson) -> None:
        """Write what the block taught; `lesson.json` comes last and says that the rest is whole."""
        self._merge()
        # Copies, since a prefix shares tensors with the network that it stands before.
        weights = {name: value.clone() for name, value in self._weights().items()}
        save_file(weights, folder / "weights.safetensors")
        _write(folder / "lesson.json", json.dumps(dataclasses.asdict(lesson)))
        (folder / "last.ckpt").unlink(missing_ok=True)

    def _recall(self, folder: Path) -> Lesson:
        """Read what `_keep` wrote."""
        self._merge()
        kept = load_file(folder / "weights.safetensors")
        for name, value in self._weights().items():
            value.copy_(kept[name])
        logger.debug("%s was learnt already", folder.name)
        return Lesson(**json.loads((folder / "lesson.json").read_text()))

    def _merge(self) -> None:
        """Make what an adapter learnt a part of the encoder."""
        if self._settings.peft:
            merge_adapter(self._encoder)

    def _weights(self) -> dict[str, Tensor]:
        """Return all that may change in a block, without its gradient."""
        modules = {"encoder": self._encoder, "heads": self._heads, "interest": self._interest}
        return {
            f"{name}.{key}": value.detach()
            for name, module in modules.items()
            for key, value in module.state_dict(keep_vars=True).items()
            if name != "encoder" or self._settings.peft or value.requires_grad
        }


def _mean_auc(learner: TextLearner, judged: tuple[CodedLists, Outcomes] | None, settings: TextSettings) -> float | None:
    if judged is None:
        return None
    updates = Updates(*judged, 0, len(judged[0]), settings.requests_per_step, settings.steps_per_update)
    aucs = torch.cat([learner.judge(updates[place]) for place in range(len(updates))])
    return aucs.mean().item() if len(aucs) else None


def _click_shares(lists: CodedLists, outcomes: Outcomes, items: int) -> Tensor:
    """Return which part of all clicks is on each item code, float32 [items]."""
    clicked = (outcomes.labels > 0) & (lists.items >= 0)
    counts = np.bincount(lists.items[clicked], minlength=items)
    return torch.from_numpy((counts / max(1, counts.sum())).astype(np.float32))


def _write(path: Path, text: str) -> None:
    unfinished = path.with_name(f".{path.name}")
    unfinished.write_text(text)
    os.replace(unfinished, path)


def _check(lists: CodedLists, outcomes: Outcomes, epochs: int, texts: int) -> None:
    if lists.codes.max(initial=-1) >= texts:
        raise DataError(f"an item has the code {lists.codes.max()} but there are {texts} texts")
    if outcomes.labels.shape != lists.items.shape:
        raise DataError(
            f"labels has the shape {outcomes.labels.shape}, the candidates {lists.items.shape}; give one label each"
        )
    if epochs and not np.any((outcomes.labels > 0) & (lists.items >= 0)):
        raise DataError(
            "no candidate of the text window is positive, so there is nothing to learn from; "
            "move [windows] cuts or fractions, or set [text] epochs = 0"
        )
