"""The tree is as it says it is: imports go one way and not deep, every module has a test, sizes stay readable."""

import ast
import os
import re
import subprocess
import sys
import time
from functools import cache
from pathlib import Path

import pytest

from tests.imports import longest_chain, parsed, read_imports

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "recsys"
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")

FLOORS = [
    "compiled",
    "errors",
    "shown",
    "lazy",
    "memory",
    "schema",
    "files",
    "reading",
    "progress",
    "validation",
    "manifest",
    "engines",
    "statistics",
    "data",
    "world",
    "past",
    "vectors",
]
FLOORS += [
    "encoders",
    "evaluation",
    "offpolicy",
    "experiment",
    "features",
    "sources",
    "learning",
    "ranking",
    "arranging",
]
FLOORS += [
    "settings",
    "model",
    "explaining",
    "init",
    "jobs",
    "serving",
    "arguments",
    "answers",
    "look_verbs",
    "night_verbs",
    "settings_verbs",
    "verbs",
    "cli",
]
"""The folders and files of the package, lowest first."""

DEEPEST = 9
"""Modules in the longest chain of imports."""

SHORT = {
    "compiled.py": "how functions are compiled, and nothing else",
    "errors.py": "all errors of the package, and nothing else",
    "lazy.py": "what packages need to export names",
    "past/layout.py": "names of the places in an array",
}
"""Modules of fewer than 30 lines, each with the reason why it is one."""

HEAVY = {"torch", "transformers", "pytorch_lightning"}


@cache
def imported(path: Path) -> set[str]:
    """Dotted names that a module imports, at its top or inside functions, type checking aside."""
    found = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def stage(dotted: str) -> str:
    return dotted.removeprefix("recsys.").split(".")[0]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_a_floor_imports_only_itself_and_the_floors_below(path: Path) -> None:
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    for name in imported(path):
        if name.startswith("recsys."):
            assert FLOORS.index(stage(name)) <= FLOORS.index(own), f"{own} imports {name}, which stands above it"
        assert name != "recsys", "modules import from the module that holds a name, not from the root"


def test_each_heavy_library_has_its_home() -> None:
    for path in MODULES:
        place = path.relative_to(PACKAGE).as_posix()
        roots = {name.split(".")[0] for name in imported(path)}
        assert place.startswith("learning/") or not roots & {"pytorch_lightning", "lightning_fabric"}, place
        assert place.startswith(("learning/", "encoders/")) or not roots & HEAVY, place
        assert place in ("ranking/trees.py", "ranking/together.py") or "lightgbm" not in roots, place
        assert place in ("serving/ranker.py", "serving/frames.py") or "pandas" not in roots, place
        assert place == "engines/on_ray.py" or "ray" not in roots, place
        assert "pickle" not in roots, place


@pytest.mark.parametrize("package", ["statistics", "evaluation", "offpolicy", "experiment"])
def test_what_measures_knows_tables_and_imports_no_model(package: str) -> None:
    ground = {"statistics", "evaluation", "errors", "shown", "files", "reading", "lazy", "schema", "data", package}
    for path in (PACKAGE / package).rglob("*.py"):
        stages = {stage(name) for name in imported(path) if name.startswith("recsys.")}
        assert stages <= ground, path


def test_no_chain_of_imports_is_longer_than_nine_modules_and_none_is_a_circle() -> None:
    chain = longest_chain(read_imports())
    assert len(chain) <= DEEPEST, " -> ".join(chain)


def test_a_longer_chain_and_a_circle_are_seen() -> None:
    assert longest_chain({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == ["a", "b", "c"]
    with pytest.raises(ValueError, match="a circle: a -> b -> a"):
        longest_chain({"a": {"b"}, "b": {"a"}})
    imports = read_imports()
    assert "recsys.statistics.numbers" in imports["recsys.statistics.totals"]
    assert "recsys.learning.course" not in imports["recsys.jobs.train"]  # torch is loaded when the data is in order


def test_no_class_name_stands_for_two_things() -> None:
    homes: dict[str, list[str]] = {}
    for path in MODULES:
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.ClassDef):
                homes.setdefault(node.name, []).append(path.relative_to(PACKAGE).as_posix())
    assert {name: where for name, where in homes.items() if len(where) > 1} == {}


def test_a_module_of_a_few_lines_has_a_reason() -> None:
    short = {path.relative_to(PACKAGE).as_posix() for path in MODULES if len(path.read_text().splitlines()) < 30}
    assert short <= SHORT.keys()


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_every_module_has_a_test_file_of_its_name(path: Path) -> None:
    mirror = ROOT / "tests" / path.relative_to(PACKAGE).parent / f"test_{path.name}"
    assert mirror.exists(), f"write {mirror.relative_to(ROOT)}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_files_and_functions_stay_readable(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 400, path
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno < 60, f"{path}: {node.name}"
            own = [argument for argument in node.args.args if argument.arg not in ("self", "cls")]
            assert len(own) + len(node.args.kwonlyargs) <= 8, f"{path}: {node.name}"


def test_importing_the_package_is_quick_and_loads_nothing_heavy() -> None:
    program = (
        "import sys, recsys\n"
        "heavy = {'torch', 'transformers', 'pytorch_lightning', 'lightgbm', 'pandas', 'polars', 'scipy'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", program], check=True)
    assert time.perf_counter() - started < 5  # a ceiling against a heavy import, not a timing


@pytest.mark.slow
def test_the_ranker_loads_neither_torch_nor_lightning() -> None:
    program = f"import sys\nfrom recsys import Ranker\nassert not {HEAVY!r} & set(sys.modules)\n"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_command_line_starts_without_the_libraries_of_the_stages() -> None:
    program = "import sys, recsys.cli\nassert not {'torch', 'polars', 'lightgbm'} & set(sys.modules)\n"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_no_file_names_a_path_or_a_host_of_the_outside() -> None:
    for path in [*MODULES, *ROOT.glob("pipelines/*"), *ROOT.glob("docs/*.md"), ROOT / "README.md"]:
        if path.is_file():
            text = path.read_text()
            assert not re.search(r"/work/|/root/|/tmp/|trust_remote_code=True", text), path


def test_waiting_threads_sleep_unless_the_caller_says_otherwise() -> None:
    program = "import os, recsys; print(os.environ['OMP_WAIT_POLICY'])"
    for given, expected in [({}, "passive"), ({"OMP_WAIT_POLICY": "active"}, "active")]:
        environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"} | given
        done = subprocess.run(
            [sys.executable, "-c", program], check=True, env=environment, capture_output=True, text=True
        )
        assert done.stdout.strip() == expected
