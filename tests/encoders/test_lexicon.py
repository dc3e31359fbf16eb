from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from recsys.encoders import lexicon as lexicon_module
from recsys.encoders.lexicon import Lexicon
from recsys.errors import ModelError

TEXTS = [
    "Brøndby vinder stort",
    "brøndby taber stort igen",
    "FCK vinder pokalen",
    "Ny opskrift: rugbrød",
    "rugbrød med sild",
    "sild på tilbud",
    "a b c",
    "Brøndby  og\tFCK",
]


def reference(texts: list[str], fewest: int = 3) -> np.ndarray:
    vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), min_df=fewest, sublinear_tf=True)
    return vectorizer.fit_transform(texts).toarray()


def lengthy(count: int) -> list[str]:
    """Texts of twelve topics, the first of them the most frequent."""
    random = np.random.default_rng(0)
    words = np.array(["".join(random.choice(list("abcdefghijkl"), 6)) for _ in range(48)]).reshape(12, 4)
    topics = np.minimum(random.geometric(0.2, count) - 1, 11)
    return [" ".join(random.choice(words[topic], 12)) for topic in topics]


def test_similarities_are_those_of_scikit_learn_on_character_n_grams() -> None:
    # A space of full rank keeps every angle; scikit-learn also counts a short word once for each longer size.
    texts = lengthy(30)
    expected = reference(texts)
    vectors = Lexicon.fit(texts, 2048, 0).embed(texts)
    assert vectors @ vectors.T == pytest.approx(expected @ expected.T, abs=0.02)


def test_fewer_directions_are_the_first_ones_of_a_singular_value_decomposition() -> None:
    texts = lengthy(200)
    matrix = reference(texts)
    _, _, directions = np.linalg.svd(matrix, full_matrices=False)
    expected = matrix @ directions[:6].T
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    vectors = Lexicon.fit(texts, 6, 0).embed(texts)
    assert vectors @ vectors.T == pytest.approx(expected @ expected.T, abs=0.02)


def test_texts_that_share_words_are_near_whatever_the_language_case_and_blanks() -> None:
    vectors = Lexicon.fit(TEXTS, 6, 0).embed(["BRØNDBY stort", "brøndby\n\nstort", "rugbrød", "sild rugbrød"])
    assert vectors[0] == pytest.approx(vectors[1], abs=1e-6)
    assert vectors[2] @ vectors[3] > 0.5 > abs(vectors[0] @ vectors[2])


def test_a_text_without_a_known_n_gram_is_zero() -> None:
    vectors = Lexicon.fit(TEXTS, 4, 0).embed(["", "qqq", "🎉\x00", "brøndby"])
    assert np.abs(vectors[:3]).sum() == 0
    assert np.linalg.norm(vectors[3]) == pytest.approx(1, abs=1e-6)


def test_texts_are_embedded_one_by_one_as_they_are_together(monkeypatch: pytest.MonkeyPatch) -> None:
    lexicon = Lexicon.fit(TEXTS, 4, 0)
    together = lexicon.embed(TEXTS)
    monkeypatch.setattr(lexicon_module, "_TEXTS_PER_BATCH", 3)
    assert lexicon.embed(TEXTS) == pytest.approx(together, abs=1e-6)
    assert np.concatenate([lexicon.embed([text]) for text in TEXTS]) == pytest.approx(together, abs=1e-6)


def test_n_grams_end_at_the_edges_of_texts() -> None:
    lexicon = Lexicon.fit(["abc def"] * 3 + ["xyz uvw", "xyz uvw", "uvw xyz"], 4, 0)
    pairs = lexicon.embed(["abc", "def", "abc def"])
    assert pairs[2] == pytest.approx((pairs[0] + pairs[1]) / np.linalg.norm(pairs[0] + pairs[1]), abs=1e-5)


def test_the_same_seed_gives_the_same_bytes_and_a_sample_bounds_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lexicon_module, "_MOST_TEXTS", 20)
    texts = lengthy(50)
    files = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        Lexicon.fit(texts, 5, seed).save(tmp_path / name)
        files.append((tmp_path / name).read_bytes())
    assert files[0] == files[1] != files[2]


def test_only_the_most_frequent_n_grams_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lexicon_module, "_MOST_GRAMS", 7)
    assert len(Lexicon.fit(lengthy(50), 5, 0).grams) == 7


@pytest.mark.parametrize("texts", [[], [""], ["one text alone"], ["", "🎉"]])
def test_too_few_texts_make_a_space_without_directions(texts: list[str]) -> None:
    lexicon = Lexicon.fit(texts, 8, 0)
    assert lexicon.embed(["some text", ""]).shape == (2, lexicon.dimension)


def test_a_very_long_text_and_lone_surrogates_are_survived() -> None:
    lexicon = Lexicon.fit([*TEXTS, "x" * 1_000_000, "\ud800 sild"], 4, 0)
    assert np.isfinite(lexicon.embed(["x" * 1_000_000, "\ud800 sild"])).all()


def test_saved_lexicon_is_the_same(tmp_path: Path) -> None:
    lexicon = Lexicon.fit(TEXTS, 4, 0)
    lexicon.save(tmp_path / "lexicon.safetensors")
    assert np.array_equal(Lexicon.load(tmp_path / "lexicon.safetensors").embed(TEXTS), lexicon.embed(TEXTS))
    (tmp_path / "junk").write_bytes(b"junk")
    with pytest.raises(ModelError, match="junk is not a lexicon .*copy the model folder again"):
        Lexicon.load(tmp_path / "junk")


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("grams", lambda values: values.astype(np.int64), "holds int64, float32, float32 values, not uint64"),
        ("grams", lambda values: values[::-1].copy(), "n-grams do not rise"),
        ("grams", lambda values: values[:-1].copy(), "are not those of the n-grams"),
        ("rarity", lambda values: values[:, None], "are not those of the n-grams"),
        ("rarity", lambda values: values * 0, "a rarity is not between 1 and 1000"),
        ("rarity", lambda values: values * np.float32(np.nan), "a rarity is not between 1 and 1000"),
        ("directions", lambda values: values.ravel(), "are not those of the n-grams"),
        ("directions", lambda values: values + np.float32(1e30), "or a direction is longer"),
    ],
)
def test_what_no_fit_gives_is_refused(tmp_path: Path, name: str, change, message: str) -> None:
    lexicon = Lexicon.fit(TEXTS, 4, 0)
    replace(lexicon, **{name: change(getattr(lexicon, name))}).save(tmp_path / "lexicon.safetensors")
    with pytest.raises(ModelError, match=rf"lexicon.safetensors is not a lexicon \(.*{message}.*; copy the model"):
        Lexicon.load(tmp_path / "lexicon.safetensors")
