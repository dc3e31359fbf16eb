from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from recsys.errors import ModelError
from recsys.learning.heads import ItemHead
from recsys.vectors.encoded import GRID, round_to_grid
from recsys.vectors.item_tower import ItemTower

D = 384


def learned(projection: int) -> ItemHead:
    generator = torch.Generator().manual_seed(4)
    heads = ItemHead(D, projection)
    for value in heads.state_dict().values():
        value += 0.05 * torch.randn(value.shape, generator=generator)
    return heads


def tower(heads: ItemHead) -> ItemTower:
    return ItemTower.of({name: value.numpy() for name, value in heads.state_dict().items()})


def embeddings(count: int) -> np.ndarray:
    found = np.random.default_rng(1).normal(size=(count, D))
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("projection", [0, 64])
@torch.no_grad()
def test_agrees_with_torch_within_a_hundred_thousandth(projection: int) -> None:
    heads = learned(projection).double()
    given = embeddings(300)
    empty = np.arange(300) % 7 == 0
    filled = heads.fill(torch.from_numpy(given).double(), torch.from_numpy(empty))
    found = tower(heads.float()).encode(given, empty)
    heads.double()
    for mine, theirs in ((found.candidate, heads.candidate(filled)), (found.history, heads.history(filled))):
        assert mine.shape == (300, projection or D)
        assert np.array_equal(mine, round_to_grid(mine))
        assert np.abs(mine - theirs.numpy()).max() <= GRID / 2 + 1e-5
    assert np.abs(found.appeal - heads.appeal(filled).numpy()).max() <= 1e-5
    assert found.appeal.dtype == np.float32


def test_an_item_does_not_depend_on_its_neighbours_to_the_last_bit() -> None:
    serving = tower(learned(64))
    given = embeddings(97)
    empty = np.arange(97) == 5
    together = serving.encode(given, empty)
    random = np.random.default_rng(0)
    for size in (1, 2, 5, 31):
        for _ in range(10):
            rows = random.choice(97, size, replace=False)
            for part, whole in zip(serving.encode(given[rows], empty[rows]), together, strict=True):
                assert np.array_equal(part, whole[rows])


def test_linear_maps_are_computed_without_rounding() -> None:
    """Any order of the components gives the same number: every partial sum is exact."""
    heads = learned(0)
    order = np.random.default_rng(3).permutation(D)
    state = {name: value.numpy() for name, value in heads.state_dict().items()}
    columns = {name: value[..., order] if value.shape[-1] == D else value for name, value in state.items()}
    given, nowhere = embeddings(50), np.zeros(50, bool)
    serving = ItemTower.of(state)
    for weights in (serving.candidate_map, serving.history_map, serving.appeal_map):
        assert np.array_equal(weights * 2**22, np.round(weights * 2**22))
    one = serving.encode(given, nowhere)
    other = ItemTower.of(columns).encode(given[:, order], nowhere)
    for mine, theirs in zip(one, other, strict=True):
        assert np.array_equal(mine, theirs)


def test_no_items_have_no_vectors() -> None:
    found = tower(learned(64)).encode(embeddings(0), np.zeros(0, bool))
    assert [part.shape for part in found] == [(0, 64), (0, 64), (0,)]


def test_an_embedding_at_the_centre_is_no_division_by_zero() -> None:
    found = tower(ItemHead(D)).encode(np.zeros((1, D), np.float32), np.zeros(1, bool))
    assert not found.candidate.any()


def test_reads_the_file_of_a_state_dict(tmp_path: Path) -> None:
    heads = learned(64)
    save_file(heads.state_dict(), tmp_path / "heads.safetensors")
    read, made = ItemTower.load(tmp_path / "heads.safetensors"), tower(heads)
    for name in vars(made):
        assert np.array_equal(getattr(read, name), getattr(made, name))


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "heads.safetensors"
    with pytest.raises(ModelError, match=r"heads.safetensors is damaged \(.*copy the model folder again"):
        ItemTower.load(path)
    state = learned(64).state_dict()
    faults = {
        r"\('?center'?\)": {name: value for name, value in state.items() if name != "center"},
        r"empty holds the shape \(3,\), not \(384,\) finite numbers": state | {"empty": torch.zeros(3)},
        r"appeal_map.bias holds .* finite numbers": state | {"appeal_map.bias": torch.tensor([float("nan")])},
        r"center holds .* finite numbers of at most 1e\+06": state | {"center": torch.full((D,), 1e30)},
        "history_map.weight has a row longer than 128": state | {"history_map.weight": torch.ones(64, D) * 7},
    }
    for message, content in faults.items():
        save_file(content, path)
        with pytest.raises(ModelError, match=message):
            ItemTower.load(path)


def test_embeddings_that_are_not_numbers_are_refused() -> None:
    given = embeddings(5)
    given[[1, 3]] = np.nan
    with pytest.raises(ModelError, match=r"2 of 5 embeddings are not numbers: .*lower \[text\] learning_rate"):
        tower(learned(0)).encode(given, np.zeros(5, bool))
