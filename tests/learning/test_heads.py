import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from recsys.learning.heads import ItemHead, UserHead
from recsys.vectors.encoded import round_to_grid
from recsys.vectors.user_tower import UserTower


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_untrained_heads_are_the_embedding_itself() -> None:
    heads = ItemHead(16)
    embedding = torch.nn.functional.normalize(torch.randn(5, 16, generator=generator()), dim=-1)
    assert torch.allclose(heads.candidate(embedding), embedding, atol=1e-6)
    assert torch.allclose(heads.history(embedding), embedding, atol=1e-6)
    assert heads.appeal(embedding).tolist() == [0] * 5


def test_what_all_texts_share_is_taken_off() -> None:
    heads = ItemHead(2)
    heads.center.copy_(torch.tensor([0.9, 0.0]))
    found = heads.candidate(torch.tensor([[0.9, 0.1], [0.9, -0.2]]))
    assert torch.allclose(found, torch.tensor([[0.0, 1.0], [0.0, -1.0]]))
    assert torch.equal(heads.history(torch.tensor([[0.9, 0.1]])), found[:1])


def test_vectors_stay_of_length_one_when_the_maps_change() -> None:
    heads = ItemHead(16)
    torch.nn.init.normal_(heads.candidate_map.weight, generator=generator())
    vectors = heads.candidate(torch.randn(5, 16, generator=generator()))
    assert torch.allclose(vectors.norm(dim=-1), torch.ones(5), atol=1e-6)


def test_shorter_vectors_start_as_the_first_principal_directions() -> None:
    embeddings = torch.randn(200, 16, generator=generator()) * torch.linspace(3, 0.1, 16) + 1
    heads = ItemHead(16, 4)
    heads.settle(embeddings, torch.zeros(16))
    expected = PCA(4).fit_transform(embeddings.numpy())
    found = heads.candidate(embeddings)
    assert found.shape == (200, 4)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert (found @ found.T).detach().numpy() == pytest.approx(expected @ expected.T, abs=1e-3)
    assert torch.equal(found, heads.history(embeddings))


def test_only_items_without_text_get_the_learned_embedding() -> None:
    heads = ItemHead(3)
    heads.settle(torch.eye(3), torch.tensor([7.0, 8.0, 9.0]))
    filled = heads.fill(torch.eye(3), torch.tensor([False, True, False]))
    assert filled.tolist() == [[1, 0, 0], [7, 8, 9], [0, 0, 1]]


def test_similarity_is_the_dot_product_of_parts() -> None:
    candidate, history = torch.randn(2, 5, 8, generator=generator(1)), torch.randn(2, 3, 8, generator=generator(2))
    found = UserHead(8).similarity(candidate, history)
    assert found.shape == (2, 4, 3, 5)
    assert found[1, 2, 0, 4].item() == pytest.approx((candidate[1, 4, 4:6] * history[1, 0, 4:6]).sum().item())
    assert torch.allclose(found.sum(dim=1), history @ candidate.mT, atol=1e-5)


@pytest.mark.parametrize(("dimension", "parts"), [(384, 4), (6, 2), (7, 1)])
def test_parts_divide_the_vector(dimension: int, parts: int) -> None:
    assert UserHead(dimension).parts == parts


def test_learning_and_serving_halves_agree() -> None:
    random = np.random.default_rng(0)
    head = UserHead(16)
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter, 0.5, 0.5, generator=generator())
    candidate, history = (round_to_grid(random.normal(0, 0.3, (6, places, 16))) for places in (3, 5))
    similarity = head.similarity(torch.tensor(candidate), torch.tensor(history))
    ages = random.uniform(0, 300, (6, 5)).astype(np.float32)
    known = random.random((6, 5)) < 0.5
    known[0] = False
    attention = head.attention(torch.tensor(history))
    learning = head(similarity, attention, torch.tensor(ages), torch.tensor(known)).detach().numpy()
    tower = head.tower()
    serving = tower.interest(similarity.numpy(), tower.attention(history), ages, known)
    assert np.isnan(serving[0]).all()
    assert (learning[0] == 0).all()
    assert learning[1:] == pytest.approx(np.nan_to_num(serving[1:]), abs=1e-5)


def test_users_without_clicks_send_no_gradient_and_no_nan() -> None:
    head = UserHead(8)
    similarity = torch.randn(2, 4, 3, 2, generator=generator())
    ages, known = torch.full((2, 3), torch.nan), torch.zeros(2, 3, dtype=torch.bool)
    known[1, 0] = True
    ages[1, 0] = 5
    interest = head(similarity, torch.zeros(2, 3, 4), ages, known)
    interest.sum().backward()
    assert torch.isfinite(interest).all()
    assert all(torch.isfinite(parameter.grad).all() for parameter in head.parameters() if parameter.grad is not None)


def test_untrained_interest_orders_by_similarity_of_a_single_click() -> None:
    head = UserHead(8)
    similarity = torch.linspace(-0.2, 0.2, 5).expand(1, 4, 1, 5)
    interest = head(similarity, torch.zeros(1, 1, 4), torch.zeros(1, 1), torch.ones(1, 1, dtype=torch.bool))[0]
    assert torch.equal(interest.argsort(), torch.arange(5))


def test_tower_is_a_copy() -> None:
    head = UserHead(8)
    tower: UserTower = head.tower()
    with torch.no_grad():
        head.scale.add_(1)
    assert (tower.scale != head.scale.detach().numpy()).all()
