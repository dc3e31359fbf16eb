"""A training that was killed anywhere ends as if it had not been."""

from pathlib import Path

import numpy as np
import pytest
import torch

from recsys.encoders.settings import TextSettings
from recsys.learning import training
from recsys.learning.blocks import Outcomes
from recsys.learning.learner import TextLearner
from recsys.learning.pupil import TextPupil
from recsys.learning.training import TextTrainer
from recsys.vectors.coded_lists import CodedLists

pytestmark = pytest.mark.slow


LORA = {"peft_type": "LORA", "r": 2, "target_modules": ["query", "value"]}
ADALORA = {"peft_type": "ADALORA", "init_r": 4, "target_r": 2}
PREFIX = {"peft_type": "PREFIX_TUNING", "num_virtual_tokens": 2}

WAYS = {
    "layers": {},
    "frozen": {"tune": "never", "head_epochs": 4},
    "lora": {"peft": LORA},
    "prefix": {"peft": PREFIX},
    "attention": {"pooling": "attention"},
    "early stop": {"patience": 1, "head_learning_rate": 0.01, "epochs": 8},
    "teacher": {"teacher_epochs": 2, "text_epochs": 2, "texts_per_step": 8, "epochs": 1, "tune": "auto"},
    "teacher of an adapter": {"teacher_epochs": 1, "text_epochs": 1, "texts_per_step": 8, "peft": LORA, "epochs": 2},
    "teacher of adaptive ranks": {
        "teacher_epochs": 1,
        "text_epochs": 1,
        "texts_per_step": 8,
        "peft": ADALORA,
        "epochs": 2,
    },
    "average": {"average": 0.9, "leash": 0.01},
}


class Killed(BaseException):
    """Ends a training as a signal would."""


def learn(world, settings: TextSettings, work: Path) -> TextTrainer:
    """Learn from two blocks of many small updates, the second one beside older requests."""
    trainer = TextTrainer(world.texts, settings, 3, work)
    outcomes = Outcomes.of(world.labels)
    requests = np.arange(len(world.lists))
    parts = [
        (world.lists.take(part), outcomes.take(world.lists.places(part))) for part in np.split(requests, [100, 260])
    ]
    clicks = past_clicks(world)
    values = np.where(np.arange(len(clicks)) % 3, clicks.items, np.nan).astype(np.float32)
    trainer.learn("block-0", *parts[0], clicks=(clicks.block(0, 90), values[:90]))
    trainer.learn("block-1", *parts[1], old=parts[2], clicks=(clicks.block(90, len(clicks)), values[90:]))
    return trainer


def past_clicks(world) -> CodedLists:
    """The first choice of each list, as if it were a click that is none on a list."""
    first = [world.lists.starts[row] + np.flatnonzero(of)[0] for row, of in enumerate(np.split(world.labels, world.lists.starts[1:-1])) if of.any()]  # fmt: skip
    users = np.searchsorted(world.lists.starts, first, side="right") - 1
    return CodedLists(
        np.arange(len(first) + 1), world.lists.items[first], world.lists.history[users], world.lists.ages[users]
    )


def weights(trainer: TextTrainer) -> dict[str, torch.Tensor]:
    model = trainer.model
    tower = {name: torch.from_numpy(value) for name, value in vars(model.tower).items()}
    return {**model.encoder.state_dict(), **model.heads.state_dict(), **tower}


def same(one: TextTrainer, other: TextTrainer) -> bool:
    first, second = weights(one), weights(other)
    equal = first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
    return equal and one.lessons == other.lessons and np.array_equal(one.embed(), other.embed())


def killed_at(monkeypatch: pytest.MonkeyPatch, place: object, name: str, call: int) -> None:
    """Let a function raise at its nth call."""
    real, calls = getattr(place, name), [0]

    def counting(*given: object, **named: object) -> object:
        calls[0] += 1
        if calls[0] == call:
            raise Killed
        return real(*given, **named)

    monkeypatch.setattr(place, name, counting)


