"""Embedding item texts: speed, agreement and what is lost in AUC, each backend against sentence-transformers."""

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata
from sentence_transformers import SentenceTransformer

from recsys.compiled import thread_count
from recsys.data.importers import read_source
from recsys.data.tables import Dataset
from recsys.data.texts import item_texts
from recsys.encoders import DEFAULT_ENCODER
from recsys.encoders.backends.choice import make_backend
from recsys.encoders.encoder import Encoder
from recsys.encoders.settings import Backend, TextSettings
from recsys.encoders.sources import find_encoder
from recsys.encoders.text_reader import TextReader
from recsys.learning.course import TextLog
from recsys.learning.heads import ItemHead, UserHead
from recsys.learning.text_model import TextModel
from recsys.model.prepared import behaviour_of
from recsys.past.behaviour import Kept
from recsys.past.log import Log
from recsys.settings import Settings
from recsys.vectors.item_vectors import ItemVectors
from recsys.world import WorldSettings, make_world

EBNERD = Path("../shared/data/ebnerd_demo")
DAY = datetime(2023, 5, 23, 7, tzinfo=UTC)
"""Start of the day before the last, on which AUC is measured."""

PEER = "SentenceTransformer.encode"

LEAST_COSINE, MOST_AUC = 0.99, 0.002
"""A backend counts as faithful, and the fastest such one is reported, within this mean cosine and difference in AUC."""

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Corpus:
    """Texts to embed, and requests of one day to tell how good embeddings are."""

    name: str
    dataset: Dataset
    texts: list[str]
    log: Log
    day: TextLog

    def auc(self, embeddings: Floats) -> float:
        """Mean AUC per request of the centred cosine of a candidate to the mean of the last 50 clicks."""
        vectors = embeddings - embeddings.mean(axis=0)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        lists, found = self.day.lists, []
        for request, (first, last) in enumerate(zip(lists.starts[:-1], lists.starts[1:], strict=True)):
            clicks, items = lists.history[request], lists.items[first:last]
            clicks, clicked = clicks[clicks >= 0], self.day.outcomes.labels[first:last][items >= 0] > 0
            if len(clicks) and clicked.any() and not clicked.all():
                ranks = rankdata(vectors[items[items >= 0]] @ vectors[clicks].mean(axis=0))
                count = clicked.sum()
                above = ranks[clicked].sum() - count * (count + 1) / 2
                found.append(above / (count * (len(ranks) - count)))
        return float(np.mean(found))


@dataclass(frozen=True)
class Run:
    """One way to embed the corpus."""

    name: str
    embed: Callable[[Sequence[str]], Floats]


def read_corpus() -> Corpus:
    """Read EB-NeRD where it lies beside the checkout, else simulate a world."""
    if EBNERD.is_dir():
        name, dataset, start = "EB-NeRD", read_source("ebnerd", EBNERD), DAY
    else:
        dataset = make_world(WorldSettings(items=5_279, users=2_000, requests=20_000)).dataset
        name, start = "simulated", dataset.requests["timestamp"].max() - timedelta(days=2)
    settings = Settings()
    dataset = dataset.plain()
    texts = item_texts(dataset.items, settings.text.fields)
    log = Log(behaviour_of(dataset, Kept()), settings.clock, settings.text.history)
    inside = pl.col("timestamp").is_between(start, start + timedelta(days=1), closed="left")
    day = TextLog.of(dataset.requests.filter(inside), log, dataset.items.select("item_id"), settings.text)
    return Corpus(name, dataset, texts, log, day)


def best_of(runs: Sequence[Run], texts: Sequence[str], rounds: int) -> dict[str, tuple[float, Floats]]:
    """Return seconds and embeddings of each; rounds take turns, and the one that was disturbed least counts."""
    found: dict[str, tuple[float, Floats]] = {}
    for each in runs:
        each.embed(texts[:64])
    for _ in range(rounds):
        for each in runs:
            started = time.perf_counter()
            embeddings = each.embed(texts)
            taken = time.perf_counter() - started
            found[each.name] = min(taken, found.get(each.name, (np.inf,))[0]), embeddings
    return found


