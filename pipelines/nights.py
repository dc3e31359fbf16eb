"""Many nights of a made shop: killed ones that are gone on with, and clean ones that the gate should let through.

python -m pipelines.nights kills --runs 60 --out build/prove/kills
python -m pipelines.nights clean --runs 30 --out build/prove/clean
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event, Thread

import numpy as np
import polars as pl

from recsys.encoders import DEFAULT_ENCODER
from recsys.errors import RecsysError
from recsys.init.toml import Entry, Section, write_toml
from recsys.jobs.nightly.job import run_night
from recsys.jobs.nightly.settings import read_nightly
from recsys.manifest import read_manifest
from recsys.world import WorldSettings, make_world
from recsys.world.calendar import START

WORLD = WorldSettings(seed=3, items=150, users=400, days=10, requests=5_000)
"""The shop whose nights are killed: of 5,000 lists."""

CLEAN = WorldSettings(seed=4, items=150, users=400, days=46, requests=23_000)
"""The shop of which many nights are made: as many lists a day."""

HISTORY = 14
"""Days before the first of its nights."""

_LOOK = 0.001
"""Seconds between two looks at the record of a night."""

ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}


@dataclass
class Found:
    """What came of many nights.

    Attributes
    ----------
    nights
        How many were run to their end.
    stopped
        How many were killed before it.
    steps
        How many were killed in each step.
    faults
        What was not as it should be.
    reads
        How often a reader looked at the live lists meanwhile.
    refused
        Nights whose data or lists were refused, and why.
    models_refused
        How many models were.
    seconds
        Of each night.
    """

    nights: int = 0
    stopped: int = 0
    steps: dict[str, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    reads: int = 0
    refused: list[str] = field(default_factory=list)
    models_refused: int = 0
    seconds: list[float] = field(default_factory=list)


def write_job(folder: Path, every: str, encoder: str) -> None:
    """Write the configuration of a nightly job whose tables lie in `source` beside it."""
    sections = [
        Section((), (Entry("home", "nights"),)),
        Section(("source",), (Entry("folder", "source"),)),
        Section(("training",), (Entry("every", every),)),
        Section(("lists",), (Entry("top", 10), Entry("context", {"device": "mobile"}))),
        Section(("settings", "windows"), (Entry("fractions", [0.3, 0.35, 0.15, 0.2]),)),
        Section(
            ("settings", "text"),
            (
                Entry("encoder", encoder),
                Entry("max_tokens", 16),
                Entry("epochs", 0),
                Entry("head_epochs", 0),
                Entry("lexicon", 0),
            ),
        ),
        Section(
            ("settings", "features"),
            (Entry("windows", ["6h", "1d"]), Entry("affinity", ["category"]), Entry("context", ["device"])),
        ),
        Section(("settings", "candidates"), (Entry("sources", ["popular", "recent"]), Entry("size", 50))),
        Section(("settings", "ranker"), (Entry("rounds", 40),)),
    ]
    (folder / "night.toml").write_text(write_toml("A nightly job of a made shop.", sections))


def killed(out: Path, runs: int, seed: int, encoder: str = DEFAULT_ENCODER) -> Found:
    """Kill second nights at moments uniform over all they do, and over their steps, and go on with them."""
    out.mkdir(parents=True)
    make_world(WORLD).dataset.write(out / "first/source")
    write_job(out / "first", "1d", encoder)
    night = START + timedelta(days=WORLD.days - 1, hours=4)
    _run(out / "first", night)
    events = out / "first/source/events.parquet"
    pl.read_parquet(events).slice(1).write_parquet(events)  # so that the second night imports, too
    shutil.copytree(out / "first", out / "whole", symlinks=True)
    took = _run(out / "whole", night + timedelta(days=1))
    expected, found = _bytes(out / "whole"), Found(seconds=[took])
    random, steps = np.random.default_rng(seed), _steps(out / "whole", night + timedelta(days=1))
    for number in range(runs):
        begins, seconds = ("", took) if number % 2 else steps[int(random.integers(len(steps)))]  # however short it is
        moment = (begins, float(random.uniform(0, seconds)))
        job = out / f"run-{number:03}"
        shutil.copytree(out / "first", job, symlinks=True)
        before = len(found.faults)
        with _reader(job, found):
            step = _kill(job, night + timedelta(days=1), moment)
            if step is not None:
                found.stopped += 1
                found.steps[step] = found.steps.get(step, 0) + 1
            found.seconds.append(_run(job, night + timedelta(days=1)))
        found.nights += 1
        now = _bytes(job)
        others = sorted(name for name in now.keys() | expected.keys() if now.get(name) != expected.get(name))
        found.faults += [f"killed at {moment}: {name} differs" for name in others]
        if len(found.faults) == before:
            shutil.rmtree(job)
        print(f"run {number + 1} of {runs}: killed at {moment} in {step}, {len(found.faults)} faults", flush=True)
    return found


def clean(out: Path, runs: int, seed: int, encoder: str = DEFAULT_ENCODER) -> Found:
    """Make a night of each day of a shop in which nothing is amiss, with a training each week."""
    out.mkdir(parents=True)
    make_world(CLEAN.model_copy(update={"seed": seed})).dataset.write(out / "source")
    write_job(out, "7d", encoder)
    found = Found()
    for number in range(runs):
        night, begun = START + timedelta(days=HISTORY + number, hours=4), time.monotonic()
        done = run_night(read_nightly(out / "night.toml"), night)
        found.seconds.append(time.monotonic() - begun)
        found.nights += 1
        found.refused += [f"{night:%F}: {reason}" for reason in done.refused]
        found.models_refused += sum("is refused" in note for note in done.notes)
        print(f"night {number + 1} of {runs}: {'published' if done.good else done.refused}", flush=True)
    return found


def _words(job: Path, night: datetime) -> list[str]:
    words = ["-m", "recsys.cli", "nightly", "--config", str(job / "night.toml"), "--at", night.isoformat()]
    return [sys.executable, *words]


def _run(job: Path, night: datetime) -> float:
    """Make a night to its end, and say how many seconds it took."""
    begun = time.monotonic()
    subprocess.run(_words(job, night), check=True, env=ENVIRONMENT, capture_output=True)  # noqa: S603
    return time.monotonic() - begun


def _steps(job: Path, night: datetime) -> list[tuple[str, float]]:
    """Give the steps of a night that was made, and the seconds of each."""
    lines = map(json.loads, _record(job, night).read_text().splitlines())
    return [(line["step"], line.get("seconds", 0.1)) for line in lines if line["event"] == "done"][:-1]


def _record(job: Path, night: datetime) -> Path:
    return job / f"nights/log/{night:%Y-%m-%dT%H%M%SZ}.jsonl"


def _kill(job: Path, night: datetime, moment: tuple[str, float]) -> str | None:
    """Begin a night and kill it; say in which step, None where it was done by then.

    The moment is so many seconds after a step began or, where none is named, the night did.
    """
    quiet, record, (step, seconds) = subprocess.DEVNULL, _record(job, night), moment
    begins = '"score", "event": "done"' if step == "publish" else f'"{step}", "event": "begun"'
    with subprocess.Popen(_words(job, night), env=ENVIRONMENT, stdout=quiet, stderr=quiet) as process:  # noqa: S603
        while step and _runs(process, _LOOK) and not (record.is_file() and begins in record.read_text()):
            pass
        if _runs(process, seconds):
            process.kill()
    if process.returncode != -signal.SIGKILL:
        return None
    lines = record.read_text().splitlines() if record.is_file() else []
    last = json.loads(lines[-1]) if lines else {"step": "begin", "event": ""}
    return f"after {last['step']}" if last["event"] == "done" else str(last["step"])


def _runs(process: "subprocess.Popen[bytes]", seconds: float) -> bool:
    """Wait so long, and tell whether a process is still at work."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return True
    return False


