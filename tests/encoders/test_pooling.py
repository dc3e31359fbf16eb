import doctest
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from recsys.encoders import pooling
from recsys.encoders.pooling import pool, read_pooling, read_query, write_pooling
from recsys.errors import ModelError

HIDDEN = torch.tensor(np.random.default_rng(0).normal(size=(3, 5, 4)), dtype=torch.float32)
REAL = torch.tensor([[True] * 5, [True] * 2 + [False] * 3, [True] + [False] * 4])
QUERY = torch.tensor([0.5, -1.0, 2.0, 0.0])


def by_hand(row: int, way: str) -> np.ndarray:
    tokens = HIDDEN[row][REAL[row]].numpy().astype(np.float64)
    weights = {"mean": np.ones(len(tokens)), "cls": np.arange(len(tokens)) == 0}.get(way)
    if weights is None:
        weights = np.exp([sum(h * q for h, q in zip(token, QUERY.numpy(), strict=True)) / 2 for token in tokens])
    vector = sum(weight * token for weight, token in zip(weights, tokens, strict=True))
    return vector / np.sqrt((vector**2).sum())


def test_examples_run() -> None:
    assert doctest.testmod(pooling, extraglobs={"torch": torch}).failed == 0


@pytest.mark.parametrize("way", ["mean", "cls", "attention"])
def test_vectors_are_those_of_a_plain_loop(way: str) -> None:
    found = pool(HIDDEN, REAL, way, QUERY if way == "attention" else None)
    for row in range(3):
        assert found[row].numpy() == pytest.approx(by_hand(row, way), abs=1e-6)


@pytest.mark.parametrize("way", ["mean", "cls", "attention"])
def test_padding_changes_nothing(way: str) -> None:
    query = QUERY if way == "attention" else None
    changed = HIDDEN.masked_fill(~REAL.unsqueeze(-1), 1e4)
    assert torch.equal(pool(changed, REAL, way, query), pool(HIDDEN, REAL, way, query))


def test_a_query_of_zeros_gives_the_mean() -> None:
    assert torch.allclose(pool(HIDDEN, REAL, "attention", torch.zeros(4)), pool(HIDDEN, REAL, "mean"), atol=1e-6)


def test_gradient_of_the_query_is_right_and_finite_for_extreme_vectors() -> None:
    query = QUERY.double().requires_grad_()
    assert torch.autograd.gradcheck(lambda q: pool(HIDDEN.double(), REAL, "attention", q).sum(), query, atol=1e-4)
    pool(HIDDEN.double() * 1e6, REAL, "attention", query).sum().backward()
    assert query.grad is not None
    assert torch.isfinite(query.grad).all()


@pytest.mark.parametrize("way", ["mean", "cls", "attention"])
def test_what_is_written_is_read(tmp_path: Path, way: str) -> None:
    write_pooling(tmp_path, way, QUERY if way == "attention" else None, 4)
    assert read_pooling(tmp_path) == way
    assert torch.equal(read_query(tmp_path, 4), QUERY if way == "attention" else torch.zeros(4))


def test_attention_does_not_pass_for_another_pooling(tmp_path: Path) -> None:
    write_pooling(tmp_path, "attention", QUERY, 4)
    config = json.loads((tmp_path / "1_Pooling" / "config.json").read_text())
    assert [key for key, value in config.items() if value is True] == ["pooling_mode_attention"]


def test_lost_query_is_refused(tmp_path: Path) -> None:
    write_pooling(tmp_path, "attention", QUERY, 4)
    (tmp_path / "pooling.safetensors").unlink()
    with pytest.raises(ModelError, match=r"pooling\.safetensors is missing, though .*config\.json needs it; copy"):
        read_query(tmp_path, 4)


def test_damaged_query_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pooling.safetensors").write_bytes(b"no tensors")
    with pytest.raises(ModelError, match=r"pooling\.safetensors is damaged .*copy the folder again"):
        read_query(tmp_path, 4)


@pytest.mark.parametrize("query", [torch.zeros(3), torch.tensor([1.0, float("nan"), 0.0, 0.0])])
def test_query_that_does_not_fit_is_refused(tmp_path: Path, query: torch.Tensor) -> None:
    save_file({"query": query}, tmp_path / "pooling.safetensors")
    with pytest.raises(ModelError, match=r"holds the shape \(.*\), not 4 finite numbers"):
        read_query(tmp_path, 4)