@pytest.fixture(params=WAYS)
def settings(tiny_settings: TextSettings, request: pytest.FixtureRequest) -> TextSettings:
    few = {"requests_per_step": 20, "steps_per_update": 2, "held_out": 0.2, "patience": 9}
    return tiny_settings.model_copy(update={**few, **WAYS[request.param]})


def killed_and_taken_up(
    world, settings: TextSettings, folder: Path, where: tuple[object, str], calls: tuple[int, ...]
) -> None:
    """Kill a training at some calls of a function, and hold what comes of taking it up against an unbroken one."""
    unbroken = learn(world, settings, folder / "unbroken")
    for call in calls:
        work = folder / f"killed-{call}"
        with pytest.MonkeyPatch.context() as patch:
            killed_at(patch, *where, call)
            with pytest.raises(Killed):
                learn(world, settings, work)
        assert same(learn(world, settings, work), unbroken), f"killed in call {call} of {where[1]}"


def test_a_training_killed_in_any_pass_ends_in_the_same_weights(world, settings: TextSettings, tmp_path: Path) -> None:
    killed_and_taken_up(world, settings, tmp_path, (TextLearner, "training_step"), (1, 3, 5, 7, 9))


@pytest.mark.parametrize("settings", ["teacher", "teacher of an adapter", "teacher of adaptive ranks"], indirect=True)
def test_a_training_killed_while_the_encoder_learns_from_the_teacher_ends_in_the_same_weights(
    world, settings: TextSettings, tmp_path: Path
) -> None:
    killed_and_taken_up(world, settings, tmp_path, (TextPupil, "distance"), (1, 4, 7))


@pytest.mark.parametrize("name", ["mean", "write_whole"])
def test_a_training_killed_between_its_last_pass_and_its_end_ends_in_the_same_weights(
    world, settings: TextSettings, tmp_path: Path, name: str
) -> None:
    calls = (2, 4) if name == "mean" else (1, 2)
    killed_and_taken_up(world, settings, tmp_path, (training, name), calls)


def test_a_checkpoint_that_was_cut_off_counts_as_none(world, tiny_settings: TextSettings, tmp_path: Path) -> None:
    unbroken = learn(world, tiny_settings, tmp_path / "unbroken")
    with pytest.MonkeyPatch.context() as patch:
        killed_at(patch, TextLearner, "training_step", 8)
        with pytest.raises(Killed):
            learn(world, tiny_settings, tmp_path / "cut")
    checkpoint = tmp_path / "cut/block-0/together/last.ckpt"
    checkpoint.write_bytes(checkpoint.read_bytes()[:5000])
    assert same(learn(world, tiny_settings, tmp_path / "cut"), unbroken)


def test_a_part_that_was_cut_off_is_learnt_anew(
    world, tiny_settings: TextSettings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    unbroken = learn(world, tiny_settings, tmp_path)
    for kept in tmp_path.glob("block-*/*/kept.safetensors"):
        kept.write_bytes(kept.read_bytes()[:1000])
    assert same(learn(world, tiny_settings, tmp_path), unbroken)
    assert "that part is learnt anew" in caplog.text


def test_a_training_that_had_stopped_early_is_not_taken_up_again(
    world, tiny_settings: TextSettings, tmp_path: Path
) -> None:
    settings = tiny_settings.model_copy(update={"patience": 1, "head_learning_rate": 1.0, "epochs": 9})
    outcomes = Outcomes.of(world.labels)
    with pytest.MonkeyPatch.context() as patch:
        killed_at(patch, training, "mean", 2)
        with pytest.raises(Killed):
            TextTrainer(world.texts, settings, 3, tmp_path).learn("block", world.lists, outcomes)
    resumed = TextTrainer(world.texts, settings, 3, tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        killed_at(patch, TextLearner, "training_step", 1)
        resumed.learn("block", world.lists, outcomes)
    unbroken = TextTrainer(world.texts, settings, 3, tmp_path / "unbroken")
    unbroken.learn("block", world.lists, outcomes)
    assert same(resumed, unbroken)
