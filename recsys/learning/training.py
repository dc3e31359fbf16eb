"""Fine-tuning: the item heads and the user tower learn from clicked lists, and then the encoder from them."""

import dataclasses
import json
import logging
import math
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recsys.encoders.adapters import add_adapter, check_adapter, merge_adapter
from recsys.encoders.encoder import Encoder
from recsys.encoders.lexicon import Lexicon
from recsys.encoders.settings import TextSettings
from recsys.errors import DataError, SettingsError
from recsys.files import write_whole
from recsys.learning.blocks import Outcomes
from recsys.learning.chain import Chain, Lists
from recsys.learning.heads import ItemHead, UserHead
from recsys.learning.lessons import Gain, Kept, Lesson, Trial, mean
from recsys.learning.memory import TextMemory
from recsys.learning.next_clicks import Clicks, PastClicks
from recsys.learning.parts import MOST_TEXTS, Subject, learn_heads, learn_texts, learn_together
from recsys.learning.rates import learning
from recsys.learning.standard import Standard
from recsys.learning.text_model import TextModel
from recsys.vectors.coded_lists import CodedLists

logger = logging.getLogger(__name__)

_LESSON = "lesson.json"

_ADAPTED = ("teacher", "texts", "heads-again", "together")
"""Parts of a lesson in which an adapter learns."""

_GROWN = 2
"""The encoder learns anew when so many times as many requests are known as when it learnt last: it reads all texts for
that, and a log of many blocks takes no more than a few turns."""


def fit_text(
    texts: Sequence[str], lists: CodedLists, outcomes: Outcomes, settings: TextSettings, seed: int
) -> TextModel:
    """Fine-tune an encoder on lists that were shown and clicked, as one block; see `TextTrainer`."""
    with tempfile.TemporaryDirectory() as folder:
        trainer = TextTrainer(texts, settings, seed, Path(folder))
        trainer.learn("block", lists, outcomes)
        return trainer.model


