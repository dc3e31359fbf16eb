"""The parts of a lesson: behaviour makes a teacher, the encoder learns from it, and texts nobody has seen gain."""

import itertools
import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from recsys.encoders.settings import TextSettings
from recsys.learning.blocks import Outcomes
from recsys.learning.memory import TextMemory
from recsys.learning.next_clicks import PastClicks
from recsys.learning.parts import Subject, _click_shares, _most_seen
from recsys.learning.training import TextTrainer
from recsys.vectors.coded_lists import CodedLists


@pytest.fixture
def taught(tiny_settings: TextSettings) -> TextSettings:
    changes = {
        "epochs": 2, "head_epochs": 2, "head_learning_rate": 1e-3, "held_out": 0.3, "tune": "auto", "learning_rate": 3e-3,
        "teacher_epochs": 20, "teacher_rate": 1e-2, "text_epochs": 8, "texts_per_step": 4,
    }  # fmt: skip
    return TextSettings.model_validate({**tiny_settings.model_dump(), **changes})


def test_an_encoder_that_is_taught_reads_better_than_heads_alone_and_is_kept(
    world, taught: TextSettings, tmp_path: Path
) -> None:
    trainer = TextTrainer(world.texts, taught, 0, tmp_path)
    trainer.learn("block", world.lists, Outcomes.of(world.labels))
    (lesson,) = trainer.lessons
    assert lesson.kept == "tuned"
    assert lesson.tuned > lesson.heads >= lesson.published > 0.5
    assert trainer.untuned() is not None
    assert lesson.gain is not None
    assert lesson.gain[0] == pytest.approx(lesson.tuned - lesson.heads, abs=1e-6)


