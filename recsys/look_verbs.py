"""Verbs that look into lists: the features of their candidates, and why they are in their order."""

from pathlib import Path
from shutil import get_terminal_size
from typing import Annotated

from cyclopts import Parameter

from recsys.answers import say, write
from recsys.arguments import Changes, Moment, Whole, Written
from recsys.errors import SettingsError
from recsys.shown import counted


def features(
    data: Path,
    /,
    *,
    config: Path | None = None,
    model: Path | None = None,
    out: Path | None = None,
    request: str | None = None,
    changes: Changes = (),
) -> None:
    """Write the feature table of logged requests, or print one request.

    Parameters
    ----------
    data
        Data folder.
    config
        TOML settings file; the built-in settings when left out. With --model it says where the
        work is done, [engine], and nothing else than the model's own settings.
    model
        Model folder whose settings and encoder are used: with text columns.
    out
        Folder to write.
    request
        Print the features of the request with this id.
    changes
        Change one setting: section.key=value; repeat it.
    """
    if (out is None) == (request is None):
        raise SettingsError("give either --out DIR, to write the table, or --request ID, to print one request")
    from recsys.model.own_settings import engine_for
    from recsys.settings import load_settings

    settings = load_settings(config, changes)
    engine = settings.engine if model is None else engine_for(model, config, changes)
    basis = model or settings
    from recsys.data.tables import Dataset
    from recsys.jobs.features import show_features, write_features

    dataset = Dataset.read(data)
    if out is None:
        say(show_features(dataset, basis, str(request), get_terminal_size((120, 24)).columns), end="")
        return
    done = write_features(dataset, basis, out, engine)
    say(
        f"{counted(done.features, 'feature')} of {counted(done.rows, 'candidate')} of "
        f"{counted(done.requests, 'request')} written to {out}; "
        f"{counted(done.outside, 'request')} outside the windows left out"
    )
    if model is None:
        say("text columns are left out: they need an encoder; give --model MODEL instead of --config")
    say(f"open {out / 'catalogue.html'}")


def explain(
    model: Path,
    data: Path,
    /,
    *,
    request: str,
    candidates: Path | None = None,
    users: Path | None = None,
    at: Moment = None,
    pair: Annotated[tuple[str, str] | None, Parameter(name="--why", show_default=False)] = None,
    top: Whole = 3,
    json: Written = None,
    html: Written = None,
) -> None:
    """Say why a list is in its order: families of features, past clicks, words of texts.

    Parameters
    ----------
    model
        Model folder.
    data
        Data folder with the items and the behaviour so far.
    request
        The request with this id: a logged one, or one of --candidates or --users.
    candidates
        Parquet file or folder of candidates.
    users
        Parquet file of users that lists are made for, as with score; the id of a request is the user's.
    at
        Moment for --users, such as that of a night; UTC when it names no zone.
    pair
        Two items of the list: why the upper one stands above the other.
    top
        Explain the first so many places.
    json
        File to write every number to.
    html
        Page to write.
    """
    if (users is None) != (at is None) or (users is not None and candidates is not None):
        raise SettingsError("give --users FILE and --at TIME together, or --candidates FILE_OR_DIR, or none of them")
    from recsys.data.candidates import ask, read_rows
    from recsys.data.tables import Dataset
    from recsys.jobs.explain import explain_list

    asked = None if candidates is None else read_rows(candidates)
    if users is not None and at is not None:
        asked = ask(read_rows(users), at)
    explained = explain_list(model, Dataset.read(data), request, asked, top, pair)
    write(json, explained.to_json())
    write(html, explained.to_html())
    say(explained.to_text())
