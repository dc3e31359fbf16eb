"""Where text helps: behaviour, with frozen text, with fine-tuned text, on rolling test days and several seeds."""

import argparse
import hashlib
import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from recsys.data.tables import Dataset
from recsys.data.windows import Windows, place_windows
from recsys.evaluation.evaluation import Evaluation, evaluate_rankers
from recsys.features.columns import FROM_TEXTS
from recsys.files import unfinished
from recsys.jobs.judging import LoggedWindow, read_logged, text_alone
from recsys.jobs.segments import cold_requests
from recsys.jobs.train import grow_with_valid
from recsys.learning.course import TextCourse
from recsys.model.prepared import behaviour_of, fingerprint, prepare
from recsys.past.log import Log
from recsys.past.lookup import Asked
from recsys.settings import Settings, load_settings

DAY = timedelta(days=1)
MEASURES = ("AUC", "nDCG@10")
_COLD, _SCORE = "ablation: cold", "ablation: score of "


@dataclass(frozen=True)
class Day:
    """What the rankers of one seed say about one test day.

    Attributes
    ----------
    requests
        Its rows, `request_id` marked with the seed.
    cold
        Per row, whether a clicked item of the request had few showings.
    scores
        Ranker, one score per row.
    """

    requests: pl.DataFrame
    cold: np.ndarray[tuple[int], np.dtype[np.bool_]]
    scores: dict[str, np.ndarray[tuple[int], np.dtype[np.float64]]]

    def write(self, path: Path) -> None:
        """Write it as one table, whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        told = {_SCORE + name: values for name, values in self.scores.items()}
        with unfinished(path.parent, path.name, Path.touch) as file:
            self.requests.with_columns(**{_COLD: self.cold}, **told).write_parquet(file)
            file.replace(path)

    @classmethod
    def read(cls, path: Path) -> "Day":
        """Read what `write` wrote."""
        table = pl.read_parquet(path)
        scores = {
            name.removeprefix(_SCORE): table[name].to_numpy() for name in table.columns if name.startswith(_SCORE)
        }
        requests = table.drop(_COLD, *(name for name in table.columns if name.startswith(_SCORE)))
        return cls(requests, table[_COLD].to_numpy(), scores)


def main() -> None:
    """Run every freshness and print one table for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="data folder, written by `recsys import` or `recsys demo`")
    parser.add_argument("--config", type=Path, help="TOML settings file")
    parser.add_argument("--set", action="append", default=[], metavar="section.key=value", help="change one setting")
    parser.add_argument("--days", type=int, default=3, help="the last so many days before the last cut are tested")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--work", type=Path, help="folder that keeps what was learnt and judged, for another run")
    options = parser.parse_args()
    settings = load_settings(options.config, options.set)
    dataset = prepare(Dataset.read(options.data), settings).dataset
    days: dict[str, list[Day]] = {"live": [], "1d": []}
    with tempfile.TemporaryDirectory() as passing:
        work = Path(passing) if options.work is None else options.work
        for seed in range(settings.seed, settings.seed + options.seeds):
            for freshness, day in run(dataset, settings.model_copy(update={"seed": seed}), options.days, work):
                days[freshness].append(day)
            found = {freshness: summary(of) for freshness, of in days.items()}
            options.out.parent.mkdir(parents=True, exist_ok=True)
            options.out.write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found, indent=1))


def run(dataset: Dataset, settings: Settings, days: int, work: Path) -> Iterator[tuple[str, Day]]:
    """Train on all that lies before each test day and score it; the text stage learns day after day."""
    first, *_, end = place_windows(dataset.requests, settings.windows).cuts
    behaviour = behaviour_of(dataset, settings.features.kept)
    logs = {
        freshness: Log(behaviour, settings.clock.model_copy(update={"freshness": freshness}), settings.text.history)
        for freshness in ("live", "1d")
    }
    # One chain of blocks that end at midnight, when both freshnesses know the same: valid stands for all days after the
    # first, the last test day included.
    begin = logs["1d"].time.known_at(first + DAY)
    chain = Windows((first, begin, begin, end, end))
    facts = [settings.model_dump(mode="json"), chain.to_json(), fingerprint(dataset)]
    judged, read = work / _name(facts), dict[str, dict[str, LoggedWindow]]()
    for test in (end - DAY * back for back in range(days, 0, -1)):
        for freshness, log in logs.items():
            path = judged / f"{freshness}-{test:%Y-%m-%d}.parquet"
            if not path.is_file():
                read = read or _read(dataset, settings, chain, logs, work)
                windows = {name: of[freshness] for name, of in read.items()}
                _judge(windows, test, (first, begin), log, settings).write(path)
            yield freshness, Day.read(path)


