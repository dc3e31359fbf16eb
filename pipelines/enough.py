"""How much is enough: what tuning gains by the number of lists, and what could be won at most, on simulated worlds.

Text alone is judged on lists in random order. The ceiling is the same user side on the planted facets and topics in
place of texts. Off the lists, the text score is held against the planted utility over all items that were out when the
last window began: the mean of the users' rank correlations.
"""

import argparse
import json
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr

from recsys.data.texts import own_texts
from recsys.data.windows import Windows, place_windows
from recsys.encoders.encoder import Encoder
from recsys.evaluation.evaluation import evaluate_rankers
from recsys.jobs.judging import below_all
from recsys.learning.chain import Chain
from recsys.learning.course import TextCourse, TextLog
from recsys.learning.heads import ItemHead, UserHead
from recsys.learning.memory import TextMemory
from recsys.learning.parts import Subject, learn_heads
from recsys.model.prepared import Prepared, prepare
from recsys.past.lookup import Asked
from recsys.settings import Settings, load_settings
from recsys.vectors.reader import Reader
from recsys.world.calendar import START
from recsys.world.catalogue import NO_FACET, TOPIC_NAMES, Catalogue, make_catalogue
from recsys.world.population import Population, make_population
from recsys.world.sizes import WorldSettings
from recsys.world.taste import utility
from recsys.world.world import make_world

USERS = 500
"""Users whose order of all items is held against the planted one."""
PASSES = 6
"""Of the ceiling, over all lists at once."""


@dataclass(frozen=True)
class Place:
    """A world, cut into windows, and what is planted in it."""

    prepared: Prepared
    windows: Windows
    catalogue: Catalogue
    population: Population

    @classmethod
    def of(cls, lists: int, settings: Settings) -> "Place":
        """Make a world in which so many lists come before the last window."""
        size = WorldSettings()
        size = size.model_copy(update={"requests": round(lists / (1 - size.random_tail))})
        random = np.random.default_rng(size.seed)
        catalogue = make_catalogue(size, random)  # these two as `make_world` draws them
        population = make_population(size, random)
        prepared = prepare(make_world(size).dataset, settings)
        return cls(prepared, place_windows(prepared.dataset.requests, settings.windows), catalogue, population)

    @property
    def begin(self) -> datetime:
        """When the window begins that is judged on."""
        return self.windows.cuts[3]

    def planted(self) -> NDArray[np.float32]:
        """Return facets and topics of items, [items, topics + facets], each row of length 1."""
        facets = np.eye(NO_FACET + 1)[self.catalogue.facets].sum(axis=1)[:, :NO_FACET]
        found = np.hstack([np.eye(len(TOPIC_NAMES))[self.catalogue.topic], facets])
        unit: NDArray[np.float32] = (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)
        return unit

    def learn(self, work: Path) -> dict[str, Reader]:
        """Let texts be learnt from, block after block; give what reads in the end, and heads alone beside it."""
        settings, log = self.prepared.settings, self.prepared.log
        course = TextCourse(self.prepared.dataset, settings.text, settings.seed, self.windows, log, None, work)
        for block in course.blocks:
            course.learn(block)
        untuned = course.untuned_reader(log)
        reader = course.reader(log)
        return {"heads": reader} if untuned is None else {"heads": untuned, "tuned": reader}

    def judge(self, readers: dict[str, Reader]) -> dict[str, object]:
        """Judge text alone on the last window, and off the lists."""
        log = self.prepared.log
        asked = Asked.of(self.windows.of(self.prepared.dataset.requests, "test"), log)
        scores = {
            name: below_all(reader.signals(log, asked.rows, asked.starts).text_score)
            for name, reader in readers.items()
        }
        judged = evaluate_rankers(asked.candidates, scores, {}, "test")
        found: dict[str, object] = {name: round(judged.overall.rankers[name]["AUC"].mean, 4) for name in scores}
        return found | {f"{name}, off the lists": round(self.off_lists(of), 4) for name, of in readers.items()}

    def off_lists(self, reader: Reader) -> float:
        """Return the mean rank correlation of text score and utility over all items that are out."""
        log, ids = self.prepared.log, self.catalogue.item_ids
        seconds = int((self.begin - START).total_seconds())
        out = np.flatnonzero(self.catalogue.published < seconds)
        users = np.random.default_rng(0).choice(len(self.population.joined), USERS, replace=False)
        found = []
        for user in users:
            rows = {"request_id": 0, "user_id": self.population.user_ids[user], "timestamp": self.begin}
            asked = Asked.of(
                pl.DataFrame({"item_id": ids[out]}).with_columns(**{n: pl.lit(v) for n, v in rows.items()}), log
            )
            scores = reader.signals(log, asked.rows, asked.starts).text_score
            items = asked.candidates["item_id"].to_numpy() - ids[0]
            wanted = utility(self.population, self.catalogue, np.array(user), items, np.array(seconds))
            found.append(spearmanr(scores, wanted).statistic)
        return float(np.mean(found))

    def ceiling(self, work: Path) -> float:
        """Return the AUC of the same user side on what is planted, learnt from all lists at once."""
        text, log, dataset = self.prepared.settings.text, self.prepared.log, self.prepared.dataset
        items, texts = own_texts(dataset.items, text.fields, text.template)
        requests = dataset.requests.filter(pl.col("timestamp") < self.begin)
        learnt = TextLog.of(requests, log, items, text)
        judged = TextLog.of(self.windows.of(dataset.requests, "test"), log, items, text)
        encoder = Encoder.load(text.encoder)
        memory = TextMemory(encoder, texts, text.model_copy(update={"trainable_layers": 0}), work)
        planted = torch.from_numpy(self.planted()[items["item_id"].to_numpy() - self.catalogue.item_ids[0]])
        memory.refresh(np.arange(len(memory.tokens)))  # so that nothing embeds them anew
        memory.embeddings = torch.zeros(len(memory.tokens), planted.shape[1])
        memory.embeddings[torch.from_numpy(memory.text_of)] = planted
        heads, tower = ItemHead(planted.shape[1]), UserHead(planted.shape[1])
        heads.settle(memory.embeddings, torch.zeros(planted.shape[1]))
        chain = Chain(encoder, heads, tower, memory)
        subject = Subject.of(learnt.lists, learnt.outcomes, None, text.held_out, memory)
        learn_heads(chain, subject, text, PASSES, self.prepared.settings.seed, work / "ceiling")
        return float(np.nanmean(chain.aucs((judged.lists, judged.outcomes), text)))


def main() -> None:
    """Learn from worlds of several sizes and print what came of each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--config", type=Path, default=Path(__file__).with_name("world.toml"), help="TOML settings file"
    )
    parser.add_argument("--set", action="append", default=[], metavar="section.key=value", help="change one setting")
    parser.add_argument(
        "--lists", type=int, nargs="+", default=[4_000, 16_000, 64_000], help="lists that are learnt from"
    )
    options = parser.parse_args()
    settings = load_settings(options.config, options.set)
    for lists in options.lists:
        place = Place.of(lists, settings)
        with tempfile.TemporaryDirectory() as work:
            found = place.judge(place.learn(Path(work))) | {"ceiling": round(place.ceiling(Path(work)), 4)}
        print(json.dumps({"lists": lists} | found), flush=True)


if __name__ == "__main__":
    main()
