"""The parts of a lesson: heads alone, a teacher made of behaviour, the encoder that learns from it, all together."""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from recsys.encoders.encoder import Encoder
from recsys.encoders.settings import TextSettings
from recsys.files import write_whole
from recsys.learning.blocks import Outcomes, Shuffled, Updates
from recsys.learning.chain import Chain, Lists, put, write_tensors
from recsys.learning.learner import TextLearner
from recsys.learning.lessons import mean
from recsys.learning.memory import TextMemory
from recsys.learning.next_clicks import PastClicks
from recsys.learning.passes import fit, run_passes
from recsys.learning.pupil import TextPupil
from recsys.learning.rates import learning
from recsys.vectors.coded_lists import CodedLists

logger = logging.getLogger(__name__)

_MOVES = "moves.safetensors"
_SHARE = "share.txt"

MOST_TEXTS = 20_000
"""Texts that the encoder learns from in a turn: of more those alone that were seen most and so have good teachers."""

_SHARES = (1.0, 0.75, 0.5)
"""How much of what the encoder learnt may be kept; of equals the first."""


@dataclass(frozen=True, eq=False)
class Subject:
    """What one lesson is about.

    Attributes
    ----------
    lists, outcomes
        Requests in order of time.
    split
        How many of them are learnt from; the others are held out.
    clicks
        Past clicks that are learnt from beside them; None where there are none.
    texts
        int64; the texts of all of these, in order and each once.
    """

    lists: CodedLists
    outcomes: Outcomes
    split: int
    clicks: PastClicks | None
    texts: NDArray[np.int64]

    @classmethod
    def of(
        cls,
        lists: CodedLists,
        outcomes: Outcomes,
        clicks: PastClicks | None,
        held_out: float,
        memory: TextMemory,
        again: int = 0,
    ) -> "Subject":
        """Hold out the last share of requests; the first `again` are learnt from once more and do not count."""
        split = max(1, len(lists) - math.ceil(held_out * (len(lists) - again)))
        texts = memory.rows(lists)
        if clicks is not None:
            texts = np.union1d(texts, memory.text_of[clicks.codes[clicks.codes >= 0]])
        return cls(lists, outcomes, split, clicks, texts)

    @cached_property
    def held_out(self) -> Lists:
        """The requests that nothing learns from; perhaps none."""
        requests = np.arange(self.split, len(self.lists))
        return self.lists.take(requests), self.outcomes.take(self.lists.places(requests))

    def seen(self, memory: TextMemory) -> Tensor:
        """Count how often each text was shown, or clicked in the past: float32 [texts]."""
        shown = self.lists.items[: self.lists.starts[self.split]]
        codes = shown if self.clicks is None else np.concatenate([shown, self.clicks.lists.items])
        counts = np.bincount(memory.text_of[codes[codes >= 0]], minlength=len(memory.tokens))
        return torch.from_numpy(counts.astype(np.float32))


def learn_heads(chain: Chain, subject: Subject, settings: TextSettings, passes: int, seed: int, folder: Path) -> None:
    """Let heads and user tower learn from requests, on the encoder as it is."""
    if passes:
        alone = settings.model_copy(update={"epochs": passes, "head_epochs": passes})
        _pass(_learner(chain, subject, alone, seed), subject, seed, folder)


def learn_together(
    chain: Chain, subject: Subject, published: list[Tensor], settings: TextSettings, seed: int, folder: Path
) -> None:
    """Let encoder and heads learn together from requests, in the passes that are not of the heads alone."""
    passes = settings.epochs - settings.head_epochs
    learner = _learner(chain, subject, settings.model_copy(update={"epochs": passes, "head_epochs": 0}), seed)
    learner.published = published
    _pass(learner, subject, seed, folder)


def learn_texts(
    chain: Chain, subject: Subject, published: list[Tensor], settings: TextSettings, seed: int, folder: Path
) -> float:
    """Make a teacher of behaviour and let the encoder learn from it; heads follow.

    Returns
    -------
    How much of what the encoder learnt is kept; the rest is as it was published.
    """
    chain.part(folder / "teacher", lambda inside: _teach(chain, subject, settings, seed, inside))
    chain.part(
        folder / "texts", lambda inside: _follow_teacher(chain, subject, published, settings, seed, inside, folder)
    )
    chain.read(subject.texts)
    again = math.ceil(min(settings.epochs, settings.head_epochs) / 3)
    chain.part(
        folder / "heads-again", lambda inside: learn_heads(chain, subject, settings, again, seed, inside), encoder=False
    )
    return float((folder / "texts" / _SHARE).read_text())


