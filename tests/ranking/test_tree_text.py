import re
import subprocess
import sys
from pathlib import Path

import lightgbm
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.ranking.tree_text import averaged, check_trees


def grow(leaves: int = 5, rows_per_leaf: int = 5, **others: object) -> str:
    """Grow two trees on numbers, numbers with gaps and 40 categories."""
    random = np.random.default_rng(0)
    table = np.column_stack([random.random(200), random.random(200), random.integers(0, 40, 200)])
    table[random.random(200) < 0.2, 1] = np.nan
    labels = ((table[:, 2] % 3 == 0) ^ (np.nan_to_num(table[:, 1]) > 0.5) ^ (random.random(200) > 0.9)).astype(int)
    settings = {"objective": "lambdarank", "num_leaves": leaves, "min_data_in_leaf": rows_per_leaf, "verbosity": -1}
    settings |= {"min_data_per_group": 1, "cat_smooth": 0.1, "num_threads": 1} | others
    data = lightgbm.Dataset(
        table, label=labels, group=[10] * 20, categorical_feature=[2], feature_name=["a", "b", "größe"]
    )
    return str(lightgbm.train(settings, data, num_boost_round=2).model_to_string())


GROWN = grow()


def sized(text: str) -> str:
    """Write the sizes of the trees anew, as whoever forged them would."""
    head, trees, tail = re.split(r"\n\n(?=Tree=0)|(?=end of trees)", text)
    sizes = [str(len(block.encode())) for block in re.split(r"(?<=\n\n)(?=Tree=)", trees)]
    return re.sub(r"tree_sizes=.*", f"tree_sizes={' '.join(sizes)}", head) + "\n\n" + trees + tail


def changed(name: str, value: str, place: int = 0) -> str:
    """Give one line of the file another value."""
    lines = list(re.finditer(rf"(?m)^{name}=(.*)$", GROWN))
    found = lines[place]
    return sized(GROWN[: found.start(1)] + value + GROWN[found.end(1) :])


def test_what_lightgbm_writes_is_read() -> None:
    assert "num_cat=1" in GROWN
    assert check_trees(GROWN) == ["a", "b", "größe"]
    assert sized(GROWN) == GROWN
    again = lightgbm.Booster(model_str=GROWN).model_to_string()
    assert check_trees(again) == ["a", "b", "größe"]
    assert check_trees(grow(leaves=60, rows_per_leaf=1)) == ["a", "b", "größe"]
    assert "num_leaves=1\n" in grow(rows_per_leaf=1000)  # no split at all
    assert check_trees(grow(rows_per_leaf=1000)) == ["a", "b", "größe"]


def test_models_are_averaged_into_one_that_lightgbm_reads() -> None:
    texts = [GROWN, grow(leaves=9), grow(rows_per_leaf=1000), grow(seed=5, feature_fraction=0.5)]
    mean = averaged(texts)
    assert check_trees(mean) == ["a", "b", "größe"]
    random = np.random.default_rng(1)
    rows = np.column_stack([random.random(300), random.random(300), random.integers(0, 40, 300)])
    rows[::7, 1] = np.nan
    booster, parts = lightgbm.Booster(model_str=mean), [lightgbm.Booster(model_str=text) for text in texts]
    assert booster.num_trees() == sum(part.num_trees() for part in parts)
    scores = np.mean([part.predict(rows, raw_score=True) for part in parts], axis=0)
    np.testing.assert_allclose(booster.predict(rows, raw_score=True), scores, rtol=1e-12, atol=1e-15)
    shares = np.mean([part.predict(rows, pred_contrib=True) for part in parts], axis=0)
    np.testing.assert_allclose(booster.predict(rows, pred_contrib=True), shares, rtol=1e-9, atol=1e-12)
    splits = sum(part.feature_importance("split") for part in parts)
    assert booster.feature_importance("split").tolist() == splits.tolist()
    assert check_trees(booster.model_to_string()) == ["a", "b", "größe"]
    inner = [float(word) for word in re.findall(r"(?m)^internal_value=(.*)$", GROWN)[0].split()]
    assert [float(word) for word in re.findall(r"(?m)^internal_value=(.*)$", mean)[0].split()] == [x / 4 for x in inner]
    assert averaged([GROWN]) == GROWN


def test_a_split_of_what_is_missing_from_all_else_is_read() -> None:
    threshold = re.findall(r"(?m)^threshold=(.*)$", GROWN)[0].split()
    threshold[0] = "inf"
    check_trees(changed("threshold", " ".join(threshold)))


