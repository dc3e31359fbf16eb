from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import (
    AutoModel,
    DistilBertConfig,
    DistilBertModel,
    ModernBertConfig,
    ModernBertModel,
    MPNetConfig,
    MPNetModel,
    PreTrainedModel,
    RobertaConfig,
    RobertaModel,
)

from recsys.encoders.layers import find_layers, keep_first, top_of
from recsys.errors import ModelError

SIZES = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32, "vocab_size": 30}
NETWORKS: dict[str, Callable[[], PreTrainedModel]] = {
    "roberta": lambda: RobertaModel(RobertaConfig(**SIZES, pad_token_id=1), add_pooling_layer=False),
    "mpnet": lambda: MPNetModel(MPNetConfig(**SIZES), add_pooling_layer=False),
    "distilbert": lambda: DistilBertModel(
        DistilBertConfig(dim=16, n_layers=3, n_heads=2, hidden_dim=32, vocab_size=30)
    ),
    "modernbert": lambda: ModernBertModel(
        ModernBertConfig(**SIZES, pad_token_id=0, bos_token_id=1, eos_token_id=2, cls_token_id=1, sep_token_id=2)
    ),
}
IDS = torch.tensor([[5, 6, 7, 8], [9, 10, 11, 12]])


@pytest.fixture(params=NETWORKS)
def network(request: pytest.FixtureRequest) -> PreTrainedModel:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return NETWORKS[request.param]().eval().requires_grad_(False)


def test_layers_come_from_input_to_output(network: PreTrainedModel) -> None:
    path, layers = find_layers(network)
    assert network.get_submodule(path) is layers
    seen = []
    for place, layer in enumerate(layers):
        layer.register_forward_hook(lambda *_, place=place: seen.append(place))
    network(input_ids=IDS)
    assert seen == [0, 1, 2]


def test_first_layers_give_what_the_whole_network_has_after_them(network: PreTrainedModel, tmp_path: Path) -> None:
    whole = network(input_ids=IDS, output_hidden_states=True).hidden_states
    keep_first(network, 2)
    network.save_pretrained(tmp_path)
    reloaded = AutoModel.from_pretrained(tmp_path).eval()
    found = reloaded(input_ids=IDS, output_hidden_states=True)
    assert len(find_layers(reloaded)[1]) == reloaded.config.num_hidden_layers == 2
    assert torch.allclose(found.hidden_states[1], whole[1], atol=1e-6)
    expected = network.final_norm(whole[2]) if hasattr(network, "final_norm") else whole[2]
    assert torch.allclose(found.last_hidden_state, expected, atol=1e-6)


def test_as_many_layers_as_there_are_is_the_whole(network: PreTrainedModel) -> None:
    whole = network(input_ids=IDS).last_hidden_state
    keep_first(network, 3)
    assert torch.equal(network(input_ids=IDS).last_hidden_state, whole)


def test_more_layers_than_there_are_is_refused(network: PreTrainedModel) -> None:
    with pytest.raises(ModelError, match=r"\[text\] layers is 4 but the encoder has 3 layers"):
        keep_first(network, 4)


def test_network_without_a_list_of_layers_is_refused(network: PreTrainedModel) -> None:
    network.config.num_hidden_layers = 9
    with pytest.raises(ModelError, match=r"is not built as one list of layers; set \[text\] trainable_layers = 0"):
        find_layers(network)


def test_top_shares_its_layers_and_leaves_the_network_as_it_is() -> None:
    network = NETWORKS["roberta"]().eval()
    before = network(input_ids=IDS).last_hidden_state
    entering = network(input_ids=IDS, output_hidden_states=True).hidden_states[2]
    top = top_of(network, 1)
    found = top(inputs_embeds=entering, attention_mask=torch.ones_like(IDS)).last_hidden_state
    assert torch.allclose(found, before, atol=1e-6)
    assert find_layers(network)[1][2] is top.encoder.layer[0]
    assert torch.equal(network(input_ids=IDS).last_hidden_state, before)
