import math
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from recsys.errors import ModelError
from recsys.vectors.encoded import round_to_grid
from recsys.vectors.user_tower import UserTower

CODES = round_to_grid(np.random.default_rng(9).normal(0, 2, (2, 6))).astype(np.float64)
TOWER = UserTower(CODES, np.array([3.0, -1.0]), np.array([0.5, 0.0]), np.array([2.0, 0.25]), np.ones(1))


def interest_by_hand(similarity: np.ndarray, attention: np.ndarray, ages: np.ndarray, known: np.ndarray) -> float:
    """Interest of one candidate: similarity [K, H], attention [H, K], ages and known [H]."""
    clicks = np.flatnonzero(known)
    if not len(clicks):
        return math.nan
    total = 0.0
    for part, (sharpness, forgetting, scale) in enumerate(
        zip(TOWER.sharpness, TOWER.forgetting, TOWER.scale, strict=True)
    ):
        force = [
            math.exp(
                sharpness * similarity[part, click]
                + attention[click, part]
                - forgetting * math.log(1 + ages[click] / 24)
            )
            for click in clicks
        ]
        mean = sum(f * similarity[part, click] for f, click in zip(force, clicks, strict=True)) / sum(force)
        total += scale * mean
    return total


def test_interest_is_the_stated_formula() -> None:
    random = np.random.default_rng(0)
    similarity = random.uniform(-1, 1, (5, 2, 4, 3)).astype(np.float32)
    ages = random.uniform(0, 200, (5, 4)).astype(np.float32)
    known = random.random((5, 4)) < 0.6
    known[2] = False
    attention = random.normal(0, 2, (5, 4, 2))
    found = TOWER.interest(similarity, attention, ages, known)
    assert found.shape == (5, 3)
    for request in range(5):
        for candidate in range(3):
            expected = interest_by_hand(
                similarity[request, :, :, candidate].astype(float),
                attention[request],
                ages[request].astype(float),
                known[request],
            )
            assert found[request, candidate] == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_what_clicks_add_sums_to_the_interest() -> None:
    random = np.random.default_rng(1)
    similarity = random.uniform(-1, 1, (5, 2, 4, 3)).astype(np.float32)
    ages, known = random.uniform(0, 200, (5, 4)).astype(np.float32), random.random((5, 4)) < 0.6
    known[2] = False
    attention = random.normal(0, 2, (5, 4, 2))
    adds = TOWER.interest_by_click(similarity, attention, ages, known)
    assert adds.shape == (5, 4, 3)
    interest = TOWER.interest(similarity, attention, ages, known)
    some = known.any(axis=1)
    assert adds.sum(axis=1)[some] == pytest.approx(interest[some], abs=1e-12)
    assert not adds[np.broadcast_to(~known[:, :, None], adds.shape)].any()


def test_plain_tower_is_the_mean_similarity() -> None:
    similarity = np.array([0.1, 0.3], np.float32).reshape(1, 1, 2, 1)
    plain = UserTower(np.zeros((1, 4)), np.zeros(1), np.zeros(1), np.ones(1), np.ones(1))
    attention, ages, known = np.zeros((1, 2, 1)), np.zeros((1, 2), np.float32), np.ones((1, 2), bool)
    assert plain.interest(similarity, attention, ages, known)[0, 0] == pytest.approx(0.2)


def test_attention_is_the_dot_product_with_the_codes_to_the_last_bit() -> None:
    history = round_to_grid(np.random.default_rng(1).uniform(-1, 1, (300, 7, 6)))
    together = TOWER.attention(history)
    for request, click in ((0, 0), (299, 6), (17, 3)):
        vector = history[request, click].astype(float)
        expected = [sum(code[place] * vector[place] for place in (5, 0, 3, 1, 4, 2)) for code in CODES]
        assert together[request, click].tolist() == expected


