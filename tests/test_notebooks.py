"""Every notebook runs from top to bottom and is kept without outputs."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

pytestmark = pytest.mark.slow


ENDS = {"first_look": "true rank", "may_b_replace_a": "true value"}
"""What the last line of each story holds against the truth."""

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))


def test_the_stories_are_there() -> None:
    assert ENDS.keys() == {path.stem for path in NOTEBOOKS}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.filterwarnings("default")  # the kernel's own client warns of its event loop
def test_a_notebook_runs_and_shows_something_in_every_last_line(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells), "clear the outputs before committing"
    NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    shown = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.outputs]
    assert len(shown) >= 4
    assert ENDS[path.stem] in str(notebook.cells[-1].outputs)


@pytest.mark.filterwarnings("default")
def test_a_table_for_the_terminal_is_text_in_a_notebook_too() -> None:
    """Rich would otherwise show its own output and leave an empty text."""
    code = "from recsys.evaluation.reports.pages import printed, terminal\nconsole = terminal(80)\nconsole.print('held')\nprinted(console)"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
    assert [output["data"]["text/plain"] for output in notebook.cells[0].outputs] == ["'held\\n'"]
