"""The verbs of the command line, each one call of a library function; signatures and docstrings are words and helps."""

from pathlib import Path
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from recsys.answers import say, tell, write
from recsys.arguments import HERE, LOGGED, Changes, Judged, MadeLists, Verbose, Where, Whole, Written
from recsys.errors import SettingsError
from recsys.look_verbs import explain as explain_list
from recsys.look_verbs import features
from recsys.night_verbs import backtest, forget, models, nightly, rollback
from recsys.settings_verbs import init, tune

if TYPE_CHECKING:
    from polars import DataFrame

    from recsys.arranging.settings import RuleSettings


def _version() -> str:
    from importlib.metadata import version  # loads much that no other word needs

    return version("recsys")


APP = App(
    name="recsys",
    version=_version,
    help="A personalised ranking engine that reads.",
    version_flags="--version",
    default_parameter=Parameter(negative=(), json_list=False, allow_repeating=True),
    help_formatter="plain",
    help_format="plaintext",
    result_action="return_value",
    exit_on_error=False,
    print_error=False,
    suppress_keyboard_interrupt=False,
)
"""The verbs; their words and helps are the signatures and docstrings below."""


@APP.command
def demo(*, out: Path = Path("demo"), verbose: Verbose = False) -> None:
    """Run the whole line on the simulated world, told stage by stage.

    Parameters
    ----------
    out
        Folder to write.
    """
    tell(verbose)
    from recsys.jobs.demo import run_demo

    say(run_demo(out))


@APP.command
def world(
    *,
    out: Path,
    seed: Whole = 1,
    items: Whole = 2_500,
    users: Whole = 1_500,
    requests: Whole = 16_000,
    days: Whole = 20,
) -> None:
    """Write a simulated world as a data folder, its truth beside the tables.

    Parameters
    ----------
    out
        Data folder to write.
    seed
        Everything follows from it.
    items
        Items, those published before the first list included.
    users
        Users, those who join after the first list included.
    requests
        Lists shown.
    days
        Days over which lists are shown.
    """
    from recsys.files import refuse_existing
    from recsys.validation import validate
    from recsys.world import WorldSettings, make_world

    refuse_existing(out)
    sizes = {"seed": seed, "items": items, "users": users, "requests": requests, "days": days}
    made = make_world(validate(WorldSettings, sizes, "the world"))
    made.write(out)
    say(f"{made.dataset.in_words()} written to {out}; the truth is in {out / 'truth.parquet'}")


APP.command(init)


@APP.command(name="import")
def import_(source: str, folder: Path, /, *, out: Path, mapping: Path | None = None) -> None:
    """Turn foreign files into the tables.

    Parameters
    ----------
    source
        `tables` for files of your own, or a public data set such as ebnerd; a wrong name lists them all.
    folder
        Where the foreign files lie.
    out
        Data folder to write.
    mapping
        TOML file that maps columns, for the source tables.
    """
    from recsys.data.importers import read_source
    from recsys.files import refuse_existing

    refuse_existing(out)
    dataset = read_source(source, folder, mapping)
    dataset.write(out)
    for note in dataset.about.notes:
        say(f"note: {note}")
    say(f"{dataset.in_words()} written to {out}")


@APP.command
def check(data: Path, /, *, json: Written = None) -> bool:
    """List every fault of a data folder.

    Parameters
    ----------
    data
        Data folder.
    json
        File to write the faults to.
    """
    from recsys.data.checks import check_folder

    report = check_folder(data)
    write(json, report.to_json())
    say(report.to_text())
    return report.ok


APP.command(tune)


@APP.command
def train(
    data: Path,
    /,
    *,
    config: Path | None = None,
    out: Path,
    start: Annotated[Path | None, Parameter(name="--from")] = None,
    changes: Changes = (),
    verbose: Verbose = False,
) -> None:
    """Train a model folder.

    Parameters
    ----------
    data
        Data folder.
    config
        TOML settings file; the built-in settings when left out.
    out
        Model folder to write.
    start
        Earlier model that goes on learning.
    changes
        Change one setting: section.key=value; repeat it.
    """
    from recsys.files import refuse_existing
    from recsys.settings import load_settings

    tell(verbose)
    refuse_existing(out)
    settings = load_settings(config, changes)  # before torch is loaded, which takes seconds
    from recsys.data.tables import Dataset
    from recsys.evaluation.reports.evaluation_report import to_text
    from recsys.jobs.train import train as train_model

    judgement = train_model(Dataset.read(data), settings, out, start)
    say(to_text(judgement.evaluation))
    say(f"model written to {out}; open {out / 'report.html'}")


APP.command(features)


