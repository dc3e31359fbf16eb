"""Verbs that go night after night; the other verbs are in `recsys.verbs`, where all of them are named."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from shutil import get_terminal_size

from cyclopts import Parameter

from recsys.answers import say, write
from recsys.arguments import Begin, Changes, Days, Whole, Written


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

    retrain: Days = timedelta(days=1)
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