def _learner(chain: Chain, subject: Subject, settings: TextSettings, seed: int) -> TextLearner:
    """Return what learns from the requests and past clicks of a block."""
    learner = chain.learner(settings, seed)
    learner.block_texts, learner.clicks = subject.texts, subject.clicks
    learnt = subject.lists.starts[subject.split]
    shown, labels = subject.lists.items[:learnt], subject.outcomes.labels[:learnt]
    learner.click_shares = _click_shares(shown, labels, len(chain.memory.text_of))
    return learner


def _pass(learner: TextLearner, subject: Subject, seed: int, folder: Path) -> None:
    """Run the passes over a block; where texts move by themselves nothing chooses among them."""
    settings = learner.settings
    size, steps = settings.requests_per_step, settings.steps_per_update
    lists, outcomes, end = subject.lists, subject.outcomes, len(subject.lists)
    shown = Updates(lists, outcomes, 0, subject.split, size, steps, settings.popularity)
    held_out = Updates(lists, outcomes, subject.split if learner.moves is None else end, end, size, steps)
    run_passes(learner, shown, held_out, seed, folder)


def _teach(chain: Chain, subject: Subject, settings: TextSettings, seed: int, folder: Path) -> None:
    """Let every text of the block have an embedding of its own, and write by how much they moved."""
    passes = {"epochs": settings.teacher_epochs, "head_epochs": settings.teacher_epochs, "average": 0.0}
    slower = {"head_learning_rate": settings.head_learning_rate / 3}
    learner = _learner(chain, subject, settings.model_copy(update=passes | slower), seed)
    learner.moves = nn.Parameter(torch.zeros(len(subject.texts), chain.encoder.dimension))
    _pass(learner, subject, seed, folder)
    write_tensors(folder / _MOVES, {"moves": learner.moves.detach()})


def _follow_teacher(
    chain: Chain,
    subject: Subject,
    published: list[Tensor],
    settings: TextSettings,
    seed: int,
    folder: Path,
    lesson: Path,
) -> None:
    """Let the encoder learn what the teacher says, and keep as much of it as is best on held-out requests."""
    memory, dimension = chain.memory, chain.encoder.dimension
    taught = memory.embeddings[:, :dimension].clone()
    taught[torch.from_numpy(subject.texts)] += load_file(lesson / "teacher" / _MOVES)["moves"]
    learn_from(taught, subject.seen(memory), chain.encoder, memory, published, settings, seed, folder)
    write_whole(folder / _SHARE, str(_choose_share(chain, subject, published, settings)))


def learn_from(
    teacher: Tensor,
    seen: Tensor,
    encoder: Encoder,
    memory: TextMemory,
    published: Sequence[Tensor],
    settings: TextSettings,
    seed: int,
    folder: Path,
) -> None:
    """Let an encoder learn from a teacher, whose embeddings are float32 [texts, d]; see `TextPupil`."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = settings.model_copy(update={"epochs": settings.text_epochs})
    pupil = TextPupil(encoder, memory, teacher, seen, published, settings)
    rows = TensorDataset(torch.from_numpy(_most_seen(seen.numpy(), MOST_TEXTS)))
    texts = DataLoader(rows, batch_size=settings.texts_per_step, sampler=Shuffled(len(rows), seed))
    fit(pupil, memory, texts, None, [], settings, folder)
    memory.outdate()


def _most_seen(seen: NDArray[np.float32], most: int) -> NDArray[np.int64]:
    """Return the texts that were seen at all, in order; of more than `most` those that were seen most."""
    rows = np.flatnonzero(seen > 0)
    return np.sort(rows[np.argsort(-seen[rows], kind="stable")[:most]])


def _choose_share(chain: Chain, subject: Subject, published: list[Tensor], settings: TextSettings) -> float:
    """Put the encoder between the published and the learnt weights where held-out requests are told best.

    Wortsman et al. (2022), "Robust Fine-tuning of Zero-shot Models". Adapters are kept whole.
    """
    lists, outcomes = subject.held_out
    if settings.peft or not len(lists):
        return 1.0
    weights = learning(chain.encoder)
    learnt = [each.detach().clone() for each in weights]
    texts, best = chain.memory.rows(lists), (-math.inf, 1.0)
    for share in _SHARES:
        put(weights, [torch.lerp(before, after, share) for before, after in zip(published, learnt, strict=True)])
        chain.read(texts)
        auc = mean(chain.aucs((lists, outcomes), settings))
        logger.debug("a share of %.2f of what the encoder learnt: AUC %s", share, auc)
        if auc is not None and auc > best[0]:
            best = auc, share
    put(weights, [torch.lerp(before, after, best[1]) for before, after in zip(published, learnt, strict=True)])
    return best[1]


def _click_shares(shown: NDArray[np.int32], labels: NDArray[np.float32], items: int) -> Tensor:
    """Return which part of all clicks is on each item code, float32 [items]."""
    counts = np.bincount(shown[(labels > 0) & (shown >= 0)], minlength=items)
    return torch.from_numpy((counts / max(1, counts.sum())).astype(np.float32))
