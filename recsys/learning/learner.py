"""The Lightning side of fine-tuning: what happens in an update."""

import logging
import math
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import pytorch_lightning as lightning
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from recsys.encoders.adapters import adapter_penalty, after_update
from recsys.encoders.encoder import Encoder
from recsys.encoders.settings import TextSettings
from recsys.errors import ModelError
from recsys.learning.blocks import Step
from recsys.learning.heads import ItemHead, UserHead
from recsys.learning.losses import (
    binary_cross_entropy,
    has_both,
    in_batch_cross_entropy,
    list_cross_entropy,
    log_inclusion,
    request_auc,
)
from recsys.learning.memory import TextMemory
from recsys.learning.next_clicks import PastClicks
from recsys.learning.rates import draw_back, learning, open_optimizers, set_rates, shared_step

logger = logging.getLogger(__name__)

_LIVE = ("items", "queries")
"""Parts of a step whose texts the encoder learns from."""


class TextLearner(lightning.LightningModule):
    """Learns from updates: many cheap steps of the heads, then one pass through the encoder for all of them.

    The steps read embeddings and collect their gradients per text; the encoder then encodes up to `texts_per_update`
    candidates' texts once more and takes these gradients further down (gradient caching, Gao et al. 2021, "Scaling Deep
    Contrastive Learning Batch Size under Memory Limited Setup"). All other texts, past clicks among them, are read as
    they were embedded before the pass. The encoder's work so grows with distinct texts, not with requests.

    Parameters
    ----------
    encoder, heads, interest
        What learns.
    memory
        Embeddings of all texts.
    settings
        Rates and sizes.
    seed
        Draws the texts of an update.

    Attributes
    ----------
    kept
        float64 [3]; the pass that was kept, held-out AUC before the first pass, and that of the kept pass.
    aucs
        AUCs of the held-out requests, as of the last pass.
    block_texts
        int64; the texts of all requests of the block, in order and each once.
    click_shares
        float32 [items]; of all clicks, how many are on each item code; for the loss `"in_batch"`.
    clicks
        Past clicks that are learnt from beside the requests; None where there are none.
    published
        Weights that those of the encoder that learn are drawn back to; none where `leash` is 0.
    moves
        float32 [block_texts, d]; by how much behaviour moves the encoder's part of each text's embedding; None where
        texts are what the encoder makes of them.
    """

    def __init__(
        self,
        encoder: Encoder,
        heads: ItemHead,
        interest: UserHead,
        memory: TextMemory,
        settings: TextSettings,
        seed: int,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.encoder = encoder
        self.heads = heads
        self.interest = interest
        self.memory = memory
        self.settings = settings
        self.kept: Tensor
        self.register_buffer("kept", torch.tensor([0.0, math.nan, math.nan], dtype=torch.float64))
        self.aucs: list[Tensor] = []
        self.block_texts = np.empty(0, np.int64)
        self.click_shares = torch.empty(0)
        self.clicks: PastClicks | None = None
        self.moves: nn.Parameter | None
        self.register_parameter("moves", None)
        self.published: Sequence[Tensor] = ()
        self._seed = seed
        self._since = time.perf_counter()
        self._updates = 0

    @property
    def _encoder_learns(self) -> bool:
        return self.current_epoch >= self.settings.head_epochs and any(
            parameter.requires_grad for parameter in self.encoder.parameters()
        )

    def texts(self, steps: Sequence[Step], parts: Sequence[str] = ("items", "history", "queries")) -> NDArray[np.int64]:
        """Return the texts of some parts of steps, in order and each once."""
        codes = [getattr(step, part).cpu().numpy().ravel() for step in steps for part in parts]
        used = np.unique(np.concatenate(codes))
        return np.unique(self.memory.text_of[used[used >= 0]])

    def score(self, step: Step, texts: NDArray[np.int64], embeddings: Tensor) -> tuple[Tensor, Tensor]:
        """Return scores [B, C] and which candidates count, bool [B, C].

        Parameters
        ----------
        step
            B requests.
        texts
            int64 [n]; in order, with every text of the step.
        embeddings
            [n, d]; their embeddings.
        """
        present = step.items >= 0
        return self._match(step, self._places(step.items, texts), texts, embeddings), present

    def training_step(self, update: list[Step], number: int) -> None:
        """Learn from one update."""
        encoder_optimizer, head_optimizer = self._optimizers()
        drawn = self._draw_clicks(number, len(update))
        texts = self.texts([*update, *drawn])
        live = self._draw(update, number)
        self.memory.refresh(live)
        embeddings = self.memory.embeddings[texts].to(self.device).requires_grad_(self._encoder_learns)
        losses = []
        with self._unshared():
            for place in range(self._turns(update)):
                self._set_rates(head_optimizer, number + place / len(update))
                head_optimizer.zero_grad()
                if place < len(update):
                    losses.append(self._learn(update[place], drawn[place : place + 1], number, texts, embeddings))
                self._step(head_optimizer)
            self.log("loss", torch.stack(losses).mean(), batch_size=1)
            if self._encoder_learns:
                gradients = torch.zeros_like(embeddings) if embeddings.grad is None else embeddings.grad
                self._set_rates(encoder_optimizer, float(number))
                self._update_encoder(encoder_optimizer, live, gradients[np.searchsorted(texts, live)] / len(update))

    def _draw(self, update: Sequence[Step], number: int) -> NDArray[np.int64]:
        """Choose the texts of an update that the encoder learns from, in order; none while the heads learn alone."""
        if not self._encoder_learns:
            return np.empty(0, np.int64)
        live = self.texts(update, _LIVE)
        most = self.settings.texts_per_update
        if len(live) <= most:
            return live
        random = np.random.default_rng([self._seed, self.current_epoch, number])
        return np.sort(random.choice(live, most, replace=False))

    def _draw_clicks(self, number: int, count: int) -> list[Step]:
        """Draw past clicks for so many steps of an update; none where none are learnt from."""
        if self.clicks is None:
            return []
        return [
            self.clicks.draw(np.random.default_rng([self._seed, self.current_epoch, number, place]))
            for place in range(count)
        ]

    def _learn(
        self, step: Step, drawn: Sequence[Step], number: int, texts: NDArray[np.int64], embeddings: Tensor
    ) -> Tensor:
        """Take the gradient of the loss of a step of update `number`, and of clicks beside it; return the loss."""
        if self.moves is not None:
            moved = self.moves[np.searchsorted(self.block_texts, texts)]
            embeddings = embeddings + torch.nn.functional.pad(moved, (0, embeddings.shape[1] - moved.shape[1]))
        loss = self._loss(step, texts, embeddings)
        for clicks in drawn:
            scores, present = self.score(clicks, texts, embeddings)
            told = list_cross_entropy(
                scores.float() + clicks.given, clicks.labels, present, weights=clicks.labels.amax(dim=1)
            )
            loss = loss + self.settings.next_click * told
        if self.moves is not None:
            loss = loss + self.settings.teacher_leash * (self.moves**2).sum()
        if not torch.isfinite(loss):
            where = f"update {number} of epoch {self.current_epoch}"
            raise ModelError(
                f"the loss is {loss.item()} in {where}; lower [text] learning_rate and head_learning_rate, or set "
                "precision = '32-true'"
            )
        if loss.requires_grad:  # a step without a positive teaches nothing
            self.manual_backward(loss)
        return loss.detach()

    def on_fit_start(self) -> None:
        """Let every process of several devices add up gradients in one order, as the first one does."""
        torch.use_deterministic_algorithms(True)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Forget embeddings by an encoder that knew less than that of the checkpoint."""
        kept = checkpoint["state_dict"]
        if any(not torch.equal(own.cpu(), kept[f"encoder.{name}"]) for name, own in self.encoder.state_dict().items()):
            self.memory.outdate()

    def on_train_epoch_start(self) -> None:
        """Start counting tokens, and read past clicks as the encoder embeds them now."""
        self.memory.encoded_tokens = 0
        self._since = time.perf_counter()
        if self._encoder_learns:
            self.memory.refresh(self.block_texts)

    def on_train_epoch_end(self) -> None:
        """Say how many tokens the pass has cost, its judgement included."""
        tokens = self.memory.encoded_tokens
        self.log("encoded_tokens", float(tokens))
        self.log("tokens_per_second", tokens / max(time.perf_counter() - self._since, 1e-9))
        logger.debug("pass %d: %d tokens encoded", self.current_epoch + 1, tokens)

    def on_validation_epoch_start(self) -> None:
        """Forget what the last pass was worth."""
        self.aucs = []

    def validation_step(self, step: list[Step], number: int) -> None:
        """Collect the AUC of each held-out request."""
        self.aucs.append(self.judge(step))

    @torch.no_grad()
    def judge(self, steps: Sequence[Step]) -> Tensor:
        """Return the AUC of each request of some steps that has positive and other candidates."""
        texts = self.texts(steps)
        self.memory.refresh(texts)
        embeddings = self.memory.embeddings[texts].to(self.device)
        aucs = []
        for step in steps:
            scores, present = self.score(step, texts, embeddings)
            aucs.append(request_auc(scores.float(), _graded(step), present).cpu())
        return torch.cat(aucs)

    def judged(self, step: Step) -> Tensor:
        """Tell which requests of a step have an AUC, bool [B]."""
        return has_both(_graded(step), step.items >= 0)

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """See `recsys.learning.rates.open_optimizers`."""
        optimizers = open_optimizers(
            self.encoder, [*self.heads.parameters(), *self.interest.parameters()], self.settings
        )
        if self.moves is not None:
            rate = self.settings.teacher_rate
            optimizers[-1].add_param_group({"params": [self.moves], "weight_decay": 0.0, "lr": rate, "full_rate": rate})
        return optimizers

    def _optimizers(self) -> tuple[Any, Any]:
        """Return the optimizer of the encoder, None where it does not learn, and that of the heads."""
        found: Any = self.optimizers()
        return tuple(found) if isinstance(found, list) else (None, found)

    def _set_rates(self, optimizer: Any, update: float) -> None:
        """Set the rates at an update of this pass, which may be a part of one."""
        updates = int(self.trainer.num_training_batches)
        done = (self.current_epoch * updates + update + 0.5) / (updates * self.settings.epochs)
        set_rates(optimizer, done, self.settings.warm_up)

    def _unshared(self) -> AbstractContextManager[None]:
        """Keep Lightning's strategy from sharing gradients at every backward pass; `_step` does it, once."""
        wrapped: Any = self.trainer.strategy.model
        found: AbstractContextManager[None] = wrapped.no_sync() if hasattr(wrapped, "no_sync") else nullcontext()
        return found

    def _turns(self, update: Sequence[Step]) -> int:
        """Return how many steps to take: on several devices as many on each, though an update may hold fewer."""
        return len(update) if self.trainer.world_size == 1 else self.settings.steps_per_update

    def _step(self, optimizer: Any) -> None:
        shared_step(self, optimizer, self.settings.clip)

    def _update_encoder(self, optimizer: Any, texts: NDArray[np.int64], gradients: Tensor) -> None:
        """Take the gradients [n, d] of the embeddings of texts [n] through the encoder, each text once."""
        felt = gradients.abs().sum(dim=1).cpu().numpy() > 0
        optimizer.zero_grad()
        for batch, embeddings in self.memory.encode(texts[felt]):
            places = torch.from_numpy(np.searchsorted(texts, batch)).to(gradients.device)
            gradient = gradients[places, : embeddings.shape[1]]  # the lexical part ends here
            self.manual_backward(embeddings, gradient=gradient.to(embeddings.dtype))
        if self.settings.peft:
            penalty = adapter_penalty(self.encoder)
            if penalty.requires_grad:
                self.manual_backward(penalty)
        if self.settings.leash and self.published:
            draw_back(learning(self.encoder), self.published, self.settings.leash)
        self._step(optimizer)
        self._updates += 1
        after_update(self.encoder, self._updates)
        self.memory.outdate()

    def _places(self, codes: Tensor, texts: NDArray[np.int64]) -> Tensor:
        """Return where the texts of item codes of any shape stand in `texts`, 0 for unknown items."""
        text_of = self.memory.text_of[np.maximum(codes.cpu().numpy(), 0)]
        return torch.from_numpy(np.where(codes.cpu().numpy() >= 0, np.searchsorted(texts, text_of), 0)).to(self.device)

    def _match(self, step: Step, shown: Tensor, texts: NDArray[np.int64], embeddings: Tensor) -> Tensor:
        """Return scores [B, C] of the texts at the places `shown`, [B, C]."""
        empty = torch.from_numpy(texts == self.memory.empty).to(self.device)
        embeddings = self.heads.fill(embeddings, empty)
        # Maps are most of the work: each text goes through those alone that the step needs.
        shown_once, shown = torch.unique(shown, return_inverse=True)
        codes = torch.cat([step.history, step.queries.unsqueeze(1)], dim=1)
        read_once, read = torch.unique(self._places(codes, texts), return_inverse=True)
        clicks, queries = read[:, :-1], read[:, -1]
        candidate, clicked = self.heads.candidate(embeddings[shown_once]), self.heads.history(embeddings[read_once])
        interest = self.interest(
            self.interest.similarity(candidate[shown], clicked[clicks]),
            self.interest.attention(clicked)[clicks],
            step.ages,
            step.history >= 0,
        )
        found: Tensor = interest + self.heads.appeal(embeddings[shown_once])[shown]
        if (step.queries >= 0).any():
            asked = clicked[queries] * (step.queries >= 0).unsqueeze(-1)
            match = (candidate[shown] @ asked.unsqueeze(-1)).squeeze(-1)
            found = found + match * self.interest.query_scale
        return found

    def _in_batch_loss(self, step: Step, texts: NDArray[np.int64], embeddings: Tensor) -> Tensor:
        """Each click against the clicks of the other requests of the step."""
        clicked = (step.labels > 0) & (step.items >= 0)
        row, _ = clicked.nonzero(as_tuple=True)
        items, target = torch.unique(step.items[clicked], return_inverse=True)
        if not len(items):
            return torch.zeros((), device=self.device)
        shown = self._places(items.expand(len(step.items), -1), texts)
        scores = self._match(step, shown, texts, embeddings)[row].float()
        own = (step.items[row].unsqueeze(2) == items).any(dim=1)  # what the request showed is no random negative
        own[torch.arange(len(row)), target] = False
        log_probability = log_inclusion(self.click_shares[items], len(row))
        return in_batch_cross_entropy(scores, target, log_probability, own, step.labels[clicked])

    def _loss(self, step: Step, texts: NDArray[np.int64], embeddings: Tensor) -> Tensor:
        if self.settings.loss == "in_batch":
            return self._in_batch_loss(step, texts, embeddings)
        scores, present = self.score(step, texts, embeddings)
        scores = scores.float() + step.given
        if self.settings.loss == "binary":
            return binary_cross_entropy(scores, step.labels, present, step.showings)
        # A request counts as much as its best label; an aggregated one counts as often as it was clicked.
        weights = torch.where(_aggregated(step), step.labels.sum(dim=1), step.labels.amax(dim=1))
        return list_cross_entropy(scores, step.labels, present, step.showings, weights)


def _aggregated(step: Step) -> Tensor:
    """Tell which requests, bool [B], stand for many showings."""
    return (step.showings > 1).any(dim=1)


def _graded(step: Step) -> Tensor:
    """Return labels [B, C]; in aggregated requests 1 where the click rate is above that of the request."""
    rates = step.labels / step.showings.clamp(min=1)
    mean = step.labels.sum(dim=1) / step.showings.sum(dim=1).clamp(min=1)
    return torch.where(_aggregated(step)[:, None], (rates > mean[:, None]).float(), step.labels)