def bench_embedding(corpus: Corpus) -> list[dict[str, object]]:
    """Embed, embed again after a change, and embed with the static table; prints a line per backend."""
    torch.set_num_threads(thread_count())
    folder = find_encoder(DEFAULT_ENCODER)
    peer = SentenceTransformer(str(folder), device="cpu")
    limit = int(peer.max_seq_length)

    def run(backend: Backend, layers: int = 0) -> Run:
        settings = TextSettings(backend=backend, max_tokens=limit, layers=layers)
        made, _ = make_backend(Encoder.load(folder, layers=layers), settings, corpus.texts)
        return Run(f"{backend}, first {layers} layers" if layers else backend, made.embed)

    quick = [Run(PEER, peer.encode), run("onnx"), run("openvino"), run("static")]
    slow = [run("torch"), run("bf16"), run("torch", 3)]
    found = {**best_of(quick, corpus.texts, 2), **best_of(slow, corpus.texts, 1)}
    base_seconds, base = found[PEER]
    base_auc = corpus.auc(base)
    told, faithful = {}, []
    for name, (taken, embeddings) in found.items():
        cosine, auc = float((embeddings * base).sum(axis=1).mean()), corpus.auc(embeddings)
        told[name] = (
            f"{taken:.2f} s against {base_seconds:.2f} s, mean cosine {cosine:.4f}, text AUC {auc:.4f} against {base_auc:.4f}"
        )
        print(f"{name}: {base_seconds / taken:.1f} x, {told[name]}", flush=True)
        if name != PEER and cosine >= LEAST_COSINE and abs(auc - base_auc) <= MOST_AUC:
            faithful.append((taken, name))
    corpus_note = f"{len(corpus.texts):,} {corpus.name} texts ({len(set(corpus.texts)):,} distinct), {limit} tokens at most, {thread_count()} threads"
    rows: list[dict[str, object]] = [
        {
            "name": name,
            "ratio": round(base_seconds / found[backend][0], 1),
            "against": PEER,
            "note": f"backend {backend}, {corpus_note}: {told[backend]}",
        }
        for name, backend in (("embed", min(faithful)[1]), ("static", "static"))
    ]
    return [*rows, bench_change(corpus, folder, limit)]


def bench_change(corpus: Corpus, folder: Path, limit: int) -> dict[str, object]:
    """Bring vectors up to date after 1 % of the texts changed, against encoding the whole catalogue."""
    encoder = Encoder.load(folder)
    heads = ItemHead(encoder.dimension)
    settings = TextSettings(backend="onnx", max_tokens=limit)
    with tempfile.TemporaryDirectory() as target:
        TextModel(encoder, heads, UserHead(encoder.dimension).tower(), settings).save(Path(target))
        reader = TextReader.load(target)
    items = corpus.dataset.items
    nothing = ItemVectors.of_nothing(reader.identity, encoder.dimension)
    changed = (pl.int_range(pl.len()) % 100 == 0) & pl.col("title").is_not_null()
    after = items.with_columns(title=pl.when(changed).then(pl.col("title") + " (opdateret)").otherwise("title"))
    whole = part = np.inf
    for _ in range(2):
        started = time.perf_counter()
        vectors = nothing.update(items.select("item_id"), item_texts(items, settings.fields), reader.encode)
        between = time.perf_counter()
        vectors.update(after.select("item_id"), item_texts(after, settings.fields), reader.encode)
        whole, part = min(whole, between - started), min(part, time.perf_counter() - between)
    count = items.select(changed.sum()).item()
    note = f"{count} of {len(items):,} {corpus.name} texts changed, backend onnx: {part:.2f} s against {whole:.2f} s"
    return {"name": "reembed", "ratio": round(whole / part, 1), "against": "encoding every text", "note": note}
