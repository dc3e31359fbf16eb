"""The command line: each verb calls one library function."""

import argparse
import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from shutil import get_terminal_size
from types import FrameType

from recsys.errors import DataError, RecsysError, SettingsError

FINE, NO, WRONG_USE = 0, 1, 2
"""Exit status: all went well; the answer is no; the command or its settings are wrong."""

Verb = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit status.

    Parameters
    ----------
    arguments
        Words after `recsys`; those of the process when left out.
    """
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    verb: Verb = options.verb
    try:
        with _stopped_by_signals():
            return verb(options)
    except SettingsError as error:
        print(f"recsys: {error}", file=sys.stderr)
        return WRONG_USE
    except RecsysError as error:
        print(f"recsys: {error}", file=sys.stderr)
        return NO
    except BrokenPipeError:
        # Who read the output has left; nothing more can be said there.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except _StoppedError as stopped:
        print(
            "recsys: stopped by a signal; nothing was left half-written, and a training goes on when asked again",
            file=sys.stderr,
        )
        return stopped.status


class _StoppedError(BaseException):
    """A signal asked the process to stop; not a KeyboardInterrupt, which Lightning would answer by itself."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal_number)
        self.status = 128 + signal_number


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    def stop(signal_number: int, _: FrameType | None) -> None:
        raise _StoppedError(signal_number)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _demo(options: argparse.Namespace) -> int:
    from recsys.jobs.demo import run_demo

    print(run_demo(options.out))
    return FINE


def _init(options: argparse.Namespace) -> int:
    from recsys.init.project import init_project

    print(init_project(options.files, options.out))
    return FINE


def _import(options: argparse.Namespace) -> int:
    from recsys.data.importers import read_source
    from recsys.files import refuse_existing

    refuse_existing(options.out)
    dataset = read_source(options.source, options.input, options.mapping)
    dataset.write(options.out)
    for note in dataset.about.notes:
        print(f"note: {note}")
    print(
        f"{dataset.requests['request_id'].n_unique():,} requests, {len(dataset.requests):,} candidate rows, "
        f"{len(dataset.items):,} items, {len(dataset.events):,} events written to {options.out}"
    )
    return FINE


def _check(options: argparse.Namespace) -> int:
    from recsys.data.checks import check_folder

    report = check_folder(options.data)
    _write(options.json, report.to_json())
    print(report.to_text())
    return FINE if report.ok else NO


def _train(options: argparse.Namespace) -> int:
    from recsys.files import refuse_existing
    from recsys.settings import load_settings

    refuse_existing(options.out)
    settings = load_settings(options.config, options.set)  # before torch is loaded, which takes seconds
    from recsys.data.tables import Dataset
    from recsys.evaluation.reports.evaluation_report import to_text
    from recsys.jobs.train import train

    judgement = train(Dataset.read(options.data), settings, options.out, options.start)
    print(to_text(judgement.evaluation))
    print(f"model written to {options.out}; open {options.out / 'report.html'}")
    return FINE


def _features(options: argparse.Namespace) -> int:
    from recsys.settings import load_settings

    if options.model is not None and options.set:
        raise SettingsError("--set changes a settings file, but --model has its own; give --config, or leave --set out")
    basis = options.model or load_settings(options.config, options.set)
    from recsys.data.tables import Dataset
    from recsys.jobs.features import show_features, write_features

    dataset = Dataset.read(options.data)
    if options.request is not None:
        print(show_features(dataset, basis, options.request, get_terminal_size((120, 24)).columns), end="")
        return FINE
    done = write_features(dataset, basis, options.out)
    print(
        f"{done.features:,} features of {done.rows:,} candidates of {done.requests:,} requests "
        f"written to {options.out}; {done.outside:,} requests outside the windows left out"
    )
    if options.model is None:
        print("text columns are left out: they need an encoder; give --model MODEL instead of --config")
    print(f"open {options.out / 'catalogue.html'}")
    return FINE


def _evaluate(options: argparse.Namespace) -> int:
    from recsys.data.tables import Dataset
    from recsys.evaluation.reports.evaluation_report import to_text
    from recsys.jobs.evaluate import evaluate

    evaluation = evaluate(options.model, Dataset.read(options.data), options.window)
    _write(options.json, json.dumps(evaluation.to_json(), indent=2) + "\n")
    if options.window != "test":
        print(f"the model has learnt from the {options.window} window: these figures flatter it")
    print(to_text(evaluation))
    return FINE


def _compare(options: argparse.Namespace) -> int:
    from recsys.data.tables import Dataset
    from recsys.evaluation.plan import Plan
    from recsys.jobs.compare import compare

    measures = None if options.measures is None else options.measures.split(",")
    plan = Plan.of(options.primary, measures, options.matters, options.seed)
    compared = compare(options.a, options.b, Dataset.read(options.data), plan, options.segment)
    _write(options.json, json.dumps(compared.to_json(), indent=2) + "\n")
    _write(options.html, compared.to_html())
    print(compared.to_text(get_terminal_size((120, 24)).columns))
    return FINE


def _score(options: argparse.Namespace) -> int:
    crossed = options.users is not None and options.at is not None
    if options.candidates is None and not crossed:
        raise SettingsError("give --candidates FILE_OR_DIR, or --users FILE and --at TIME")
    if options.candidates is not None and (options.users or options.items or options.at):
        raise SettingsError("--candidates comes with neither --users nor --items nor --at; give one or the other")
    from recsys.data.candidates import cross, read_candidates
    from recsys.data.tables import Dataset, read_parquet
    from recsys.jobs.score import score

    dataset = Dataset.read(options.data)
    if crossed:
        items = dataset.items if options.items is None else read_parquet(options.items)
        candidates = cross(read_parquet(options.users), items, options.at)
    else:
        candidates = read_candidates(options.candidates)
    scored = score(options.model, dataset, candidates, options.out, options.top)
    print(
        f"{scored.rankings:,} rankings of {scored.requests:,} requests written to {options.out}; "
        f"nothing was known of {scored.unknown_users:,} users at some request; {scored.unknown_items:,} unknown items"
    )
    return FINE