FORGED = [
    ("version", "v3", "version is 'v3', not 'v4'"),
    ("num_class", "2000000000", "num_class is"),
    ("num_tree_per_iteration", "0", "num_tree_per_iteration is"),
    ("objective", "custom", "objective is 'custom'"),
    ("max_feature_idx", "2000000000", "feature_names, feature_infos and max_feature_idx do not agree"),
    ("max_feature_idx", "-1", "do not agree"),
    ("feature_infos", "none none", "do not agree"),
    ("feature_infos", "none none [", "feature_infos holds something else"),
    ("num_leaves", "2000000000", "tree 0: num_leaves, num_cat or is_linear is out of range"),
    ("num_leaves", "-5", "num_leaves, num_cat or is_linear is out of range"),
    ("num_leaves", "4", "tree 0: split_feature does not hold 3 whole numbers"),
    ("num_leaves", "99999999999999999999", "num_leaves does not hold 1 whole numbers"),
    ("num_cat", "3", "cat_boundaries does not hold 4 whole numbers"),
    ("num_cat", "0", "it lacks or should not have cat_boundaries, cat_threshold"),
    ("is_linear", "1", "num_leaves, num_cat or is_linear is out of range"),
    ("split_feature", "3 0 0 0", "split_feature holds a place outside 0 to 2"),
    ("split_feature", "-1 0 0 0", "split_feature holds a place outside 0 to 2"),
    ("split_gain", "1 1 1 nan", "split_gain does not hold 4 numbers"),
    ("split_gain", "1 1 1 inf", "split_gain holds a number that is not finite"),
    ("decision_type", "2 2 2 12", "decision_type holds a place outside 0 to 11"),
    ("left_child", "1 2 3 1", "do not reach every split and every leaf once"),
    ("left_child", "1000000 2 3 -1", "do not reach every split and every leaf once"),
    ("right_child", "-6 -3 -4 -5", "do not reach every split and every leaf once"),
    ("cat_boundaries", "0 2 1000000000", "cat_threshold does not hold 1000000000 whole numbers"),
    ("cat_boundaries", "1 2 4", "cat_boundaries do not rise from 0"),
    ("cat_boundaries", "0 2 2", "cat_boundaries do not rise from 0"),
    ("cat_threshold", "-1 7 7 7", "cat_threshold holds a place outside"),
    ("cat_threshold", "4294967296 7 7 7", "cat_threshold holds a place outside"),
    ("leaf_value", "1 2 3 4 1e400", "leaf_value holds a number that is not finite or beyond 1e+100"),
    ("leaf_value", "1 2 3 4 1e200", "leaf_value holds a number that is not finite or beyond 1e+100"),
    ("leaf_value", "1 2 3 4", "leaf_value does not hold 5 numbers"),
    ("leaf_value", "1 2 3 4 0x10", "leaf_value does not hold 5 numbers"),
    ("leaf_value", "1 2 3 4 1_0", "leaf_value does not hold 5 numbers"),
    ("leaf_count", "1 2 3 4 ٣", "leaf_count does not hold 5 whole numbers"),
    ("threshold", "0.5 0 0.5 0", "threshold and num_cat do not agree about splits by category"),
    ("threshold", "0.5 0 0.5 inf", "threshold and num_cat do not agree about splits by category"),
    ("feature_names", "a b b", "feature_names holds a name twice"),
    ("feature_names", "a b ", "feature_names holds a name twice or something else"),
    ("shrinkage", "", "shrinkage does not hold 1 numbers"),
]


