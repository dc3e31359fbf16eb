"""LightGBM's text format: models averaged in it, and checked before LightGBM, which trusts every size, reads them."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

_HEADER = "version num_class num_tree_per_iteration label_index max_feature_idx objective".split()  # noqa: SIM905
_HEADER += ["feature_names", "feature_infos", "tree_sizes"]
_FIXED = {"version": "v4", "num_class": "1", "num_tree_per_iteration": "1", "label_index": "0"}
_OBJECTIVES = ("lambdarank", "rank_xendcg", "binary sigmoid:1")
_BOUND = "monotone_constraints"

_SPLITS = ("split_feature", "decision_type", "left_child", "right_child", "internal_count")
_SPLIT_NUMBERS = ("split_gain", "internal_value", "internal_weight")
_CATEGORIES = ("cat_boundaries", "cat_threshold")
_TREE = {"num_leaves", "num_cat", "threshold", "is_linear", "shrinkage", "leaf_value", "leaf_weight", "leaf_count"}
_TREE |= {*_SPLITS, *_SPLIT_NUMBERS}

_WHOLE = re.compile(r"(-?\d{1,18}( -?\d{1,18})*)?", re.ASCII)
_NUMBER = re.compile(r"-?(inf|\d{1,400}(\.\d{1,400})?(e[+-]?\d{1,3})?)", re.ASCII)
_RANGE = re.compile(r"none|\[[\d.e+inf-]+:[\d.e+inf-]+\]|-?\d+(:-?\d+)*", re.ASCII)
_TAIL = re.compile(
    r"end of trees\n\nfeature_importances:\n(\w+=\d{1,18}\n)*"
    r"\nparameters:\n(\[[a-z\d_]+: [A-Za-z\d_.,+-]*\]\n)*\nend of parameters\n\npandas_categorical:null\n"
)

_BETWEEN_TREES = re.compile(r"(?<=\n\n)(?=Tree=)")

LARGEST = 1e100
"""Bound of every number, so that sums over trees stay finite."""

_MOST_LEAVES = 131_072
"""LightGBM's own limit."""


def check_trees(text: str) -> list[str]:
    """Hold a model of one ranker against what LightGBM 4 writes.

    Parameters
    ----------
    text
        The whole file.

    Returns
    -------
    The names of its features, in order.

    Raises
    ------
    ValueError
        Saying where, when a part is missing, extra or out of order, a size or a place lies outside, a number is not
        finite, or the nodes of a tree are not a tree.
    """
    head, end, _ = text.partition("\n\nTree=0\n")
    if not end:
        raise ValueError("it holds no tree")
    header = _header(head)
    names, ranges = header["feature_names"].split(" "), header["feature_infos"].split(" ")
    if not len(names) == len(ranges) == _whole("max_feature_idx", header["max_feature_idx"], 1)[0] + 1:
        raise ValueError("feature_names, feature_infos and max_feature_idx do not agree")
    if _BOUND in header and not re.fullmatch(f"(-1|0|1)( (-1|0|1)){{{len(names) - 1}}}", header[_BOUND]):
        raise ValueError(f"{_BOUND} does not hold {len(names)} of -1, 0 and 1")
    if len(set(names)) < len(names) or not all(map(re.compile(r"\w+").fullmatch, names)):
        raise ValueError("feature_names holds a name twice or something else than letters, digits and underscores")
    if not all(map(_RANGE.fullmatch, ranges)):
        raise ValueError("feature_infos holds something else than ranges")
    start = len(head) + 2
    stop = text.find("end of trees\n", start)
    if stop < 0 or not _TAIL.fullmatch(text, stop):
        raise ValueError("what follows the trees is not what LightGBM writes")
    blocks = _BETWEEN_TREES.split(text[start:stop])
    sizes = _whole("tree_sizes", header["tree_sizes"], len(blocks))
    for number, (block, size) in enumerate(zip(blocks, sizes.tolist(), strict=True)):
        try:
            if len(block.encode()) != size:
                raise ValueError(f"it has {len(block.encode())} bytes where tree_sizes says {size}")
            _check_tree(block, number, len(names))
        except ValueError as error:
            raise ValueError(f"tree {number}: {error}") from error
    return names


def averaged(texts: Sequence[str]) -> str:
    """Write models of the same features, as LightGBM wrote them, as one whose score is the mean of theirs."""
    if len(texts) == 1:
        return texts[0]
    parts = [re.split(r"\n\n(?=Tree=0\n)|(?=end of trees\n)", text) for text in texts]
    blocks = [block for _, trees, _ in parts for block in _BETWEEN_TREES.split(trees)]
    blocks = [_scaled(block, number, len(texts)) for number, block in enumerate(blocks)]
    sizes = " ".join(str(len(block.encode())) for block in blocks)
    head = re.sub(r"(?<=\ntree_sizes=).*", sizes, parts[0][0])
    splits = Counter[str]()
    for _, _, tail in parts:
        splits.update({name: int(count) for name, count in re.findall(r"(?m)^(\w+)=(\d+)$", tail)})
    told = "".join(f"{name}={count}\n" for name, count in splits.most_common())
    parameters = parts[0][2].partition("\nparameters:\n")[2]
    return f"{head}\n\n{''.join(blocks)}end of trees\n\nfeature_importances:\n{told}\nparameters:\n{parameters}"


