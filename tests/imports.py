"""What imports what at the top of the modules of `recsys`; `python -m tests.imports` prints the longest chain."""

import ast
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "recsys"


def name_of(path: Path) -> str:
    """The dotted name of a module."""
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


@cache
def parsed(path: Path) -> ast.Module:
    """The syntax tree of a file, read once per process."""
    return ast.parse(path.read_text())


def read_imports() -> dict[str, set[str]]:
    """Per module the modules of the package that it imports at its top; blocks for type checkers alone left out."""
    paths = {name_of(path): path for path in PACKAGE.rglob("*.py")}
    return {name: _imported(parsed(path).body, paths.keys()) - {name} for name, path in paths.items()}


def _imported(body: list[ast.stmt], known: object) -> set[str]:
    found: set[str] = set()
    for node in body:
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inside = f"{node.module}.{alias.name}"
                found |= {inside if inside in known else node.module} & set(known)  # type: ignore[call-overload]
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names} & set(known)  # type: ignore[call-overload]
        elif isinstance(node, ast.If | ast.Try | ast.With) and "TYPE_CHECKING" not in ast.unparse(node)[:40]:
            found |= _imported([each for each in ast.iter_child_nodes(node) if isinstance(each, ast.stmt)], known)
    return found


def longest_chain(imports: dict[str, set[str]]) -> list[str]:
    """The longest chain of modules, each of which imports the next.

    Raises
    ------
    ValueError
        When modules import each other in a circle; it names them.
    """
    chains: dict[str, list[str]] = {}

    def chain(name: str, above: tuple[str, ...]) -> list[str]:
        if name in above:
            raise ValueError(f"a circle: {' -> '.join((*above[above.index(name) :], name))}")
        if name not in chains:
            below = [chain(each, (*above, name)) for each in sorted(imports[name])]
            chains[name] = [name, *max(below, key=len, default=[])]
        return chains[name]

    return max((chain(name, ()) for name in sorted(imports)), key=len)


if __name__ == "__main__":
    found = longest_chain(read_imports())
    print(f"import depth {len(found)}: {' -> '.join(found)}")