def test_no_history_places_at_all_gives_nan() -> None:
    ages, known = np.zeros((2, 0), np.float32), np.zeros((2, 0), bool)
    found = TOWER.interest(np.zeros((2, 2, 0, 3), np.float32), np.zeros((2, 0, 2)), ages, known)
    assert np.isnan(found).all()
    assert found.shape == (2, 3)


def test_saved_tower_is_the_same(tmp_path: Path) -> None:
    TOWER.save(tmp_path / "tower.safetensors")
    loaded = UserTower.load(tmp_path / "tower.safetensors")
    for name in ("codes", "sharpness", "forgetting", "scale", "query_scale"):
        assert np.array_equal(getattr(loaded, name), getattr(TOWER, name))


def test_refuses_other_files(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"none\.safetensors is not a user tower .*train again"):
        UserTower.load(tmp_path / "none.safetensors")
    (tmp_path / "junk.safetensors").write_bytes(b"junk")
    with pytest.raises(ModelError, match="is not a user tower"):
        UserTower.load(tmp_path / "junk.safetensors")
    save_file({"other": np.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ModelError, match="is not a user tower"):
        UserTower.load(tmp_path / "other.safetensors")


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("codes", np.zeros((2, 3)), "are not those of parts of a vector"),  # 3 numbers cannot be cut into 2 parts
        ("codes", np.zeros((3, 6)), "are not those of parts of a vector"),
        ("codes", np.zeros(6), "are not those of parts of a vector"),
        ("codes", np.zeros((2, 6), np.float32), "codes holds float32 values, not float64"),
        ("codes", np.full((2, 6), 2.0**-30), r"no multiples of 2\*\*-24"),
        ("codes", np.full((2, 6), 2.0**20), "codes are longer than 65536"),
        ("sharpness", np.array([1.0, np.nan]), "sharpness holds float64 values, not float64 of at most 1e"),
        ("forgetting", np.array([1.0]), "are not those of parts of a vector"),
        ("forgetting", np.array(["a", "b"]).view(np.int32)[:2], "forgetting holds int32 values"),
        ("scale", np.array([1.0, 1e300]), "scale holds float64 values, not float64 of at most 1e"),
        ("query_scale", np.array(1.0), "are not those of parts of a vector"),
    ],
)
def test_refuses_other_shapes_kinds_and_sizes_by_name(tmp_path: Path, name, values, message) -> None:
    good = {each: getattr(TOWER, each) for each in ("codes", "sharpness", "forgetting", "scale", "query_scale")}
    save_file(good | {name: values}, tmp_path / "tower.safetensors")
    with pytest.raises(ModelError, match=rf"tower\.safetensors is not a user tower .*{message}.*; train again"):
        UserTower.load(tmp_path / "tower.safetensors")


def test_refuses_a_tower_without_parts(tmp_path: Path) -> None:
    nothing = dict.fromkeys(("sharpness", "forgetting", "scale"), np.zeros(0))
    save_file({"codes": np.zeros((0, 6)), "query_scale": np.zeros(1), **nothing}, tmp_path / "tower.safetensors")
    with pytest.raises(ModelError, match="are not those of parts of a vector"):
        UserTower.load(tmp_path / "tower.safetensors")


def test_every_candidate_alone_gets_the_same_bits() -> None:
    random = np.random.default_rng(2)
    similarity = random.uniform(-1, 1, (7, 2, 40, 9)).astype(np.float32)
    ages = random.uniform(0, 200, (7, 40)).astype(np.float32)
    known = random.random((7, 40)) < 0.8
    attention = random.normal(size=(7, 40, 2))
    together = TOWER.interest(similarity, attention, ages, known)
    for request in range(7):
        rows = slice(request, request + 1)
        for candidate in range(9):
            one = np.ascontiguousarray(similarity[rows, :, :, candidate : candidate + 1])
            alone = TOWER.interest(one, attention[rows], ages[rows], known[rows])
            assert alone.tobytes() == together[request, candidate].tobytes()