def test_what_tuning_makes_worse_is_left_to_the_published_encoder(world, taught: TextSettings, tmp_path: Path) -> None:
    """The requests that are learnt from say the contrary of those held out."""
    half = world.lists.starts[len(world.lists) // 2]
    turned = np.where(np.arange(len(world.labels)) < half, 1 - world.labels, world.labels).astype(np.float32)
    trainer = TextTrainer(world.texts, taught.model_copy(update={"held_out": 0.5}), 0, tmp_path)
    trainer.learn("block", world.lists, Outcomes.of(turned))
    (lesson,) = trainer.lessons
    assert lesson.kept == "published"
    assert lesson.heads == lesson.published > lesson.tuned
    assert trainer.untuned() is None


def test_a_later_block_is_judged_before_it_is_learnt_from(world, taught: TextSettings, tmp_path: Path) -> None:
    """Its requests say the contrary of those before, which are read again and judge nothing."""
    trainer = TextTrainer(world.texts, taught, 0, tmp_path)
    trainer.learn("block-0", world.lists, Outcomes.of(world.labels))
    both = np.concatenate([np.arange(10), np.arange(len(world.lists))])
    lists = world.lists.take(both)
    labels = np.concatenate([world.labels[: world.lists.starts[10]], 1 - world.labels])
    trainer.learn("block-1", lists, Outcomes.of(labels), again=10)
    first, second = trainer.lessons
    clicks = np.add.reduceat(world.labels, world.lists.starts[:-1])
    assert second.judged == ((clicks > 0) & (clicks < world.lists.lengths)).sum()
    assert second.heads < 0.4 < first.heads
    assert second.tuned < second.heads
    assert (first.kept, second.kept) == ("tuned", "heads")


def test_the_encoder_learns_anew_when_twice_as_many_requests_are_known(
    world, taught: TextSettings, tmp_path: Path
) -> None:
    """Four blocks of as many new requests; those that are read again do not count. Heads learn in each."""
    quick = taught.model_copy(update={"teacher_epochs": 2, "text_epochs": 1, "tune": "always", "held_out": 0.0})
    trainer, outcomes = TextTrainer(world.texts, quick, 0, tmp_path), Outcomes.of(world.labels)
    parts = np.split(np.arange(len(world.lists)), 4)
    encoders, heads = [], []
    for number, part in enumerate(parts):
        read = np.concatenate([*parts[:number][-1:], part])
        places = world.lists.places(read)
        trainer.learn(f"block-{number}", world.lists.take(read), outcomes.take(places), again=len(read) - len(part))
        model = trainer.model
        encoders.append(next(iter(model.encoder.top_layers(1).parameters())).detach().clone())
        heads.append(model.heads.candidate_map.weight.detach().clone())
    assert [lesson.share > 0 for lesson in trainer.lessons] == [True, True, False, True]
    assert [torch.equal(one, next_) for one, next_ in itertools.pairwise(encoders)] == [False, True, False]
    assert not any(torch.equal(one, next_) for one, next_ in itertools.pairwise(heads))


def test_what_is_read_again_is_not_held_out_and_does_not_count(
    world, tiny_settings: TextSettings, tmp_path: Path
) -> None:
    """Ten of thirty requests are new, and a fifth of them is held out."""
    from recsys.encoders.encoder import Encoder

    memory = TextMemory(Encoder.load(tiny_settings.encoder), world.texts, tiny_settings, tmp_path)
    lists = world.lists.block(0, 30)
    block = Subject.of(lists, Outcomes.of(world.labels[: lists.starts[-1]]), None, 0.2, memory, again=20)
    assert (block.split, len(block.held_out[0])) == (28, 2)


def test_held_out_labels_are_not_counted_among_the_clicks_that_are_learnt_from(
    world, taught: TextSettings, tmp_path: Path
) -> None:
    """The loss of the step is corrected by how often items are clicked, which held-out requests must not tell."""
    settings = taught.model_copy(update={"loss": "in_batch", "tune": "never", "held_out": 0.3, "patience": 9})
    split = len(world.lists) - math.ceil(0.3 * len(world.lists))
    learnt = np.arange(len(world.labels)) < world.lists.starts[split]
    losses = []
    for name, labels in (("one", world.labels), ("other", np.where(learnt, world.labels, 1 - world.labels))):
        TextTrainer(world.texts, settings, 0, tmp_path / name).learn("block", world.lists, Outcomes.of(labels))
        log = pl.read_csv(tmp_path / name / "block/heads/log-0/metrics.csv")
        losses.append(log["loss"].drop_nulls().to_list())
    assert losses[0] == losses[1]


def test_of_many_texts_those_are_learnt_from_that_were_seen_most() -> None:
    seen = np.array([0, 3, 1, 0, 3, 2], np.float32)
    assert _most_seen(seen, 10).tolist() == [1, 2, 4, 5]
    assert _most_seen(seen, 3).tolist() == [1, 4, 5]
    assert _most_seen(seen, 1).tolist() == [1]


def test_a_block_holds_out_its_last_requests_and_counts_what_was_seen_before_them(
    world, tiny_settings: TextSettings, tmp_path: Path
) -> None:
    from recsys.encoders.encoder import Encoder

    memory = TextMemory(Encoder.load(tiny_settings.encoder), world.texts, tiny_settings, tmp_path)
    lists = world.lists.block(0, 10)
    clicks = CodedLists(np.array([0, 1]), np.array([7], np.int32), np.array([[39]], np.int32), np.zeros((1, 1), "f4"))
    past = PastClicks.of((clicks, np.full(1, np.nan, np.float32)), lists.items, tiny_settings)
    block = Subject.of(lists, Outcomes.of(world.labels[:60]), past, 0.25, memory)
    assert block.split == 7
    held_out, outcomes = block.held_out
    assert held_out.items.tolist() == lists.items[42:].tolist()
    assert outcomes.labels.tolist() == world.labels[42:60].tolist()
    seen = np.bincount(memory.text_of[lists.items[:42]], minlength=len(memory.tokens))
    seen[memory.text_of[7]] += 1
    assert block.seen(memory).tolist() == seen.tolist()
    assert memory.text_of[39] in block.texts


def nothing(requests: int) -> tuple[np.ndarray, np.ndarray]:
    return np.full((requests, 1), -1, np.int32), np.zeros((requests, 1), np.float32)


def test_click_shares_are_of_clicks_on_known_items(world) -> None:
    lists = CodedLists(np.array([0, 3, 5]), np.array([0, 1, -1, 1, 2], np.int32), *nothing(2))
    outcomes = Outcomes.of(np.array([1, 0, 1, 1, 1]))
    assert _click_shares(lists.items, outcomes.labels, 4).tolist() == pytest.approx([1 / 3, 1 / 3, 1 / 3, 0])
