"""The nightly job: one night is done at a time, and whoever is not there is told how it went."""

import json
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from recsys.errors import DataError, RecsysError
from recsys.files import read_json, write_whole
from recsys.jobs.nightly.alerts import alert_file, alert_webhook, prometheus
from recsys.jobs.nightly.home import Home
from recsys.jobs.nightly.night import CLOCK, STEPS, NightSteps, night_name
from recsys.jobs.nightly.outcome import NightDone
from recsys.jobs.nightly.settings import Configured
from recsys.jobs.nightly.steps import Steps, UndoneError

_LINES = 20
"""Lines of an error that are told, at most."""


def run_night(configured: Configured, at: datetime | None = None) -> NightDone:
    """Do what a night still has to do, and publish its lists whole; or leave everything as it was.

    Parameters
    ----------
    configured
        See `recsys.jobs.nightly.settings.read_nightly`.
    at
        The moment that lists are made for, of what was known before it; that of an interrupted night, or else now, when
        left out. A moment before the live lists makes and keeps lists, and leaves the pointer where it is.

    Raises
    ------
    DataError
        When another process is at work, the pointer leads nowhere, the clock went backwards, or the source has faults.
    ModelError, SettingsError
        As of `train` and `score`.
    """
    home = Home(configured.home)
    with home.locked():
        try:
            moment = _moment(home, configured, at)
            steps = Steps(home.work, home.folder / "log" / f"{night_name(moment)}.jsonl")
            done = _run(NightSteps(configured, home, moment, steps))
        except Exception as error:
            said = (
                str(error).strip() if isinstance(error, RecsysError | OSError) else f"{type(error).__name__}, a fault"
            )
            failed = NightDone(None, tuple(f"failed: {line}" for line in said.splitlines()[:_LINES]))
            _alert(configured, home, failed, at)
            raise
        _alert(configured, home, done, moment)
        return done


def _run(night: NightSteps) -> NightDone:
    """Run a night, and write down how it ended."""
    try:
        done = night.run()
    except Exception as error:
        night.steps.tell("night", "failed", error=type(error).__name__)
        raise
    night.steps.tell("night", "done" if done.good else "refused", reasons=[*done.refused, *done.notes])
    return done


def plan_night(configured: Configured, at: datetime | None = None) -> str:
    """Say what a night would do and why, and do nothing; arguments and errors as of `run_night`."""
    home = Home(configured.home)
    if not home.work.is_dir():
        return "\n".join(f"{name}: would run, for it was never done" for name in STEPS)
    moment = _moment(home, configured, at, keep=False)
    steps = Steps(home.work, home.folder, planning=True)
    night = NightSteps(configured, home, moment, steps)
    try:
        night.run()
    except UndoneError:
        reached = steps.lines[-1].partition(":")[0]
        follow = [f"{name}: would follow, as its input is not there yet" for name in STEPS[STEPS.index(reached) + 1 :]]
        due = night.training_due()
        if due is not None and due > moment and night.before() is not None:
            follow = [line for line in follow if not line.startswith(("train", "gate"))]
            follow.insert(0 if reached == "check" else 1, f"train: not due before {due:%F %T} UTC")
        steps.lines += follow
    return "\n".join([f"for {moment:%F %T} UTC", *steps.lines])


def _moment(home: Home, configured: Configured, at: datetime | None, keep: bool = True) -> datetime:
    """Find the moment of a night; an interrupted one goes on with its own."""
    path, zone = home.work / CLOCK, ZoneInfo(configured.model.time.zone)
    if at is None:
        now, live = datetime.now(UTC).replace(microsecond=0), home.live
        begun = _begun(path)
        at = begun if begun is not None and begun.astimezone(zone).date() == now.astimezone(zone).date() else now
        if live is not None and at < live.at:
            raise DataError(
                f"the clock says {now:%F %T} UTC, but the live lists were made for {live.at:%F %T} UTC; set the clock, "
                "or give --at TIME"
            )
    if keep:
        write_whole(path, json.dumps({"at": at.isoformat()}) + "\n")
    return at


def _begun(path: Path) -> datetime | None:
    """Read the moment of a night that is at work or was interrupted."""
    if not path.is_file():
        return None
    try:
        return datetime.fromisoformat(read_json(path, "remove it")["at"]).astimezone(UTC)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} holds no moment of a night ({error!r}); remove it") from error


def _alert(configured: Configured, home: Home, done: NightDone, at: datetime | None) -> None:
    """Tell those who are not there."""
    said = configured.nightly.alert
    reasons = [*done.refused, *done.notes]
    if said.file is not None:
        alert_file(configured.path(said.file), reasons)
    if said.webhook is not None and reasons:
        name = None if at is None else night_name(at)
        alert_webhook(said.webhook, {"night": name, "published": done.good, "reasons": reasons})
    if said.prometheus is not None:
        try:
            live = home.live
        except RecsysError:  # told by whoever failed at it
            live = None
        figures = {
            "published": ("1 where the last night published its lists, 0 where those of before stay", done.good),
            "refused": ("Reasons for which the last night was refused", len(done.refused)),
            "live_timestamp_seconds": (
                "The moment that the live lists were made for",
                live.at.timestamp() if live else 0,
            ),
        }
        prometheus(configured.path(said.prometheus), figures)