@APP.command
def evaluate(
    model: Path,
    data: Path,
    /,
    *,
    window: Judged = "test",
    stress: bool = False,
    rules: Path | None = None,
    json: Written = None,
    lists: Path | None = None,
) -> None:
    """Measure every ranker on a window.

    Parameters
    ----------
    model
        Model folder.
    data
        Data folder.
    window
        The window of time whose requests are ranked.
    stress
        Also measure what bad days cost: misspelt and missing texts, which are read anew, and a stopped feed.
    rules
        TOML settings file whose [rules] are priced; those of the model when left out.
    json
        File to write the measures to.
    lists
        Folder to write the judged lists to, for score --candidates; their labels go to LISTS-labels beside it.
    """
    from recsys.data.tables import Dataset
    from recsys.evaluation.reports.evaluation_report import to_text
    from recsys.jobs.evaluate import evaluate as evaluate_model

    evaluation = evaluate_model(model, Dataset.read(data), window, lists, stress, _rules(rules))
    write(json, evaluation.to_json())
    flattered = "" if window == "test" else f"the model has learnt from the {window} window: these figures flatter it\n"
    say(flattered + to_text(evaluation))


@APP.command
def compare(
    a: str,
    b: str,
    data: Path,
    /,
    *,
    primary: str = "nDCG@10",
    matters: float = 0.01,
    measures: str = "nDCG@10,AUC,first-hit MRR,MAP,hit@1,recall@5",
    segment: tuple[str, ...] = (),
    stress: bool = False,
    seed: Whole = 0,
    json: Written = None,
    html: Written = None,
) -> None:
    """Say whether B may replace A.

    Each side is a model folder, a ranking file (Parquet or TREC run), a folder written by score, or a baseline: random,
    popularity, recency, "chosen before" or co-visitation, which put what a user chose before, or what others clicked
    after the same, in front of what is popular.

    Where no lists were logged, sides that can make lists of the whole field are compared on these.

    Parameters
    ----------
    a
        What is there.
    b
        What may replace it.
    data
        Data folder.
    primary
        The measure that decides.
    matters
        Smallest difference of it that would matter.
    measures
        What else is computed, joined by commas.
    segment
        Column of any table to compare by; repeat it.
    stress
        Also measure what bad days cost each side that is a model: misspelt texts, titles alone, a stopped feed.
    seed
        Of the resampling, and of the baseline random.
    json
        File to write every number to.
    html
        Page to write.
    """
    from recsys.data.tables import Dataset
    from recsys.evaluation.plan import Plan
    from recsys.jobs.compare import compare as compare_sides

    plan = Plan.of(primary, measures.split(","), matters, seed)
    compared = compare_sides(a, b, Dataset.read(data), plan, list(segment), stressed=stress)
    write(json, compared.to_json())
    write(html, compared.to_html())
    say(compared.to_text(get_terminal_size((120, 24)).columns))


@APP.command
def score(
    model: Path,
    data: Path,
    /,
    *,
    candidates: Path | None = None,
    made: MadeLists = LOGGED,
    find: bool = False,
    explain: bool = False,
    out: Path,
    top: Whole | None = None,
    where: Where = HERE,
) -> bool:
    """Rank candidates in a batch; given again after a kill, it goes on.

    Parameters
    ----------
    model
        Model folder.
    data
        Data folder with today's items and behaviour.
    candidates
        Parquet file or folder of candidates; broken files of a folder are left out and named, the status is 1 then.
    made
        Lists that are made in their place.
    find
        Let the model's sources add to --candidates or --items.
    explain
        Also write what each family of features adds to each score, and which past clicks speak for it.
    out
        Folder to write.
    top
        Keep the first so many of each request.
    where
        Where it is done.
    """
    asked = _asked(candidates, made)
    from recsys.data.cutting import refuse_no_items
    from recsys.data.tables import Dataset
    from recsys.files import refuse_existing
    from recsys.jobs.score import score as score_lists
    from recsys.model.own_settings import engine_for

    refuse_existing(out)
    engine = engine_for(model, where.config, where.changes)
    dataset = Dataset.read(data)
    if candidates is not None and not find:
        refuse_no_items(candidates)
    scored = score_lists(model, dataset, asked, out, top, find, explain, engine)
    say(scored.in_words(out))
    return not scored.broken


def _rules(settings: Path | None) -> "RuleSettings | None":
    """Read the rules of a settings file."""
    from recsys.settings import load_settings

    return None if settings is None else load_settings(settings, ()).rules


def _asked(candidates: Path | None, made: MadeLists) -> "Path | DataFrame":
    """Give candidates, or make a request for each user of a file, with the items of another one where there is one."""
    if candidates is not None:
        if made != LOGGED:
            raise SettingsError("--candidates comes with neither --users nor --items nor --at; give one or the other")
        return candidates
    if made.users is None or made.at is None:
        raise SettingsError("give --candidates FILE_OR_DIR, or --users FILE and --at TIME")
    from recsys.data.candidates import ask, cross, read_rows

    users = read_rows(made.users)
    return ask(users, made.at) if made.items is None else cross(users, read_rows(made.items), made.at)


APP.command(explain_list, name="explain")
for verb in (backtest, nightly, models, rollback, forget):
    APP.command(verb)