def _name(facts: Sequence[object]) -> str:
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def _read(
    dataset: Dataset, settings: Settings, chain: Windows, logs: dict[str, Log], work: Path
) -> dict[str, dict[str, LoggedWindow]]:
    """Let the encoder learn from live lists, and read each day before it does with what each freshness knows.

    Returns
    -------
    Per variant, `"tuned"` or `"frozen"` (heads alone on the published encoder), and freshness what was read.
    """
    read: dict[str, dict[str, LoggedWindow]] = {"frozen": {}, "tuned": {}}
    clock = logs["live"].time.model_dump(mode="json")
    facts = [settings.seed, settings.text.model_dump(mode="json"), clock, chain.to_json(), fingerprint(dataset)]
    course = TextCourse(dataset, settings.text, settings.seed, chain, logs["live"], None, work / _name(facts))
    for block in course.blocks:
        rows = course.read(block)
        for freshness, log in logs.items():
            tuned = course.reader(log) if course.knows else None
            frozen = course.untuned_reader(log) or tuned
            for variant, reader in (("frozen", frozen), ("tuned", tuned)):
                part, of = read_logged(Asked.of(rows, log), settings.features, reader), read[variant]
                of[freshness] = of[freshness].joined(part) if freshness in of else part
        course.learn(block)
    return read


def _judge(
    read: dict[str, LoggedWindow], test: datetime, begins: tuple[datetime, datetime], log: Log, settings: Settings
) -> Day:
    """Train on the days before a test day, from the first block or from the first that a text score stands for."""
    first, begin = begins
    delay = log.time.feedback_delay
    scores = {}
    for name, window in read.items():
        shown = _between(window, begin, test - DAY - delay)
        valid, judged = _between(window, test - DAY, test - delay), _between(window, test, test + DAY)
        both = grow_with_valid(shown.examples, valid.examples, settings).final
        scores[name] = both.score(judged.examples.table)
        scores[f"text alone, {name}"] = text_alone(judged.examples.table)
    whole = _between(window, first, test - DAY - delay)
    for name, learnt in (("behaviour", shown), ("behaviour, every block", whole)):
        blind, blind_valid = learnt.examples.without(FROM_TEXTS), valid.examples.without(FROM_TEXTS)
        grown = grow_with_valid(blind, blind_valid, settings).final
        scores[name] = grown.score(judged.examples.table.without(FROM_TEXTS))
    marked = pl.lit(f"{settings.seed}:") + pl.col("request_id").cast(pl.String)
    return Day(judged.requests.with_columns(request_id=marked), cold_requests(judged.requests, log), scores)


def _between(window: LoggedWindow, start: datetime, end: datetime) -> LoggedWindow:
    inside = window.requests["timestamp"].is_between(start, end, closed="left")
    return window.where(inside.to_numpy())


def summary(days: list[Day]) -> dict[str, object]:
    """Pool all days and seeds: means, and paired differences with intervals over users."""
    requests = pl.concat([day.requests for day in days])
    cold = np.concatenate([day.cold for day in days])
    scores = {name: np.concatenate([day.scores[name] for day in days]) for name in days[0].scores}
    found: dict[str, object] = {}
    pairs = [("frozen", "behaviour"), ("tuned", "behaviour"), ("tuned", "behaviour, every block"), ("tuned", "frozen")]
    for better, other in pairs:
        pair = {"both": scores[better], other: scores[other]}
        judged = evaluate_rankers(requests, pair, {"cold": cold}, "test")
        found[f"{better}-{other}"] = _differences(judged, f"both-{other}")
    judged = evaluate_rankers(requests, scores, {"cold": cold}, "test")
    found["requests"] = {"all": judged.overall.requests, "cold": judged.segments["cold"].requests}
    for name in scores:
        parts = {"all": judged.overall.rankers, "cold": judged.segments["cold"].rankers}
        found[name] = {part: {m: round(of[name][m].mean, 4) for m in MEASURES} for part, of in parts.items() if of}
    return found


def _differences(judged: Evaluation, name: str) -> dict[str, object]:
    parts = {"all": judged.overall.differences, "cold": judged.segments["cold"].differences}
    return {
        part: {m: [round(x, 4) for x in (of[name][m].mean, of[name][m].low, of[name][m].high)] for m in MEASURES}
        for part, of in parts.items()
        if of
    }


if __name__ == "__main__":
    main()
