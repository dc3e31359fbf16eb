"""The tree is as it says it is: imports go one way, every module has a test, the README's map and names are true."""

import ast
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

import recsys

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "recsys"
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")

LAYERS = ["errors", "schema", "files", "validation", "data", "text", "features", "ranking", "evaluation"]
LAYERS += ["settings", "model", "batch", "serving", "cli"]
HEAVY = {"torch", "transformers", "pytorch_lightning"}


def imported(path: Path) -> set[str]:
    """Dotted names that a module imports, at its top or inside functions, type checking aside."""
    tree = ast.parse(path.read_text())
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def stage(dotted: str) -> str:
    return dotted.removeprefix("recsys.").split(".")[0]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_a_stage_imports_only_itself_and_the_stages_before_it(path: Path) -> None:
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    for name in imported(path):
        if name.startswith("recsys."):
            assert LAYERS.index(stage(name)) <= LAYERS.index(own), f"{own} imports {name}, which comes after it"
        assert name != "recsys", "modules import from the module that holds a name, not from the root"


def test_only_the_text_stage_imports_torch_and_only_the_ranker_lightgbm() -> None:
    for path in MODULES:
        place = path.relative_to(PACKAGE).as_posix()
        roots = {name.split(".")[0] for name in imported(path)}
        assert place.startswith("text/") or not roots & HEAVY, place
        assert place == "ranking/ranker.py" or "lightgbm" not in roots, place
        assert place == "serving/ranker.py" or "pandas" not in roots, place
        assert "pickle" not in roots, place


def test_evaluation_imports_no_model() -> None:
    for path in (PACKAGE / "evaluation").rglob("*.py"):
        stages = {stage(name) for name in imported(path) if name.startswith("recsys.")}
        assert stages <= {"evaluation", "errors", "schema", "data"}, path


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_every_module_has_a_test_file_of_its_name(path: Path) -> None:
    mirror = ROOT / "tests" / path.relative_to(PACKAGE).parent / f"test_{path.name}"
    assert mirror.exists(), f"write {mirror.relative_to(ROOT)}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_files_and_functions_stay_readable(path: Path) -> None:
    source = path.read_text()
    assert len(source.splitlines()) <= 400, path
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno < 60, f"{path}: {node.name}"
            own = [argument for argument in node.args.args if argument.arg not in ("self", "cls")]
            assert len(own) + len(node.args.kwonlyargs) <= 8, f"{path}: {node.name}"


def test_the_map_in_the_readme_lists_every_file() -> None:
    text = (ROOT / "README.md").read_text()
    block = text.split("<!-- map -->")[1]
    listed = set(re.findall(r"^(\S+\.(?:py|toml|j2|md))\s+\S", block, flags=re.MULTILINE))
    present = {path.relative_to(ROOT).as_posix() for path in [*MODULES, *ROOT.glob("pipelines/*.*")]}
    present |= {path.relative_to(ROOT).as_posix() for path in PACKAGE.rglob("*.j2")}
    assert listed == present


def test_the_root_exports_what_it_says_and_all_of_it_resolves() -> None:
    assert sorted(recsys.__all__) == recsys.__all__ == dir(recsys)
    for name in recsys.__all__:
        assert getattr(recsys, name).__name__ == name
    with pytest.raises(AttributeError, match="module 'recsys' has no attribute 'rank_all'; it has DataError"):
        _ = recsys.rank_all  # type: ignore[attr-defined]


def test_importing_the_package_is_quick_and_loads_nothing_heavy() -> None:
    program = (
        "import sys, recsys\n"
        "heavy = {'torch', 'transformers', 'pytorch_lightning', 'lightgbm', 'pandas', 'polars', 'scipy'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", program], check=True)
    assert time.perf_counter() - started < 5  # a ceiling against a heavy import, not a timing


def test_the_ranker_loads_neither_torch_nor_lightning() -> None:
    program = f"import sys\nfrom recsys import Ranker\nassert not {HEAVY!r} & set(sys.modules)\n"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_command_line_starts_without_the_libraries_of_the_stages() -> None:
    program = "import sys, recsys.cli\nassert not {'torch', 'polars', 'lightgbm'} & set(sys.modules)\n"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_no_file_names_a_path_or_a_host_of_the_outside() -> None:
    for path in [*MODULES, *ROOT.glob("pipelines/*"), ROOT / "README.md"]:
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