def _write(path: Path | None, text: str) -> None:
    if path is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    except OSError as error:
        raise DataError(f"{path} cannot be written ({error}); choose another file") from error


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time; write it as 2023-05-24T07:00:00Z") from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="recsys", description="A personalised ranking engine that reads.")
    parser.add_argument("--version", action="version", version=version("recsys"))
    verbs = parser.add_subparsers(required=True, metavar="VERB")

    def add(name: str, verb: Verb, purpose: str) -> argparse.ArgumentParser:
        added = verbs.add_parser(name, help=purpose, description=purpose, allow_abbrev=False)
        added.set_defaults(verb=verb)
        return added

    demo = add("demo", _demo, "run the whole line on the simulated world")
    demo.add_argument("--out", type=Path, default=Path("demo"), help="folder to write (default: demo)")

    begun = add("init", _init, "guess what your files hold, and write tables and settings that train")
    begun.add_argument("files", type=Path, nargs="+", help="CSV, JSON or Parquet files, or folders of them")
    begun.add_argument("--out", type=Path, default=Path("project"), help="folder to write (default: project)")

    imported = add("import", _import, "turn foreign files into the tables")
    imported.add_argument("source", help="tables, ebnerd, mind, upworthy or openbandit")
    imported.add_argument("input", type=Path, help="folder with the foreign files")
    imported.add_argument("--out", type=Path, required=True, help="data folder to write")
    imported.add_argument("--mapping", type=Path, help="TOML file that maps columns, for the source tables")

    checked = add("check", _check, "list every fault of a data folder")
    checked.add_argument("data", type=Path, help="data folder")
    checked.add_argument("--json", type=Path, help="file to write the faults to")

    trained = add("train", _train, "train a model folder")
    trained.add_argument("data", type=Path, help="data folder")
    trained.add_argument("--config", type=Path, help="TOML settings file (default: the built-in settings)")
    trained.add_argument("--out", type=Path, required=True, help="model folder to write")
    trained.add_argument("--from", dest="start", type=Path, metavar="MODEL", help="earlier model that goes on learning")
    trained.add_argument("--set", action="append", default=[], metavar="section.key=value", help="change one setting")

    _take_features(add("features", _features, "write the feature table of logged requests, or print one request"))

    evaluated = add("evaluate", _evaluate, "measure five rankers on a window")
    evaluated.add_argument("model", type=Path, help="model folder")
    evaluated.add_argument("data", type=Path, help="data folder")
    evaluated.add_argument("--window", choices=("text", "ranker", "valid", "test"), default="test")
    evaluated.add_argument("--json", type=Path, help="file to write the measures to")

    _take_comparison(add("compare", _compare, "say whether B may replace A"))

    scored = add("score", _score, "rank candidates in a batch")
    scored.add_argument("model", type=Path, help="model folder")
    scored.add_argument("data", type=Path, help="data folder with today's items and behaviour")
    scored.add_argument("--candidates", type=Path, help="Parquet file or folder of candidates")
    scored.add_argument(
        "--users",
        type=Path,
        help="Parquet file of users to rank all items for: user_id and the context columns of the model",
    )
    scored.add_argument("--items", type=Path, help="Parquet file of items to rank for --users (default: all items)")
    scored.add_argument(
        "--at", type=_moment, help="moment for --users, such as 2023-05-24T07:00:00Z; UTC when it names no zone"
    )
    scored.add_argument("--out", type=Path, required=True, help="folder to write")
    scored.add_argument("--top", type=int, help="keep the first so many of each request")
    return parser


def _take_features(tabulated: argparse.ArgumentParser) -> None:
    tabulated.add_argument("data", type=Path, help="data folder")
    basis = tabulated.add_mutually_exclusive_group()
    basis.add_argument("--config", type=Path, help="TOML settings file (default: the built-in settings)")
    basis.add_argument("--model", type=Path, help="model folder whose settings and encoder are used: with text columns")
    answer = tabulated.add_mutually_exclusive_group(required=True)
    answer.add_argument("--out", type=Path, help="folder to write")
    answer.add_argument("--request", metavar="ID", help="print the features of this request")
    tabulated.add_argument("--set", action="append", default=[], metavar="section.key=value", help="change one setting")


def _take_comparison(compared: argparse.ArgumentParser) -> None:
    side = "model folder, ranking file (Parquet or TREC run), folder written by score, random or popularity"
    compared.add_argument("a", help=f"what is there: {side}")
    compared.add_argument("b", help="what may replace it: the same")
    compared.add_argument("data", type=Path, help="data folder")
    compared.add_argument("--primary", default="nDCG@10", metavar="MEASURE", help="decides (default: nDCG@10)")
    compared.add_argument(
        "--matters", type=float, default=0.01, help="smallest difference of it that would matter (default: 0.01)"
    )
    compared.add_argument(
        "--measures",
        help="what else is computed, joined by commas (default: nDCG@10,AUC,first-hit MRR,MAP,hit@1,recall@5)",
    )
    compared.add_argument(
        "--segment", action="append", default=[], metavar="COLUMN", help="column of any table to compare by; repeat it"
    )
    compared.add_argument("--seed", type=int, default=0, help="of the resampling (default: 0)")
    compared.add_argument("--json", type=Path, help="file to write every number to")
    compared.add_argument("--html", type=Path, help="page to write")


if __name__ == "__main__":
    sys.exit(main())
