"""Whatever files are imported or looked at: tables that can be checked and written, or an error that says what is wrong."""

from pathlib import Path
from tempfile import TemporaryDirectory

from recsys.data.checks import check_tables
from recsys.data.importers import read_source
from recsys.data.tables import Dataset
from recsys.init.project import init_project
from tests.fuzz.fuzzing import answer, fuzzed
from tests.fuzz.texts import folders, write_files


@fuzzed(files=folders("items", "events", "requests"))
def test_any_tables_are_imported_or_refused(files) -> None:
    with TemporaryDirectory() as place:
        dataset = answer(lambda: read_source("tables", write_files(Path(place) / "files", files)))
        if dataset is not None:
            assert check_tables(dataset).to_text()
            dataset.write(Path(place) / "data")
            written = Dataset.read(Path(place) / "data").requests
            assert (written.shape, written.columns) == (dataset.requests.shape, dataset.requests.columns)


@fuzzed(files=folders("orders", "items"))
def test_any_files_make_a_project_or_are_refused(files) -> None:
    with TemporaryDirectory() as place:
        folder, project = write_files(Path(place) / "files", files), Path(place) / "project"
        said = answer(lambda: init_project([folder], project))
        assert (said is not None) == project.exists()
        if said is not None:
            assert check_tables(Dataset.read(project / "data")).ok
            again = read_source("tables", folder, project / "mapping.toml")
            assert again.requests.equals(Dataset.read(project / "data").requests)
