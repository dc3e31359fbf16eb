import logging
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from pytorch_lightning.loggers import CSVLogger

import recsys.progress
from recsys.encoders.settings import TextSettings
from recsys.errors import SettingsError
from recsys.learning.blocks import Outcomes
from recsys.learning.learner import TextLearner
from recsys.learning.passes import open_logger
from recsys.learning.training import TextTrainer, fit_text


def test_keeps_the_untrained_model_when_training_makes_it_worse(world, tiny_settings: TextSettings) -> None:
    settings = tiny_settings.model_copy(update={"held_out": 0.5, "patience": 1, "head_learning_rate": 0.3})
    half = world.lists.starts[len(world.lists) // 2]
    turned = np.where(np.arange(len(world.labels)) < half, 1 - world.labels, world.labels)
    untrained, trained = (
        fit_text(
            world.texts,
            world.lists,
            Outcomes.of(turned.astype(np.float32)),
            settings.model_copy(update={"epochs": epochs}),
            0,
        )
        for epochs in (0, 3)
    )
    for old, new in zip(untrained.heads.parameters(), trained.heads.parameters(), strict=True):
        assert torch.equal(old, new)


def test_keeps_the_last_pass_when_nothing_is_held_out_that_can_be_judged(world, tiny_settings: TextSettings) -> None:
    labels = world.labels.copy()
    labels[world.lists.starts[-31] :] = 0
    settings = tiny_settings.model_copy(update={"epochs": 2, "patience": 1})
    model = fit_text(world.texts, world.lists, Outcomes.of(labels), settings, 0)
    assert model.heads.appeal_map.weight.abs().sum() > 0


def test_without_held_out_requests_the_last_pass_is_kept(world, tiny_settings: TextSettings, tmp_path: Path) -> None:
    settings = tiny_settings.model_copy(update={"epochs": 2, "held_out": 0.0})
    trainer = TextTrainer(world.texts, settings, 0, tmp_path)
    trainer.learn("block", world.lists, Outcomes.of(world.labels))
    (lesson,) = trainer.lessons
    assert (lesson.judged, lesson.tuned, lesson.requests) == (0, None, len(world.lists))
    assert lesson.kept == "tuned"  # always
    assert trainer.model.heads.appeal_map.weight.abs().sum() > 0


def test_training_stops_when_no_pass_gets_better(world, tiny_settings: TextSettings, tmp_path: Path) -> None:
    settings = tiny_settings.model_copy(
        update={"patience": 2, "head_learning_rate": 0.0, "learning_rate": 0.0, "epochs": 9}
    )
    trainer = TextTrainer(world.texts, settings, 0, tmp_path)
    trainer.learn("block", world.lists, Outcomes.of(world.labels))
    assert trainer.lessons[0].heads == trainer.lessons[0].published
    passes = pl.read_csv(tmp_path / "block/together/log-0/metrics.csv")["encoded_tokens"].drop_nulls()
    assert len(passes) == 2


def test_the_auc_of_the_kept_pass_is_the_one_that_was_logged(
    world, tiny_settings: TextSettings, tmp_path: Path
) -> None:
    trainer = TextTrainer(world.texts, tiny_settings.model_copy(update={"held_out": 0.3}), 0, tmp_path)
    trainer.learn("block", world.lists, Outcomes.of(world.labels))
    for part, found in (("heads", trainer.lessons[0].heads), ("together", trainer.lessons[0].tuned)):
        logged = pl.read_csv(tmp_path / f"block/{part}/log-0/metrics.csv")["auc"].drop_nulls().to_list()
        assert found == pytest.approx(max(logged), abs=1e-6)


def test_one_step_counts_the_updates_of_all_passes(world, tiny_settings: TextSettings, monkeypatch, caplog) -> None:
    monkeypatch.setattr(recsys.progress, "EVERY", 0.0)
    settings = tiny_settings.model_copy(update={"epochs": 2, "head_epochs": 2, "patience": 9, "requests_per_step": 32})
    with caplog.at_level(logging.INFO, logger="recsys.progress"):
        fit_text(world.texts, world.lists, Outcomes.of(world.labels), settings, 0)
    told = [message for message in caplog.messages if message.startswith("passes: ")]
    number = int(told[-1].split()[3])
    assert number > 2
    counted = [int(message.split()[1]) for message in told if ";" not in message]
    assert counted == [*range(1, number + 1)]


def test_each_attempt_has_a_log_of_its_own(tmp_path: Path) -> None:
    for attempt in range(2):
        log = open_logger("csv", tmp_path)
        assert isinstance(log, CSVLogger)
        log.log_metrics({"loss": 1.0 + attempt}, step=0)
        log.save()
    assert (tmp_path / "log-0/metrics.csv").read_text().splitlines() == ["loss,step", "1.0,0"]
    assert (tmp_path / "log-1/metrics.csv").read_text().splitlines() == ["loss,step", "2.0,0"]


@pytest.mark.parametrize("name", ["tensorboard", "wandb"])
def test_a_logger_that_is_not_installed_says_what_to_type(name, tmp_path: Path) -> None:
    if find_spec(name):
        pytest.skip(f"{name} is installed")
    with pytest.raises(SettingsError, match=rf"logger is '{name}', which is not installed; type: pip install {name}"):
        open_logger(name, tmp_path)


@pytest.mark.parametrize("count", [1, 2])
def test_as_many_threads_are_told_as_the_process_was_given(count: int) -> None:
    program = "from recsys.learning.passes import threads; print(threads())"
    environment = os.environ | {"OMP_NUM_THREADS": str(count)}
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, env=environment)
    assert done.stdout == f"{count}\n"


def test_a_mean_of_weights_is_judged_and_kept_and_learning_goes_on_from_the_last_ones(
    world, tiny_settings: TextSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Held against the mean by its formula, taken from the weights after each update."""
    settings = tiny_settings.model_copy(
        update={"epochs": 2, "head_epochs": 2, "average": 0.5, "held_out": 0.0, "tune": "never"}
    )
    step, mean, count = TextLearner.training_step, {}, [0]

    def watched(learner: TextLearner, update: list, number: int) -> None:
        step(learner, update, number)
        decay = min(0.5, (1 + count[0]) / (10 + count[0]))
        count[0] += 1
        for name, value in learner.heads.named_parameters():
            mean[name] = decay * mean.get(name, value.detach().clone()) + (1 - decay) * value.detach()

    monkeypatch.setattr(TextLearner, "training_step", watched)
    trainer = TextTrainer(world.texts, settings, 0, tmp_path)
    trainer.learn("block", world.lists, Outcomes.of(world.labels))
    for name, value in trainer._untuned.heads.named_parameters():
        assert torch.allclose(value, mean[name], atol=1e-5), name


def test_the_kept_pass_of_averaged_weights_is_the_one_that_was_judged(
    world, tiny_settings: TextSettings, tmp_path: Path
) -> None:
    settings = tiny_settings.model_copy(update={"average": 0.9, "held_out": 0.3})
    trainer = TextTrainer(world.texts, settings, 0, tmp_path)
    trainer.learn("block", world.lists, Outcomes.of(world.labels))
    logged = pl.read_csv(tmp_path / "block/together/log-0/metrics.csv")["auc"].drop_nulls().to_list()
    assert trainer.lessons[0].tuned == pytest.approx(max(logged), abs=1e-6)
