"""The project folder: a mapping, the imported tables and settings that train, all of them guesses with reasons."""

import shlex
from collections.abc import Sequence
from os.path import relpath
from pathlib import Path

from recsys.data.checks import check_tables
from recsys.data.faults import refuse_errors
from recsys.data.importers.mapped import read_mapped, read_mapping
from recsys.data.tables import Dataset
from recsys.files import new_folder, refuse_existing
from recsys.init.mapping import mapping_sections
from recsys.init.samples import read_samples
from recsys.init.suggestions import in_words, suggest_settings
from recsys.init.tables import Talk, choose_tables, common_folder
from recsys.init.toml import Entry, Section, write_toml
from recsys.shown import counted, plain


def init_project(files: Sequence[str | Path], target: str | Path) -> str:
    """Guess what somebody's files are, and write a project folder that trains as it stands, whole or not at all.

    The folder holds `mapping.toml`, which says what was guessed and why and can be corrected; `data`, the tables as
    that mapping imports them; `settings.toml`, which suits them; and `night.toml`, a nightly job of all that.

    Parameters
    ----------
    files
        CSV, JSON or Parquet files, or folders of them.
    target
        Folder to write; must not hold anything.

    Returns
    -------
    What was guessed, what a person should look at, and what to type next.

    Raises
    ------
    DataError
        When a file cannot be read, nothing says who did what and when, or the tables have faults.
    """
    target = Path(target)
    refuse_existing(target)
    samples = read_samples([Path(file) for file in files])
    root, talk = common_folder(samples), Talk()
    tables = choose_tables(samples, talk)
    sections = mapping_sections(tables, root, talk)
    again = f"recsys import tables {_quoted(root)} --mapping {_quoted(target / 'mapping.toml')} --out DATA"
    with new_folder(target) as folder:
        path = folder / "mapping.toml"
        path.write_text(write_toml(_MAPPING.format(again=again), sections), encoding="utf-8")
        dataset = read_mapped(root, read_mapping(path))
        checked = check_tables(dataset)
        refuse_errors(checked)
        dataset.write(folder / "data")
        settings = suggest_settings(dataset, tables.several_kinds)
        train = f"recsys train {_quoted(target / 'data')} --config {_quoted(target / 'settings.toml')}"
        train += f" --out {_quoted(target / 'model')}"
        (folder / "settings.toml").write_text(write_toml(_SETTINGS.format(train=train), settings), encoding="utf-8")
        night = f"recsys nightly --config {_quoted(target / 'night.toml')}"
        sections = _night(relpath(root.absolute(), target.absolute()))
        (folder / "night.toml").write_text(write_toml(_NIGHT.format(night=night), sections), encoding="utf-8")
    warnings = sum(fault.severity == "warning" for fault in checked.faults)
    if warnings:
        talk.doubts.append(
            f"the table check has {counted(warnings, 'warning')}: recsys check {_quoted(target / 'data')}"
        )
    return _report(talk, dataset, in_words(settings), [again, train, night], target)


_MAPPING = (
    "What the files hold, as guessed; every guess has its reason above it. Correct what is wrong, then import again, "
    "every night if you like (paths of files start from the first folder):\n{again}"
)
_SETTINGS = "Settings that suit the tables; docs/settings.md tells all others.\n{train}"
_NIGHT = (
    "The nightly job: new data in, a model trained where it is time, lists for every user, published whole.\n{night}"
)


def _night(root: str) -> list[Section]:
    """Say what a nightly job imports and makes."""
    return [
        Section(
            (),
            (Entry("home", "nights", "readers take nights/live"), Entry("settings", "settings.toml", "of the model")),
        ),
        Section(("source",), (Entry("folder", root, "where the files lie"), Entry("mapping", "mapping.toml"))),
        Section(("training",), (Entry("every", "7d", "in between the last model ranks, by today's behaviour"),)),
        Section(("lists",), (Entry("top", 20, "places of each list"),)),
    ]


def _quoted(path: Path) -> str:
    return plain(shlex.quote(str(path)))


def _report(talk: Talk, dataset: Dataset, settings: list[str], commands: list[str], target: Path) -> str:
    again, train, night = commands
    parts = {
        "guessed": talk.said,
        "please look at": talk.doubts,
        "note": list(dataset.about.notes),
        "settings": settings,
    }
    lines = [f"{title}: {sentence}" for title, sentences in parts.items() for sentence in sentences]
    lines += [
        f"{dataset.in_words()} written to {target / 'data'}",
        f"where a guess is wrong, correct {target / 'mapping.toml'} and import: {again}",
        f"every night: {night}",
        f"next: {train}",
    ]
    return "\n".join(lines)