def _bytes(job: Path) -> dict[str, bytes]:
    """Give all that lies in the folder of a job but its records, whose times differ, and where its pointer leads."""
    home = job / "nights"
    found = {str(path.relative_to(home)): path.read_bytes() for path in home.rglob("*") if path.is_file()}
    kept = {name: content for name, content in found.items() if not name.startswith(("log/", "live/"))}
    return kept | {"live": os.readlink(home / "live").encode()}


@contextmanager
def _reader(job: Path, found: Found) -> Iterator[None]:
    """Look at the live lists all along: every look must find whole lists of one night."""
    stop, reads, faults = Event(), [0], found.faults

    def look() -> None:
        seen = set[str]()
        while not stop.is_set():
            folder = (job / "nights/live").resolve()
            try:
                if folder.name not in seen:
                    read_manifest(folder, "published")
                    seen.add(folder.name)
                rankings = pl.read_parquet(folder / "rankings/*.parquet")
                counts = json.loads((folder / "manifest.json").read_text())["counts"]
                if len(rankings) != counts["rankings"] or rankings["request_id"].n_unique() != counts["requests"]:
                    faults.append(f"a reader found {len(rankings)} rows of {folder.name}")
            except (OSError, RecsysError, pl.exceptions.PolarsError) as error:
                faults.append(f"a reader of {folder.name} failed: {error}")
            reads[0] += 1
            stop.wait(0.02)

    thread = Thread(target=look)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        found.reads += reads[0]


def main() -> None:
    """Run what is asked for, and write what came of it beside it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["kills", "clean"])
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    said = parser.parse_args()
    found = (killed if said.what == "kills" else clean)(said.out, said.runs, said.seed)
    (said.out / "found.json").write_text(json.dumps(asdict(found), indent=2) + "\n")
    print(json.dumps(asdict(found), indent=2))


if __name__ == "__main__":
    main()
