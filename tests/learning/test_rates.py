from pathlib import Path

import pytest
import torch
from transformers import ModernBertConfig, ModernBertModel

from recsys.encoders.adapters import add_adapter
from recsys.encoders.encoder import Encoder
from recsys.errors import ModelError
from recsys.learning.rates import draw_back, layer_rates


def rate_of(encoder: Encoder, decay: float, learning_rate: float = 0.1) -> dict[str, float]:
    names = {parameter: name for name, parameter in encoder.named_parameters()}
    groups = layer_rates(encoder, learning_rate, decay)
    found = {names[parameter]: rate for parameters, rate in groups for parameter in parameters}
    assert len(found) == sum(len(parameters) for parameters, _ in groups)
    assert [rate for _, rate in groups] == sorted({rate for _, rate in groups}, reverse=True)
    return found


def test_each_layer_learns_slower_than_the_one_above(tiny_encoder: Path) -> None:
    encoder = Encoder.load(tiny_encoder)
    encoder.requires_grad_(True)
    found = rate_of(encoder, 0.5)
    assert set(found) == {name for name, _ in encoder.named_parameters()}
    for name, rate in found.items():
        layer = int(name.split(".")[3]) if ".layer." in name else -1
        assert rate == pytest.approx({2: 0.1, 1: 0.05, 0: 0.025, -1: 0.0125}[layer]), name


def test_only_learning_weights_are_given(tiny_encoder: Path) -> None:
    encoder = Encoder.load(tiny_encoder)
    assert layer_rates(encoder, 0.1, 0.5) == []
    encoder.top_layers(2).requires_grad_(True)
    assert {name.split(".")[3] for name in rate_of(encoder, 0.5)} == {"1", "2"}


def test_the_query_of_attention_pooling_learns_as_the_top_layer(tiny_encoder: Path) -> None:
    encoder = Encoder.load(tiny_encoder, "attention")
    encoder.top_layers(2).requires_grad_(True)
    assert rate_of(encoder, 0.5)["query"] == 0.1


def test_an_adapter_learns_as_its_layer_and_a_prefix_as_the_top(tiny_encoder: Path) -> None:
    encoder = Encoder.load(tiny_encoder)
    add_adapter(encoder, {"peft_type": "LORA", "r": 2}, 1, 0)
    found = rate_of(encoder, 0.5)
    assert {(name.split("layer.")[1][0], rate) for name, rate in found.items()} == {
        ("0", 0.025),
        ("1", 0.05),
        ("2", 0.1),
    }
    encoder = Encoder.load(tiny_encoder)
    add_adapter(encoder, {"peft_type": "PREFIX_TUNING", "num_virtual_tokens": 2}, 1, 0)
    assert list(rate_of(encoder, 0.5).values()) == [0.1]


def test_a_norm_above_the_layers_learns_as_the_top_layer(tiny_encoder: Path) -> None:
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    network = ModernBertModel(ModernBertConfig(**sizes, vocab_size=9, pad_token_id=0, bos_token_id=1, eos_token_id=2))
    encoder = Encoder(network, Encoder.load(tiny_encoder).tokenizer, "mean").requires_grad_(True)
    found = rate_of(encoder, 0.1, 1.0)
    assert found["network.final_norm.weight"] == 1.0
    assert found["network.embeddings.tok_embeddings.weight"] == pytest.approx(0.01)


def test_without_decay_any_network_has_one_rate(tiny_encoder: Path) -> None:
    encoder = Encoder.load(tiny_encoder).requires_grad_(True)
    encoder.network.config.num_hidden_layers = 9
    assert set(rate_of(encoder, 1.0).values()) == {0.1}
    with pytest.raises(ModelError, match=r"not built as one list of layers; .*layer_decay = 1"):
        layer_rates(encoder, 0.1, 0.9)


def test_weights_are_drawn_back_by_their_distance_and_those_without_a_gradient_are_left_alone() -> None:
    felt, unfelt = (torch.nn.Parameter(torch.tensor([1.0, -2.0])) for _ in range(2))
    felt.grad = torch.tensor([0.5, 0.5])
    draw_back([felt, unfelt], [torch.tensor([0.0, -2.0])] * 2, 0.1)
    assert felt.grad.tolist() == pytest.approx([0.6, 0.5])
    assert unfelt.grad is None
