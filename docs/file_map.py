"""Writes `files.md`: one line for each file of the code, as its own first sentence says."""

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = Path(__file__).with_name("files.md")


def file_map() -> str:
    """Give the page: folders in the order of the floors, lowest first, then the pipelines."""
    parts = ["# Files\n\nFolders are the stages; a file imports only its own folder and those above it in this list.\n"]
    for title, folder in FOLDERS:
        lines = [f"| `{path.relative_to(ROOT)}` | {_purpose(path)} |" for path in _files(folder)]
        parts.append("\n".join([f"## {title}\n", "| file | what it is |", "|---|---|", *lines]) + "\n")
    return "\n".join(parts)


FOLDERS = (
    ("The ground", "recsys"),
    *(
        (name, f"recsys/{name.split(':')[0]}")
        for name in (
            "statistics",
            "data",
            "world",
            "past",
            "vectors",
            "encoders",
            "evaluation",
            "offpolicy",
            "experiment",
            "features",
            "learning",
            "ranking",
            "model",
            "init",
            "jobs",
            "serving",
        )
    ),
    ("pipelines", "pipelines"),
)


def _files(folder: str) -> list[Path]:
    found = (ROOT / folder).glob("*.*") if folder in ("recsys", "pipelines") else (ROOT / folder).rglob("*.*")
    return sorted(path for path in found if path.suffix in (".py", ".j2", ".toml") and path.name != "__init__.py")


def _purpose(path: Path) -> str:
    text = path.read_text()
    if path.suffix == ".py":
        return (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0]
    if path.suffix == ".toml":
        return text.partition("\n")[0].removeprefix("# ")
    return text.partition("#}")[0].removeprefix("{#").strip() if text.startswith("{#") else "a template of pages"


if __name__ == "__main__":
    PAGE.write_text(file_map())
