"""One scale for what texts say, whichever encoder says it."""

import copy
from dataclasses import dataclass

import numpy as np
import torch

from recsys.encoders.settings import TextSettings
from recsys.learning.blocks import Updates
from recsys.learning.chain import Chain, Lists
from recsys.learning.heads import ItemHead, UserHead
from recsys.vectors.user_tower import UserTower


@dataclass(frozen=True)
class Standard:
    """How scores are brought to the scale of a reference: (score - middle) / spread.

    The ranker learns from signals that other encoders gave than the one that it works with. A score keeps its meaning:
    within the lists of the reference it has a standard deviation of 1, and appeal a mean of 0. Interest, appeal and
    the match with the request's own text are divided by one number, so that they still add up to the score.

    Attributes
    ----------
    middle
        Mean appeal of the reference's candidates.
    spread
        Standard deviation of scores within its lists, above 0.
    """

    middle: float = 0.0
    spread: float = 1.0

    @classmethod
    @torch.no_grad()
    def by(cls, chain: Chain, reference: Lists, settings: TextSettings) -> "Standard":
        """Measure what a chain says of the lists of a reference; as it is where they say nothing."""
        learner = chain.learner(settings, 0)
        updates = Updates(*reference, 0, len(reference[0]), settings.requests_per_step, settings.steps_per_update)
        appeals, variances = [np.empty(0)], [np.empty(0)]
        for update in (updates[place] for place in range(len(updates))):
            texts = learner.texts(update)
            embeddings = chain.memory.embeddings[texts]
            for step in update:
                scores, present = learner.score(step, texts, embeddings)
                alone = {"history": torch.full_like(step.history, -1), "queries": torch.full_like(step.queries, -1)}
                appeal, _ = learner.score(step._replace(**alone), texts, embeddings)
                appeals.append(appeal[present].double().numpy())
                known = scores.double().masked_fill(~present, torch.nan)
                apart = known - known.nanmean(dim=1, keepdim=True)
                variances.append((apart**2).nanmean(dim=1)[present.sum(dim=1) > 1].numpy())
        every, variance = np.concatenate(appeals), np.concatenate(variances)
        spread = float(np.sqrt(variance.mean())) if len(variance) else 0.0
        return cls(float(every.mean()), spread) if spread > 1e-6 else cls()

    @torch.no_grad()
    def of(self, heads: ItemHead, interest: UserHead) -> tuple[ItemHead, UserTower]:
        """Return heads and a user tower whose scores are on this scale; those given stay as they are."""
        heads, interest = copy.deepcopy(heads), copy.deepcopy(interest)
        heads.appeal_map.weight.div_(self.spread)
        heads.appeal_map.bias.copy_((heads.appeal_map.bias - self.middle) / self.spread)
        interest.scale.div_(self.spread)
        interest.query_share.div_(self.spread)
        return heads, interest.tower()