@pytest.mark.parametrize(("name", "value", "words"), FORGED)
def test_what_lightgbm_would_trust_is_refused(name: str, value: str, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        check_trees(changed(name, value))


@pytest.mark.parametrize("objective", ["lambdarank", "rank_xendcg", "binary"])
def test_every_objective_and_features_with_directions_are_read(objective: str) -> None:
    assert check_trees(grow(objective=objective, monotone_constraints=[1, -1, 0])) == ["a", "b", "größe"]


@pytest.mark.parametrize("directions", ["1 -1", "1 -1 0 0", "1 -1 2", "1  0", ""])
def test_directions_that_fit_no_feature_are_refused(directions: str) -> None:
    text = grow(monotone_constraints=[1, -1, 0])
    forged = text.replace("monotone_constraints=1 -1 0\n", f"monotone_constraints={directions}\n")
    with pytest.raises(ValueError, match="monotone_constraints does not hold 3 of -1, 0 and 1"):
        check_trees(forged)
    moved = text.replace("monotone_constraints=1 -1 0\n", "").replace("version", "monotone_constraints=1 -1 0\nversion")
    with pytest.raises(ValueError, match="its header does not hold version.* and nothing else"):
        check_trees(moved)


def test_children_that_go_round_are_refused() -> None:
    # Split 0 has the leaves -1 and -2 alone; 1, 2 and 3 are each other's children: each node is still reached once.
    forged = changed("left_child", "-1 2 3 -3")
    found = next(re.finditer(r"(?m)^right_child=(.*)$", forged))
    forged = sized(forged[: found.start(1)] + "-2 -4 -5 1" + forged[found.end(1) :])
    with pytest.raises(ValueError, match="left_child and right_child go round in a circle"):
        check_trees(forged)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("tree\n", "", "its header does not hold version"),
        ("label_index=0\n", "label_index=0\naverage_output\n", "the line 'average_output' belongs to no such file"),
        ("label_index=0\n", "label_index=0\nlabel_index=0\n", "the line 'label_index=0' belongs to no such file"),
        ("label_index=0\n", "label_index=0\nlinear=1\n", "and nothing else"),
        ("Tree=1", "Tree=2", "tree 1: it does not begin and end as a tree does"),
        ("end of trees", "end", "what follows the trees"),
        ("[num_gpu: 1]", "[forcedsplits_filename: /etc/passwd]", "what follows the trees is not what LightGBM writes"),
        ("[num_gpu: 1]", "num_gpu", "what follows the trees"),
        ("pandas_categorical:null", "pandas_categorical:[[1]]", "what follows the trees"),
        ("\nend of parameters", "", "what follows the trees"),
        ("shrinkage=0.1\n\n\n", "shrinkage=0.1\n\n", "tree 0"),
    ],
)
def test_lines_that_are_missing_or_foreign_are_refused(old: str, new: str, words: str) -> None:
    assert old in GROWN
    with pytest.raises(ValueError, match=re.escape(words)):
        check_trees(GROWN.replace(old, new, 1))


def test_parts_that_only_linear_trees_have_are_refused() -> None:
    forged = sized(GROWN.replace("is_linear=0\n", "is_linear=0\nleaf_const=1\n"))
    with pytest.raises(ValueError, match="tree 0: it lacks or should not have .*leaf_const"):
        check_trees(forged)


def test_sizes_of_trees_that_lead_elsewhere_are_refused() -> None:
    sizes = re.findall(r"tree_sizes=(.*)", GROWN)[0].split()
    for forged, words in ((f"{sizes[0]} 1", "tree 1: it has"), ("1", "tree_sizes does not hold 2 whole numbers")):
        with pytest.raises(ValueError, match=words):
            check_trees(re.sub(r"tree_sizes=.*", f"tree_sizes={forged}", GROWN))
    with pytest.raises(ValueError, match="it holds no tree"):
        check_trees("")


LOAD = """
import sys
from pathlib import Path
import lightgbm
import numpy as np
table = np.column_stack([np.linspace(0, 1, 50), np.full(50, np.nan), np.arange(50)])
for path in sorted(Path(sys.argv[1]).iterdir()):
    try:
        booster = lightgbm.Booster(model_str=path.read_text())
    except (lightgbm.basic.LightGBMError, ValueError):  # a clear error where a model is loaded
        continue
    assert np.isfinite(booster.predict(table, num_threads=1)).all(), path
    booster.feature_importance("gain")
    booster.model_to_string()
"""


@pytest.mark.slow
def test_whatever_is_accepted_is_read_by_lightgbm_without_harm(tmp_path: Path) -> None:
    accepted: set[str] = set()
    words = st.sampled_from(
        ["0", "-1", "1", "7", "2000000000", "1e300", "inf", "nan", "", " ", "=", "\n", "\x00", "Tree=0"]
    )

    @settings(max_examples=1_500, database=None)
    @given(
        st.lists(st.tuples(st.integers(0, len(GROWN)), st.integers(0, 12), words), min_size=1, max_size=3),
        st.booleans(),
    )
    def forge(cuts: list[tuple[int, int, str]], again: bool) -> None:
        text = GROWN
        for place, length, word in cuts:
            text = text[:place] + word + text[place + length :]
        try:
            text = sized(text) if again else text
            check_trees(text)
        except ValueError:
            return
        accepted.add(text)

    forge()
    assert len(accepted) > 10  # else nothing was tried
    for number, text in enumerate(sorted(accepted)):
        (tmp_path / f"{number:04}.txt").write_text(text)
    subprocess.run([sys.executable, "-c", LOAD, str(tmp_path)], check=True, timeout=120)