def _scaled(block: str, number: int, parts: int) -> str:
    """Give a tree another number, and let it say a part of what it says."""

    def share(line: re.Match[str]) -> str:
        return line[1] + " ".join(repr(float(word) / parts) for word in line[2].split())

    block = re.sub(r"(?m)^((?:leaf|internal)_value=)(.*)$", share, block)
    return f"Tree={number}\n{block.partition(chr(10))[2]}"


def _header(head: str) -> dict[str, str]:
    first, *lines = head.split("\n")
    found = dict(_pairs(lines))
    bound = [_BOUND] if _BOUND in found else []
    place = _HEADER.index("feature_infos")
    if first != "tree" or list(found) != [*_HEADER[:place], *bound, *_HEADER[place:]]:
        raise ValueError(f"its header does not hold {', '.join(_HEADER)} and nothing else")
    for name, value in _FIXED.items():
        if found[name] != value:
            raise ValueError(f"{name} is {found[name]!r}, not {value!r}")
    if found["objective"] not in _OBJECTIVES:
        raise ValueError(f"objective is {found['objective']!r}, not one of {', '.join(_OBJECTIVES)}")
    return found


def _check_tree(block: str, number: int, features: int) -> None:
    first, *lines = block.split("\n")
    if first != f"Tree={number}" or lines[-3:] != ["", "", ""]:
        raise ValueError("it does not begin and end as a tree does")
    tree = dict(_pairs(lines[:-3]))
    categorical = tree.get("num_cat") != "0"
    if set(tree) != _TREE | (set(_CATEGORIES) if categorical else set()):
        raise ValueError(f"it lacks or should not have {', '.join(sorted(set(tree) ^ _TREE))}")
    leaves, categories = (int(_whole(name, tree[name], 1)[0]) for name in ("num_leaves", "num_cat"))
    if not 1 <= leaves <= _MOST_LEAVES or not 0 <= categories < leaves or tree["is_linear"] != "0":
        raise ValueError("num_leaves, num_cat or is_linear is out of range")
    splits = {name: _whole(name, tree[name], leaves - 1) for name in _SPLITS}
    thresholds = _numbers("threshold", tree["threshold"], leaves - 1, np.inf)  # of a split of NaN from all else
    for name in _SPLIT_NUMBERS:
        _numbers(name, tree[name], leaves - 1)
    _numbers("leaf_value", tree["leaf_value"], leaves)
    _numbers("leaf_weight", tree["leaf_weight"], leaves if leaves > 1 else 0)
    _whole("leaf_count", tree["leaf_count"], leaves)
    _numbers("shrinkage", tree["shrinkage"], 1)
    _inside("split_feature", splits["split_feature"], features)
    _inside("decision_type", splits["decision_type"], 12)  # three bits of kind, of which 3 << 2 is none
    _check_places(splits["left_child"], splits["right_child"])
    by_category = splits["decision_type"] % 2 == 1
    if categorical:
        _check_categories(tree, categories, thresholds[by_category])
    elif by_category.any():
        raise ValueError("decision_type names categories where num_cat is 0")


def _check_places(left: Ints, right: Ints) -> None:
    """Hold children against a tree that grew split by split: a split comes after its parent, and all are reached."""
    children = np.concatenate([left, right])
    if len(children) and not np.array_equal(np.sort(children), np.r_[-len(left) - 1 : 0, 1 : len(left)]):
        raise ValueError("left_child and right_child do not reach every split and every leaf once")
    parents = np.tile(np.arange(len(left)), 2)
    if (children[children >= 0] <= parents[children >= 0]).any():
        raise ValueError("left_child and right_child go round in a circle")


def _check_categories(tree: dict[str, str], count: int, places: npt.NDArray[np.float64]) -> None:
    """Hold the bitsets of splits by category against their bounds; each such split has one of its own."""
    bounds = _whole("cat_boundaries", tree["cat_boundaries"], count + 1)
    if bounds[0] != 0 or (np.diff(bounds) < 1).any():
        raise ValueError("cat_boundaries do not rise from 0")
    _inside("cat_threshold", _whole("cat_threshold", tree["cat_threshold"], int(bounds[-1])), 2**32)
    if not np.array_equal(np.sort(places), np.arange(count)):
        raise ValueError("threshold and num_cat do not agree about splits by category")


def _pairs(lines: list[str]) -> Iterator[tuple[str, str]]:
    seen = set()
    for line in lines:
        name, equals, value = line.partition("=")
        if not equals or name in seen:
            raise ValueError(f"the line {line[:40]!r} belongs to no such file")
        seen.add(name)
        yield name, value


def _whole(name: str, text: str, count: int) -> Ints:
    words = text.split(" ") if text else []
    if len(words) != count or not _WHOLE.fullmatch(text):
        raise ValueError(f"{name} does not hold {count} whole numbers")
    return np.array(words, dtype=np.int64)


def _numbers(name: str, text: str, count: int, largest: float = LARGEST) -> npt.NDArray[np.float64]:
    words = text.split(" ") if text else []
    if len(words) != count or not all(map(_NUMBER.fullmatch, words)):
        raise ValueError(f"{name} does not hold {count} numbers")
    found = np.array(words, dtype=np.float64)
    if not (np.abs(found) <= largest).all():
        raise ValueError(f"{name} holds a number that is not finite or beyond {largest:g}")
    return found


def _inside(name: str, values: Ints, end: int) -> None:
    if ((values < 0) | (values >= end)).any():
        raise ValueError(f"{name} holds a place outside 0 to {end - 1}")
