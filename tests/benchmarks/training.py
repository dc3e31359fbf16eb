"""Tokens that fine-tuning sends through the encoder, against encoding every occurrence of every text."""

import tempfile
from pathlib import Path

import numpy as np
import polars as pl

from recsys.encoders.encoder import Encoder
from recsys.encoders.settings import TextSettings
from recsys.learning.course import TextLog
from recsys.learning.training import TextTrainer
from tests.benchmarks.embedding import Corpus

CLICKS = 30
"""Past clicks of every request that the peer encodes."""


def bench_training(corpus: Corpus) -> dict[str, object]:
    """Count unpadded tokens of one fine-tuning pass over all requests, the held-out judgement included."""
    together = {"tune": "always", "epochs": 1, "head_epochs": 0, "teacher_epochs": 0}
    settings = TextSettings.model_validate({"history_length": CLICKS, "steps_per_update": 16, **together})
    shown = TextLog.of(corpus.dataset.requests, corpus.log, corpus.dataset.items.select("item_id"), settings)
    lengths = Encoder.load(settings.encoder).tokenize(corpus.texts, settings.max_tokens).lengths
    codes = np.concatenate([shown.lists.items, shown.lists.history.ravel()])
    everything = int(lengths[codes[codes >= 0]].sum())
    with tempfile.TemporaryDirectory() as work:
        trainer = TextTrainer(corpus.texts, settings, 0, Path(work))
        trainer.learn("block", shown.lists, shown.outcomes)
        log = pl.read_csv(Path(work) / "block/together/log-0/metrics.csv")
    own = int(log["encoded_tokens"].drop_nulls()[0])
    ratio = round(everything / own, 1)
    note = f"{len(shown.lists):,} requests of {corpus.name}: {own:,} tokens a pass against {everything:,}"
    return {"name": "train-tokens", "ratio": ratio, "against": "encoding every occurrence", "note": note}
