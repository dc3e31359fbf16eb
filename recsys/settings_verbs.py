"""Verbs that write settings: guessed from files, or found by trials; all verbs are named in `recsys.verbs`."""

from datetime import timedelta
from pathlib import Path

from recsys.answers import say, tell, write
from recsys.arguments import Changes, Span, Trials, Verbose
from recsys.shown import counted


def init(files: list[Path], /, *, out: Path = Path("project")) -> None:
    """Guess what your files hold, and write tables and settings that train.

    Parameters
    ----------
    files
        CSV, JSON or Parquet files, or folders of them.
    out
        Folder to write.
    """
    from recsys.init.project import init_project

    say(init_project(files, out))


def tune(
    data: Path,
    /,
    *,
    config: Path | None = None,
    out: Path,
    trials: Trials = 40,
    budget: Span = timedelta(hours=1),
    changes: Changes = (),
    verbose: Verbose = False,
) -> None:
    """Find settings that suit, on the valid window alone.

    The encoder learns once; trees are then grown by many settings, and features that earn nothing are left out. The
    same call goes on after a kill, from the trials in OUT.history.jsonl.

    Parameters
    ----------
    data
        Data folder.
    config
        TOML settings file to start from; the built-in settings when left out.
    out
        TOML settings file to write.
    trials
        Settings to try, the given ones first.
    budget
        Time after texts were learnt from: half for trials, half to grow the best again and to leave features out.
    changes
        Change one setting: section.key=value; repeat it.
    """
    from recsys.settings import load_settings

    tell(verbose)
    was, settings = load_settings(config), load_settings(config, changes)
    text = config.read_text(encoding="utf-8") if config else ""
    from recsys.data.tables import Dataset
    from recsys.jobs.tuning.tune import tune as tune_settings
    from recsys.jobs.tuning.written import with_found

    tuned = tune_settings(Dataset.read(data), settings, out, trials, budget)
    reason = f"found by `recsys tune` on the valid window of {data}, {counted(tuned.trials, 'trial')}"
    write(out, with_found(text, was, tuned.settings, reason))
    say(tuned.in_words())
    say(f"settings written to {out}; type: recsys train {data} --config {out} --out MODEL")