class TextTrainer:
    """Teaches heads and user tower block after block, twice: on the encoder as it was published, and as it learns.

    In each block the last `held_out` share of the requests is learnt from by neither; it chooses the pass whose weights
    are kept. Which of the two reads from then on is told by requests of later blocks, before they are learnt from, and
    in the first block by those held out, see `recsys.learning.lessons.Trial`. What was finished is kept in the working
    folder: a trainer that is made again with the same arguments, after its process was killed, goes on after it, with
    the same result to the last bit. The same arguments give the same weights on the same machine.

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
        self._settings, self._seed, self._work = settings, seed, work
        self.lessons: list[Lesson] = []
        self._settled = start is not None
        self._model: TextModel | None = None
        if start is None:
            encoder = Encoder.load(settings.encoder, settings.pooling, settings.layers)
            self._lexicon = Lexicon.fit([], 0, 0)
            heads = ItemHead(encoder.dimension, settings.dimension)
            interest = UserHead(heads.candidate_map.out_features)
        else:
            encoder, self._lexicon, heads = start.encoder, start.lexicon, start.heads
            interest = UserHead.of(start.tower)
        encoder.requires_grad_(False)
        cache = Path(settings.cache).expanduser() if settings.cache else work
        self._check_settings(encoder, cache)
        memory = TextMemory(encoder, texts, settings, cache)
        memory.add_lexicon(self._lexicon)
        self._untuned = Chain(encoder, heads, interest, memory)
        self._published = self._untuned  # until heads learn
        self._tuned: Chain | None = None
        self._weights: list[Tensor] = []
        self._learnt = self._taught = 0  # requests, each once, and those when the encoder learnt last
        self._trial = Trial(settings.tune)
        self._standard = Standard()

    def _check_settings(self, encoder: Encoder, cache: Path) -> None:
        if self._settings.peft:
            check_adapter(self._settings.peft)
        longest = getattr(encoder.network.config, "max_position_embeddings", None)
        if longest is not None and self._settings.max_tokens > longest:
            raise SettingsError(
                f"[text] max_tokens is {self._settings.max_tokens} but the encoder reads at most {longest}; lower it"
            )
        try:
            cache.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SettingsError(f"[text] cache = {str(cache)!r} is no folder to write to ({error})") from error

    @property
    def _reading(self) -> Chain:
        """What reads: what the last lesson kept."""
        return self._tuned if self._tuned is not None and self._trial.tuned else self._untuned

    @property
    def model(self) -> TextModel:
        """What is known by now, the same object until the next lesson; the encoder is the trainer's own."""
        if self._model is None:
            self._model = self._model_of(self._reading, self._standard)
        return self._model

    def untuned(self) -> TextModel | None:
        """Return what learnt on the encoder as it was published, where another reads; None where that one does."""
        if self._reading is self._untuned:
            return None
        return self._model_of(self._untuned, Standard())

    def _model_of(self, chain: Chain, standard: Standard) -> TextModel:
        heads, tower = standard.of(chain.heads, chain.interest)
        return TextModel(chain.encoder, heads, tower, self._settings, self._lexicon)

    def embed(self) -> NDArray[np.float32]:
        """Return the embeddings of all texts, [items, d], as of now; reads the frozen layers' kept output."""
        return self._embed(self._reading.memory)

    def embed_untuned(self) -> NDArray[np.float32]:
        """Return the same by the encoder as it was published."""
        return self._embed(self._untuned.memory)

    def _embed(self, memory: TextMemory) -> NDArray[np.float32]:
        memory.refresh(np.arange(len(memory.tokens)))
        embeddings: NDArray[np.float32] = memory.embeddings.numpy()
        return embeddings[memory.text_of]

    def learn(
        self,
        name: str,
        lists: CodedLists,
        outcomes: Outcomes,
        old: Lists | None = None,
        clicks: Clicks | None = None,
        users: NDArray[np.int64] | None = None,
        again: int = 0,
    ) -> None:
        """Judge what was learnt so far on one block, learn from it, and append to `lessons` what came of it.

        Parameters
        ----------
        name
            Of the block's folder in the working folder.
        lists, outcomes
            Requests in order of time; codes are places in `texts`.
        old
            Older requests, which are judged before and after.
        clicks
            Past clicks, see `recsys.learning.next_clicks.Clicks`; none when left out.
        users
            int64 [requests]; whose request each is, each one's own when left out.
        again
            How many of the first requests were learnt from before, with an earlier block.

        Raises
        ------
        DataError
            When outcomes do not fit the lists, a code has no text, or no candidate with a text is positive.
        ModelError
            When the loss is not a number.
        """
        _check(lists, outcomes, self._settings.epochs, len(self._untuned.memory.text_of))
        settings, folder = self._settings, self._work / name
        self._model = None
        self._learnt += len(lists) - again
        if not self._settled:
            self._settle(lists)
        if not self.lessons:
            self._published = self._untuned.copied()
        subject = self._subject(lists, outcomes, clicks, again)
        texts = subject.texts if old is None else np.union1d(subject.texts, self._untuned.memory.rows(old[0]))
        for chain in (self._untuned, self._tuned):
            if chain is not None:
                chain.memory.refresh(texts)
        old_before = None if old is None else mean(self._reading.aucs(old, settings))
        users = self._learnt - len(lists) + np.arange(len(lists)) if users is None else users
        found = self._judge(lists, outcomes, np.arange(again, len(lists)), users) if self.lessons else None
        share = self._teach(subject, texts, folder)
        found = found or self._judge(lists, outcomes, np.arange(subject.split, len(lists)), users)
        if settings.epochs:
            self._standard = Standard.by(self._reading, subject.held_out if old is None else old, settings)
        old_after = None if old is None else mean(self._reading.aucs(old, settings))
        lesson = Lesson(len(lists), *found, self._kept, share, old_before, old_after)
        write_whole(folder / _LESSON, json.dumps(dataclasses.asdict(lesson)))
        self.lessons.append(lesson)
        logger.debug("%s: %s", name, lesson)

    def _subject(self, lists: CodedLists, outcomes: Outcomes, clicks: Clicks | None, again: int) -> Subject:
        """Bring together what a lesson is about; past clicks that tell nothing are left out."""
        settings, memory = self._settings, self._untuned.memory
        past = None if clicks is None or not settings.next_click else PastClicks.of(clicks, lists.items, settings)
        return Subject.of(lists, outcomes, past if past else None, settings.held_out, memory, again)

    def _teach(self, subject: Subject, texts: NDArray[np.int64], folder: Path) -> float:
        """Let heads learn on the published encoder, and the encoder where it may; say how much of that is kept."""
        settings, seed, passes = self._settings, self._seed, min(self._settings.epochs, self._settings.head_epochs)
        self._untuned.part(
            folder / "heads",
            lambda inside: learn_heads(self._untuned, subject, settings, passes, seed, inside),
            encoder=False,
        )
        return self._tune(subject, texts, passes, folder) if self._encoder_learns else 0.0

    @property
    def _encoder_learns(self) -> bool:
        """Whether the encoder may learn, and there is something that it learns from."""
        settings = self._settings
        own = settings.trainable_layers or self._untuned.encoder.query is not None
        may = settings.tune != "never" and (settings.peft or own)
        return bool(may and settings.epochs and (settings.teacher_epochs or settings.epochs > settings.head_epochs))

    def turns(self, known: Sequence[int]) -> list[bool]:
        """Say in which blocks the encoder learns, by how many requests are known at the end of each."""
        found, taught = list[bool](), 0
        for count in known:
            found.append(self._encoder_learns and count >= _GROWN * taught)
            taught = count if found[-1] else taught
        return found

    def _tune(self, subject: Subject, texts: NDArray[np.int64], passes: int, folder: Path) -> float:
        """Let heads learn on the encoder that learns, and it where it is its turn; say how much of that is kept."""
        settings, seed, share, turn = self._settings, self._seed, 1.0, self._learnt >= _GROWN * self._taught
        if self._tuned is None:
            tuned = self._tuned = self._open()
        else:
            tuned = self._tuned
            again = math.ceil(passes / 3) if turn else passes  # heads follow the encoder again where it learns
            tuned.part(
                folder / "tuned-heads",
                lambda inside: learn_heads(tuned, subject, settings, again, seed, inside),
                encoder=False,
            )
        if not turn:
            return 0.0
        self._taught = self._learnt
        if settings.peft:
            if settings.peft["peft_type"] == "ADALORA" and not (folder / _LESSON).is_file():
                for name in _ADAPTED:  # what it knows of the worth of ranks is in no file
                    shutil.rmtree(folder / name, ignore_errors=True)
            add_adapter(tuned.encoder, settings.peft, self._updates(subject), seed)
            tuned.read(texts)  # a prefix changes every embedding at once
        if settings.teacher_epochs:
            share = learn_texts(tuned, subject, self._weights, settings, seed, folder)
        if settings.epochs > settings.head_epochs:
            tuned.part(
                folder / "together",
                lambda inside: learn_together(tuned, subject, self._weights, settings, seed, inside),
            )
        if settings.peft:
            merge_adapter(tuned.encoder)
        tuned.read(texts)
        return share if self._moved else 0.0

    @property
    def _moved(self) -> bool:
        """Whether the encoder that learns is another one by now; one with a merged adapter always is."""
        if self._tuned is None or self._settings.peft:
            return self._tuned is not None
        pairs = zip(self._weights, learning(self._tuned.encoder), strict=True)
        return not all(torch.equal(before, now) for before, now in pairs)

    def _open(self) -> Chain:
        """Return a twin of what learnt on the published encoder, with an encoder that may learn."""
        tuned = self._untuned.twin(bool(self._settings.peft))
        if not self._settings.peft:
            tuned.encoder.top_layers(self._settings.trainable_layers).requires_grad_(True)
        if tuned.encoder.query is not None:
            tuned.encoder.query.requires_grad_(True)
        self._weights = [each.detach().clone() for each in learning(tuned.encoder)]
        return tuned

    def _judge(
        self, lists: CodedLists, outcomes: Outcomes, requests: NDArray[np.int64], users: NDArray[np.int64]
    ) -> tuple[int, float | None, float | None, float | None, Gain | None]:
        """Judge what learnt on requests that it has not learnt from, and choose what reads from here on."""
        unknown = lists.take(requests), outcomes.take(lists.places(requests))
        published, heads = (chain.aucs(unknown, self._settings) for chain in (self._published, self._untuned))
        judged = int(np.isfinite(heads).sum())
        if self._tuned is None:
            return judged, mean(published), mean(heads), None, None
        tuned = self._tuned.aucs(unknown, self._settings)
        gain = self._trial.judge(heads, tuned, users[requests])
        return judged, mean(published), mean(heads), mean(tuned), gain

    @property
    def _kept(self) -> Kept:
        if self._reading is self._tuned and self._moved:
            return "tuned"
        before, now = self._published.weights(encoder=False), self._reading.weights(encoder=False)
        return "published" if all(torch.equal(now[name], value) for name, value in before.items()) else "heads"

    def _updates(self, subject: Subject) -> int:
        """Return how often the encoder is updated in a block."""
        settings = self._settings
        steps = math.ceil(subject.split / settings.requests_per_step)
        together = math.ceil(steps / settings.steps_per_update) * max(0, settings.epochs - settings.head_epochs)
        texts = math.ceil(min(len(subject.texts), MOST_TEXTS) / settings.texts_per_step) * settings.text_epochs
        return together + (texts if settings.teacher_epochs else 0)

    def _settle(self, lists: CodedLists) -> None:
        """Make the lexicon and the untrained heads from the texts of the first block."""
        settings, chain = self._settings, self._untuned
        memory, encoder = chain.memory, chain.encoder
        rows = memory.rows(lists)
        if not len(rows):
            raise DataError(
                "the text window holds no item with a text whose outcome is known by its end, so there is nothing to "
                "read; move [windows] cuts or fractions"
            )
        if settings.lexicon:
            self._lexicon = Lexicon.fit(memory.texts(rows), settings.lexicon, self._seed)
            memory.add_lexicon(self._lexicon)
        memory.refresh(rows)
        embeddings = memory.embeddings[torch.from_numpy(rows)]
        chain.heads = ItemHead(embeddings.shape[1], settings.dimension)
        chain.interest = UserHead(chain.heads.candidate_map.out_features)
        empty = torch.zeros(embeddings.shape[1])
        empty[: encoder.dimension] = torch.from_numpy(encoder.embed(encoder.tokenize([""], settings.max_tokens))[0])
        chain.heads.settle(embeddings, empty)
        self._settled = True


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
