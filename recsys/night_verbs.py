"""Verbs that go night after night; the other verbs are in `recsys.verbs`, where all of them are named."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from shutil import get_terminal_size

from cyclopts import Parameter

from recsys.answers import say, tell, write
from recsys.arguments import Begin, Changes, Moment, Span, Verbose, Whole, Written


@Parameter(name="*")
@dataclass(frozen=True)
class Retraining:
    """How often models are trained, and from what on.

    Attributes
    ----------
    retrain
        Days between two trainings, such as 7d.
    warm
        Let each training go on from the model before.
    """

    retrain: Span = timedelta(days=1)
    warm: bool = False


_EACH_NIGHT = Retraining()


def backtest(
    data: Path,
    /,
    *,
    config: Path,
    against: Path | None = None,
    begin: Begin,
    nights: Whole,
    out: Path,
    json: Written = None,
    retraining: Retraining = _EACH_NIGHT,
    changes: Changes = (),
) -> None:
    """Say how a configuration would have done, night after night.

    Each night trains on what was known when it began and ranks the lists of the day that follows.

    The same command, given again after a kill, goes on where it was.

    Parameters
    ----------
    data
        Data folder that reaches over all nights.
    config
        TOML settings file to judge: B. Its cuts move with the night.
    against
        TOML settings file to hold it against: A; popularity when left out.
    begin
        When the first night begins, such as 2023-05-24T04:00:00Z; UTC when it names no zone.
    nights
        How many.
    out
        Folder to write, or to go on with.
    json
        File to write every number to, as in OUT/backtest.json.
    retraining
        How often models are trained, and from what on.
    changes
        Change one setting of both: section.key=value; repeat it.
    """
    from recsys.settings import load_settings

    settings = load_settings(config, changes)
    other = None if against is None else load_settings(against, changes)
    from recsys.data.tables import Dataset
    from recsys.jobs.backtest import backtest as backtest_nights

    found = backtest_nights(
        Dataset.read(data), settings, begin, nights, out, other, retraining.retrain, retraining.warm
    )
    write(json, found.to_json())
    say(found.to_text(get_terminal_size((120, 24)).columns))
    say(f"written to {out}; open {out / 'backtest.html'}")


def nightly(*, config: Path, plan: bool = False, at: Moment = None, verbose: Verbose = False) -> bool:
    """Make tonight's lists and publish them whole, or leave those of before.

    What is done already is not done again; the same command, given again after a kill, goes on where it was.

    Parameters
    ----------
    config
        TOML file of the nightly job.
    plan
        Say what would be done, and why, and do nothing.
    at
        The moment that lists are made for, of what was known before it, such as 2026-01-31T04:00:00Z; UTC when it
        names no zone. An interrupted night, or now, when left out.
    """
    from recsys.jobs.nightly.settings import read_nightly

    tell(verbose)
    configured = read_nightly(config)
    from recsys.jobs.nightly.job import plan_night, run_night

    if plan:
        say(plan_night(configured, at))
        return True
    done = run_night(configured, at)
    say(done.in_words(configured.home))
    return done.good


def models(*, config: Path, json: Written = None) -> None:
    """Say which models of a nightly job there are, what is live since when, and how each came to be.

    Parameters
    ----------
    config
        TOML file of the nightly job.
    json
        File to write all of it to.
    """
    from recsys.jobs.nightly.history import history
    from recsys.jobs.nightly.home import Home
    from recsys.jobs.nightly.settings import read_nightly

    found = history(Home(read_nightly(config).home))
    write(json, found.to_json())
    say(found.to_text())


def rollback(*, config: Path, to: str | None = None) -> None:
    """Let readers take earlier lists again, and the next night come after these.

    Parameters
    ----------
    config
        TOML file of the nightly job.
    to
        Name of the lists; those before the live ones when left out.
    """
    from recsys.jobs.nightly.history import roll_back
    from recsys.jobs.nightly.home import Home
    from recsys.jobs.nightly.settings import read_nightly

    say(roll_back(Home(read_nightly(config).home), to))


def forget(*, config: Path, user: str) -> None:
    """Forget a user: what was imported, what states know, and published lists; and keep later imports from it.

    The same command, given again after a kill, does what is left.

    Parameters
    ----------
    config
        TOML file of the nightly job.
    user
        The id as the source writes it.
    """
    from recsys.jobs.nightly.forget import forget as forget_user
    from recsys.jobs.nightly.home import Home
    from recsys.jobs.nightly.settings import read_nightly

    configured = read_nightly(config)
    say(forget_user(configured, user).in_words(Home(configured.home)))
